/* SPDX-License-Identifier: Apache-2.0 */
/* What all of them share, calls that only look, and how often which call is made. */
#include "tests/crash/pick.h"

static const uint32_t want_ok[] = { NFS_OK, ANY_END };

struct act *
pick_begin(struct run *r, struct lane *lane, uint32_t proc)
{
	struct act *a = act_new(r, lane, proc);

	a->issue = world_tick(&r->world);
	a->want = want_ok;
	return a;
}

/* A directory that may get users; the wide one more often, so that it fills. */
static struct node *
pick_dir(struct world *w)
{
	struct node *d = NULL;

	if (rng_percent(&w->rng, 20))
		for (uint32_t i = 0; i < w->nnodes && !d; i++)
			if (w->node[i]->nslots == SLOTS_WIDE)
				d = w->node[i];
	if (!d)
		d = world_pick(w, NFS_DIR);
	return d && !d->exclusive && !d->dying ? d : NULL;
}

struct slot *
pick_slot(struct world *w, bool held)
{
	struct node *d = pick_dir(w);

	for (int i = 0; d && i < 24; i++) {
		struct slot *s = &d->slot[rng_below(&w->rng, d->nslots)];

		if (!s->busy && (s->node != NULL) == held)
			return s;
	}
	return NULL;
}

void
pick_use_slot(struct act *a, struct slot *s)
{
	a->s1 = s;
	a->d1 = s->dir;
	a->n1 = s->node;
}

void
pick_mode(struct world *w, struct nfs_sattr *sattr)
{
	static const uint32_t modes[] = { 0644, 0600, 0755, 0444, 0777, 0640, 0700, 0 };

	sattr->set |= NFS_SET_MODE;
	sattr->mode = modes[rng_below(&w->rng, 8)];
}

uint64_t
pick_time(struct world *w)
{
	return rng_between(&w->rng, 1000000000u, 4000000000u) * 1000000000u +
	       rng_below(&w->rng, 1000000000u);
}

bool
pick_room_for(const struct run *r, uint32_t type)
{
	const struct world *w = &r->world;

	if (w->nnodes + ACTS > NODES_MAX)
		return false;
	if (type == NFS_DIR)
		return w->ndirs < DIRS_MAX;
	return type != NFS_REG || w->nfiles < FILES_MAX;
}

/* GETATTR, READ, READLINK, LOOKUP, READDIR, READDIRPLUS: no effect, but answers to check. */
static bool
pick_look(struct run *r, struct lane *lane, uint32_t proc)
{
	struct world *w = &r->world;
	uint32_t type = proc == NFS_READ ? NFS_REG : proc == NFS_READLINK ? NFS_LNK : NFS_DIR;
	struct node *n = proc == NFS_GETATTR ? w->node[rng_below(&w->rng, w->nnodes)] :
	                                       world_pick(w, type);
	struct act *a;

	if (!n || n->dying)
		return false;
	a = pick_begin(r, lane, proc);
	a->n1 = n;
	if (proc == NFS_GETATTR) {
		nfs_getattr(&a->call, &lane->conn, &n->fh);
	} else if (proc == NFS_READ) {
		a->off = pick_offset(w, n);
		a->len = (uint32_t)rng_log(&w->rng, 1 << 20);
		nfs_read(&a->call, &lane->conn, &n->fh, a->off, a->len);
	} else if (proc == NFS_READLINK) {
		nfs_readlink(&a->call, &lane->conn, &n->fh);
	} else if (proc == NFS_LOOKUP) {
		a->look = &n->slot[rng_below(&w->rng, n->nslots)];
		nfs_lookup(&a->call, &lane->conn, &n->fh, a->look->name);
	} else if (proc == NFS_READDIR) {
		nfs_readdir(&a->call, &lane->conn, &n->fh, 0, 0, 32768);
	} else {
		nfs_readdirplus(&a->call, &lane->conn, &n->fh, 0, 0, 32768, 65536);
	}
	act_launch(a);
	return true;
}

static bool
pick_new(struct run *r, struct lane *lane, uint32_t proc)
{
	(void)proc;
	return pick_create(r, lane);
}

static bool
pick_change(struct run *r, struct lane *lane, uint32_t proc)
{
	return proc == NFS_REMOVE ? pick_remove(r, lane) :
	       proc == NFS_RMDIR  ? pick_rmdir(r, lane) :
	       proc == NFS_RENAME ? pick_rename(r, lane) :
	       proc == NFS_LINK   ? pick_link(r, lane) :
	       proc == NFS_WRITE  ? pick_write(r, lane) :
	       proc == NFS_COMMIT ? pick_commit(r, lane) :
	       rng_percent(&r->world.rng, 55) ? pick_setattr(r, lane) :
	                                        pick_trunc(r, lane);
}

static const struct {
	uint32_t percent, proc;
	bool (*pick)(struct run *r, struct lane *lane, uint32_t proc);
} mix[] = {
	{ 12, NFS_CREATE, pick_new },    { 3, NFS_MKDIR, pick_make },
	{ 3, NFS_SYMLINK, pick_make },   { 1, NFS_MKNOD, pick_make },
	{ 3, NFS_LINK, pick_change },    { 7, NFS_REMOVE, pick_change },
	{ 2, NFS_RMDIR, pick_change },   { 8, NFS_RENAME, pick_change },
	{ 9, NFS_SETATTR, pick_change }, { 28, NFS_WRITE, pick_change },
	{ 8, NFS_COMMIT, pick_change },  { 6, NFS_READ, pick_look },
	{ 3, NFS_GETATTR, pick_look },   { 3, NFS_LOOKUP, pick_look },
	{ 1, NFS_READLINK, pick_look },  { 1, NFS_READDIR, pick_look },
	{ 2, NFS_READDIRPLUS, pick_look },
};

static bool
pick_any(struct run *r, struct lane *lane)
{
	uint64_t d = rng_below(&r->world.rng, 100);
	size_t i = 0;

	while (d >= mix[i].percent)
		d -= mix[i++].percent;
	if (r->opt.only && !(r->opt.only >> mix[i].proc & 1))
		return false;
	return mix[i].pick(r, lane, mix[i].proc);
}

void
pick_fill(struct run *r)
{
	if (r->stopping || r->failed)
		return;
	for (uint32_t i = 0; i < LANES; i++) {
		struct lane *lane = &r->lane[i];

		for (int tries = 0; lane->conn.state == RPC_OPEN && lane->busy < DEPTH && tries < 40;
		     tries++)
			pick_any(r, lane);
	}
}
