/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes of a chunk are worth being written anew as one slice.  Pure functions over arrays, any
 * thread; who does it is meta/compact.h.
 *
 * A reader pays for each change of slice: a lookup, a frame of the cache, a GET where it is not
 * cached.  So the changes count, not the pieces: pieces of one slice with holes between them are as good as one.
 * Two rules:
 *
 *   a frame (64 KiB) in which a reader would have to merge `merge` or more;
 *   where the chunk has gathered `gathered` pieces, a MiB with so many that a piece is under
 *   a frame on average.
 *
 * A small write into a slice makes two changes, so by the first rule it costs 32 KiB of merging at most, by
 * the second 128.  What was merged fulfils neither, so merging comes to an end.
 */
#ifndef META_COMPACT_PLAN_H
#define META_COMPACT_PLAN_H

#include "meta/chunk.h"

#define PLAN_SOURCES     2048  /* pieces of a plan */
#define PLAN_RECORDS     4096  /* that take their place, at most */
#define PLAN_BYTES_LEAST (1 * MIB)

struct compact_rule {
	uint32_t merge;            /* 2 or more; 0: nothing is worth it */
	uint32_t gathered;
};

/* Pieces of the chunk as they were when it was made, sorted; their bytes in this order are the new slice. */
struct compact_plan {
	struct slice_rec src[PLAN_SOURCES];
	uint32_t n, bytes;
	uint32_t upto;             /* up to here the chunk was looked at */
	bool gathered;             /* it had when the look at it began */
};

/* So few pieces are never worth it: asks without a look at them. */
bool compact_may(uint32_t npieces, const struct compact_rule *rule);

/*
 * The next plan of a chunk, of at most max_bytes (PLAN_BYTES_LEAST or more): from its beginning, or where `plan`, which is then of
 * the same chunk, ended (plan->upto).  False: nothing there is worth it.  O(pieces).
 */
bool compact_next(const struct pieces *p, const struct compact_rule *rule, uint32_t from, uint32_t max_bytes,
                  struct compact_plan *plan);

/*
 * The new slice is there: records of it for all bytes that the chunk still shows as the plan found
 * them, sorted, into out[PLAN_RECORDS].  What was written or cut since is left alone, and so is what
 * does not fit.  Returns how many; 0: all has changed.
 */
uint32_t compact_records(const struct compact_plan *plan, const struct pieces *now, uint64_t slice,
                         struct slice_rec *out);

#endif
