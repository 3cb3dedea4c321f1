/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes in memory.  Every inode lives on its owner's core only (shard_owner):
 * a bounded table of slab objects, clean unreferenced ones are evicted in LRU
 * order, those with dirty data stay.  The attributes here are the truth; RocksDB's
 * may lag behind by journal records (record.h: jseq).
 */
#ifndef META_INODE_H
#define META_INODE_H

#include "meta/kv.h"
#include "meta/record.h"
#include "reactor/buf.h"

struct file; /* file.h: dirty extents, chunk maps */

struct inode {
	uint64_t ino;
	struct inode *hash_next;
	struct inode *lru_prev, *lru_next; /* while unreferenced */
	struct attr attr;
	uint32_t refs;
	bool loaded, gone;          /* gone: removed while somebody held it */
	bool locked;
	bool dirty_times;           /* atime (relatime) newer than RocksDB's, written with the next batch */
	struct op_wait *loaders, *lock_first, **lock_last; /* FIFO */
	struct op_wait *unlock_waiters;
	struct file *file;          /* NULL until data is touched */
};
struct op_wait { struct op_wait *next; struct op *op; };

int  inode_init(uint32_t max_inodes);   /* per core */
void inode_fini(void);

/* A reference on this core's inode; loads it.  op->res: 0, -ESTALE (no such inode), -EIO, -E_JUKEBOX (table full).
 * With gen != 0 a different generation is -ESTALE too. */
struct inode_get {
	struct op_wait link;
	struct inode *inode;
	uint64_t gen;
	struct kv_get kv;
	uint8_t val[ATTR_BYTES_MAX];
	struct op step;
	struct op *wait;
};
enum op_state inode_get(struct inode_get *g, uint64_t ino, uint64_t gen, struct op *op);
void inode_keep(struct inode *i);
void inode_put(struct inode *i);
/* In memory already?  No reference, valid until the next wait. */
struct inode *inode_find(uint64_t ino);

/*
 * Exclusive, in line (FIFO), from any core to any inode: the grant carries a
 * copy of the attributes.  Lock several in ascending ino order (inode_lock_many).
 * Granted only when all journal records of the inode are durable, and WRITEs
 * wait while it is held: so a batch never counts data that could be lost.
 */
struct inode_lock {
	struct shard_call call;
	struct inode_get get;
	struct op_wait link;
	struct op step;
	uint64_t ino, gen;
	struct attr attr;      /* as granted; change it, then inode_unlock(..., true) */
	struct inode *inode;   /* dereference on the owner's core only */
	bool held, changed, removed;
};
enum op_state inode_lock(struct inode_lock *l, uint64_t ino, uint64_t gen, struct op *op);
/*
 * Gives the lock back; one way, l is free again when `op` resumes.
 * l->changed: l->attr becomes the inode's attributes.  l->removed: the inode
 * is gone: its dirty data is dropped, later lookups are -ESTALE.
 */
enum op_state inode_unlock(struct inode_lock *l, struct op *op);

/* On the owner: waits while somebody else holds the lock (WRITE, flush). */
enum op_state inode_wait_unlocked(struct inode *i, struct op_wait *w, struct op *op);

/* Attributes of many inodes at once (READDIRPLUS), from memory where there, else RocksDB; one message a core. */
#define ATTRS_MAX 64
struct attrs_get; /* inode.c's author defines it here */

#endif
