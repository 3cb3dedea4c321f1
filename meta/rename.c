/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RENAME locks up to four inodes: both directories, what moves, and what it
 * replaces.  A directory that goes to another parent must not come below
 * itself: such renames happen one at a time on the whole server
 * (txn_rename_lock), so the parents that the walk upwards reads stay as they are.
 */
#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "reactor/log.h"

/* Each time somebody else has changed what a name is meanwhile. */
#define TRIES_MAX 64
/* A deep walk lets others run after so many steps. */
#define WALK_STEPS 64
#define WALK_MAX   10000000u

enum {
	RENAME_TXN, RENAME_SEEN_FROM, RENAME_SEEN_TO, RENAME_AGAIN, RENAME_MUTEX, RENAME_LOCKED, RENAME_FROM,
	RENAME_TO, RENAME_CHILDREN, RENAME_WALK, RENAME_WALKED, RENAME_COMMITTED, RENAME_UNLOCKED,
};

static bool
one_dir(const struct meta_rename *m)
{
	return m->req.f.ino == m->to_dir.ino;
}

static bool
is_dots(const struct meta_name *n)
{
	return dir_name_is_dot(n) || dir_name_is_dotdot(n);
}

static int
names_check(const struct meta_rename *m)
{
	int err;

	if (is_dots(&m->from) || is_dots(&m->to))
		return -EINVAL;
	err = dir_name_check(&m->from);
	if (!err)
		err = dir_name_check(&m->to);
	if (!err && trash_is_name(m->req.f.share, m->req.f.ino, &m->from))
		err = -EROFS;
	if (!err && trash_is_name(m->to_dir.share, m->to_dir.ino, &m->to))
		err = -EEXIST;
	return err;
}

static int
dirs_check(const struct meta_rename *m, const struct attr *from, const struct attr *to)
{
	if (from->share != m->req.f.share || to->share != m->to_dir.share || trash_holds(to))
		return -ESTALE;
	if (from->share != to->share)
		return -EXDEV;
	if (from->type != FT_DIR || to->type != FT_DIR)
		return -ENOTDIR;
	if (!perm_allows(from, &m->req.cred, MAY_EXEC) || !perm_allows(to, &m->req.cred, MAY_EXEC))
		return -EACCES;
	return names_check(m);
}

/* Everything but the walk.  dst is NULL when nothing is replaced. */
static int
rename_check(const struct meta_rename *m, const struct attr *from, const struct attr *to,
             const struct attr *src, const struct attr *dst)
{
	const struct cred *c = &m->req.cred;
	bool moves_dir = src->type == FT_DIR && !one_dir(m);
	int err;

	if (!perm_allows(from, c, MAY_WRITE) || !perm_allows(to, c, MAY_WRITE))
		return -EACCES;
	err = perm_sticky(from, src, c);
	if (!err && dst)
		err = perm_sticky(to, dst, c);
	if (err)
		return err;
	if (dst && src->type == FT_DIR && dst->type != FT_DIR)
		return -ENOTDIR;
	if (dst && src->type != FT_DIR && dst->type == FT_DIR)
		return -EISDIR;
	/* Its ".." changes. */
	if (moves_dir && !perm_allows(src, c, MAY_WRITE))
		return -EACCES;
	if (dst && dst->type == FT_DIR && dst->size > 0)
		return -ENOTEMPTY;
	return moves_dir && !dst && to->nlink >= LINK_MAX_DITTO ? -EMLINK : 0;
}

static void
rename_apply(struct meta_rename *m)
{
	struct meta_txn *t = m->txn;
	struct inode_lock *from = txn_locked(t, m->req.f.ino), *to = txn_locked(t, m->to_dir.ino);
	struct inode_lock *src = txn_locked(t, m->src.ino);
	struct inode_lock *dst = m->dst.ino ? txn_locked(t, m->dst.ino) : NULL;
	int is_dir = src->attr.type == FT_DIR, replaces = dst != NULL;

	dir_del(t->batch, from, &m->from);
	dir_put(t->batch, to, &m->to, &m->src);
	if (one_dir(m)) {
		dir_changed(&from->attr, -replaces, -(replaces && is_dir));
	} else {
		dir_changed(&from->attr, -1, -is_dir);
		dir_changed(&to->attr, 1 - replaces, is_dir && !replaces);
	}
	src->attr.parent = to->ino;
	src->attr.ctime_ns = attr_change_ns(&src->attr);
	from->changed = to->changed = src->changed = true;
	if (!dst)
		return;
	if (is_dir || dst->attr.nlink <= 1) {
		trash_or_remove(t, dst, to->ino, &m->to);
	} else {
		dst->attr.nlink--;
		dst->attr.ctime_ns = attr_change_ns(&dst->attr);
		dst->changed = true;
	}
}

static void
wccs(struct meta_rename *m)
{
	txn_wcc(&m->from_wcc, txn_locked(m->txn, m->req.f.ino));
	txn_wcc(&m->to_wcc, txn_locked(m->txn, m->to_dir.ino));
}

/*
 * The record of m->walk, an ancestor of the new parent, is here: 0 to go on with
 * its parent, 1 at the root, -EINVAL when that is what moves.  Parents in RocksDB
 * are never behind, only sizes and times are.
 */
static int
walk_take(struct meta_rename *m, int res)
{
	struct attr a;

	if (res < 0 || attr_decode(&a, m->txn->val, (size_t)res, NULL) || m->depth > WALK_MAX) {
		log_error("metadata: the way up from directory %lu breaks off at %lu", m->to_dir.ino, m->walk);
		return -EIO;
	}
	if (a.parent == a.ino)
		return 1;
	m->walk = a.parent;
	return m->walk == m->src.ino ? -EINVAL : 0;
}

/* 0 also when there is no such name: then d->ino is 0. */
static int
seen(struct dirent_rec *d, int res, const uint8_t val[DIRENT_BYTES])
{
	res = dir_found(res, val, d);
	if (res)
		d->ino = 0;
	return res == -ENOENT ? 0 : res;
}

/* The names are known: 1 to unlock and begin again, because of the order of the locks or for the mutex. */
static int
want_children(struct meta_rename *m)
{
	struct meta_txn *t = m->txn;

	m->mutex = m->src.type == FT_DIR && !one_dir(m);
	if (m->mutex && !t->renaming)
		return 1;
	if (!txn_want(t, m->src.ino, m->src.gen))
		return 1;
	return m->dst.ino && !txn_want(t, m->dst.ino, m->dst.gen);
}

static int
children_check(struct meta_rename *m)
{
	struct meta_txn *t = m->txn;

	return rename_check(m, &txn_locked(t, m->req.f.ino)->attr, &txn_locked(t, m->to_dir.ino)->attr,
	                    &txn_locked(t, m->src.ino)->attr,
	                    m->dst.ino ? &txn_locked(t, m->dst.ino)->attr : NULL);
}

static enum op_state
rename_go(struct meta_rename *m)
{
	struct op *step = &m->step;
	struct meta_txn *t = m->txn;

	for (;;) switch (m->stage) {
	case RENAME_TXN:
		/* Guesses, as nothing is locked: what the names are under the locks counts. */
		m->stage = RENAME_SEEN_FROM;
		step->res = -ENOENT;
		if (names_check(m) == 0 && dir_find(&t->kv, m->req.f.ino, &m->from, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_SEEN_FROM:
		m->res = seen(&m->src, step->res, t->val);
		if (m->res)
			goto out;
		m->stage = RENAME_SEEN_TO;
		step->res = -ENOENT;
		if (m->src.ino && dir_find(&t->kv, m->to_dir.ino, &m->to, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_SEEN_TO:
		m->res = seen(&m->dst, step->res, t->val);
		if (m->res)
			goto out;
		m->mutex = m->src.ino && m->src.type == FT_DIR && !one_dir(m);
		fallthrough;
	case RENAME_AGAIN:
		m->stage = RENAME_MUTEX;
		if (m->mutex && txn_rename_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_MUTEX:
		m->stage = RENAME_LOCKED;
		txn_want(t, m->req.f.ino, m->req.f.gen);
		txn_want(t, m->to_dir.ino, m->to_dir.gen);
		if (m->src.ino)
			txn_want(t, m->src.ino, m->src.gen);
		if (m->dst.ino)
			txn_want(t, m->dst.ino, m->dst.gen);
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_LOCKED:
		m->res = step->res;
		if (m->res == -ESTALE && t->failed != m->req.f.ino && t->failed != m->to_dir.ino &&
		    m->tries++ < TRIES_MAX) {
			m->src.ino = m->dst.ino = 0;
			m->stage = RENAME_AGAIN;
			continue;
		}
		if (m->res < 0)
			goto out;
		wccs(m);
		m->res = dirs_check(m, &m->from_wcc.post, &m->to_wcc.post);
		if (m->res)
			goto unlock;
		m->stage = RENAME_FROM;
		if (dir_find(&t->kv, m->req.f.ino, &m->from, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_FROM:
		m->res = dir_found(step->res, t->val, &m->src);
		if (m->res)
			goto unlock;
		m->stage = RENAME_TO;
		if (dir_find(&t->kv, m->to_dir.ino, &m->to, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_TO:
		m->res = dir_found(step->res, t->val, &m->dst);
		if (m->res == -ENOENT)
			m->dst.ino = 0;
		else if (m->res || m->src.ino == m->dst.ino)
			goto unlock; /* two names of one file: nothing to do (POSIX) */
		if (want_children(m)) {
			m->res = -E_JUKEBOX;
			if (m->tries++ == TRIES_MAX)
				goto unlock;
			m->stage = RENAME_AGAIN;
			if (txn_unlock(t, step) == OP_PENDING)
				return OP_PENDING;
			continue;
		}
		m->stage = RENAME_CHILDREN;
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_CHILDREN:
		m->res = step->res;
		if (m->res == -ESTALE) {
			log_error("metadata: an entry of directory %lu or %lu names inode %lu, which does not exist",
			          m->req.f.ino, m->to_dir.ino, t->failed);
			m->res = -EIO;
		}
		if (m->res < 0)
			goto out;
		m->walk = m->to_dir.ino;
		m->depth = 0;
		m->res = m->walk == m->src.ino ? -EINVAL : children_check(m);
		if (m->res)
			goto unlock;
		if (!m->mutex)
			goto apply;
		fallthrough;
	case RENAME_WALK:
		m->stage = RENAME_WALK;
		if (++m->depth % WALK_STEPS == 0) {
			reactor_post(step, 0);
			return OP_PENDING;
		}
		m->stage = RENAME_WALKED;
		{
			uint8_t key[9];

			if (kv_get(&t->kv, key, key_inode(key, m->walk), t->val, sizeof(t->val), step) == OP_PENDING)
				return OP_PENDING;
		}
		fallthrough;
	case RENAME_WALKED:
		m->res = walk_take(m, step->res);
		if (m->res < 0)
			goto unlock;
		if (m->res == 0) {
			m->stage = RENAME_WALK;
			continue;
		}
	apply:
		rename_apply(m);
		m->stage = RENAME_COMMITTED;
		crash_point("rename.commit");
		if (txn_commit(t, &m->req.once, &(struct fref){ .ino = m->src.ino, .gen = m->src.gen }, step) ==
		    OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_COMMITTED:
		m->res = step->res;
		wccs(m);
		goto out;
	unlock:
		m->stage = RENAME_UNLOCKED;
		if (txn_unlock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RENAME_UNLOCKED:
	out:
		txn_put(t);
		return op_done(m->wait, m->res);
	default:
		assert(false && "a stage");
	}
}

static void
rename_resume(struct op *step)
{
	struct meta_rename *m = container_of(step, struct meta_rename, step);

	if (rename_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_rename(struct meta_rename *m, struct op *op)
{
	assert(shard_owns(m->req.f.ino));
	if (trash_is(m->req.f.ino))
		return trash_rename(m, op);
	m->wait = op;
	m->step.resume = rename_resume;
	m->stage = RENAME_TXN;
	m->src.ino = m->dst.ino = 0;
	m->mutex = false;
	m->tries = 0;
	m->from_wcc = m->to_wcc = (struct wcc){ 0 };
	if (trash_is(m->to_dir.ino))
		return op_done(op, -EROFS);
	if (txn_get(&m->line, &m->txn, &m->step) == OP_PENDING)
		return OP_PENDING;
	return rename_go(m);
}
