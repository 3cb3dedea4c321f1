/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New slices in a chunk, as a change of a batch: their records in 'C', and what shows no more
 * as garbage.  Under the inode's lock, on its core.
 */
#ifndef META_CHUNK_CHANGE_H
#define META_CHUNK_CHANGE_H

#include "meta/chunkmap.h"

/* What the chunk will be when the batch is applied: for chunkmap_set. */
struct chunk_change {
	struct pieces pieces;
	uint32_t nrecs;
};

/*
 * Lays `rec` (n > 0 of them, sorted, disjoint, no holes) over what the chunk of inode `a` shows.
 * -ENOMEM: *ch is still to be freed (pieces_fini), and what is in the batch is of no use.
 */
int  chunk_change_put(struct chunk_change *ch, const struct chunk *c, const struct attr *a,
                      const struct slice_rec *rec, uint32_t n, struct kv_batch *b);
/* The core's room for ids and records. */
void chunk_change_fini(void);

#endif
