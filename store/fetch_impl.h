/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of cache_fetch share: fetch.c (frames in flight, and who waits for them), fetch_get.c (one ranged GET). */
#ifndef STORE_FETCH_IMPL_H
#define STORE_FETCH_IMPL_H

#include "reactor/worker.h"
#include "store/cache.h"
#include "store/diskcache.h"

#define RUNS FETCH_FRAMES_MAX /* a frame is in one of them, at most */

struct fetch;

struct waiter {
	struct waiter *next;
	struct fetch *by;
};

/* One ranged GET: frames that follow each other. */
struct run {
	struct op op;
	struct work work;
	struct fetch *by;
	uint32_t first, n; /* counted from the fetch's first */
	uint8_t again;     /* so many times it came damaged */
	uint64_t sent_ns;
	uint64_t damaged;  /* sets of the fetch's frames: those that do not match their checksum, */
	uint64_t wrong;    /* that do not decode, or are not what was sealed for their place, */
	uint64_t later;    /* and for which there was no memory */
	struct obj_req req;
};

/* A frame that comes from the disk cache. */
struct near {
	struct op op;
	struct fetch *by;
	uint32_t k;
	struct disk_fetch disk;
};

struct fetch {
	struct cache_fetch *f;
	struct fetch *next;  /* in flight, of the same bucket */
	enum { FETCH_START, FETCH_ROOM, FETCH_FLY } stage;
	struct op step;
	struct buf_wait room;
	bool now;            /* still inside the call of cache_fetch */
	bool all;            /* frames that were cached went away while it stood in line: ask for all of them */
	int err;
	uint32_t left;       /* frames that it waits for, and calls that are using it */
	uint32_t nroom, nruns;
	uint64_t flying;     /* set of frames that it brings */
	struct buf *buf[FETCH_FRAMES_MAX];        /* into which */
	struct waiter *waiters[FETCH_FRAMES_MAX]; /* for whom */
	struct waiter wait[FETCH_FRAMES_MAX];     /* its own place among those */
	struct buf *got[FETCH_FRAMES_MAX];
	struct iovec iov[2 * FETCH_FRAMES_MAX];   /* a sealed frame's trailer has no room in its buffer */
	uint8_t trailer[FETCH_FRAMES_MAX][SEAL_BYTES];
	struct run run[RUNS];
	struct near near[FETCH_FRAMES_MAX];
};

/* Of the block's frame k. */
static inline uint32_t
frame_plain(const struct block_rec *rec, uint32_t k)
{
	return MIN(FRAME_BYTES, rec->plain - k * FRAME_BYTES);
}

/* ---- fetch.c */
/* Frame k of x is here, decoded, or it is not (err): for all who wait for it. */
void fetch_land(struct fetch *x, uint32_t k, int err);
/* One thing less that x waits for: it may be freed here. */
void fetch_less_left(struct fetch *x);

/* ---- fetch_get.c */
/* Brings frames [first, first + n) of x into their buffers from the object store, lands each, and is one of x->left until then. */
void fetch_get(struct fetch *x, uint32_t first, uint32_t n);
void fetch_get_init(void); /* per core */

#endif
