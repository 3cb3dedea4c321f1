/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks in memory: what 'C' says of them, merged (chunk.h).  A bounded cache
 * per core; a chunk with references stays.  What changes a chunk in RocksDB
 * does so under the inode's lock and changes it here before it unlocks.
 */
#ifndef META_CHUNKMAP_H
#define META_CHUNKMAP_H

#include "meta/chunk.h"
#include "meta/file_core.h"

struct chunk {
	struct chunk *hash_next;
	struct chunk *file_prev, *file_next;
	struct chunk *lru_prev, *lru_next; /* while it has no references */
	struct file *file;                 /* NULL: dropped while somebody held it */
	uint64_t index;
	uint32_t refs;
	uint32_t nrecs;                    /* records of the value, dead ones included */
	struct pieces pieces;
};

int  chunkmap_init(uint32_t max_chunks, uint64_t max_piece_bytes); /* per core */
void chunkmap_fini(void);
/* `fn` is told of each chunk that has been loaded, or has new pieces.  NULL: nobody is. */
void chunkmap_watch(void (*fn)(const struct file *f, uint64_t index, uint32_t npieces));

/* In memory?  Gives no reference: valid until the next wait. */
struct chunk *chunkmap_find(const struct file *f, uint64_t index);

/*
 * A reference, loaded where it must be: op->res 0 and g->chunk, or -ESTALE (the
 * inode is gone), -E_JUKEBOX (no room), -E_DAMAGED (logged), -EIO.  `f` must have a user for as
 * long.  `locked`: the caller holds the inode's lock.
 */
struct chunk_get {
	struct kv_get_any kv;
	struct op_wait link;
	struct op step;
	struct op *wait;
	struct file *file;
	uint64_t index, gen;
	bool locked;
	enum { CHUNK_LOOK, CHUNK_READ } stage;
	struct chunk *chunk;
};
enum op_state chunkmap_get(struct chunk_get *g, struct file *f, uint64_t index, bool locked, struct op *op);
void chunkmap_put(struct chunk *c);

/* The chunk has new pieces (taken over) and so many records. */
void chunkmap_set(struct chunk *c, struct pieces *pieces, uint32_t nrecs);
/* The file ends at `size` now, and RocksDB knows. */
void chunkmap_cut(struct file *f, uint64_t size);
/* Forgets all of the file's. */
void chunkmap_drop(struct file *f);

#endif
