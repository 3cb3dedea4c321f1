/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes in memory.  Every inode lives on its owner's core only (shard_owner):
 * a bounded table of slab objects, clean unreferenced ones are evicted in LRU
 * order (their attributes stay for a while: attrcache.h), those with dirty data stay.
 * The attributes here are the truth; RocksDB's may lag behind by journal records (record.h: jseq).
 */
#ifndef META_INODE_H
#define META_INODE_H

#include "meta/kv.h"
#include "meta/namecache.h"
#include "meta/record.h"
#include "reactor/buf.h"

struct file;       /* file.h: dirty extents, chunk maps */
struct file_trunc;

struct inode {
	uint64_t ino;
	struct inode *hash_next;
	struct inode *lru_prev, *lru_next; /* while unreferenced */
	struct attr attr;
	uint32_t refs;
	bool loaded, gone;          /* gone: removed while somebody held it */
	bool locked;
	bool handing;               /* the lock goes to the next in line within this lap */
	bool shown;                 /* attrcache.h has its attributes, for all cores to see */
	bool dirty_times;           /* atime (relatime) newer than RocksDB's, written with the next batch */
	struct op_wait *loaders, *lock_first, **lock_last; /* FIFO */
	struct op_wait *unlock_waiters, **unlock_last;     /* FIFO */
	struct op hand;
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
/* The same, blocking: before the core's first lap (the journal's replay). */
int  inode_load(struct inode_get *g, uint64_t ino);
void inode_keep(struct inode *i);
/* The last put of one that is gone forgets its data (file_forget). */
void inode_put(struct inode *i);
/* In memory already?  No reference, valid until the next wait. */
struct inode *inode_find(uint64_t ino);
/*
 * Whoever asked for its attributes from another core will find them in attrcache.h
 * the next time, until they change: who changes i->attr says inode_hide before he does.  On the owner.
 */
void inode_show(struct inode *i);
void inode_hide(struct inode *i);
/* In memory, or on its way there, or gone and not yet forgotten? */
bool inode_known(uint64_t ino);
/* Somebody has the lock, or it is gone: its names may be others in RocksDB already than namecache.h has. */
bool inode_changes(uint64_t ino);

/*
 * Exclusive, in line (FIFO), from any core to any inode: the grant carries a
 * copy of the attributes.  Lock several in descending ino order (txn.h).
 * Granted only when all journal records of the inode are durable, and WRITEs
 * wait while it is held: so a batch never counts data that could be lost.
 */
struct inode_lock {
	struct shard_call call;
	struct inode_get get;
	struct op_wait link;
	struct op step;
	uint64_t ino, gen;
	struct attr attr;      /* as granted; change it, set `changed`, then inode_unlock */
	struct attr was;       /* as granted */
	struct inode *inode;   /* dereference on the owner's core only */
	struct file_trunc *trunc; /* prepared: file_truncated runs when the change is installed */
	struct name_change name[2]; /* a directory's: RENAME's two at most (dir_put, dir_del) */
	uint32_t nnames;
	bool held, changed, removed;
	bool forgotten;        /* a removed one that had no data: no inode_forget */
	int stage;
};
enum op_state inode_lock(struct inode_lock *l, uint64_t ino, uint64_t gen, struct op *op);
/*
 * Gives the lock back; l is free again when `op` resumes.
 * l->changed: l->attr becomes the inode's attributes, l->name[] what its names are.  l->removed: the inode
 * is gone, later lookups are -ESTALE; the reference stays until inode_forget, unless l->forgotten.
 */
enum op_state inode_unlock(struct inode_lock *l, struct op *op);
/*
 * After the unlock of a removed one, when its removal is durable: drops its dirty data.
 * (Earlier, a crash could bring the file back without the data that was acknowledged.)
 * When the removal's sync has failed (!durable) the data stays in the journal for the next start.
 */
enum op_state inode_forget(struct inode_lock *l, bool durable, struct op *op);

/*
 * On the owner, with a reference: waits while somebody else holds the lock (WRITE, flush).
 * When `op` resumes it is not locked; what must happen before the next lock happens without another wait.
 */
enum op_state inode_wait_unlocked(struct inode *i, struct op_wait *w, struct op *op);

/* A copy of the attributes of any core's inode, without a message where they are shown.  op->res as inode_get. */
struct inode_peek {
	struct shard_call call;
	struct inode_get get;
	struct op step;
	uint64_t ino, gen;
	struct attr attr;
};
enum op_state inode_peek(struct inode_peek *p, uint64_t ino, uint64_t gen, struct op *op);

#endif
