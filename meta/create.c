/* SPDX-License-Identifier: Apache-2.0 */
/* CREATE, MKDIR, SYMLINK and MKNOD. */
#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "meta/txn.h"
#include "meta/usage.h"

/* Each time the file that was in the way has gone meanwhile. */
#define TRIES_MAX 64

enum {
	CREATE_TXN, CREATE_LOCKED, CREATE_FOUND, CREATE_INO, CREATE_COMMITTED, CREATE_UNLOCKED,
	CREATE_TRUNCATED, CREATE_PEEKED,
};

static int
args_check(const struct meta_create *m)
{
	int err = dir_name_check(&m->name);

	if (err)
		return err;
	if (dir_name_is_dot(&m->name) || dir_name_is_dotdot(&m->name) || trash_is_name(m->req.f.share, m->req.f.ino, &m->name))
		return -EEXIST;
	if (m->type == FT_NONE || m->type > FT_FIFO)
		return -E_BADTYPE;
	if (m->type == FT_LNK && m->target_len > SYMLINK_BYTES_MAX)
		return -ENAMETOOLONG;
	if (m->type == FT_LNK && (m->target_len == 0 || memchr(m->target, 0, m->target_len)))
		return -EINVAL;
	if (m->type == FT_REG && m->sattr.set_size && m->sattr.size > FILE_SIZE_MAX)
		return -EFBIG;
	return 0;
}

static int
dir_check(const struct meta_create *m, const struct attr *dir)
{
	if (dir->share != m->req.f.share || trash_holds(dir))
		return -ESTALE;
	if (dir->type != FT_DIR)
		return -ENOTDIR;
	return perm_allows(dir, &m->req.cred, MAY_EXEC) ? args_check(m) : -EACCES;
}

static int
may_create(const struct meta_create *m, const struct attr *dir)
{
	if (!perm_allows(dir, &m->req.cred, MAY_WRITE))
		return -EACCES;
	if ((m->type == FT_BLK || m->type == FT_CHR) && m->req.cred.uid != 0)
		return -EPERM;
	return m->type == FT_DIR && dir->nlink >= LINK_MAX_DITTO ? -EMLINK : 0;
}

/* An exclusive create's verifier as it is kept; 0 means that there is none. */
static uint64_t
kept_verf(uint64_t verf)
{
	return verf ? verf : ~(uint64_t)0;
}

static void
new_attr(struct meta_create *m, const struct attr *dir)
{
	const struct sattr *s = &m->sattr;
	uint64_t now = reactor_wall_ns(), ino = m->txn->ino;
	bool device = m->type == FT_BLK || m->type == FT_CHR;

	m->attr = (struct attr){
		.ino = ino,
		.gen = mix64(now ^ ino << 40) | 1,
		.type = m->type,
		.nlink = m->type == FT_DIR ? 2 : 1,
		.rdev_major = device ? m->rdev_major : 0,
		.rdev_minor = device ? m->rdev_minor : 0,
		.share = dir->share,
		.atime_ns = s->set_atime == TIME_CLIENT ? s->atime_ns : now,
		.mtime_ns = s->set_mtime == TIME_CLIENT ? s->mtime_ns : now,
		.ctime_ns = now,
		.parent = dir->ino,
	};
	perm_new(&m->attr, dir, &m->req.cred, s);
	if (m->type == FT_LNK)
		m->attr.size = m->target_len;
	else if (m->type == FT_REG && s->set_size)
		m->attr.size = s->size;
	if (m->type == FT_REG && m->how == CREATE_EXCLUSIVE)
		m->attr.verf = kept_verf(m->verf);
	m->child = (struct fref){ .ino = ino, .gen = m->attr.gen, .share = dir->share };
}

static void
create_apply(struct meta_create *m, struct inode_lock *dir)
{
	struct dirent_rec d = { .ino = m->child.ino, .gen = m->child.gen, .type = m->type };
	uint8_t key[9], val[ATTR_BYTES_MAX + SYMLINK_BYTES_MAX];
	size_t len = attr_encode(val, &m->attr);

	if (m->type == FT_LNK) {
		memcpy(val + len, m->target, m->target_len);
		len += m->target_len;
	}
	kv_batch_put(m->txn->batch, key, key_inode(key, m->child.ino), val, len);
	dir_put(m->txn->batch, dir, &m->name, &d);
	usage_add(m->txn->batch, m->attr.share, 0, 1);
	dir_changed(&dir->attr, 1, m->type == FT_DIR);
	dir->changed = true;
}

/* ---- what is there already ---- */

/* 0: the call goes on with the file that is there. */
static int
may_reuse(struct meta_create *m, const struct dirent_rec *d)
{
	if (m->type != FT_REG || d->type != FT_REG || m->how == CREATE_GUARDED)
		return -EEXIST;
	m->child = (struct fref){ .ino = d->ino, .gen = d->gen, .share = m->req.f.share };
	return 0;
}

static void
trunc_resume(struct op *step)
{
	struct meta_create *m = container_of(step, struct meta_create, trunc_step);

	shard_reply(&m->call, step->res);
}

static void
trunc_run(struct shard_call *c)
{
	struct meta_create *m = container_of(c, struct meta_create, call);

	m->trunc_step.resume = trunc_resume;
	if (meta_setattr(&m->trunc, &m->trunc_step) == OP_DONE)
		shard_reply(c, m->trunc_step.res);
}

/* CREATE with a size of a file that is there sets its size, and nothing else, as open(O_TRUNC) does. */
static enum op_state
truncate_there(struct meta_create *m)
{
	m->trunc = (struct meta_setattr){
		.req = { .cred = m->req.cred, .f = m->child, .once = m->req.once },
		.sattr = { .set_size = true, .size = m->sattr.size },
	};
	return shard_call(shard_owner(m->child.ino), &m->call, trunc_run, &m->step);
}

static int
reused(struct meta_create *m, int res)
{
	if (res < 0)
		return res;
	m->attr = m->peek.attr;
	if (m->how == CREATE_EXCLUSIVE && m->attr.verf != kept_verf(m->verf))
		return -EEXIST;
	return 0;
}

static enum op_state
create_go(struct meta_create *m)
{
	struct op *step = &m->step;
	struct meta_txn *t = m->txn;
	struct inode_lock *dir;
	struct dirent_rec d;

	switch (m->stage) {
	case CREATE_TXN:
		m->stage = CREATE_LOCKED;
		txn_want(t, m->req.f.ino, m->req.f.gen);
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case CREATE_LOCKED:
		m->res = step->res;
		if (m->res < 0)
			goto out;
		dir = txn_locked(t, m->req.f.ino);
		txn_wcc(&m->dir, dir);
		m->res = dir_check(m, &dir->attr);
		if (m->res)
			goto unlock;
		m->stage = CREATE_FOUND;
		if (dir_find(&t->kv, dir->ino, &m->name, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case CREATE_FOUND:
		m->res = dir_found(step->res, t->val, &d);
		if (m->res == 0)
			m->res = may_reuse(m, &d);
		else if (m->res == -ENOENT)
			m->res = may_create(m, &txn_locked(t, m->req.f.ino)->attr);
		if (m->res || m->child.ino)
			goto unlock;
		m->stage = CREATE_INO;
		if (ino_get(&t->ino_wait, &t->ino, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case CREATE_INO:
		m->res = step->res;
		if (m->res < 0)
			goto unlock;
		dir = txn_locked(t, m->req.f.ino);
		new_attr(m, &dir->attr);
		create_apply(m, dir);
		m->stage = CREATE_COMMITTED;
		crash_point("create.commit");
		if (txn_commit(t, &m->req.once, &m->child, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case CREATE_COMMITTED:
		m->res = step->res;
		txn_wcc(&m->dir, txn_locked(t, m->req.f.ino));
		goto out;
	unlock:
		m->stage = CREATE_UNLOCKED;
		if (txn_unlock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case CREATE_UNLOCKED:
	out:
		txn_put(t);
		m->txn = NULL;
		if (m->res || m->stage != CREATE_UNLOCKED)
			break;
		/* No lock and no transaction is held, as the file's owner needs its own. */
		m->stage = CREATE_TRUNCATED;
		step->res = 0;
		if (m->how == CREATE_UNCHECKED && m->sattr.set_size && truncate_there(m) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case CREATE_TRUNCATED:
		m->res = step->res;
		if (m->res < 0)
			break;
		m->stage = CREATE_PEEKED;
		if (inode_peek(&m->peek, m->child.ino, m->child.gen, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case CREATE_PEEKED:
		m->res = reused(m, step->res);
		break;
	default:
		assert(false && "a stage");
	}
	return op_done(m->wait, m->res);
}

static enum op_state create_start(struct meta_create *m);

/* Again when what was found has been removed before it was reached. */
static enum op_state
create_again(struct meta_create *m, enum op_state s)
{
	while (s == OP_DONE && m->res == -ESTALE && m->stage >= CREATE_TRUNCATED) {
		if (m->tries++ == TRIES_MAX)
			return op_done(m->wait, -E_JUKEBOX);
		s = create_start(m);
	}
	return s;
}

static void
create_resume(struct op *step)
{
	struct meta_create *m = container_of(step, struct meta_create, step);

	if (create_again(m, create_go(m)) == OP_DONE)
		m->wait->resume(m->wait);
}

static enum op_state
create_start(struct meta_create *m)
{
	m->step.resume = create_resume;
	m->stage = CREATE_TXN;
	m->child = (struct fref){ 0 };
	m->dir = (struct wcc){ 0 };
	if (txn_get(&m->line, &m->txn, &m->step) == OP_PENDING)
		return OP_PENDING;
	return create_go(m);
}

enum op_state
meta_create(struct meta_create *m, struct op *op)
{
	assert(shard_owns(m->req.f.ino));
	m->wait = op;
	m->tries = 0;
	if (trash_is(m->req.f.ino))
		return op_done(op, -EROFS);
	return create_again(m, create_start(m));
}
