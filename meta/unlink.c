/* SPDX-License-Identifier: Apache-2.0 */
/* REMOVE and RMDIR. */
#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "reactor/log.h"

/* Each time somebody else has changed what the name is meanwhile. */
#define TRIES_MAX 64

enum { UNLINK_TXN, UNLINK_SEEN, UNLINK_LOCKED, UNLINK_FOUND, UNLINK_CHILD, UNLINK_AGAIN, UNLINK_COMMITTED, UNLINK_UNLOCKED };

static int
name_check(const struct meta_unlink *m)
{
	int err = dir_name_check(&m->name);

	if (m->rmdir && dir_name_is_dot(&m->name))
		return -EINVAL; /* RFC 1813 §3.3.13 */
	if (m->rmdir && dir_name_is_dotdot(&m->name))
		return -EEXIST;
	if (dir_name_is_dot(&m->name) || dir_name_is_dotdot(&m->name))
		return -EISDIR;
	if (trash_is_name(m->req.f.share, m->req.f.ino, &m->name))
		return -EROFS;
	return err == -EINVAL ? -EACCES : err;
}

static int
dir_check(const struct meta_unlink *m, const struct attr *dir)
{
	if (dir->share != m->req.f.share)
		return -ESTALE;
	if (dir->type != FT_DIR)
		return -ENOTDIR;
	return perm_allows(dir, &m->req.cred, MAY_EXEC) ? 0 : -EACCES;
}

static int
child_check(const struct meta_unlink *m, const struct attr *dir, const struct attr *child)
{
	int err;

	if (!perm_allows(dir, &m->req.cred, MAY_WRITE))
		return -EACCES;
	err = perm_sticky(dir, child, &m->req.cred);
	if (err)
		return err;
	if (!m->rmdir)
		return child->type == FT_DIR ? -EISDIR : 0;
	if (child->type != FT_DIR)
		return -ENOTDIR;
	return child->size > 0 ? -ENOTEMPTY : 0;
}

static void
unlink_apply(struct meta_unlink *m, struct inode_lock *dir, struct inode_lock *child)
{
	dir_del(m->txn->batch, dir, &m->name);
	dir_changed(&dir->attr, -1, m->rmdir ? -1 : 0);
	dir->changed = true;
	if (m->rmdir || child->attr.nlink <= 1) {
		trash_or_remove(m->txn, child, dir->ino, &m->name);
	} else {
		child->attr.nlink--;
		child->attr.ctime_ns = attr_change_ns(&child->attr);
		child->changed = true;
	}
}

static enum op_state
unlink_go(struct meta_unlink *m)
{
	struct op *step = &m->step;
	struct meta_txn *t = m->txn;
	struct inode_lock *dir;
	struct dirent_rec d;

	for (;;) switch (m->stage) {
	case UNLINK_TXN:
		m->stage = UNLINK_SEEN;
		step->res = -ENOENT;
		if (name_check(m) == 0 && dir_find(&t->kv, m->req.f.ino, &m->name, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UNLINK_SEEN:
		/* Not more than a guess, as nothing is locked: what the name is under the lock counts. */
		m->res = dir_found(step->res, t->val, &d);
		if (m->res && m->res != -ENOENT)
			goto out;
		if (m->res == 0)
			m->child = (struct fref){ .ino = d.ino, .gen = d.gen };
		fallthrough;
	case UNLINK_AGAIN:
		m->stage = UNLINK_LOCKED;
		txn_want(t, m->req.f.ino, m->req.f.gen);
		if (m->child.ino)
			txn_want(t, m->child.ino, m->child.gen);
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UNLINK_LOCKED:
		m->res = step->res;
		if (m->res == -ESTALE && t->failed != m->req.f.ino && m->tries++ < TRIES_MAX) {
			m->child.ino = 0;
			m->stage = UNLINK_AGAIN;
			continue;
		}
		if (m->res < 0)
			goto out;
		dir = txn_locked(t, m->req.f.ino);
		txn_wcc(&m->dir, dir);
		m->res = dir_check(m, &dir->attr);
		if (m->res == 0)
			m->res = name_check(m);
		if (m->res)
			goto unlock;
		m->stage = UNLINK_FOUND;
		if (dir_find(&t->kv, dir->ino, &m->name, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UNLINK_FOUND:
		m->res = dir_found(step->res, t->val, &d);
		if (m->res)
			goto unlock;
		m->child = (struct fref){ .ino = d.ino, .gen = d.gen };
		if (!txn_want(t, d.ino, d.gen)) {
			m->stage = UNLINK_AGAIN;
			m->res = -E_JUKEBOX;
			if (m->tries++ == TRIES_MAX)
				goto unlock;
			if (txn_unlock(t, step) == OP_PENDING)
				return OP_PENDING;
			continue;
		}
		m->stage = UNLINK_CHILD;
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UNLINK_CHILD:
		m->res = step->res;
		if (m->res == -ESTALE) {
			log_error("metadata: an entry of directory %lu names inode %lu, which does not exist",
			          m->req.f.ino, m->child.ino);
			m->res = -EIO;
		}
		if (m->res < 0)
			goto out;
		dir = txn_locked(t, m->req.f.ino);
		m->res = child_check(m, &dir->attr, &txn_locked(t, m->child.ino)->attr);
		if (m->res)
			goto unlock;
		unlink_apply(m, dir, txn_locked(t, m->child.ino));
		m->stage = UNLINK_COMMITTED;
		crash_point("unlink.commit");
		if (txn_commit(t, &m->req.once, &m->child, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UNLINK_COMMITTED:
		m->res = step->res;
		txn_wcc(&m->dir, txn_locked(t, m->req.f.ino));
		goto out;
	unlock:
		m->stage = UNLINK_UNLOCKED;
		if (txn_unlock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UNLINK_UNLOCKED:
	out:
		txn_put(t);
		return op_done(m->wait, m->res);
	default:
		assert(false && "a stage");
	}
}

static void
unlink_resume(struct op *step)
{
	struct meta_unlink *m = container_of(step, struct meta_unlink, step);

	if (unlink_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_unlink(struct meta_unlink *m, struct op *op)
{
	assert(shard_owns(m->req.f.ino));
	if (trash_is(m->req.f.ino))
		return trash_unlink(m, op);
	m->wait = op;
	m->step.resume = unlink_resume;
	m->stage = UNLINK_TXN;
	m->child.ino = 0;
	m->tries = 0;
	m->dir = (struct wcc){ 0 };
	if (txn_get(&m->line, &m->txn, &m->step) == OP_PENDING)
		return OP_PENDING;
	return unlink_go(m);
}
