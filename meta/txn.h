/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A change of the namespace: the inodes that it locks, the batch that it writes,
 * and the one way to commit.  A slab of them a core; who finds it empty waits in line.
 *
 *   txn_get, txn_want..., txn_lock      all locks in descending ino order
 *   check, fill txn->batch, change lock->attr
 *   txn_commit                          batch → RocksDB → unlock with the new attributes, and
 *                                       at the same time sync → done
 *   txn_put
 *
 * The locks are held over check and apply, not over the sync.  Belongs to the
 * core that got it.
 *
 * Descending, because what is in a directory is nearly always younger than it: who has looked
 * the name up before he locks waits for the child, on another core perhaps, while others change the directory.
 */
#ifndef META_TXN_H
#define META_TXN_H

#include "meta/file.h"
#include "meta/ino.h"

#define TXN_LOCKS_MAX 6 /* RENAME: four, and two that the names were before */

struct meta_txn {
	struct inode_lock lock[TXN_LOCKS_MAX];
	uint8_t order[TXN_LOCKS_MAX]; /* of lock[], descending by ino */
	int nlocks, nheld;            /* the first nheld of them in order are held */
	uint64_t failed;              /* ino whose lock txn_lock did not get */
	struct kv_batch *batch;
	struct kv_write write;
	bool renaming;                /* holds the rename mutex (txn_rename_lock) */

	/* for the operation's own use */
	struct kv_get kv;
	uint8_t val[ATTR_BYTES_MAX];
	struct file_trunc trunc;
	struct ino_wait ino_wait;
	uint64_t ino;

	/* private to txn.c */
	struct kv_get_any link;
	const struct once *once;
	struct fref child;
	struct op_join join;
	struct op_part part[TXN_LOCKS_MAX + 2];
	struct shard_call rename_call;
	struct op_wait rename_link;
	int stage, at, err;
	struct op step;
	struct op *wait;
};

/* Per core. */
int  txn_init(uint32_t count);
void txn_fini(void);

/* *out is the caller's when the op is done: no locks, an empty batch. */
enum op_state txn_get(struct txn_wait *w, struct meta_txn **out, struct op *op);
void txn_put(struct meta_txn *t);

/*
 * Adds an inode to those to lock (once, whoever asks twice).  False when its turn was
 * before one that is already held: then txn_unlock and begin again with both.
 */
bool txn_want(struct meta_txn *t, uint64_t ino, uint64_t gen);
/* Locks what is wanted and not held.  On an error (t->failed says whose) nothing is held and wanted any more. */
enum op_state txn_lock(struct meta_txn *t, struct op *op);
/* The lock of an inode that is held. */
struct inode_lock *txn_locked(struct meta_txn *t, uint64_t ino);
/* Gives all back unchanged, and the rename mutex; nothing is wanted any more. */
enum op_state txn_unlock(struct meta_txn *t, struct op *op);

/*
 * Commits: the batch, plus the new attributes of each changed lock, plus the reply's
 * record if `once` is used.  Attributes in lock[] stay readable until txn_put.
 * op->res: 0 when durable, -EIO: nothing is promised.
 */
enum op_state txn_commit(struct meta_txn *t, const struct once *once, const struct fref *child, struct op *op);

/* One rename of a directory into another at a time, on the whole server: so that two cannot make a loop. */
enum op_state txn_rename_lock(struct meta_txn *t, struct op *op);

/* In the batch: the last link of `l` is gone.  The data of a regular file, if it ever had any, goes to the background deleter. */
void txn_remove(struct meta_txn *t, struct inode_lock *l);

/* pre and post of a held, or committed, lock. */
void txn_wcc(struct wcc *w, const struct inode_lock *l);

#endif
