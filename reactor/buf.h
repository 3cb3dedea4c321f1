/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Payload buffers: descriptors over one arena a core, aligned for O_DIRECT,
 * registered with the ring, allocated (and touched) at start.  This is the
 * memory budget of the data path: dirty extents, cached frames, uploads and
 * payloads on their way in all live here.
 *
 * Reference counts are not atomic: only the core that holds the object that
 * holds the buffer may touch them (a request that travels takes its references
 * along).  The last buf_put sends the buffer home to the core that allocated it.
 */
#ifndef REACTOR_BUF_H
#define REACTOR_BUF_H

#include "reactor/base.h"
#include "reactor/op.h"

enum buf_class { BUF_SMALL, BUF_8K, BUF_16K, BUF_32K, BUF_LARGE };

#define BUF_SMALL_BYTES 4096u
#define BUF_LARGE_BYTES 65536u

static inline uint32_t
buf_class_bytes(enum buf_class class)
{
	return BUF_SMALL_BYTES << class;
}

/* The smallest that holds so many, at most BUF_LARGE_BYTES. */
static inline enum buf_class
buf_class_for(uint32_t bytes)
{
	enum buf_class class = BUF_SMALL;

	assert(bytes <= BUF_LARGE_BYTES);
	while (buf_class_bytes(class) < bytes)
		class++;
	return class;
}

/* Who asks: the less it frees memory, the earlier it has to wait. */
enum buf_use {
	BUF_INGEST, /* payload of a WRITE: waits when under a quarter is free */
	BUF_CACHE,  /* fetched for a reader: waits when under an eighth is free */
	BUF_DRAIN,  /* uploading, which frees memory: may take the last */
};

struct buf {
	struct buf *next; /* free list or return list; the holder's while held */
	uint8_t *data;    /* cap bytes, aligned to PAGE */
	uint32_t cap;
	uint32_t refs;
	uint32_t block;   /* the 64 KiB of all arenas that it lies in, counted from the first */
	uint16_t home;    /* core */
	uint8_t class;
};

/* A run of bytes in a buffer. */
struct bufref {
	struct buf *buf;
	uint32_t off, len;
};

/* So many blocks there are. */
uint32_t buf_blocks(void);

/* This core's buffer with one reference, or NULL when `use` must wait now. */
struct buf *buf_get(enum buf_class class, enum buf_use use);
/*
 * `n` buffers into out[], all or none; waits in line until there are.  Gives:
 * one reference each.  op->res is 0.
 */
struct buf_wait {
	struct buf_wait *next;
	struct op *op;
	struct buf **out;
	int n;
	enum buf_class class;
	enum buf_use use;
};
enum op_state buf_get_many(struct buf_wait *w, struct buf **out, int n, enum buf_class class,
                           enum buf_use use, struct op *op);
/*
 * Leaves the line: true when it was still waiting (its op will not resume),
 * false when the buffers are there already and the op is about to resume.
 */
bool buf_cancel(struct buf_wait *w);
struct buf *buf_keep(struct buf *b);
void buf_put(struct buf *b);

/*
 * Peeking, on any core and without a reference, at bytes that do not change while the buffer is held (a frame of a
 * cache).  Its holder says which life of the buffer this is; that ends when the last reference is put, and arenas stay
 * mapped while the reactors run.  buf_peek copies the page (PAGE bytes) at `off`, a multiple of PAGE, behind b->data;
 * false: that life is over, `to` holds anything.  `to` is aligned to 16.
 */
uint32_t buf_life(const struct buf *b);
bool     buf_peek(uint8_t *to, const uint8_t *data, uint32_t off, uint32_t life);
/* The holder: has somebody peeked since this was last asked? */
bool     buf_was_peeked(const struct buf *b);

/* Process-wide 64 KiB of zeros, never written, never counted: for holes. */
extern uint8_t *const buf_zeros;

/*
 * When `use` finds the pool short, the hook is asked (on that core) to give
 * back at least `want` bytes of clean cache; returns bytes given back.
 */
void buf_set_reclaim(uint64_t (*reclaim)(uint64_t want_bytes));

/* Accounting of every pool of the process, for `status` and the tests. */
struct pool_stat {
	const char *name;
	int core;
	uint64_t total_bytes, used_bytes;
};
/* Fills up to max; returns how many pools there are.  Any thread, relaxed. */
int pool_stats(struct pool_stat *out, int max);

/*
 * Fixed-size objects, allocated at start, one pool a core.  Empty: slab_get
 * returns NULL and the caller makes its client wait.  Those that were never given out come
 * in the order of their addresses, side by side, and are all zero.
 */
struct slab {
	const char *name;
	void *mem, *free;
	uint32_t size, count, used;
	uint32_t fresh; /* objects from here on were never given out, their memory is untouched */
	struct slab *next; /* list for pool_stats */
	int core;
};
int   slab_init(struct slab *s, const char *name, size_t size, uint32_t count);
void *slab_get(struct slab *s);
void  slab_put(struct slab *s, void *p);
/* Asserts that all objects are home, frees. */
void  slab_fini(struct slab *s);

#endif
