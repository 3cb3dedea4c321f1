/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "meta/txn.h"

enum { SETATTR_TXN, SETATTR_LOCKED, SETATTR_SIZED, SETATTR_COMMITTED, SETATTR_UNLOCKED };

static bool
sets_anything(const struct sattr *s)
{
	return s->set_mode || s->set_uid || s->set_gid || s->set_size || s->set_atime || s->set_mtime;
}

static int
setattr_check(const struct meta_setattr *m, const struct attr *a)
{
	if (a->share != m->req.f.share)
		return -ESTALE;
	if (trash_holds(a))
		return -EROFS;
	if (m->has_guard && m->guard_ctime_ns != a->ctime_ns)
		return -E_NOTSYNC;
	if (m->sattr.set_size && m->sattr.size > FILE_SIZE_MAX)
		return -EFBIG;
	return perm_setattr(a, &m->req.cred, &m->sattr);
}

/* All but the size, which file_trunc_prepare has set. */
static void
setattr_apply(const struct meta_setattr *m, struct attr *a, const struct attr *was)
{
	const struct sattr *s = &m->sattr;
	uint64_t now = attr_change_ns(was);

	a->mode = perm_mode_set(was, &m->req.cred, s);
	if (s->set_uid)
		a->uid = s->uid;
	if (s->set_gid)
		a->gid = s->gid;
	if (s->set_size || s->set_mtime == TIME_SERVER)
		a->mtime_ns = now;
	if (s->set_mtime == TIME_CLIENT)
		a->mtime_ns = s->mtime_ns;
	if (s->set_atime)
		a->atime_ns = s->set_atime == TIME_CLIENT ? s->atime_ns : now;
	a->ctime_ns = now;
	a->verf = 0; /* an exclusive create is over */
}

static enum op_state
setattr_size(struct meta_setattr *m, struct inode_lock *l)
{
	struct file_trunc *t = &m->txn->trunc;

	*t = (struct file_trunc){
		.inode = l->inode, .attr = &l->attr, .size = m->sattr.size, .batch = m->txn->batch
	};
	l->trunc = t;
	return file_trunc_prepare(t, &m->step);
}

static enum op_state
setattr_go(struct meta_setattr *m)
{
	struct op *step = &m->step;
	struct inode_lock *l;

	switch (m->stage) {
	case SETATTR_TXN:
		m->stage = SETATTR_LOCKED;
		txn_want(m->txn, m->req.f.ino, m->req.f.gen);
		if (txn_lock(m->txn, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case SETATTR_LOCKED:
		m->res = step->res;
		if (m->res < 0)
			break;
		l = txn_locked(m->txn, m->req.f.ino);
		txn_wcc(&m->wcc, l);
		m->res = setattr_check(m, &l->attr);
		if (m->res || !sets_anything(&m->sattr))
			goto unlock;
		m->stage = SETATTR_SIZED;
		step->res = 0;
		if (m->sattr.set_size && setattr_size(m, l) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case SETATTR_SIZED:
		l = txn_locked(m->txn, m->req.f.ino);
		m->res = step->res;
		if (m->res < 0)
			goto unlock;
		setattr_apply(m, &l->attr, &l->was);
		l->changed = true;
		m->stage = SETATTR_COMMITTED;
		crash_point("setattr.commit");
		if (txn_commit(m->txn, &m->req.once, &m->req.f, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case SETATTR_COMMITTED:
		m->res = step->res;
		txn_wcc(&m->wcc, txn_locked(m->txn, m->req.f.ino));
		break;
	unlock:
		m->stage = SETATTR_UNLOCKED;
		if (txn_unlock(m->txn, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case SETATTR_UNLOCKED:
		break;
	default:
		assert(false && "a stage");
	}
	txn_put(m->txn);
	return op_done(m->wait, m->res);
}

static void
setattr_resume(struct op *step)
{
	struct meta_setattr *m = container_of(step, struct meta_setattr, step);

	if (setattr_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_setattr(struct meta_setattr *m, struct op *op)
{
	assert(shard_owns(m->req.f.ino));
	m->wait = op;
	m->step.resume = setattr_resume;
	m->stage = SETATTR_TXN;
	m->wcc = (struct wcc){ 0 };
	if (trash_is(m->req.f.ino))
		return op_done(op, -EROFS);
	if (txn_get(&m->line, &m->txn, &m->step) == OP_PENDING)
		return OP_PENDING;
	return setattr_go(m);
}
