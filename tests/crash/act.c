/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a call: what it takes, what it changes, what it gives back. */
#include <assert.h>
#include <stdlib.h>

#include "tests/crash/run.h"

struct act *
act_new(struct run *r, struct lane *lane, uint32_t proc)
{
	struct act *a = NULL;

	for (uint32_t i = 0; i < ACTS && !a; i++)
		if (r->act[i].state == ACT_FREE)
			a = &r->act[i];
	assert(a);
	memset((char *)a + sizeof(a->call), 0, sizeof(*a) - sizeof(a->call));
	a->call.done = reply_done;
	a->run = r;
	a->lane = lane;
	a->proc = proc;
	return a;
}

uint32_t
act_in_air(const struct run *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < ACTS; i++)
		n += r->act[i].state == ACT_AIR;
	return n;
}

static void
hold_slot(struct slot *s, uint64_t now, bool changes)
{
	if (!s)
		return;
	assert(!s->busy);
	s->busy = true;
	if (changes)
		s->changed = now;
}

static bool
is_namespace(uint32_t proc)
{
	return proc == NFS_CREATE || proc == NFS_MKDIR || proc == NFS_SYMLINK ||
	       proc == NFS_MKNOD || proc == NFS_REMOVE || proc == NFS_RMDIR ||
	       proc == NFS_RENAME || proc == NFS_LINK;
}

/* Which nodes' times, links and owners the call changes, and that now is when. */
static void
stamp(const struct act *a, uint64_t now)
{
	bool ns = is_namespace(a->proc) && a->effect;

	if (ns && a->d1)
		a->d1->touched = now;
	if (ns && a->d2)
		a->d2->touched = now;
	if (a->has_change || (a->proc == NFS_SETATTR && a->effect))
		a->n1->touched = now;
	if (a->proc == NFS_SETATTR && a->effect)
		a->n1->chattr = now;
	/* a change of links changes ctime */
	if (ns && a->n1)
		a->n1->touched = a->n1->linked = now;
	if (ns && a->n2)
		a->n2->touched = a->n2->linked = now;
}

/* Its times are no longer foretold. */
static void
forget_times(struct node *n, uint64_t now)
{
	if (!n || n->touched != now)
		return;
	n->mtime_known = false;
	n->excl = false;
}

static void
touch_all(const struct act *a, uint64_t now)
{
	stamp(a, now);
	forget_times(a->n1, now);
	forget_times(a->n2, now);
	forget_times(a->d1, now);
	forget_times(a->d2, now);
}

static void
hold(struct node *n, bool links, bool dying, bool exclusive)
{
	if (!n)
		return;
	assert(!links || !n->busy_links);
	n->busy_links |= links;
	n->dying |= dying;
	n->exclusive |= exclusive;
}

void
act_launch(struct act *a)
{
	struct run *r = a->run;
	struct world *w = &r->world;
	uint64_t now = a->issue;

	assert(now);
	a->first_issue = now;
	a->state = ACT_AIR;
	a->lane->busy++;
	hold_slot(a->s1, now, a->effect);
	hold_slot(a->s2, now, a->effect);
	hold(a->n1, a->held_links1, a->held_dying1, a->held_excl1);
	hold(a->n2, a->held_links2, a->held_dying2, a->held_excl2);
	if (a->held_attr)
		a->n1->busy_attr = true;
	if (a->held_move)
		w->dir_rename = true;
	if (a->has_change)
		a->n1->writers++;
	touch_all(a, now);
	struct node *known[] = { a->n1, a->n2, a->d1, a->d2 };
	for (size_t i = 0; i < 4; i++)
		if (known[i])
			node_pin(known[i]);
	if (a->d1)
		a->d1->users++;
	if (a->d2)
		a->d2->users++;
	r->tally.calls++;
	r->tally.by_proc[a->proc]++;
	a->record = history_call(r->history, a, r->round);
}

static void
apply_attr(struct node *n, const struct nfs_attr *attr)
{
	n->attr_known = true;
	n->mode = attr->mode;
	n->uid = attr->uid;
	n->gid = attr->gid;
}

static void
apply_sattr(struct act *a)
{
	struct node *n = a->n1;

	if (a->sattr.set & NFS_SET_MODE)
		n->mode = a->sattr.mode;
	if (a->sattr.set & NFS_SET_UID)
		n->uid = a->sattr.uid;
	if (a->sattr.set & NFS_SET_GID)
		n->gid = a->sattr.gid;
	/* only where nothing else touched it since the call */
	n->mtime_known = a->calm && a->sattr.set & NFS_SET_MTIME && n->touched == a->issue;
	n->mtime = a->sattr.mtime;
}

void
act_apply(struct act *a, const struct nfs_fh *fh, const struct nfs_attr *attr)
{
	struct world *w = &a->run->world;

	assert(a->effect);
	switch (a->proc) {
	case NFS_CREATE:
		if (!a->made)
			break; /* of a name that was there: has_change, or nothing at all */
		a->made->excl = a->how == NFS_EXCLUSIVE;
		a->made->verf = a->verf;
		a->made->content.size = a->sattr.set & NFS_SET_SIZE ? a->sattr.size : 0;
		__attribute__((fallthrough));
	case NFS_MKDIR:
	case NFS_SYMLINK:
	case NFS_MKNOD:
		node_born(w, a->made, fh, attr ? attr->fileid : 0);
		if (attr)
			apply_attr(a->made, attr);
		a->made->touched = w->clock;
		slot_hold(w, a->s1, a->made);
		a->made = NULL;
		break;
	case NFS_REMOVE:
	case NFS_RMDIR:
		slot_release(w, a->s1);
		break;
	case NFS_RENAME:
		slot_move(w, a->s1, a->s2);
		break;
	case NFS_LINK:
		slot_hold(w, a->s1, a->n1);
		break;
	case NFS_SETATTR:
		if (!a->has_change)
			apply_sattr(a);
		break;
	default:
		break;
	}
}

/*
 * After a check its change of contents is part of the base, or it is not there;
 * now the change may come (again), or the server may know that it has answered.
 */
void
act_resend(struct act *a, bool checked)
{
	struct world *w = &a->run->world;
	struct slot *slots[] = { a->s1, a->s2 };

	a->resent = true;
	a->calm = false; /* others are sent again beside it */
	a->issue = world_tick(w);
	for (size_t i = 0; i < 2; i++)
		if (slots[i] && a->effect)
			slots[i]->changed = a->issue;
	touch_all(a, a->issue);
	if (!checked || !a->has_change)
		return;
	a->change = a->proc == NFS_WRITE ?
	                content_write(&a->n1->content, a->id, a->off, a->len, a->issue) :
	                content_trunc(&a->n1->content, a->sattr.size, a->issue);
	a->n1->content.change[a->change].weak = true;
}

void
act_void(struct act *a)
{
	if (a->has_change)
		a->n1->content.change[a->change].void_ = true;
}

static void
let_go(struct node *n, bool links, bool dying, bool exclusive)
{
	if (!n)
		return;
	if (links)
		n->busy_links = false;
	if (dying)
		n->dying = n->gone;
	if (exclusive)
		n->exclusive = false;
}

void
act_finish(struct act *a)
{
	struct world *w = &a->run->world;
	struct node *known[] = { a->n1, a->n2, a->d1, a->d2 };
	struct slot *slots[] = { a->s1, a->s2 };

	/* what was asked for before now may have seen it as it was */
	stamp(a, w->clock);
	for (size_t i = 0; i < 2; i++) {
		if (!slots[i])
			continue;
		slots[i]->busy = false;
		if (a->effect)
			slots[i]->changed = w->clock;
	}
	let_go(a->n1, a->held_links1, a->held_dying1, a->held_excl1);
	let_go(a->n2, a->held_links2, a->held_dying2, a->held_excl2);
	if (a->held_attr)
		a->n1->busy_attr = false;
	if (a->held_move)
		w->dir_rename = false;
	if (a->has_change)
		a->n1->writers--;
	if (a->d1)
		a->d1->users--;
	if (a->d2)
		a->d2->users--;
	for (size_t i = 0; i < 4; i++)
		if (known[i])
			node_unpin(w, known[i]);
	if (a->made)
		node_drop(w, a->made);
	free(a->data);
	a->data = NULL;
	a->state = ACT_FREE;
	a->lane->busy--;
}
