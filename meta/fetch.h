/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of a slice that are not in memory: looks up where the block is ('B'),
 * has the cache fetch them; where the object is gone, looks again: the block may have moved meanwhile (repack.h).
 */
#ifndef META_FETCH_H
#define META_FETCH_H

#include "meta/kv.h"
#include "meta/record.h"
#include "store/blockio.h"

struct fetch {
	struct fetch *next;        /* the user's */
	uint64_t slice, ino;
	uint32_t first, n;         /* frames of the slice, all in one block */
	uint32_t end;              /* bytes of the slice up to here must be there */
	struct cache_fetch cache;  /* .out: a reference each, the user's */
	/* private */
	struct kv_get kv;
	uint8_t val[BLOCK_REC_BYTES_MAX];
	enum { FETCH_BLOCK, FETCH_FRAMES, FETCH_AGAIN } stage;
	int moves;
	struct op step;
	struct op *wait;
};

/* slice, ino, first, n and end are set.  op->res: 0, -EIO (missing), -E_DAMAGED (both logged), -E_JUKEBOX. */
enum op_state fetch_run(struct fetch *f, struct objstore *store, const char *prefix, struct op *op);

#endif
