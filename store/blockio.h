/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks in and out of the object store: upload builds an object from pieces of
 * buffers, the frame cache serves readers and fetches what is missing, one fetch
 * per frame in flight, whoever asks.  One core's cache per reactor.
 */
#ifndef STORE_BLOCKIO_H
#define STORE_BLOCKIO_H

#include "reactor/buf.h"
#include "store/block.h"
#include "store/frame.h"
#include "store/objstore.h"

/* A block to upload: its plain bytes as pieces, in order, lent until the op resumes. */
struct upload_block {
	uint64_t slice;
	uint32_t index, plain;
	const struct bufref *part; /* buf NULL: zeros */
	int nparts;
	struct block_rec rec;      /* result: what to record */
};

#define UPLOAD_BLOCKS_MAX 1024
#define UPLOAD_PARTS_MAX  4096 /* pieces of all blocks of an object together */
struct upload {
	struct objstore *store;
	const char *prefix;
	const uint8_t *uuid;       /* 16 bytes */
	struct frame_how how;
	uint64_t pack;             /* id; 0: own object, one block */
	struct upload_block *block;
	int nblocks;
	uint64_t stored;           /* result: bytes of the object */
	/* private */
	struct obj_req req;
	void *priv;
	struct upload *next;
	struct op step;
	struct op *wait;
};
/* Per core: contexts for so many at once; more wait in line. */
int  upload_init(uint32_t max_uploads);
void upload_fini(void);
/*
 * Sums of plain: at most BLOCK_BYTES; of the lengths of a block's parts: its plain.
 * op->res 0 when the object is durable in the store, else as PUT has it (objstore.h);
 * it may be run again, and replaces what it left.  Where frames are encoded it takes buffers (BUF_DRAIN) of as many bytes
 * until the object is there, and waits in line for them holding none.
 */
enum op_state upload_run(struct upload *u, struct op *op);

/* ---- the memory cache: frames of 64 KiB, and a file's last or only one in a buffer of its size; SIEVE evicts ---- */

int  cache_init(uint32_t max_frames);  /* per core; installs buf_set_reclaim */
void cache_fini(void);
/*
 * Frame `frame` of the slice (64 KiB each from its start; block = frame / 64): a
 * reference, or NULL.  Counts a hit; a miss is counted by cache_fetch.
 */
struct buf *cache_find(uint64_t slice, uint32_t frame);
/* This core has peeked at a frame of another's (buf_peek): a hit, too. */
void cache_peeked(void);
/* Is it there?  Counts nothing, and is no reason to keep it. */
bool cache_has(uint64_t slice, uint32_t frame);
/* `len` valid bytes from the start of b.  Keeps a reference when it takes it: not when every frame is held by others. */
void cache_insert(uint64_t slice, uint32_t frame, struct buf *b, uint32_t len);
void cache_forget(uint64_t slice, uint32_t first_frame, uint32_t nframes);
/* The hook that cache_init installs, for who puts another one before it: evicts, returns the bytes given back. */
uint64_t cache_reclaim(uint64_t want_bytes);

/*
 * Fetches frames [first, first + n) of one block that are not in memory: from the disk
 * cache, else from the object store, whence they enter both.  Checks CRC32C, decodes.  Single flight per frame.  out[i] receives a reference each;
 * what lies in the buffer beyond the frame's plain length is undefined.
 * op->res: 0, -EIO (missing object), -E_DAMAGED (checksum, length), -E_FORMAT (codec),
 * each logged, or -E_JUKEBOX; on an error out[] holds nothing.  A frame that is whole
 * is cached and given to who waits for it, whatever its neighbours are.  Waits in line while
 * memory is short, and holds none meanwhile: n * 64 KiB and an eighth of a core's arena
 * must fit into it.
 */
#define FETCH_FRAMES_MAX 64
struct cache_fetch {
	struct objstore *store;
	const char *prefix;
	uint64_t slice;
	uint64_t ino;               /* whose frames: its owner finds them in the disk cache again; 0: not known */
	uint32_t first, n;          /* within one block */
	struct block_rec rec;       /* of that block */
	uint32_t index;             /* the block's number in the slice */
	/*
	 * The caller holds buffers already, of another fetch, say.  Many such who stood
	 * in line for more could have all the memory between them, so it never waits for
	 * memory: -E_JUKEBOX.
	 */
	bool nowait;
	struct buf *out[FETCH_FRAMES_MAX];
	/* private */
	void *priv;
	struct cache_fetch *next;
	struct op *wait;
};
enum op_state cache_fetch(struct cache_fetch *f, struct op *op);

/* Frames found and missed, inserted and evicted; frames held now, and their buffers' bytes; GETs, their bytes, what failed or was damaged. */
struct cache_stats { uint64_t hits, misses, inserts, evicted, frames, bytes, fetches, fetched_bytes, errors; };
const struct cache_stats *cache_stats(int core);

#endif
