/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/assoc.h"

/* The head of a set, a cache line; ASSOC_WAYS bodies follow it.  Zeros are an empty set. */
struct head {
	uint64_t key[ASSOC_WAYS];
	uint64_t chance;
};
static_assert(sizeof(struct head) == CACHELINE, "one line says which");

int
assoc_init(struct assoc *a, const char *name, uint32_t entries, uint32_t body_bytes)
{
	int err;

	assert(body_bytes % 8 == 0);
	*a = (struct assoc){ .nsets = entries / ASSOC_WAYS + 1, .body_bytes = body_bytes };
	a->set_bytes = (uint32_t)ROUND_UP(sizeof(struct head) + (size_t)ASSOC_WAYS * body_bytes, CACHELINE);
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

static struct head *
set_of(const struct assoc *a, uint64_t key)
{
	/* The high half of the product: any number of sets, no division. */
	uint64_t n = (mix64(key) >> 32) * a->nsets >> 32;

	return (struct head *)(void *)(a->mem + n * a->set_bytes);
}

static void *
body(const struct assoc *a, struct head *h, unsigned way)
{
	return (uint8_t *)(h + 1) + (size_t)way * a->body_bytes;
}

void *
assoc_find(const struct assoc *a, uint64_t key)
{
	struct head *h = set_of(a, key);

	for (unsigned way = 0; key != 0 && way < ASSOC_WAYS; way++)
		if (h->key[way] == key)
			return body(a, h, way);
	return NULL;
}

void *
assoc_add(struct assoc *a, uint64_t key)
{
	struct head *h = set_of(a, key);
	unsigned way;

	assert(key != 0);
	for (way = 0; way < ASSOC_WAYS; way++)
		if (h->key[way] == key)
			return body(a, h, way);
	for (way = 0; way < ASSOC_WAYS; way++)
		if (h->key[way] == 0)
			break;
	if (way == ASSOC_WAYS) {
		h->chance = h->chance * 6364136223846793005u + 1442695040888963407u;
		way = (unsigned)(h->chance >> 33) % ASSOC_WAYS;
	}
	h->key[way] = key;
	return body(a, h, way);
}

void
assoc_drop(struct assoc *a, uint64_t key)
{
	struct head *h = set_of(a, key);

	for (unsigned way = 0; way < ASSOC_WAYS; way++)
		if (h->key[way] == key)
			h->key[way] = 0;
}
