/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"
#include "proto/session.h"
#include "proto/status.h"

/*
 * MNT of a share or of a directory in it: finds the share, walks down by
 * lookups as root (who mounts need not be able to search every directory
 * above), and notes the mount on core 0.  Symlinks are not followed: a path is
 * the server's own name for a directory.
 */
static enum op_state mnt_walk(struct mnt_walk *m, struct session *s);

static void
mnt_decode(struct nfs_call *c, struct xdr *d)
{
	c->u.mnt = (struct mnt_walk){ .stage = MNT_START };
	mount3_get_path(d, &c->u.mnt.path);
}

/* ---- on the owner of each directory ---- */

static void
remote_done(struct op *op)
{
	struct mnt_walk *m = container_of(op, struct mnt_walk, remote);

	shard_reply(&m->shard, op->res);
}

static void
remote_getattr(struct shard_call *sc)
{
	struct mnt_walk *m = container_of(sc, struct mnt_walk, shard);

	m->remote.resume = remote_done;
	if (meta_getattr(&m->op.getattr, &m->remote) == OP_DONE)
		shard_reply(sc, m->remote.res);
}

static void
remote_lookup(struct shard_call *sc)
{
	struct mnt_walk *m = container_of(sc, struct mnt_walk, shard);

	m->remote.resume = remote_done;
	if (meta_lookup(&m->op.lookup, &m->remote) == OP_DONE)
		shard_reply(sc, m->remote.res);
}

static void
remote_note(struct shard_call *sc)
{
	struct mnt_walk *m = container_of(sc, struct mnt_walk, shard);

	mounts_add(proto_here()->mounts, m->host, m->path.s, m->path.len);
	shard_reply(sc, 0);
}

/* ---- on the socket core ---- */

/* The share of which the path is a directory: the one with the longest name. */
static const struct export *
find_export(const struct server_opts *o, const struct mount3_path *p, uint32_t *name_len)
{
	const struct export *best = NULL;

	*name_len = 0;
	for (int i = 0; i < o->nexports; i++) {
		const struct export *e = &o->exports[i];
		uint32_t n = (uint32_t)strlen(e->name);

		if (n == 1) /* "/": its paths begin right behind it */
			n = 0;
		if (n > p->len || memcmp(e->name, p->s, n) != 0 || (n < p->len && p->s[n] != '/'))
			continue;
		if (!best || n > *name_len) {
			best = e;
			*name_len = n;
		}
	}
	return best;
}

/* The next component of the path; false at its end. */
static bool
next_name(struct mnt_walk *m, struct meta_name *name)
{
	const struct mount3_path *p = &m->path;

	for (;;) {
		while (m->pos < p->len && p->s[m->pos] == '/')
			m->pos++;
		name->s = p->s + m->pos;
		while (m->pos < p->len && p->s[m->pos] != '/')
			m->pos++;
		name->len = (uint32_t)(p->s + m->pos - name->s);
		if (name->len != 1 || name->s[0] != '.')
			return name->len > 0;
	}
}

static enum op_state
start_at_root(struct mnt_walk *m, struct session *s)
{
	const struct export *e;
	int err;

	if (m->path.len == 0 || m->path.s[0] != '/')
		return op_done(&m->step, -EINVAL);
	m->export = e = find_export(s->core->opts, &m->path, &m->pos);
	if (!e)
		return op_done(&m->step, -ENOENT);
	err = session_export(s, e->share, &e);
	if (err) {
		stats_add(&s->core->stats.denied, 1);
		return op_done(&m->step, err);
	}
	m->at = (struct fref){ .ino = e->root, .share = e->share };
	m->op.getattr = (struct meta_getattr){ .req.f = m->at };
	return shard_call(shard_owner(m->at.ino), &m->shard, remote_getattr, &m->step);
}

/* OP_DONE with 0 and m->stage MNT_NOTED: the whole path is walked. */
static enum op_state
step_down(struct mnt_walk *m)
{
	struct meta_name name;

	if (!next_name(m, &name)) {
		m->stage = MNT_NOTED;
		return shard_call(0, &m->shard, remote_note, &m->step);
	}
	if (name.len == 2 && memcmp(name.s, "..", 2) == 0)
		return op_done(&m->step, -EINVAL);
	m->op.lookup = (struct meta_lookup){ .req.f = m->at, .name = name };
	return shard_call(shard_owner(m->at.ino), &m->shard, remote_lookup, &m->step);
}

static int
arrived(struct mnt_walk *m)
{
	const struct attr *a = m->stage == MNT_ROOT ? &m->op.getattr.attr : &m->op.lookup.attr;

	if (a->type != FT_DIR)
		return -ENOTDIR;
	if (m->stage == MNT_ROOT)
		m->at.gen = a->gen;
	else
		m->at = m->op.lookup.child;
	return 0;
}

static enum op_state
mnt_walk(struct mnt_walk *m, struct session *s)
{
	enum op_state state = OP_DONE;

	for (;;) {
		switch (m->stage) {
		case MNT_START:
			m->stage = MNT_ROOT;
			state = start_at_root(m, s);
			break;
		case MNT_ROOT:
		case MNT_STEP:
			if (m->step.res == 0)
				m->step.res = arrived(m);
			if (m->step.res < 0)
				return op_done(m->wait, m->step.res);
			m->stage = MNT_STEP;
			state = step_down(m);
			break;
		case MNT_NOTED:
			return op_done(m->wait, 0);
		}
		if (state == OP_PENDING)
			return OP_PENDING;
	}
}

static void
mnt_resume(struct op *op)
{
	struct mnt_walk *m = container_of(op, struct mnt_walk, step);
	struct nfs_call *c = container_of(m, struct nfs_call, u.mnt);

	if (mnt_walk(m, c->session) == OP_DONE)
		m->wait->resume(m->wait);
}

static enum op_state
mnt_run(struct nfs_call *c, struct op *op)
{
	struct mnt_walk *m = &c->u.mnt;

	m->wait = op;
	m->step.resume = mnt_resume;
	session_host(c->session, m->host);
	return mnt_walk(m, c->session);
}

static void
mnt_encode(struct nfs_call *c, struct xdr *e)
{
	mount3_put_mnt(e, status_mount3(c->res), &c->u.mnt.at);
}

const struct proc proc_mnt = {
	.number = MOUNT3_MNT,
	.stat = STATS_NFS_PROCS + MOUNT3_MNT,
	.flags = PROC_LOCAL | PROC_NAMES,
	.decode = mnt_decode,
	.run = mnt_run,
	.encode = mnt_encode,
};
