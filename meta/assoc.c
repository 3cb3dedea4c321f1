/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/assoc.h"

#include <stdatomic.h>

/*
 * A set: a cache line that says what is in it, then ASSOC_WAYS bodies, in words.  Zeros are an empty set.
 *
 * `seq` is odd while the owner writes.  His stores after that are releases, the loads of others acquires, so
 * who has seen one of them sees at his second look at `seq` that it has changed.  (On x86 these are plain moves.)
 */
struct set {
	_Atomic uint64_t key[ASSOC_WAYS];
	_Atomic uint32_t seq;
	uint32_t chance;
	_Atomic uint64_t body[];
};
static_assert(sizeof(struct set) == CACHELINE, "one line says which");

int
assoc_init(struct assoc *a, const char *name, uint32_t entries, uint32_t body_bytes)
{
	int err;

	assert(body_bytes % 8 == 0);
	*a = (struct assoc){ .nsets = entries / ASSOC_WAYS + 1, .body_words = body_bytes / 8 };
	a->set_bytes = (uint32_t)ROUND_UP(sizeof(struct set) + (size_t)ASSOC_WAYS * body_bytes, CACHELINE);
	a->nsets = MIN(a->nsets, UINT32_MAX / a->set_bytes); /* of a slab's object */
	err = slab_init(&a->slab, name, (size_t)a->nsets * a->set_bytes, 1);
	if (!err)
		a->mem = slab_get(&a->slab);
	return err;
}

void
assoc_fini(struct assoc *a)
{
	if (a->mem)
		slab_put(&a->slab, a->mem);
	slab_fini(&a->slab);
	a->mem = NULL;
}

static struct set *
set_of(const struct assoc *a, uint64_t key)
{
	/* The high half of the product: any number of sets, no division. */
	uint64_t n = (mix64(key) >> 32) * a->nsets >> 32;

	return (struct set *)(void *)(a->mem + n * a->set_bytes);
}

/* Where the key stands in its set, or ASSOC_WAYS. */
static unsigned
way_of(struct set *s, uint64_t key)
{
	unsigned way = 0;

	while (way < ASSOC_WAYS && atomic_load_explicit(&s->key[way], memory_order_acquire) != key)
		way++;
	return way;
}

static void
copy_out(const struct assoc *a, struct set *s, unsigned way, void *body)
{
	for (uint32_t i = 0; i < a->body_words; i++) {
		uint64_t word = atomic_load_explicit(&s->body[way * a->body_words + i], memory_order_acquire);

		memcpy((uint8_t *)body + 8 * i, &word, 8);
	}
}

bool
assoc_get(const struct assoc *a, uint64_t key, void *body)
{
	struct set *s = set_of(a, key);
	unsigned way = way_of(s, key);

	if (key == 0 || way == ASSOC_WAYS)
		return false;
	copy_out(a, s, way, body);
	return true;
}

bool
assoc_has(const struct assoc *a, uint64_t key)
{
	return key != 0 && way_of(set_of(a, key), key) < ASSOC_WAYS;
}

bool
assoc_look(const struct assoc *a, uint64_t key, void *body)
{
	struct set *s = set_of(a, key);
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_acquire);
	bool found = assoc_get(a, key, body);

	return found && seq % 2 == 0 && atomic_load_explicit(&s->seq, memory_order_relaxed) == seq;
}

static void
write_begin(struct set *s)
{
	atomic_store_explicit(&s->seq, atomic_load_explicit(&s->seq, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void
write_end(struct set *s)
{
	atomic_store_explicit(&s->seq, atomic_load_explicit(&s->seq, memory_order_relaxed) + 1, memory_order_release);
}

static unsigned
make_room(struct set *s)
{
	unsigned way = way_of(s, 0);

	if (way < ASSOC_WAYS)
		return way;
	s->chance = s->chance * 1664525u + 1013904223u; /* Numerical Recipes; its high bits are good */
	return (s->chance >> 16) % ASSOC_WAYS;
}

void
assoc_put(struct assoc *a, uint64_t key, const void *body)
{
	struct set *s = set_of(a, key);
	unsigned way = way_of(s, key);

	assert(key != 0);
	if (way == ASSOC_WAYS)
		way = make_room(s);
	write_begin(s);
	atomic_store_explicit(&s->key[way], key, memory_order_release);
	for (uint32_t i = 0; i < a->body_words; i++) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)body + 8 * i, 8);
		atomic_store_explicit(&s->body[way * a->body_words + i], word, memory_order_release);
	}
	write_end(s);
}

void
assoc_drop(struct assoc *a, uint64_t key)
{
	struct set *s = set_of(a, key);
	unsigned way = way_of(s, key);

	if (key == 0 || way == ASSOC_WAYS)
		return;
	write_begin(s);
	atomic_store_explicit(&s->key[way], 0, memory_order_release);
	write_end(s);
}
