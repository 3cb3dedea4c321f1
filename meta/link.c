/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "meta/txn.h"

enum { LINK_TXN, LINK_LOCKED, LINK_FOUND, LINK_COMMITTED, LINK_UNLOCKED };

static int
link_check(const struct meta_link *m, const struct attr *file, const struct attr *dir)
{
	int err = dir_name_check(&m->name);

	if (file->share != m->req.f.share || dir->share != m->dir.share)
		return -ESTALE;
	if (file->share != dir->share)
		return -EXDEV;
	if (trash_holds(file))
		return -EROFS;
	if (trash_holds(dir))
		return -ESTALE;
	if (dir->type != FT_DIR)
		return -ENOTDIR;
	if (!perm_allows(dir, &m->req.cred, MAY_EXEC))
		return -EACCES;
	if (err)
		return err;
	if (dir_name_is_dot(&m->name) || dir_name_is_dotdot(&m->name))
		return -EEXIST;
	return trash_is_name(m->dir.share, m->dir.ino, &m->name) ? -EEXIST : 0;
}

/* The name is free. */
static int
may_link(const struct meta_link *m, const struct attr *file, const struct attr *dir)
{
	if (!perm_allows(dir, &m->req.cred, MAY_WRITE))
		return -EACCES;
	if (file->type == FT_DIR)
		return -EPERM;
	return file->nlink >= LINK_MAX_DITTO ? -EMLINK : 0;
}

static void
link_apply(struct meta_link *m, struct inode_lock *file, struct inode_lock *dir)
{
	struct dirent_rec d = { .ino = file->ino, .gen = file->attr.gen, .type = file->attr.type };

	dir_put(m->txn->batch, dir, &m->name, &d);
	dir_changed(&dir->attr, 1, 0);
	file->attr.nlink++;
	file->attr.ctime_ns = attr_change_ns(&file->attr);
	dir->changed = file->changed = true;
}

static void
link_attrs(struct meta_link *m)
{
	m->has_attr = true;
	m->attr = txn_locked(m->txn, m->req.f.ino)->attr;
	txn_wcc(&m->dir_wcc, txn_locked(m->txn, m->dir.ino));
}

static enum op_state
link_go(struct meta_link *m)
{
	struct op *step = &m->step;
	struct meta_txn *t = m->txn;
	struct inode_lock *file, *dir;
	struct dirent_rec d;

	switch (m->stage) {
	case LINK_TXN:
		m->stage = LINK_LOCKED;
		txn_want(t, m->req.f.ino, m->req.f.gen);
		txn_want(t, m->dir.ino, m->dir.gen);
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case LINK_LOCKED:
		m->res = step->res;
		if (m->res < 0)
			break;
		link_attrs(m);
		m->res = link_check(m, &m->attr, &m->dir_wcc.post);
		if (m->res)
			goto unlock;
		m->stage = LINK_FOUND;
		if (dir_find(&t->kv, m->dir.ino, &m->name, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case LINK_FOUND:
		m->res = dir_found(step->res, t->val, &d);
		if (m->res == 0)
			m->res = -EEXIST;
		else if (m->res == -ENOENT)
			m->res = may_link(m, &m->attr, &m->dir_wcc.post);
		if (m->res)
			goto unlock;
		file = txn_locked(t, m->req.f.ino);
		dir = txn_locked(t, m->dir.ino);
		link_apply(m, file, dir);
		m->stage = LINK_COMMITTED;
		crash_point("link.commit");
		if (txn_commit(t, &m->req.once, &m->req.f, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case LINK_COMMITTED:
		m->res = step->res;
		link_attrs(m);
		break;
	unlock:
		m->stage = LINK_UNLOCKED;
		if (txn_unlock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case LINK_UNLOCKED:
		break;
	default:
		assert(false && "a stage");
	}
	txn_put(t);
	return op_done(m->wait, m->res);
}

static void
link_resume(struct op *step)
{
	struct meta_link *m = container_of(step, struct meta_link, step);

	if (link_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_link(struct meta_link *m, struct op *op)
{
	assert(shard_owns(m->req.f.ino));
	m->wait = op;
	m->step.resume = link_resume;
	m->stage = LINK_TXN;
	m->has_attr = false;
	m->dir_wcc = (struct wcc){ 0 };
	if (trash_is(m->req.f.ino) || trash_is(m->dir.ino))
		return op_done(op, -EROFS);
	if (txn_get(&m->line, &m->txn, &m->step) == OP_PENDING)
		return OP_PENDING;
	return link_go(m);
}
