/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invents calls.  Each pick_ function looks for something that is free to be
 * done, says which answers are right, and starts the call; false when luck gave it
 * nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/client/pattern.h"
#include "tests/crash/run.h"

static const uint32_t want_ok[] = { NFS_OK, ANY_END };
static const uint32_t want_noent[] = { NFSERR_NOENT, ANY_END };
static const uint32_t want_exist[] = { NFSERR_EXIST, ANY_END };
static const uint32_t want_exist_type[] = { NFSERR_EXIST, NFSERR_ISDIR, NFSERR_INVAL,
	                                    NFSERR_NOTDIR, NFSERR_NOTEMPTY, NFSERR_BADTYPE,
	                                    ANY_END };
static const uint32_t want_exist_full[] = { NFSERR_EXIST, NFSERR_NOTEMPTY, ANY_END };
static const uint32_t want_isdir[] = { NFSERR_ISDIR, NFSERR_PERM, ANY_END };
static const uint32_t want_notdir[] = { NFSERR_NOTDIR, ANY_END };
static const uint32_t want_inval[] = { NFSERR_INVAL, ANY_END };
static const uint32_t want_notsync[] = { NFSERR_NOT_SYNC, ANY_END };
static const uint32_t want_ok_exist[] = { NFS_OK, NFSERR_EXIST, ANY_END };

/* So many chunks of 64 MiB that a truncation of one takes several steps. */
enum { CHUNKS = 400, CHUNKS_MANY = 280 };

static bool
has_many_chunks(const struct node *n)
{
	return n->type == NFS_REG && n->id % 40 == 39;
}

/* It is to get them first: what would shorten or remove it waits, most of the time. */
static bool
is_growing(struct world *w, const struct node *n)
{
	return n && has_many_chunks(n) && n->content.nseg < CHUNKS_MANY && rng_percent(&w->rng, 98);
}

static struct act *
begin(struct run *r, struct lane *lane, uint32_t proc)
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

/* A free slot, with a node in it or without. */
static struct slot *
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

static void
use_slot1(struct act *a, struct slot *s)
{
	a->s1 = s;
	a->d1 = s->dir;
	a->n1 = s->node;
}

static void
pick_mode(struct world *w, struct nfs_sattr *sattr)
{
	static const uint32_t modes[] = { 0644, 0600, 0755, 0444, 0777, 0640, 0700, 0 };

	sattr->set |= NFS_SET_MODE;
	sattr->mode = modes[rng_below(&w->rng, 8)];
}

static uint64_t
pick_time(struct world *w)
{
	return rng_between(&w->rng, 1000000000u, 4000000000u) * 1000000000u +
	       rng_below(&w->rng, 1000000000u);
}

static bool
room_for(const struct run *r, uint32_t type)
{
	const struct world *w = &r->world;

	if (w->nnodes + ACTS > NODES_MAX)
		return false;
	if (type == NFS_DIR)
		return w->ndirs < DIRS_MAX;
	return type != NFS_REG || w->nfiles < FILES_MAX;
}

/* CREATE of a name that is there. */
static bool
create_again(struct run *r, struct lane *lane, struct slot *s)
{
	struct world *w = &r->world;
	struct node *n = s->node;
	struct act *a = begin(r, lane, NFS_CREATE);
	bool again = n->excl && !n->writers && !n->busy_attr && rng_percent(&w->rng, 70);

	use_slot1(a, s);
	a->how = again ? NFS_EXCLUSIVE : (uint32_t)rng_below(&w->rng, 3);
	if (again) {
		a->verf = n->verf;
		a->want = want_ok_exist; /* reply.c knows when it must be OK */
	} else if (a->how != NFS_UNCHECKED) {
		a->verf = rng_next(&w->rng);
		a->want = want_exist;
	} else if (n->type != NFS_REG) {
		a->want = want_exist_type;
	} else if (n->content.nchange < CHANGES_MAX && !is_growing(w, n) &&
	           rng_percent(&w->rng, 50)) {
		a->sattr.set = NFS_SET_SIZE;
		a->has_change = a->effect = true;
		a->change = content_trunc(&n->content, 0, a->issue);
	}
	nfs_create(&a->call, &lane->conn, &s->dir->fh, s->name, a->how, &a->sattr, a->verf);
	act_launch(a);
	return true;
}

static bool
pick_create(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, rng_percent(&w->rng, 15));
	struct act *a;

	if (!s)
		return false;
	/* nfs-ganesha follows a symlink here, and makes what it names */
	if (s->node && s->node->type != NFS_REG && !r->opt.strict)
		return false;
	if (s->node)
		return create_again(r, lane, s);
	if (!room_for(r, NFS_REG))
		return false;
	a = begin(r, lane, NFS_CREATE);
	use_slot1(a, s);
	a->effect = true;
	a->how = (uint32_t)rng_below(&w->rng, 3);
	if (a->how == NFS_EXCLUSIVE)
		a->verf = rng_next(&w->rng);
	else
		pick_mode(w, &a->sattr);
	/* one change here, two in nfs-ganesha */
	if (a->how != NFS_EXCLUSIVE && r->opt.strict && rng_percent(&w->rng, 10)) {
		a->sattr.set |= NFS_SET_SIZE;
		a->sattr.size = rng_below(&w->rng, 200000);
	}
	a->made = node_new(w, NFS_REG);
	nfs_create(&a->call, &lane->conn, &s->dir->fh, s->name, a->how, &a->sattr, a->verf);
	act_launch(a);
	return true;
}

static char *
make_target(struct world *w)
{
	size_t len = rng_log(&w->rng, 1000);
	char *t = malloc(len + 1);

	if (!t)
		abort();
	for (size_t i = 0; i < len; i++)
		t[i] = "abcdefgh/.-_ \xc3"[rng_below(&w->rng, 13)];
	t[len] = 0;
	return t;
}

/* MKDIR, SYMLINK, MKNOD */
static bool
pick_make(struct run *r, struct lane *lane, uint32_t proc)
{
	static const uint32_t types[] = { NFS_FIFO, NFS_SOCK };
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, rng_percent(&w->rng, 5));
	uint32_t type = proc == NFS_MKDIR   ? NFS_DIR :
	                proc == NFS_SYMLINK ? NFS_LNK :
	                                      types[rng_below(&w->rng, 2)];
	struct act *a;

	if (!s || !room_for(r, type) || (type == NFS_DIR && dir_depth(s->dir) >= DEPTH_MAX))
		return false;
	a = begin(r, lane, proc);
	use_slot1(a, s);
	if (s->node) {
		a->want = want_exist;
	} else {
		a->effect = true;
		a->made = node_new(w, type);
	}
	if (type != NFS_LNK)
		pick_mode(w, &a->sattr);
	if (type == NFS_LNK) {
		a->data = (uint8_t *)make_target(w);
		if (a->made)
			a->made->target = strdup((char *)a->data);
		nfs_symlink(&a->call, &lane->conn, &s->dir->fh, s->name, &a->sattr,
		            (char *)a->data);
	} else if (type == NFS_DIR) {
		nfs_mkdir(&a->call, &lane->conn, &s->dir->fh, s->name, &a->sattr);
	} else {
		nfs_mknod(&a->call, &lane->conn, &s->dir->fh, s->name, type, &a->sattr, 0);
	}
	act_launch(a);
	return true;
}

static bool
pick_remove(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, rng_percent(&w->rng, 94));
	struct node *n = s ? s->node : NULL;
	struct act *a;

	if (!s || (n && n->busy_links) || is_growing(w, n))
		return false;
	a = begin(r, lane, NFS_REMOVE);
	use_slot1(a, s);
	if (!n) {
		a->want = want_noent;
	} else if (n->type == NFS_DIR) {
		a->want = want_isdir;
		a->held_links1 = true;
	} else {
		a->effect = true;
		a->held_links1 = true;
		a->held_dying1 = n->links == 1;
	}
	nfs_remove(&a->call, &lane->conn, &s->dir->fh, s->name);
	act_launch(a);
	return true;
}

/* May nothing below it change while we look? */
static bool
dir_quiet(const struct node *d)
{
	return !d->users && !d->exclusive && !d->busy_links && !d->busy_attr;
}

static struct slot *
slot_of(struct node *dir)
{
	for (uint32_t i = 0; i < dir->parent->nslots; i++)
		if (dir->parent->slot[i].node == dir)
			return &dir->parent->slot[i];
	return NULL;
}

static bool
pick_rmdir(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, true);
	struct node *n = world_pick(w, NFS_DIR);
	struct act *a;

	/* most of the time a directory, and an empty one if there is */
	for (int i = 0; i < 4 && n && dir_entries(n); i++)
		n = world_pick(w, NFS_DIR);
	if (n && n != w->root && rng_percent(&w->rng, 90))
		s = slot_of(n);
	if (!s || s->busy || s->dir->exclusive || s->dir->dying)
		return false;
	n = s->node;
	if (!n || n->busy_links || (n->type == NFS_DIR && !dir_quiet(n)))
		return false;
	a = begin(r, lane, NFS_RMDIR);
	use_slot1(a, s);
	a->held_links1 = true;
	if (n->type != NFS_DIR) {
		a->want = want_notdir;
	} else {
		a->held_excl1 = true;
		a->effect = a->held_dying1 = dir_entries(n) == 0;
		if (!a->effect)
			a->want = want_exist_full;
	}
	nfs_rmdir(&a->call, &lane->conn, &s->dir->fh, s->name);
	act_launch(a);
	return true;
}

/* RENAME over something: what is right, and what it holds. */
static bool
rename_over(struct act *a, struct node *from, struct node *over)
{
	if (over->busy_links)
		return false;
	if (from == over)
		return true; /* two links of one file: OK, and nothing happens */
	a->n2 = over;
	a->held_links2 = true;
	if (from->type != NFS_DIR && over->type == NFS_DIR) {
		a->want = want_exist_type;
	} else if (from->type == NFS_DIR && over->type != NFS_DIR) {
		a->want = want_exist_type;
	} else if (from->type != NFS_DIR) {
		a->effect = true;
		a->held_dying2 = over->links == 1;
	} else {
		/* the source may use nothing below what it replaces */
		if (!dir_quiet(over) || dir_below(from, over))
			return false;
		a->held_excl2 = true;
		a->effect = a->held_dying2 = dir_entries(over) == 0;
		if (!a->effect)
			a->want = want_exist_full;
	}
	return true;
}

static bool
rename_dir(struct act *a, const struct world *w, struct node *n, const struct slot *to)
{
	if (a->s1->dir == to->dir)
		return true;
	if (w->dir_rename)
		return false;
	a->held_move = true;
	if (dir_below(to->dir, n)) {
		a->want = want_inval;
		a->effect = false;
		return !to->node;
	}
	return dir_depth(to->dir) + 2 < DEPTH_MAX;
}

static bool
pick_rename(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct slot *s1 = pick_slot(w, rng_percent(&w->rng, 95));
	struct slot *s2 = pick_slot(w, rng_percent(&w->rng, 45));
	struct node *n = s1 ? s1->node : NULL, *dir = world_pick(w, NFS_DIR);
	struct act plan = { .want = want_ok }, *a;

	if (dir && dir != w->root && rng_percent(&w->rng, 15)) {
		s1 = slot_of(dir);
		n = dir;
	}
	if (!s1 || !s2 || s1 == s2 || s1->busy || s1->dir->exclusive || s1->dir->dying)
		return false;
	if ((n && (n->busy_links || n->exclusive)) || is_growing(w, s2->node))
		return false;
	use_slot1(&plan, s1);
	plan.s2 = s2;
	plan.d2 = s2->dir;
	plan.held_links1 = n != NULL;
	plan.effect = n && !s2->node;
	if (!n)
		plan.want = want_noent;
	else if (s2->node && !rename_over(&plan, n, s2->node))
		return false;
	if (n && n->type == NFS_DIR && !rename_dir(&plan, w, n, s2))
		return false;
	a = begin(r, lane, NFS_RENAME);
	plan.issue = a->issue;
	plan.proc = a->proc;
	plan.run = r;
	plan.lane = lane;
	memcpy((char *)a + sizeof(a->call), (char *)&plan + sizeof(plan.call),
	       sizeof(plan) - sizeof(plan.call));
	nfs_rename(&a->call, &lane->conn, &s1->dir->fh, s1->name, &s2->dir->fh, s2->name);
	act_launch(a);
	return true;
}

static bool
pick_link(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, rng_percent(&w->rng, 15));
	struct node *n = w->node[rng_below(&w->rng, w->nnodes)];
	struct act *a;

	if (!s || n->type == NFS_DIR || n->busy_links || n->dying || n->links > 12)
		return false;
	a = begin(r, lane, NFS_LINK);
	a->s1 = s;
	a->d1 = s->dir;
	a->n1 = n;
	a->held_links1 = true;
	if (s->node)
		a->want = want_exist;
	else
		a->effect = true;
	nfs_link(&a->call, &lane->conn, &n->fh, &s->dir->fh, s->name);
	act_launch(a);
	return true;
}

/* Untouched since the last check, so that its ctime is known. */
static bool
ctime_known(const struct world *w, const struct node *n)
{
	return n->base_known && n->touched <= w->round_start && n->linked <= w->round_start &&
	       !n->busy_links && !n->users && !n->writers;
}

static bool
pick_setattr(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = w->node[rng_below(&w->rng, w->nnodes)];
	struct act *a;

	if (n == w->root || n->type == NFS_LNK || n->dying || n->busy_attr)
		return false;
	/* nfs-ganesha refuses some of these on fifos and sockets */
	if (n->type >= NFS_SOCK && !r->opt.strict)
		return false;
	a = begin(r, lane, NFS_SETATTR);
	a->n1 = n;
	a->effect = a->held_attr = true;
	a->calm = !n->writers && !n->users && !n->busy_links;
	if (rng_percent(&w->rng, 60))
		pick_mode(w, &a->sattr);
	/* nfs-ganesha makes two changes of mode and owner */
	if (rng_percent(&w->rng, 20) && (r->opt.strict || !a->sattr.set)) {
		a->sattr.set |= NFS_SET_UID | NFS_SET_GID;
		a->sattr.uid = (uint32_t)rng_below(&w->rng, 1000);
		a->sattr.gid = (uint32_t)rng_below(&w->rng, 1000);
	}
	if (rng_percent(&w->rng, 40) && (r->opt.strict || !a->sattr.set)) {
		a->sattr.set |= NFS_SET_MTIME | NFS_SET_ATIME;
		a->sattr.mtime = pick_time(w);
		a->sattr.atime = pick_time(w);
	} else if (rng_percent(&w->rng, 10)) {
		a->sattr.set |= NFS_SET_MTIME_NOW;
	}
	if (ctime_known(w, n) && rng_percent(&w->rng, 30)) {
		a->guarded = true;
		a->guard = n->base.ctime;
	} else if (rng_percent(&w->rng, 6)) {
		a->guarded = true;
		a->guard = 12345;
		a->want = want_notsync;
		a->effect = false;
	}
	nfs_setattr(&a->call, &lane->conn, &n->fh, &a->sattr, a->guarded ? &a->guard : NULL);
	act_launch(a);
	return true;
}

/* Where the data of a file lies: most are small; some are sparse and reach far. */
static uint64_t
file_base(struct world *w, const struct node *n)
{
	if (has_many_chunks(n))
		return rng_below(&w->rng, CHUNKS) << 26;
	static const uint64_t far[] = { 0, 63ull << 20, 64ull << 20, (4ull << 30) - 70000,
		                        5ull << 30, (1ull << 40) - 4096 };

	return n->id % 20 == 19 ? far[rng_below(&w->rng, 6)] : 0;
}

static uint64_t
file_span(const struct node *n)
{
	return n->id % 20 < 14 ? 192 << 10 : n->id % 20 < 19 ? 2 << 20 : 1 << 20;
}

static uint64_t
pick_offset(struct world *w, const struct node *n)
{
	uint64_t off = rng_below(&w->rng, file_span(n));

	if (rng_percent(&w->rng, 40))
		off &= ~4095ull;
	if (rng_percent(&w->rng, 15))
		off = 0;
	/* at what is the end, as appends do */
	if (!has_many_chunks(n) && rng_percent(&w->rng, 15) && content_extent(&n->content) < file_span(n))
		return content_extent(&n->content);
	return file_base(w, n) + off;
}

static struct node *
pick_file(struct world *w)
{
	struct node *n = world_pick(w, NFS_REG);

	/* the first with many chunks gets enough to have them */
	if (rng_percent(&w->rng, 12))
		for (uint32_t i = 0; i < w->nnodes; i++)
			if (has_many_chunks(w->node[i]) && !w->node[i]->dying)
				return w->node[i];
	/* a few files get most of the calls, so that they meet */
	if (rng_percent(&w->rng, 50))
		for (uint32_t i = 0; i < w->nnodes; i++) {
			struct node *o = w->node[(w->round * 7 + i) % w->nnodes];

			if (o->type == NFS_REG && !o->dying && rng_percent(&w->rng, 20)) {
				n = o;
				break;
			}
		}
	return n;
}

static bool
pick_trunc(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = pick_file(w);
	struct act *a;

	if (!n || n->content.nchange >= CHANGES_MAX || is_growing(w, n))
		return false;
	a = begin(r, lane, NFS_SETATTR);
	a->n1 = n;
	a->sattr.set = NFS_SET_SIZE;
	switch (rng_below(&w->rng, 4)) {
	case 0:
		a->sattr.size = 0;
		break;
	case 1:
		a->sattr.size = pick_offset(w, n);
		break;
	default:
		a->sattr.size = rng_below(&w->rng, content_extent(&n->content) + 5000);
	}
	if (n->id % 20 != 19 && a->sattr.size > file_span(n) + (1 << 20))
		a->sattr.size = file_span(n);
	a->off = a->sattr.size;
	a->effect = a->has_change = true;
	a->change = content_trunc(&n->content, a->sattr.size, a->issue);
	nfs_setattr(&a->call, &lane->conn, &n->fh, &a->sattr, NULL);
	act_launch(a);
	return true;
}

static uint32_t
pick_len(struct world *w, const struct node *n)
{
	uint64_t d = rng_below(&w->rng, 100), max = file_span(n);
	uint64_t len = d < 55 ? rng_between(&w->rng, 1, 4096) :
	               d < 65 ? 4096u << rng_below(&w->rng, 5) :
	               d < 90 ? rng_between(&w->rng, 1, 65536) :
	               d < 97 ? rng_between(&w->rng, 65536, 300000) :
	               d < 98 ? 1 << 20 :
	                        rng_between(&w->rng, 1, 1 << 20);

	if (has_many_chunks(n) && len > 8192)
		len %= 8192;
	return (uint32_t)(len < max ? len : max) + !len;
}

static bool
pick_write(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = pick_file(w);
	struct act *a;
	uint64_t d;

	if (!n || n->content.nchange >= CHANGES_MAX)
		return false;
	a = begin(r, lane, NFS_WRITE);
	d = rng_below(&w->rng, 100);
	a->n1 = n;
	a->off = pick_offset(w, n);
	a->len = pick_len(w, n);
	a->how = d < 45 ? NFS_UNSTABLE : d < 65 ? NFS_DATA_SYNC : NFS_FILE_SYNC;
	a->id = ++w->last_id;
	a->data = malloc(a->len);
	if (!a->data)
		abort();
	pattern_fill(a->data, a->id, a->off, a->len);
	a->effect = a->has_change = true;
	a->change = content_write(&n->content, a->id, a->off, a->len, a->issue);
	nfs_write(&a->call, &lane->conn, &n->fh, a->off, a->data, a->len, a->how);
	act_launch(a);
	return true;
}

static bool
pick_commit(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = pick_file(w);
	struct act *a;

	if (!n)
		return false;
	a = begin(r, lane, NFS_COMMIT);
	a->n1 = n;
	if (rng_percent(&w->rng, 20)) {
		a->off = rng_below(&w->rng, file_span(n));
		a->len = (uint32_t)rng_log(&w->rng, 1 << 20);
	}
	nfs_commit(&a->call, &lane->conn, &n->fh, a->off, a->len);
	act_launch(a);
	return true;
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
	a = begin(r, lane, proc);
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
