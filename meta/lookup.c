/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/attrcache.h"
#include "meta/dir.h"
#include "meta/namecache.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "reactor/log.h"

/* Each time somebody else has removed or replaced the name meanwhile. */
#define TRIES_MAX 16

enum { LOOKUP_DIR, LOOKUP_FIND, LOOKUP_FOUND, LOOKUP_PEEKED };

/* The directory's attributes are here. */
static int
lookup_check(struct meta_lookup *m)
{
	int err;

	if (m->dir.share != m->req.f.share)
		return -ESTALE;
	m->has_dir = true;
	if (m->dir.type != FT_DIR)
		return -ENOTDIR;
	if (!perm_allows(&m->dir, &m->req.cred, MAY_EXEC))
		return -EACCES;
	err = dir_name_check(&m->name);
	return err == -EINVAL ? -EACCES : err; /* RFC 1813 §3.3.3 has no INVAL */
}

/* "." and ".." are not in the database. */
static bool
lookup_dots(struct meta_lookup *m)
{
	m->child = (struct fref){ .share = m->dir.share };
	if (dir_name_is_dot(&m->name)) {
		m->child.ino = m->dir.ino;
		m->child.gen = m->dir.gen;
		return true;
	}
	m->child.ino = trash_folder(m->dir.parent);
	return dir_name_is_dotdot(&m->name);
}

/* The trash's folders are no inodes: .trash of a root, and ".." of a directory that is in one. */
static bool
lookup_trash(struct meta_lookup *m, bool dots)
{
	bool top = trash_is_name(m->dir.share, m->dir.ino, &m->name);

	if (!top && !(dots && trash_is(m->child.ino)))
		return false;
	if (top)
		m->child.ino = trash_place(m->dir.share, 0);
	m->child = trash_folder_ref(m->child.ino);
	trash_folder_attr(&m->attr, m->child.ino, &m->req.cred);
	return true;
}

static enum op_state
lookup_go(struct meta_lookup *m)
{
	struct op *step = &m->step;
	struct dirent_rec d;
	int res;

	for (;;) switch (m->stage) {
	case LOOKUP_DIR:
		if (step->res < 0)
			return op_done(m->wait, step->res);
		m->dir = m->get.inode->attr;
		inode_show(m->get.inode);
		inode_put(m->get.inode);
		res = lookup_check(m);
		if (res)
			return op_done(m->wait, res);
		m->stage = LOOKUP_FOUND;
		res = lookup_dots(m);
		if (lookup_trash(m, res))
			return op_done(m->wait, 0);
		if (res)
			continue;
		fallthrough;
	case LOOKUP_FIND:
		m->stage = LOOKUP_FOUND;
		m->child.ino = 0;
		m->unknown = !dir_knows(m->dir.ino, &m->name);
		if (dir_find(&m->kv, m->dir.ino, &m->name, m->val, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case LOOKUP_FOUND:
		if (m->child.ino == 0) {
			res = dir_found(step->res, m->val, &d);
			if (res)
				return op_done(m->wait, res);
			m->child.ino = d.ino;
			m->child.gen = d.gen;
			if (m->unknown)
				dir_learn(m->dir.ino, &m->name);
		}
		m->stage = LOOKUP_PEEKED;
		if (inode_peek(&m->peek, m->child.ino, m->child.gen, step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case LOOKUP_PEEKED:
		if (step->res == -ESTALE && m->tries++ < TRIES_MAX && !lookup_dots(m)) {
			dir_forget(m->dir.ino, &m->name);
			m->stage = LOOKUP_FIND;
			continue;
		}
		if (step->res == -ESTALE && m->tries > TRIES_MAX) {
			log_error("metadata: an entry of directory %lu names inode %lu, which does not exist",
			          m->dir.ino, m->child.ino);
			return op_done(m->wait, -EIO);
		}
		if (step->res < 0)
			return op_done(m->wait, step->res);
		m->attr = m->peek.attr;
		m->child.gen = m->attr.gen;
		return op_done(m->wait, 0);
	default:
		assert(false && "a stage");
	}
}

static void
lookup_resume(struct op *step)
{
	struct meta_lookup *m = container_of(step, struct meta_lookup, step);

	if (lookup_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_lookup(struct meta_lookup *m, struct op *op)
{
	if (trash_is(m->req.f.ino))
		return trash_lookup(m, op);
	m->wait = op;
	m->step.resume = lookup_resume;
	m->stage = LOOKUP_DIR;
	m->tries = 0;
	m->has_dir = false;
	if (inode_get(&m->get, m->req.f.ino, m->req.f.gen, &m->step) == OP_PENDING)
		return OP_PENDING;
	return lookup_go(m);
}

/* ---- without asking the owner */

/* False: the directory's owner does not show it.  d->ino 0: there is no such name. */
static bool
look_name(const struct meta_lookup *m, struct dirent_rec *d)
{
	struct name_id id = m->id.tag ? m->id : dir_name_id(m->req.f.ino, &m->name);

	return namecache_look(shard_owner(m->req.f.ino), &id, d);
}

/* The name, then what it seems to be: the look itself will see whether that is so. */
void
meta_lookup_near(struct meta_lookup *m, int step)
{
	struct dirent_rec d;

	switch (step) {
	case 0:
		m->id = m->name.len <= NAME_BYTES_MAX ? dir_name_id(m->req.f.ino, &m->name) : (struct name_id){ .tag = 0 };
		fallthrough;
	case 1:
		attrcache_near(m->req.f.ino, step);
		namecache_near(shard_owner(m->req.f.ino), &m->id, step);
		return;
	case 2:
		m->seen_ino = m->id.tag && look_name(m, &d) ? d.ino : 0;
		fallthrough;
	default:
		if (m->seen_ino)
			attrcache_near(m->seen_ino, step - 2);
		return;
	}
}

bool
meta_lookup_look(struct meta_lookup *m, int *res)
{
	struct dirent_rec d = { 0 };

	m->has_dir = false;
	if (!attrcache_look(m->req.f.ino, &m->dir) || m->dir.gen != m->req.f.gen)
		return false;
	*res = lookup_check(m);
	if (*res < 0)
		return true;
	if (!lookup_dots(m)) {
		if (!look_name(m, &d))
			return false;
		if (d.ino == 0) {
			*res = -ENOENT;
			return true;
		}
		m->child.ino = d.ino;
		m->child.gen = d.gen;
	}
	/* What a name's inode is no more, the owner finds out. */
	if (!attrcache_look(m->child.ino, &m->attr) || (m->child.gen && m->child.gen != m->attr.gen))
		return false;
	m->child.gen = m->attr.gen;
	return true;
}
