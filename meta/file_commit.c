/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COMMIT: what was written to the file is durable, up to its last record (file_sync).  All of the
 * file is committed, whatever range was asked for (RFC 1813 §3.3.21 allows it).
 */
#include "meta/file_core.h"
#include "meta/perm.h"

enum { COMMIT_INODE, COMMIT_SYNCED };

static int
commit_check(const struct file_commit *c)
{
	const struct attr *a = &c->get.inode->attr;
	int res = file_check_type(a);

	if (res < 0)
		return res;
	return perm_may_io(a, &c->req.cred, MAY_WRITE) ? 0 : -EACCES;
}

static enum op_state
commit_finish(struct file_commit *c, int res)
{
	struct inode *i = c->get.inode;

	if (i && i->gone)
		res = res < 0 ? res : -ESTALE;
	if (i && !i->gone) {
		c->wcc.has_post = true;
		c->wcc.post = i->attr;
	}
	if (i)
		inode_put(i);
	c->verf = file_verf();
	file_count()->commits++;
	return op_done(c->wait, res);
}

static enum op_state
commit_run(struct file_commit *c)
{
	const struct attr *a;
	int res;

	switch (c->stage) {
	case COMMIT_INODE:
		if (c->step.res < 0)
			return commit_finish(c, c->step.res);
		res = commit_check(c);
		if (res < 0)
			return commit_finish(c, res);
		/* It changes nothing: what is before is what is after. */
		a = &c->get.inode->attr;
		c->wcc = (struct wcc){ .has_pre = true, .pre_size = a->size, .pre_mtime_ns = a->mtime_ns,
			               .pre_ctime_ns = a->ctime_ns };
		c->stage = COMMIT_SYNCED;
		if (file_sync(&c->sync, c->get.inode, a->jseq, &c->step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case COMMIT_SYNCED:
		break;
	}
	return commit_finish(c, c->step.res);
}

static void
commit_resume(struct op *step)
{
	struct file_commit *c = container_of(step, struct file_commit, step);

	if (commit_run(c) == OP_DONE)
		c->wait->resume(c->wait);
}

enum op_state
file_commit(struct file_commit *c, struct op *op)
{
	assert(shard_owns(c->req.f.ino));
	c->wait = op;
	c->wcc = (struct wcc){ 0 };
	c->step.resume = commit_resume;
	c->stage = COMMIT_INODE;
	c->get.inode = NULL;
	if (inode_get(&c->get, c->req.f.ino, c->req.f.gen, &c->step) == OP_PENDING)
		return OP_PENDING;
	return commit_run(c);
}
