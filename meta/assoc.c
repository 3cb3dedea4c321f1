/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/assoc.h"

#include <stdatomic.h>

#define WAYS 7u

/*
 * The index doubles when a line has this many on average: then one entry in 1,500 finds its line full, and another has to go.
 * With three it was one in 150, and reading those from RocksDB again took as long as all other looks together.
 */
#define CROWDED 2u
/* Lines taken apart with each new entry meanwhile, so that it is over soon. */
#define SPLITS 4

#define LINES_MIN 64u

/* What of the arrays is taken at a time. */
#define PIECE_BYTES (64u * 1024)

/*
 * A line of the index.  A way is half of the key's hash, the half that says which line, and the entry's number + 1; 0: empty.
 *
 * `seq` is odd while the owner writes.  His stores after that are releases, the loads of others acquires, so
 * who has seen one of them sees at his second look at `seq` that it has changed.  (On x86 these are plain moves.)
 * An entry is used for another key only after it was taken out of its line.
 */
struct line {
	_Atomic uint64_t way[WAYS];
	_Atomic uint32_t seq;
	uint32_t unused;
};
static_assert(sizeof(struct line) == CACHELINE, "one line says where");

/* An entry is words: its key, then the body.  Of one that was given back: 0, the number of the next such + 1. */
#define KEY  0
#define BODY 1

static int
array_init(struct slab *s, const char *name, uint64_t bytes, uint8_t **mem)
{
	int err = slab_init(s, name, PIECE_BYTES, (uint32_t)(bytes / PIECE_BYTES + 1));

	if (!err)
		*mem = slab_get(s);
	return err;
}

/* Until the array has so many bytes: the pieces of a pool come in order. */
static void
array_reach(struct slab *s, const uint8_t *mem, uint64_t bytes)
{
	while ((uint64_t)s->used * PIECE_BYTES < bytes) {
		const uint8_t *piece = slab_get(s);

		assert(piece == mem + (uint64_t)(s->used - 1) * PIECE_BYTES);
	}
}

static void
array_fini(struct slab *s, uint8_t *mem)
{
	while (s->used > 0)
		slab_put(s, mem + (uint64_t)(s->used - 1) * PIECE_BYTES);
	slab_fini(s);
}

int
assoc_init(struct assoc *a, const char *name, uint32_t max, uint32_t body_bytes)
{
	int err;

	assert(body_bytes % 8 == 0 && body_bytes > 0 && max > 0);
	*a = (struct assoc){ .max = max, .entry_words = BODY + body_bytes / 8, .nlines = LINES_MIN, .base = LINES_MIN };
	a->max_lines = LINES_MIN;
	while (a->max_lines < UINT32_MAX / 2 && (uint64_t)a->max_lines * CROWDED < max)
		a->max_lines *= 2;
	err = array_init(&a->lines, name, (uint64_t)a->max_lines * sizeof(struct line), &a->line_mem);
	if (err)
		return err;
	err = array_init(&a->entries, name, (uint64_t)max * a->entry_words * 8, &a->entry_mem);
	if (err) {
		array_fini(&a->lines, a->line_mem);
		a->line_mem = NULL;
	}
	return err;
}

void
assoc_fini(struct assoc *a)
{
	if (!a->line_mem)
		return;
	array_fini(&a->entries, a->entry_mem);
	array_fini(&a->lines, a->line_mem);
	a->line_mem = NULL;
}

static uint32_t
hash_of(uint64_t key)
{
	return (uint32_t)(mix64(key) >> 32); /* the low bits say which core */
}

static struct line *
line_at(const struct assoc *a, uint32_t n)
{
	return (struct line *)(void *)(a->line_mem + (size_t)n * sizeof(struct line));
}

static struct line *
line_of(const struct assoc *a, uint32_t hash)
{
	uint32_t nlines = __atomic_load_n(&a->nlines, __ATOMIC_ACQUIRE);
	uint32_t mask = UINT32_MAX >> __builtin_clz(nlines - 1);
	uint32_t n = hash & mask;

	return line_at(a, n < nlines ? n : n & mask >> 1);
}

static _Atomic uint64_t *
entry_at(const struct assoc *a, uint32_t n)
{
	return (_Atomic uint64_t *)(void *)(a->entry_mem + (size_t)n * a->entry_words * 8);
}

static uint64_t
look_at(const _Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_acquire);
}

static void
set(_Atomic uint64_t *p, uint64_t to)
{
	atomic_store_explicit(p, to, memory_order_release);
}

/* The entry that a way leads to, where it may be that of the key's hash; else NULL. */
static _Atomic uint64_t *
entry_by(const struct assoc *a, uint64_t way, uint32_t hash)
{
	return (uint32_t)way != 0 && way >> 32 == hash ? entry_at(a, (uint32_t)way - 1) : NULL;
}

/* The key's entry, and which way of the line leads there; or NULL. */
static _Atomic uint64_t *
find(const struct assoc *a, const struct line *l, uint64_t key, uint32_t hash, unsigned *way)
{
	for (unsigned i = 0; i < WAYS; i++) {
		_Atomic uint64_t *e = entry_by(a, look_at(&l->way[i]), hash);

		if (e && look_at(&e[KEY]) == key) {
			*way = i;
			return e;
		}
	}
	return NULL;
}

static bool
copy_out(const struct assoc *a, const struct line *l, uint64_t key, uint32_t hash, void *body)
{
	unsigned way;
	const _Atomic uint64_t *e = key ? find(a, l, key, hash, &way) : NULL;

	for (uint32_t i = BODY; e && i < a->entry_words; i++) {
		uint64_t word = look_at(&e[i]);

		memcpy((uint8_t *)body + 8 * (i - BODY), &word, 8);
	}
	return e;
}

bool
assoc_get(const struct assoc *a, uint64_t key, void *body)
{
	uint32_t hash = hash_of(key);

	return copy_out(a, line_of(a, hash), key, hash, body);
}

bool
assoc_has(const struct assoc *a, uint64_t key)
{
	uint32_t hash = hash_of(key);
	unsigned way;

	return key != 0 && find(a, line_of(a, hash), key, hash, &way);
}

bool
assoc_look(const struct assoc *a, uint64_t key, void *body)
{
	uint32_t hash = hash_of(key);
	struct line *l = line_of(a, hash);
	uint32_t seq = atomic_load_explicit(&l->seq, memory_order_acquire);
	bool found = copy_out(a, l, key, hash, body);

	return found && seq % 2 == 0 && atomic_load_explicit(&l->seq, memory_order_relaxed) == seq;
}

void
assoc_near(const struct assoc *a, uint64_t key, int step)
{
	uint32_t hash = hash_of(key);
	const struct line *l = line_of(a, hash);

	if (step == 0)
		__builtin_prefetch(l);
	for (unsigned i = 0; step > 0 && i < WAYS; i++) {
		const _Atomic uint64_t *e = entry_by(a, look_at(&l->way[i]), hash);

		if (e) {
			__builtin_prefetch(e);
			__builtin_prefetch(&e[a->entry_words - 1]);
		}
	}
}

/* ---- the owner changes it */

static void
write_begin(struct line *l)
{
	atomic_store_explicit(&l->seq, atomic_load_explicit(&l->seq, memory_order_relaxed) + 1, memory_order_relaxed);
}

static void
write_end(struct line *l)
{
	atomic_store_explicit(&l->seq, atomic_load_explicit(&l->seq, memory_order_relaxed) + 1, memory_order_release);
}

/* Takes the next line of this doubling apart: into itself and one behind the last. */
static void
split(struct assoc *a)
{
	struct line *from = line_at(a, a->nlines - a->base), *to = line_at(a, a->nlines);
	unsigned n = 0;

	array_reach(&a->lines, a->line_mem, ((uint64_t)a->nlines + 1) * sizeof(struct line));
	/* Until the number of lines is changed nobody looks there; who then looks at the old place finds nothing and asks. */
	for (unsigned i = 0; i < WAYS; i++)
		if (look_at(&from->way[i]) >> 32 & a->base)
			set(&to->way[n++], look_at(&from->way[i]));
	__atomic_store_n(&a->nlines, a->nlines + 1, __ATOMIC_RELEASE);
	write_begin(from);
	for (unsigned i = 0; i < WAYS; i++)
		if (look_at(&from->way[i]) >> 32 & a->base)
			set(&from->way[i], 0);
	write_end(from);
}

static void
grow(struct assoc *a)
{
	if (a->nlines == 2 * a->base)
		a->base = a->nlines;
	if (a->nlines == a->base && a->used < a->base * CROWDED)
		return;
	for (int i = 0; i < SPLITS && a->nlines < MIN(2 * a->base, a->max_lines); i++)
		split(a);
}

static uint32_t
by_chance(struct assoc *a, uint32_t below)
{
	a->chance = a->chance * 1664525u + 1013904223u; /* Numerical Recipes; its high bits are good */
	return (uint32_t)((uint64_t)a->chance * below >> 32);
}

static void
take_out(struct assoc *a, struct line *l, unsigned way)
{
	uint32_t n = (uint32_t)look_at(&l->way[way]) - 1;
	_Atomic uint64_t *e = entry_at(a, n);

	write_begin(l);
	set(&l->way[way], 0);
	write_end(l);
	set(&e[KEY], 0);
	set(&e[BODY], a->free);
	a->free = n + 1;
	a->used--;
}

bool
assoc_has_room(const struct assoc *a)
{
	return a->used < a->max;
}

/* The number of an entry that nobody uses. */
static uint32_t
entry_new(struct assoc *a)
{
	uint32_t n;

	if (!assoc_has_room(a))
		assoc_drop(a, look_at(&entry_at(a, by_chance(a, a->max))[KEY]));
	a->used++;
	if (a->free) {
		n = a->free - 1;
		a->free = (uint32_t)look_at(&entry_at(a, n)[BODY]);
		return n;
	}
	assert(a->fresh < a->max);
	n = a->fresh++;
	array_reach(&a->entries, a->entry_mem, (uint64_t)a->fresh * a->entry_words * 8);
	return n;
}

static unsigned
way_new(struct assoc *a, struct line *l)
{
	unsigned way = 0;

	while (way < WAYS && look_at(&l->way[way]) != 0)
		way++;
	if (way == WAYS) {
		way = by_chance(a, WAYS);
		take_out(a, l, way);
	}
	return way;
}

static void
copy_in(const struct assoc *a, _Atomic uint64_t *e, const void *body)
{
	for (uint32_t i = BODY; i < a->entry_words; i++) {
		uint64_t word;

		memcpy(&word, (const uint8_t *)body + 8 * (i - BODY), 8);
		set(&e[i], word);
	}
}

void
assoc_put(struct assoc *a, uint64_t key, const void *body)
{
	uint32_t hash = hash_of(key), n;
	struct line *l = line_of(a, hash);
	_Atomic uint64_t *e;
	unsigned way;

	assert(key != 0);
	e = find(a, l, key, hash, &way);
	if (e) {
		write_begin(l);
		copy_in(a, e, body);
		write_end(l);
		return;
	}
	grow(a);
	l = line_of(a, hash);
	way = way_new(a, l);
	n = entry_new(a);
	e = entry_at(a, n);
	write_begin(l);
	set(&e[KEY], key);
	copy_in(a, e, body);
	set(&l->way[way], (uint64_t)hash << 32 | (n + 1));
	write_end(l);
}

void
assoc_drop(struct assoc *a, uint64_t key)
{
	uint32_t hash = hash_of(key);
	struct line *l = line_of(a, hash);
	unsigned way;

	if (key != 0 && find(a, l, key, hash, &way))
		take_out(a, l, way);
}
