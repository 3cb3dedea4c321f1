/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/txn.h"

#include <stdlib.h>

#include "meta/garbage.h"
#include "meta/once.h"
#include "meta/usage.h"
#include "reactor/log.h"

/* A batch keeps its memory for the next user, unless it has grown beyond this. */
#define BATCH_KEEP_BYTES 16384u

static __thread struct {
	struct slab slab;
	struct txn_wait *first, **last;
	struct kv_batch **batch; /* a stack of unused ones */
	uint32_t nbatches;
} pool;

/* The mutex of txn_rename_lock; core 0's. */
static struct {
	bool held;
	struct op_wait *first, **last;
} renames;
#define RENAMES_CORE 0

int
txn_init(uint32_t count)
{
	pool.first = NULL;
	pool.last = &pool.first;
	if (reactor_core() == RENAMES_CORE) {
		renames.held = false;
		renames.first = NULL;
		renames.last = &renames.first;
	}
	pool.nbatches = 0;
	pool.batch = calloc(count, sizeof(struct kv_batch *));
	return pool.batch ? slab_init(&pool.slab, "transactions", sizeof(struct meta_txn), count) : -ENOMEM;
}

void
txn_fini(void)
{
	assert(!pool.first);
	slab_fini(&pool.slab);
	while (pool.nbatches > 0)
		kv_batch_free(pool.batch[--pool.nbatches]);
	free(pool.batch);
	pool.batch = NULL;
}

/* ---- the line ---- */

static void
txn_clear(struct meta_txn *t)
{
	t->nlocks = t->nheld = 0;
	t->renaming = false;
	kv_batch_clear(t->batch);
}

static struct kv_batch *
batch_get(void)
{
	return pool.nbatches > 0 ? pool.batch[--pool.nbatches] : kv_batch_new();
}

static void
batch_put(struct kv_batch *b)
{
	if (kv_batch_bytes(b) > BATCH_KEEP_BYTES) {
		kv_batch_free(b);
		return;
	}
	kv_batch_clear(b);
	pool.batch[pool.nbatches++] = b;
}

static struct meta_txn *
txn_new(void)
{
	struct meta_txn *t = slab_get(&pool.slab);

	if (!t)
		return NULL;
	/* Not all of its bytes, of which there are thousands: who waited in line gets it as the one before left it, too. */
	t->batch = batch_get();
	txn_clear(t);
	return t;
}

enum op_state
txn_get(struct txn_wait *w, struct meta_txn **out, struct op *op)
{
	*out = pool.first ? NULL : txn_new();
	if (*out)
		return op_done(op, 0);
	*w = (struct txn_wait){ .out = out, .op = op };
	*pool.last = w;
	pool.last = &w->next;
	return OP_PENDING;
}

void
txn_put(struct meta_txn *t)
{
	struct txn_wait *w = pool.first;

	assert(t->nheld == 0 && !t->renaming);
	if (!w) {
		batch_put(t->batch);
		slab_put(&pool.slab, t);
		return;
	}
	txn_clear(t);
	pool.first = w->next;
	if (!pool.first)
		pool.last = &pool.first;
	*w->out = t;
	reactor_post(w->op, 0);
}

/* ---- locks ---- */

bool
txn_want(struct meta_txn *t, uint64_t ino, uint64_t gen)
{
	struct inode_lock *l;
	int at = t->nlocks;

	for (int n = 0; n < t->nlocks; n++)
		if (t->lock[t->order[n]].ino == ino)
			return true;
	if (t->nheld > 0 && t->lock[t->order[t->nheld - 1]].ino < ino)
		return false;
	assert(t->nlocks < TXN_LOCKS_MAX);
	for (; at > 0 && t->lock[t->order[at - 1]].ino < ino; at--)
		t->order[at] = t->order[at - 1];
	l = &t->lock[t->nlocks];
	l->ino = ino;
	l->gen = gen;
	l->changed = l->removed = l->forgotten = false;
	t->order[at] = (uint8_t)t->nlocks++;
	return true;
}

struct inode_lock *
txn_locked(struct meta_txn *t, uint64_t ino)
{
	for (int n = 0; n < t->nlocks; n++)
		if (t->lock[n].ino == ino)
			return &t->lock[n];
	assert(false && "an inode of this transaction");
	return NULL;
}

static void
rename_pass(void)
{
	struct op_wait *w = renames.first;

	renames.held = w != NULL;
	if (!w)
		return;
	renames.first = w->next;
	if (!renames.first)
		renames.last = &renames.first;
	shard_reply(&container_of(w, struct meta_txn, rename_link)->rename_call, 0);
}

static void
rename_lock_run(struct shard_call *c)
{
	struct meta_txn *t = container_of(c, struct meta_txn, rename_call);

	t->rename_link.next = NULL;
	*renames.last = &t->rename_link;
	renames.last = &t->rename_link.next;
	if (!renames.held)
		rename_pass();
}

static void
rename_unlock_run(struct shard_call *c)
{
	assert(renames.held);
	rename_pass();
	shard_reply(c, 0);
}

enum op_state
txn_rename_lock(struct meta_txn *t, struct op *op)
{
	assert(t->nheld == 0 && !t->renaming);
	t->renaming = true;
	return shard_call(RENAMES_CORE, &t->rename_call, rename_lock_run, op);
}

/* Starts giving back all that is held, as parts of the join; returns how many parts. */
static int
release_start(struct meta_txn *t)
{
	int n = 0;

	for (int i = t->nheld; i-- > 0; n++) {
		struct op *op = op_join_part(&t->join, &t->part[n]);

		op_join_add(&t->join, &t->part[n], inode_unlock(&t->lock[t->order[i]], op));
	}
	t->nheld = 0;
	if (t->renaming) {
		struct op *op = op_join_part(&t->join, &t->part[n]);

		t->renaming = false;
		op_join_add(&t->join, &t->part[n],
		            shard_call(RENAMES_CORE, &t->rename_call, rename_unlock_run, op));
		n++;
	}
	return n;
}

static void
txn_finish(struct meta_txn *t)
{
	t->wait->res = t->err;
	t->wait->resume(t->wait);
}

static void
unlock_resume(struct op *step)
{
	struct meta_txn *t = container_of(step, struct meta_txn, step);

	txn_clear(t);
	txn_finish(t);
}

static enum op_state
unlock_start(struct meta_txn *t, int err, struct op *op)
{
	for (int n = 0; n < t->nlocks; n++)
		t->lock[n].changed = t->lock[n].removed = false;
	t->err = err;
	t->wait = op;
	t->step.resume = unlock_resume;
	op_join_start(&t->join, &t->step);
	release_start(t);
	if (op_join_wait(&t->join) == OP_PENDING)
		return OP_PENDING;
	txn_clear(t);
	return op_done(op, err);
}

enum op_state
txn_unlock(struct meta_txn *t, struct op *op)
{
	return unlock_start(t, 0, op);
}

static enum op_state
lock_go(struct meta_txn *t)
{
	for (;;) {
		struct inode_lock *l = &t->lock[t->order[t->at]];

		if (t->stage == 1) { /* the answer to the lock of l is here */
			if (t->step.res < 0) {
				t->failed = l->ino;
				return unlock_start(t, t->step.res, t->wait);
			}
			t->nheld++;
			t->at++;
			t->stage = 0;
			continue;
		}
		if (t->at == t->nlocks)
			return op_done(t->wait, 0);
		t->stage = 1;
		if (inode_lock(l, l->ino, l->gen, &t->step) == OP_PENDING)
			return OP_PENDING;
	}
}

static void
lock_resume(struct op *step)
{
	struct meta_txn *t = container_of(step, struct meta_txn, step);

	if (lock_go(t) == OP_DONE)
		t->wait->resume(t->wait);
}

enum op_state
txn_lock(struct meta_txn *t, struct op *op)
{
	crash_point("txn.before_lock");
	t->wait = op;
	t->step.resume = lock_resume;
	t->stage = 0;
	t->at = t->nheld;
	return lock_go(t);
}

/* ---- commit ---- */

enum { COMMIT_LINK, COMMIT_WRITTEN, COMMIT_SYNCED, COMMIT_FORGOTTEN };

static void
put_attr(struct meta_txn *t, const struct inode_lock *l, const uint8_t *target, size_t len)
{
	uint8_t key[9], val[ATTR_BYTES_MAX + SYMLINK_BYTES_MAX];
	size_t n = attr_encode(val, &l->attr);

	if (len)
		memcpy(val + n, target, len);
	kv_batch_put(t->batch, key, key_inode(key, l->ino), val, n + len);
}

/* A symlink's record also holds its target, which a change of attributes must not lose. */
static int
put_link(struct meta_txn *t, const struct inode_lock *l, int res)
{
	struct attr old;
	size_t at;

	if (res < 0)
		return res;
	res = attr_decode(&old, t->link.out, t->link.len, &at);
	if (res == 0)
		put_attr(t, l, (uint8_t *)t->link.out + at, t->link.len - at);
	else
		log_error("metadata: the record of symlink %lu is damaged", l->ino);
	free(t->link.out);
	return res ? -EIO : 0;
}

/* Puts the records of changed inodes into the batch, from t->at on; t->err says how it went. */
static enum op_state
commit_records(struct meta_txn *t)
{
	for (; t->at < t->nheld && !t->err; t->at++) {
		struct inode_lock *l = &t->lock[t->order[t->at]];
		uint8_t key[9];

		if (!l->changed || l->removed)
			continue;
		if (l->attr.type != FT_LNK) {
			put_attr(t, l, NULL, 0);
			continue;
		}
		if (kv_get_any(&t->link, key, key_inode(key, l->ino), &t->step) == OP_PENDING)
			return OP_PENDING;
		t->err = put_link(t, l, t->step.res);
	}
	return OP_DONE;
}

/* What changed is in RocksDB, or nothing is. */
static enum op_state
commit_release(struct meta_txn *t)
{
	int n;

	for (int i = 0; t->err && i < t->nlocks; i++) {
		t->lock[i].attr = t->lock[i].was;
		t->lock[i].changed = t->lock[i].removed = false;
	}
	op_join_start(&t->join, &t->step);
	n = release_start(t);
	if (!t->err) {
		struct op *op = op_join_part(&t->join, &t->part[n]);

		op_join_add(&t->join, &t->part[n], kv_sync(&t->write, op));
	}
	return op_join_wait(&t->join);
}

static enum op_state
commit_forget(struct meta_txn *t)
{
	int n = 0;

	op_join_start(&t->join, &t->step);
	for (int i = 0; i < t->nlocks; i++) {
		struct op *op;

		if (!t->lock[i].removed || t->lock[i].forgotten)
			continue;
		op = op_join_part(&t->join, &t->part[n]);
		op_join_add(&t->join, &t->part[n], inode_forget(&t->lock[i], !t->err, op));
		n++;
	}
	return op_join_wait(&t->join);
}

static enum op_state
commit_go(struct meta_txn *t)
{
	switch (t->stage) {
	case COMMIT_LINK:
		if (commit_records(t) == OP_PENDING)
			return OP_PENDING;
		if (!t->err) {
			once_put(t->batch, t->once, 0, &t->child);
			crash_point("txn.batch_built");
			t->stage = COMMIT_WRITTEN;
			if (kv_write(&t->write, t->batch, &t->step) == OP_PENDING)
				return OP_PENDING;
			t->err = t->step.res;
		}
		fallthrough;
	case COMMIT_WRITTEN:
		crash_point("txn.applied");
		t->stage = COMMIT_SYNCED;
		if (commit_release(t) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case COMMIT_SYNCED:
		if (!t->err)
			t->err = t->step.res;
		crash_point("txn.durable");
		t->stage = COMMIT_FORGOTTEN;
		if (commit_forget(t) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case COMMIT_FORGOTTEN:
		crash_point("txn.before_reply");
		break;
	default:
		assert(false && "a stage");
	}
	return op_done(t->wait, t->err);
}

static void
commit_resume(struct op *step)
{
	struct meta_txn *t = container_of(step, struct meta_txn, step);

	if (t->stage == COMMIT_LINK) {
		t->err = put_link(t, &t->lock[t->order[t->at]], step->res);
		t->at++;
	} else if (t->stage == COMMIT_WRITTEN) {
		t->err = step->res;
	}
	if (commit_go(t) == OP_DONE)
		t->wait->resume(t->wait);
}

enum op_state
txn_commit(struct meta_txn *t, const struct once *once, const struct fref *child, struct op *op)
{
	assert(t->nheld == t->nlocks && t->nheld > 0);
	t->once = once;
	t->child = *child;
	t->wait = op;
	t->step.resume = commit_resume;
	t->stage = COMMIT_LINK;
	t->at = t->err = 0;
	return commit_go(t);
}

/* Never in a journal (jseq): then no chunk of it was ever written. */
static bool
had_data(const struct attr *a)
{
	return a->type == FT_REG && (a->jseq > 0 || a->used > 0);
}

void
txn_remove(struct meta_txn *t, struct inode_lock *l)
{
	uint8_t key[24], val[GARBAGE_BYTES];
	size_t klen = key_inode(key, l->ino);

	kv_batch_del(t->batch, key, klen);
	if (had_data(&l->attr)) {
		klen = key_garbage(key, reactor_wall_ns() / 1000000000u, GARBAGE_INODE, l->ino);
		kv_batch_put(t->batch, key, klen, val, garbage_encode(val, l->attr.share));
	}
	usage_add(t->batch, l->attr.share, -(int64_t)l->attr.used, -1);
	l->attr.nlink = 0;
	l->changed = l->removed = true;
}

void
txn_wcc(struct wcc *w, const struct inode_lock *l)
{
	*w = (struct wcc){
		.has_pre = true,
		.has_post = true,
		.pre_size = l->was.size,
		.pre_mtime_ns = l->was.mtime_ns,
		.pre_ctime_ns = l->was.ctime_ns,
		.post = l->attr,
	};
}
