/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/chunk_change.h"

#include <stdlib.h>

#include "meta/garbage.h"

/* A chunk's records are written anew when more than half, and so many, are dead. */
#define DEAD_RECORDS 256

/* Room for one chunk's ids and records at a time. */
static __thread struct {
	void *ids, *val;
	size_t ids_bytes, val_bytes;
} scratch;

static void *
scratch_get(void **p, size_t *have, size_t want)
{
	void *more;

	if (*have >= want && *p)
		return *p;
	more = realloc(*p, MAX(want, (size_t)4096) * 2);
	if (more) {
		*p = more;
		*have = MAX(want, (size_t)4096) * 2;
	}
	return more;
}

void
chunk_change_fini(void)
{
	free(scratch.ids);
	free(scratch.val);
	memset(&scratch, 0, sizeof(scratch));
}

static int
put_records(struct chunk_change *ch, const struct chunk *c, uint64_t ino, const struct slice_rec *rec, uint32_t n,
            struct kv_batch *b)
{
	uint32_t all = c->nrecs + n;
	bool anew = all > 2 * ch->pieces.n + DEAD_RECORDS;
	uint8_t key[KV_KEY_MAX], *val;
	size_t klen = key_chunk(key, ino, c->index);

	if (anew) {
		rec = ch->pieces.v;
		n = all = ch->pieces.n;
	}
	val = scratch_get(&scratch.val, &scratch.val_bytes, n * SLICE_REC_BYTES);
	if (!val)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		slice_encode(val + i * SLICE_REC_BYTES, &rec[i]);
	if (anew)
		kv_batch_put(b, key, klen, val, n * SLICE_REC_BYTES);
	else
		kv_batch_merge(b, key, klen, val, n * SLICE_REC_BYTES);
	ch->nrecs = all;
	return 0;
}

int
chunk_change_put(struct chunk_change *ch, const struct chunk *c, const struct attr *a, const struct slice_rec *rec,
                 uint32_t n, struct kv_batch *b)
{
	const struct pieces *old = &c->pieces;
	uint64_t *lost = scratch_get(&scratch.ids, &scratch.ids_bytes, old->n * sizeof(*lost));
	uint32_t nlost;

	assert(n > 0 && !ch->pieces.v);
	ch->pieces.cap = old->n + 2 * n;
	ch->pieces.v = malloc(ch->pieces.cap * sizeof(*ch->pieces.v));
	if (!lost || !ch->pieces.v)
		return -ENOMEM;
	nlost = pieces_lost(old, rec, n, lost);
	for (uint32_t i = 0; i < nlost; i++)
		garbage_slice(b, lost[i], a->share);
	ch->pieces.n = chunk_overlay(old->v, old->n, rec, n, false, ch->pieces.v);
	return put_records(ch, c, a->ino, rec, n, b);
}
