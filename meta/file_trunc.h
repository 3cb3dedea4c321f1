/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shorter file means for its chunks, as changes of a batch: used by a
 * truncation under the inode's lock, and by the replay of one.
 */
#ifndef META_FILE_TRUNC_H
#define META_FILE_TRUNC_H

#include "meta/chunk.h"
#include "meta/file_core.h"

/* Whole chunks beyond the new end, so many a batch at most. */
#define TRUNC_CHUNKS 256

struct trunc_scan {
	struct kv_scan scan;
	uint64_t chunk[TRUNC_CHUNKS];
	uint32_t nchunks;
	uint64_t *slice;           /* that show in them; malloc'ed */
	uint32_t nslices, cap;
	uint64_t covered;          /* bytes */
	bool more;                 /* the batch is full: once again after it is applied */
};
/* Sets up s->scan for kv_scan(&s->scan, trunc_scan_reset, op) or kv_scan_now: chunks from `first` on. */
void trunc_scan_start(struct trunc_scan *s, uint64_t ino, uint64_t first);
void trunc_scan_reset(void *arg);
void trunc_scan_fini(struct trunc_scan *s);
/* What the scan found goes; returns the bytes that they covered. */
uint64_t trunc_chunks(const struct trunc_scan *s, const struct attr *a, struct kv_batch *b);
/*
 * The chunk that the new end lies in: a hole from `end` on, where anything shows there.  Returns the bytes that are cut, or -ENOMEM.
 */
int64_t trunc_boundary(const struct pieces *p, uint64_t chunk, uint32_t end, const struct attr *a,
                       struct kv_batch *b);

int  trunc_init(void); /* per core */
void trunc_fini(void);

#endif
