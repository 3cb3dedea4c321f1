/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that change names: CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, RENAME, LINK. */
#include <stdlib.h>
#include <string.h>

#include "tests/crash/pick.h"

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
static const uint32_t want_ok_exist[] = { NFS_OK, NFSERR_EXIST, ANY_END };

/* CREATE of a name that is there. */
static bool
create_again(struct run *r, struct lane *lane, struct slot *s)
{
	struct world *w = &r->world;
	struct node *n = s->node;
	struct act *a = pick_begin(r, lane, NFS_CREATE);
	bool again = n->excl && !n->writers && !n->busy_attr && rng_percent(&w->rng, 70);

	pick_use_slot(a, s);
	a->how = again ? NFS_EXCLUSIVE : (uint32_t)rng_below(&w->rng, 3);
	if (again) {
		a->verf = n->verf;
		a->want = want_ok_exist; /* reply.c knows when it must be OK */
	} else if (a->how != NFS_UNCHECKED) {
		a->verf = rng_next(&w->rng);
		a->want = want_exist;
	} else if (n->type != NFS_REG) {
		a->want = want_exist_type;
	} else if (n->content.nchange < CHANGES_MAX && !pick_is_growing(w, n) &&
	           rng_percent(&w->rng, 50)) {
		a->sattr.set = NFS_SET_SIZE;
		a->has_change = a->effect = true;
		a->change = content_trunc(&n->content, 0, a->issue);
	}
	nfs_create(&a->call, &lane->conn, &s->dir->fh, s->name, a->how, &a->sattr, a->verf);
	act_launch(a);
	return true;
}

bool
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
	if (!pick_room_for(r, NFS_REG))
		return false;
	a = pick_begin(r, lane, NFS_CREATE);
	pick_use_slot(a, s);
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
bool
pick_make(struct run *r, struct lane *lane, uint32_t proc)
{
	static const uint32_t types[] = { NFS_FIFO, NFS_SOCK };
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, rng_percent(&w->rng, 5));
	uint32_t type = proc == NFS_MKDIR   ? NFS_DIR :
	                proc == NFS_SYMLINK ? NFS_LNK :
	                                      types[rng_below(&w->rng, 2)];
	struct act *a;

	if (!s || !pick_room_for(r, type) || (type == NFS_DIR && dir_depth(s->dir) >= DEPTH_MAX))
		return false;
	a = pick_begin(r, lane, proc);
	pick_use_slot(a, s);
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

bool
pick_remove(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, rng_percent(&w->rng, 94));
	struct node *n = s ? s->node : NULL;
	struct act *a;

	if (!s || (n && n->busy_links) || pick_is_growing(w, n))
		return false;
	a = pick_begin(r, lane, NFS_REMOVE);
	pick_use_slot(a, s);
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

bool
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
	a = pick_begin(r, lane, NFS_RMDIR);
	pick_use_slot(a, s);
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

bool
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
	if ((n && (n->busy_links || n->exclusive)) || pick_is_growing(w, s2->node))
		return false;
	pick_use_slot(&plan, s1);
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
	a = pick_begin(r, lane, NFS_RENAME);
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

bool
pick_link(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct slot *s = pick_slot(w, rng_percent(&w->rng, 15));
	struct node *n = w->node[rng_below(&w->rng, w->nnodes)];
	struct act *a;

	if (!s || n->type == NFS_DIR || n->busy_links || n->dying || n->links > 12)
		return false;
	a = pick_begin(r, lane, NFS_LINK);
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
