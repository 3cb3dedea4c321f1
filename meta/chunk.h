/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pieces of a chunk: what remains visible of its slice records when newer
 * ones win where they overlap.  Sorted by position, never overlapping, without
 * holes (a gap is a hole).  Pure functions over arrays, any thread; the cache
 * of chunks in memory is meta/chunkmap.h.
 */
#ifndef META_CHUNK_H
#define META_CHUNK_H

#include "meta/record.h"

/* Sorted, disjoint.  `v` is malloc'ed. */
struct pieces {
	struct slice_rec *v;
	uint32_t n, cap;
};

void pieces_fini(struct pieces *p);

/*
 * Lays `b` over `a`, both sorted and disjoint (holes allowed in both), into
 * `out`, which has room for na + 2 * nb and is neither of the two.  Returns how
 * many pieces there are; holes stay where `keep_holes`.
 */
uint32_t chunk_overlay(const struct slice_rec *a, uint32_t na, const struct slice_rec *b, uint32_t nb,
                       bool keep_holes, struct slice_rec *out);

/*
 * From a value of 'C': its records, oldest first.  O(n log n).  *out is
 * replaced.  -E_DAMAGED, -E_FORMAT as slice_decode has it, -ENOMEM.
 */
int chunk_decode(const uint8_t *val, size_t len, struct pieces *out);

/* Lays `b` (sorted, disjoint) over *p.  -ENOMEM: nothing changed. */
int pieces_insert(struct pieces *p, const struct slice_rec *b, uint32_t nb);

/* The first piece that ends beyond `pos`; p->n where none does.  O(log n). */
uint32_t pieces_find(const struct pieces *p, uint32_t pos);

/* Bytes that the pieces cover. */
uint64_t pieces_covered(const struct pieces *p);

/*
 * Slices that lose their last piece when `b` is laid over *p, each once, into
 * ids[] (room for p->n).  Slices of `b` itself do not count.  Returns how many.
 */
uint32_t pieces_lost(const struct pieces *p, const struct slice_rec *b, uint32_t nb, uint64_t *ids);

#endif
