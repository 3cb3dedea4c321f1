/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of repack.h share: repack_find.c (which packs), repack.c (a turn), repack_write.c (the new pack). */
#ifndef META_REPACK_IMPL_H
#define META_REPACK_IMPL_H

#include "meta/file_core.h"
#include "meta/repack.h"
#include "store/blockio.h"

#define REPACK_PACKS     256                    /* packs, a look */
#define REPACK_SOURCES   64                     /* packs that become one */
#define REPACK_BUFS      (BLOCK_BYTES / BUF_LARGE_BYTES)
#define REPACK_TAIL_MAX  BUF_LARGE_BYTES

struct thin { uint64_t pack, bytes; };

/* A block that moves; rec: its new place. */
struct moved {
	uint64_t slice;
	uint32_t index;
	struct block_rec rec;
};

struct source {
	uint64_t pack, bytes; /* stored bytes of what moves */
	uint32_t n;
};

enum repack_stage {
	REPACK_BEGIN, REPACK_NEXT, REPACK_TAIL, REPACK_BLOCK, REPACK_BYTES, REPACK_FULL, REPACK_PUT, REPACK_WRITTEN,
};

struct repack {
	enum repack_stage stage;
	struct op step, *wait;
	double ratio;                    /* of a pack's bytes: fewer live ones are written anew; 0: never */
	uint64_t rate, delay_ns;         /* bytes a second; how long after a pass the next begins, at least */
	bool stopping;
	uint64_t not_before_ns, start_ns;
	struct hist *time;

	/* the pass */
	bool passing, thinned;
	uint64_t pass_ns, next_pass_ns;  /* when it began; when the next one may */
	uint64_t held_ns;                /* since then something is to be merged; 0: nothing is */
	uint64_t from, seen;             /* pack: all before it are done; were looked at */
	struct kv_scan scan;
	struct thin found[REPACK_PACKS];
	uint32_t n, at;
	uint64_t bad[64];                /* packs that are left alone */

	/* the pack that is looked at */
	int share;                       /* which of them it is looked for in */
	struct buf *tail;
	struct { uint64_t slice; uint32_t index; } had[UPLOAD_BLOCKS_MAX];
	uint32_t nhad, next;             /* next: whose record is looked up */
	uint32_t fetched;                /* of block[]: up to here the bytes are there, or asked for */
	struct kv_get get;
	uint8_t val[BLOCK_REC_BYTES_MAX];
	struct obj_req req;
	struct iovec iov[REPACK_BUFS + 2];

	/* what becomes one pack */
	int into_share;
	struct source source[REPACK_SOURCES];
	uint32_t nsources;
	struct moved block[UPLOAD_BLOCKS_MAX];
	uint64_t old_off[UPLOAD_BLOCKS_MAX];
	uint32_t nblocks, before;        /* before: those of earlier sources */
	uint64_t bytes, before_bytes;    /* as stored; */
	uint64_t plain, before_plain;    /* and plain: as its upload, a pack has at most BLOCK_BYTES of them, or its index were too long */
	struct buf *buf[REPACK_BUFS];
	uint32_t nbufs;
	uint64_t pack;
	uint8_t tail_out[REPACK_TAIL_MAX];
	struct kv_batch *batch;
	struct kv_write write;
};

/* ---- repack_find.c */
/* A pass is under way, or begins now, and compaction does not hold it. */
bool repack_pass_begin(struct repack *r);
void repack_pass_end(struct repack *r);
/* Thin packs from r->from on into r->found; r->seen: they were all looked at up to here. */
enum op_state repack_find(struct repack *r);
/* It is not found again by this run, or until many others were left alone, too. */
void repack_leave_alone(struct repack *r, uint64_t pack);

/* ---- repack_write.c */
/* The buffers' bytes from `at` on, up to the end of one, or len. */
struct iovec repack_room(const struct repack *r, uint64_t at, uint64_t len);
enum op_state repack_put(struct repack *r);
enum op_state repack_commit(struct repack *r);

#endif
