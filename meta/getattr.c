/* SPDX-License-Identifier: Apache-2.0 */
/* GETATTR and ACCESS: a copy of the attributes, no lock. */
#include "meta/attrcache.h"
#include "meta/perm.h"
#include "meta/trash.h"

/* The inode is here, or it is not.  Also of another share than the handle says. */
static int
attr_take(struct inode_get *g, uint32_t share, struct attr *out, int res)
{
	if (res < 0)
		return res;
	*out = g->inode->attr;
	inode_show(g->inode);
	inode_put(g->inode);
	return out->share == share ? 0 : -ESTALE;
}

/* Of a folder of the trash. */
static int
folder_take(const struct meta_req *req, struct attr *out)
{
	int res = trash_folder_check(&req->f);

	if (res == 0)
		trash_folder_attr(out, req->f.ino, &req->cred);
	return res;
}

static void
getattr_resume(struct op *step)
{
	struct meta_getattr *m = container_of(step, struct meta_getattr, step);

	m->wait->res = attr_take(&m->get, m->req.f.share, &m->attr, step->res);
	m->wait->resume(m->wait);
}

enum op_state
meta_getattr(struct meta_getattr *m, struct op *op)
{
	if (trash_is(m->req.f.ino))
		return op_done(op, folder_take(&m->req, &m->attr));
	m->wait = op;
	m->step.resume = getattr_resume;
	if (inode_get(&m->get, m->req.f.ino, m->req.f.gen, &m->step) == OP_PENDING)
		return OP_PENDING;
	return op_done(op, attr_take(&m->get, m->req.f.share, &m->attr, m->step.res));
}

/* Where a handle does not fit what is shown the owner has the last word. */
static bool
attr_look(const struct fref *f, struct attr *out)
{
	return attrcache_look(f->ino, out) && out->gen == f->gen && out->share == f->share;
}

bool
meta_getattr_look(struct meta_getattr *m, int *res)
{
	*res = 0;
	return attr_look(&m->req.f, &m->attr);
}

static void
attr_near(const struct fref *f, int step)
{
	if (step < 2)
		attrcache_near(f->ino, step);
}

void
meta_getattr_near(const struct meta_getattr *m, int step)
{
	attr_near(&m->req.f, step);
}

static int
access_take(struct meta_access *m, int res)
{
	res = trash_is(m->req.f.ino) ? folder_take(&m->req, &m->attr) : attr_take(&m->get, m->req.f.share, &m->attr, res);
	if (res == 0)
		m->mask = perm_access(&m->attr, &m->req.cred, m->mask);
	return res;
}

static void
access_resume(struct op *step)
{
	struct meta_access *m = container_of(step, struct meta_access, step);

	m->wait->res = access_take(m, step->res);
	m->wait->resume(m->wait);
}

enum op_state
meta_access(struct meta_access *m, struct op *op)
{
	m->wait = op;
	m->step.resume = access_resume;
	if (!trash_is(m->req.f.ino) &&
	    inode_get(&m->get, m->req.f.ino, m->req.f.gen, &m->step) == OP_PENDING)
		return OP_PENDING;
	return op_done(op, access_take(m, m->step.res));
}

bool
meta_access_look(struct meta_access *m, int *res)
{
	*res = 0;
	if (!attr_look(&m->req.f, &m->attr))
		return false;
	m->mask = perm_access(&m->attr, &m->req.cred, m->mask);
	return true;
}

void
meta_access_near(const struct meta_access *m, int step)
{
	attr_near(&m->req.f, step);
}
