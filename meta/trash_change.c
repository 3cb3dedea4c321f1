/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves the trash: removed for good, or restored. */
#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash_impl.h"

/* Each time somebody else has changed what the new name is meanwhile. */
#define TRIES_MAX 64

/* Still where it was found. */
static bool
is_at(const struct attr *a, uint32_t share, uint64_t second)
{
	return a->share == share && a->parent == trash_place(share, second);
}

/* ---- for good */

enum { PURGE_TXN, PURGE_LOCKED, PURGE_CLEANED, PURGE_COMMITTED, PURGE_UNLOCKED };

/* There is no such inode: it has gone just now, or a record was left over.  In either case nothing needs the record. */
static enum op_state
purge_record(struct trash_purge *p)
{
	struct meta_txn *t = p->txn;
	uint8_t key[KV_KEY_MAX];

	kv_batch_del(t->batch, key, key_trash(key, p->share, p->second, p->ino));
	return kv_write(&t->write, t->batch, &p->step);
}

static enum op_state
purge_go(struct trash_purge *p)
{
	static const struct once never;
	struct op *step = &p->step;
	struct meta_txn *t = p->txn;
	struct inode_lock *l;

	switch (p->stage) {
	case PURGE_TXN:
		p->stage = PURGE_LOCKED;
		txn_want(t, p->ino, p->gen);
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case PURGE_LOCKED:
		p->res = step->res;
		if (p->res == -ESTALE) {
			p->res = -ENOENT;
			p->stage = PURGE_CLEANED;
			if (purge_record(p) == OP_PENDING)
				return OP_PENDING;
			break;
		}
		if (p->res < 0)
			break;
		l = txn_locked(t, p->ino);
		if (!is_at(&l->attr, p->share, p->second)) {
			p->res = -ENOENT;
			p->stage = PURGE_UNLOCKED;
			if (txn_unlock(t, step) == OP_PENDING)
				return OP_PENDING;
			break;
		}
		trash_leave(t, l);
		txn_remove(t, l);
		p->stage = PURGE_COMMITTED;
		if (txn_commit(t, p->once ? p->once : &never, &(struct fref){ .ino = p->ino, .gen = p->gen }, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case PURGE_COMMITTED:
		p->res = step->res;
		break;
	case PURGE_CLEANED:
	case PURGE_UNLOCKED:
		break;
	default:
		assert(false && "a stage");
	}
	txn_put(t);
	return op_done(p->wait, p->res);
}

static void
purge_resume(struct op *step)
{
	struct trash_purge *p = container_of(step, struct trash_purge, step);

	if (purge_go(p) == OP_DONE)
		p->wait->resume(p->wait);
}

enum op_state
trash_purge(struct trash_purge *p, struct op *op)
{
	p->wait = op;
	p->step.resume = purge_resume;
	p->stage = PURGE_TXN;
	if (txn_get(&p->line, &p->txn, &p->step) == OP_PENDING)
		return OP_PENDING;
	return purge_go(p);
}

/* ---- REMOVE and RMDIR */

enum { UNLINK_FOUND, UNLINK_PURGED };

static int
unlink_check(const struct meta_unlink *m, const struct attr *a, int res)
{
	if (res < 0)
		return res;
	if (m->rmdir)
		return a->type == FT_DIR ? 0 : -ENOTDIR;
	return a->type == FT_DIR ? -EISDIR : 0;
}

static enum op_state
unlink_go(struct trash_op *o)
{
	struct meta_unlink *m = o->unlink;
	int res = o->step.res;

	switch (o->stage) {
	case UNLINK_FOUND:
		res = unlink_check(m, &o->find.attr, res);
		if (res < 0)
			break;
		o->purge = (struct trash_purge){ .share = o->find.attr.share, .second = trash_second(o->find.attr.parent),
			                         .ino = o->find.attr.ino, .gen = o->find.attr.gen, .once = &m->req.once };
		o->stage = UNLINK_PURGED;
		if (trash_purge(&o->purge, &o->step) == OP_PENDING)
			return OP_PENDING;
		res = o->step.res;
		fallthrough;
	case UNLINK_PURGED:
		break;
	default:
		assert(false && "a stage");
	}
	trash_op_put(o);
	trash_folder_attr(&m->dir.post, m->req.f.ino, &m->req.cred);
	return op_done(m->wait, res);
}

static void
unlink_resume(struct op *step)
{
	struct trash_op *o = container_of(step, struct trash_op, step);
	struct op *wait = o->wait;

	if (unlink_go(o) == OP_DONE)
		wait->resume(wait);
}

enum op_state
trash_unlink(struct meta_unlink *m, struct op *op)
{
	int res = trash_folder_check(&m->req.f);
	struct trash_op *o;

	m->wait = op;
	m->dir = (struct wcc){ .has_post = res == 0 };
	if (res < 0)
		return op_done(op, res);
	trash_folder_attr(&m->dir.post, m->req.f.ino, &m->req.cred);
	if (trash_second(m->req.f.ino) == 0)
		return op_done(op, -EROFS); /* an hour's folder goes when it is empty */
	o = trash_op_get();
	if (!o)
		return op_done(op, -E_JUKEBOX);
	o->unlink = m;
	o->wait = op;
	o->step.resume = unlink_resume;
	o->stage = UNLINK_FOUND;
	o->find.folder = m->req.f.ino;
	o->find.name = m->name;
	o->find.cred = &m->req.cred;
	if (trash_find(&o->find, &o->step) == OP_PENDING)
		return OP_PENDING;
	return unlink_go(o);
}

/* ---- RENAME out of it */

enum {
	RESTORE_FOUND, RESTORE_TXN, RESTORE_LOCK, RESTORE_LOCKED, RESTORE_TO, RESTORE_ALL, RESTORE_COMMITTED, RESTORE_UNLOCKED,
};

static int
to_check(const struct meta_rename *m, const struct attr *to)
{
	if (to->share != m->to_dir.share || trash_holds(to))
		return -ESTALE;
	if (to->type != FT_DIR)
		return -ENOTDIR;
	return perm_allows(to, &m->req.cred, MAY_EXEC | MAY_WRITE) ? 0 : -EACCES;
}

/* All are locked.  What it is may have been restored by somebody else meanwhile. */
static int
restore_check(const struct trash_op *o, const struct attr *to, const struct attr *src, const struct attr *dst)
{
	const struct meta_rename *m = o->rename;
	int err;

	if (!is_at(src, o->find.attr.share, trash_second(o->find.attr.parent)))
		return -ENOENT;
	if (!dst)
		return src->type == FT_DIR && to->nlink >= LINK_MAX_DITTO ? -EMLINK : 0;
	if (m->no_replace)
		return -EEXIST;
	err = perm_sticky(to, dst, &m->req.cred);
	if (err)
		return err;
	if (src->type == FT_DIR && dst->type != FT_DIR)
		return -ENOTDIR;
	if (src->type != FT_DIR && dst->type == FT_DIR)
		return -EISDIR;
	return dst->type == FT_DIR && dst->size > 0 ? -ENOTEMPTY : 0;
}

static void
restore_apply(struct trash_op *o, struct inode_lock *to, struct inode_lock *src, struct inode_lock *dst)
{
	struct meta_rename *m = o->rename;
	int is_dir = src->attr.type == FT_DIR, replaces = dst != NULL;

	trash_leave(o->txn, src);
	dir_put(o->txn->batch, to, &m->to, &m->src);
	dir_changed(&to->attr, 1 - replaces, is_dir && !replaces);
	src->attr.parent = to->ino;
	src->attr.ctime_ns = attr_change_ns(&src->attr);
	to->changed = src->changed = true;
	if (!dst)
		return;
	if (is_dir || dst->attr.nlink <= 1) {
		trash_or_remove(o->txn, dst, to->ino, &m->to);
	} else {
		dst->attr.nlink--;
		dst->attr.ctime_ns = attr_change_ns(&dst->attr);
		dst->changed = true;
	}
}

static void
restore_wccs(struct meta_rename *m, struct meta_txn *t)
{
	if (t)
		txn_wcc(&m->to_wcc, txn_locked(t, m->to_dir.ino));
	m->from_wcc.has_post = true;
	trash_folder_attr(&m->from_wcc.post, m->req.f.ino, &m->req.cred);
}

static enum op_state
restore_go(struct trash_op *o)
{
	struct meta_rename *m = o->rename;
	struct meta_txn *t = o->txn;
	struct op *step = &o->step;
	struct inode_lock *to, *dst;

	for (;;) switch (o->stage) {
	case RESTORE_FOUND:
		o->res = step->res;
		if (o->res < 0)
			goto no_txn;
		m->src = (struct dirent_rec){ .ino = o->find.attr.ino, .gen = o->find.attr.gen, .type = o->find.attr.type };
		o->stage = RESTORE_TXN;
		if (txn_get(&o->line, &o->txn, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RESTORE_TXN:
		t = o->txn;
		fallthrough;
	case RESTORE_LOCK:
		o->stage = RESTORE_LOCKED;
		txn_want(t, m->to_dir.ino, m->to_dir.gen);
		txn_want(t, m->src.ino, m->src.gen);
		if (o->dst.ino)
			txn_want(t, o->dst.ino, o->dst.gen);
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RESTORE_LOCKED:
		o->res = step->res;
		if (o->res == -ESTALE && t->failed == m->src.ino)
			o->res = -ENOENT; /* it was removed for good */
		if (o->res == -ESTALE && t->failed == o->dst.ino && o->tries++ < TRIES_MAX) {
			o->dst.ino = 0;
			o->stage = RESTORE_LOCK;
			continue;
		}
		if (o->res < 0)
			goto out;
		to = txn_locked(t, m->to_dir.ino);
		o->res = to_check(m, &to->attr);
		if (o->res)
			goto unlock;
		o->stage = RESTORE_TO;
		if (dir_find(&t->kv, to->ino, &m->to, t->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RESTORE_TO:
		o->res = dir_found(step->res, t->val, &o->dst);
		if (o->res == -ENOENT)
			o->dst.ino = 0;
		else if (o->res)
			goto unlock;
		if (o->dst.ino && !txn_want(t, o->dst.ino, o->dst.gen)) {
			o->res = -E_JUKEBOX;
			if (o->tries++ == TRIES_MAX)
				goto unlock;
			o->stage = RESTORE_LOCK;
			if (txn_unlock(t, step) == OP_PENDING)
				return OP_PENDING;
			continue;
		}
		o->stage = RESTORE_ALL;
		if (txn_lock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RESTORE_ALL:
		o->res = step->res;
		if (o->res < 0)
			goto out;
		to = txn_locked(t, m->to_dir.ino);
		dst = o->dst.ino ? txn_locked(t, o->dst.ino) : NULL;
		o->res = restore_check(o, &to->attr, &txn_locked(t, m->src.ino)->attr, dst ? &dst->attr : NULL);
		if (o->res)
			goto unlock;
		restore_apply(o, to, txn_locked(t, m->src.ino), dst);
		o->stage = RESTORE_COMMITTED;
		if (txn_commit(t, &m->req.once, &(struct fref){ .ino = m->src.ino, .gen = m->src.gen }, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RESTORE_COMMITTED:
		o->res = step->res;
		restore_wccs(m, t);
		goto out;
	unlock:
		restore_wccs(m, t);
		o->stage = RESTORE_UNLOCKED;
		if (txn_unlock(t, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RESTORE_UNLOCKED:
	out:
		txn_put(t);
	no_txn: {
		int res = o->res;

		trash_op_put(o);
		return op_done(m->wait, res);
	}
	default:
		assert(false && "a stage");
	}
}

static void
restore_resume(struct op *step)
{
	struct trash_op *o = container_of(step, struct trash_op, step);
	struct op *wait = o->wait;

	if (restore_go(o) == OP_DONE)
		wait->resume(wait);
}

static int
restore_args(const struct meta_rename *m)
{
	int err = dir_name_check(&m->to);

	if (trash_second(m->req.f.ino) == 0 || trash_is(m->to_dir.ino))
		return -EROFS;
	if (m->to_dir.share != m->req.f.share)
		return -EXDEV;
	if (err)
		return err;
	if (dir_name_is_dot(&m->to) || dir_name_is_dotdot(&m->to))
		return -EINVAL;
	return trash_is_name(m->to_dir.share, m->to_dir.ino, &m->to) ? -EEXIST : 0;
}

enum op_state
trash_rename(struct meta_rename *m, struct op *op)
{
	int res = trash_folder_check(&m->req.f);
	struct trash_op *o;

	m->wait = op;
	m->from_wcc = m->to_wcc = (struct wcc){ 0 };
	if (res < 0)
		return op_done(op, res);
	restore_wccs(m, NULL);
	res = restore_args(m);
	if (res < 0)
		return op_done(op, res);
	o = trash_op_get();
	if (!o)
		return op_done(op, -E_JUKEBOX);
	o->rename = m;
	o->wait = op;
	o->step.resume = restore_resume;
	o->stage = RESTORE_FOUND;
	o->tries = 0;
	o->dst.ino = 0;
	o->find.folder = m->req.f.ino;
	o->find.name = m->from;
	o->find.cred = &m->req.cred;
	if (trash_find(&o->find, &o->step) == OP_PENDING)
		return OP_PENDING;
	return restore_go(o);
}
