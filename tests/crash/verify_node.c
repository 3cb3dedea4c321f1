/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes and data of every node, through the handle it had before the crash. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/check.h"

enum { UNCHANGED_READ_PERCENT = 30, KEPT_READ_PERCENT = 15 };

static const struct view after_crash = { .crashed = true };

static void
fail(struct job *j, const char *what)
{
	struct node *n = j->n;

	run_fail(j->check->run, n->id, n->type == NFS_DIR ? n->parent->id : 0, "n%u: %s", n->id, what);
}

static bool
ok(struct job *j, const struct nfs_result *res)
{
	char what[64];

	if (res->status == NFS_OK)
		return true;
	snprintf(what, sizeof(what), "%s answers %s", nfs_proc_name(j->call.proc),
	         nfs_status_name(res->status));
	fail(j, what);
	return false;
}

/* ---- data */

static void
data_again(struct job *j)
{
	nfs_read(&j->call, j->conn, &j->n->fh, j->off, j->count);
	job_started(j);
}

/* The next piece of the next range; nothing when all is read. */
static void
data_next(struct job *j)
{
	struct rng *rng = &j->check->run->world.rng;
	uint64_t left;

	while (j->range < j->nranges) {
		struct byte_range *b = &j->ranges[j->range];

		if (j->off < b->off)
			j->off = b->off;
		left = b->off + b->len - j->off;
		if (j->off < b->off + b->len) {
			uint64_t count = rng_percent(rng, 70) ? 1 << 20 : rng_between(rng, 1, 200000);

			j->count = (uint32_t)(count < left ? count : left);
			data_again(j);
			return;
		}
		j->range++;
	}
}

static void
data_step(struct job *j, struct nfs_result *res)
{
	struct run *r = j->check->run;
	char why[400];
	uint64_t end = j->off + res->count;

	if (!ok(j, res))
		return;
	if (!res->count || res->count > j->count || end > j->attr.size) {
		snprintf(why, sizeof(why), "READ of %" PRIu64 "+%u brought %u bytes, size is %" PRIu64,
		         j->off, j->count, res->count, j->attr.size);
		fail(j, why);
		return;
	}
	if (res->eof != (end == j->attr.size)) {
		snprintf(why, sizeof(why), "READ of %" PRIu64 "+%u says %s, size is %" PRIu64, j->off,
		         j->count, res->eof ? "the end" : "not the end", j->attr.size);
		fail(j, why);
		return;
	}
	if (content_check(&j->n->content, &after_crash, j->off, res->data, res->count, j->gather,
	                  &r->tally.torn, why, sizeof(why)) < 0) {
		fail(j, why);
		return;
	}
	j->off = end;
	data_next(j);
}

/* Of what nobody has changed since the last check only some is read. */
static void
data_start(struct job *j, uint32_t unchanged_percent)
{
	struct check *c = j->check;
	struct content *k = &j->n->content;
	int max = (int)(k->nseg + k->nchange) + 8;

	content_begin(k);
	j->gather = k->nchange > 0;
	if (!j->gather && !c->all_data &&
	    !rng_percent(&c->run->world.rng, unchanged_percent))
		return;
	free(j->ranges);
	j->ranges = calloc((size_t)max, sizeof(*j->ranges));
	if (!j->ranges)
		abort();
	j->nranges = content_ranges(k, j->attr.size, j->ranges, max);
	j->range = 0;
	j->off = 0;
	j->step = data_step;
	j->again = data_again;
	data_next(j);
}

/* ---- symlinks and ".." */

static void
target_again(struct job *j)
{
	nfs_readlink(&j->call, j->conn, &j->n->fh);
	job_started(j);
}

static void
target_step(struct job *j, struct nfs_result *res)
{
	const char *target = j->n->target;

	if (ok(j, res) &&
	    (res->data_len != strlen(target) || memcmp(res->data, target, res->data_len) != 0))
		fail(j, "another target than it was made with");
}

static void
target_start(struct job *j)
{
	j->step = target_step;
	j->again = target_again;
	target_again(j);
}

static void
parent_again(struct job *j)
{
	nfs_lookup(&j->call, j->conn, &j->n->fh, "..");
	job_started(j);
}

static void
parent_step(struct job *j, struct nfs_result *res)
{
	struct node *n = j->n;
	char what[160];

	if (!ok(j, res) || nfs_fh_equal(&res->fh, &n->parent->fh))
		return;
	snprintf(what, sizeof(what), "\"..\" is fileid %" PRIu64 ", it lies in d%u (%" PRIu64 ")",
	         res->has_attr ? res->attr.fileid : 0, n->parent->id, n->parent->fileid);
	fail(j, what);
}

/* ---- attributes */

static struct act *
setattr_in_doubt(struct run *r, const struct node *n)
{
	for (uint32_t i = 0; i < ACTS && n->busy_attr; i++) {
		struct act *a = &r->act[i];

		if (a->state == ACT_AIR && a->held_attr && a->n1 == n)
			return a->effect && !a->applied ? a : NULL;
	}
	return NULL;
}

static bool
owner_equal(const struct nfs_attr *attr, uint32_t mode, uint32_t uid, uint32_t gid)
{
	return attr->mode == mode && attr->uid == uid && attr->gid == gid;
}

/* Did it happen?  All fields new is yes, all old is no; a mixture fails below. */
static void
settle_attr(struct run *r, struct node *n, const struct nfs_attr *attr)
{
	struct act *a = setattr_in_doubt(r, n);
	const struct nfs_sattr *s;
	bool timed;

	if (!a)
		return;
	s = &a->sattr;
	r->tally.doubt++;
	timed = s->set & NFS_SET_MTIME && a->calm && n->touched == a->issue;
	/* as good as not there: its answer will tell, if it is sent again */
	if (!timed && owner_equal(attr, n->mode, n->uid, n->gid))
		return;
	if (!owner_equal(attr, s->set & NFS_SET_MODE ? s->mode : n->mode,
	                 s->set & NFS_SET_UID ? s->uid : n->uid,
	                 s->set & NFS_SET_GID ? s->gid : n->gid) ||
	    (timed && attr->mtime != s->mtime))
		return;
	act_apply(a, NULL, NULL);
	a->applied = true;
	r->tally.doubt_done++;
}

static bool
untouched(const struct world *w, const struct node *n)
{
	return n->base_known && n->touched <= w->round_start && n->linked <= w->round_start &&
	       n->chattr <= w->round_start;
}

static void
compare_base(struct job *j, const struct nfs_attr *attr)
{
	const struct nfs_attr *b = &j->n->base;
	char what[200];

	if (attr->mtime != b->mtime || attr->ctime != b->ctime || attr->size != b->size ||
	    attr->rdev != b->rdev) {
		snprintf(what, sizeof(what),
		         "nobody touched it, but size %" PRIu64 " mtime %" PRIu64 " ctime %" PRIu64
		         " were %" PRIu64 " %" PRIu64 " %" PRIu64,
		         attr->size, attr->mtime, attr->ctime, b->size, b->mtime, b->ctime);
		fail(j, what);
	}
}

static bool
compare_attr(struct job *j, const struct nfs_attr *attr)
{
	struct run *r = j->check->run;
	struct node *n = j->n;
	char what[512] = "";
	int m;

	if (attr->type != n->type || (n->fileid && attr->fileid != n->fileid))
		snprintf(what, sizeof(what), "type %u fileid %" PRIu64 " instead of %u %" PRIu64,
		         attr->type, attr->fileid, n->type, n->fileid);
	else if (attr->nlink != n->links)
		snprintf(what, sizeof(what), "nlink %u instead of %u", attr->nlink, n->links);
	else if (n->attr_known && !owner_equal(attr, n->mode, n->uid, n->gid))
		snprintf(what, sizeof(what), "mode %o owner %u.%u instead of %o %u.%u%s", attr->mode,
		         attr->uid, attr->gid, n->mode, n->uid, n->gid,
		         n->busy_attr ? ", and not those of the SETATTR without an answer" : "");
	else if (n->mtime_known && attr->mtime != n->mtime)
		snprintf(what, sizeof(what), "mtime %" PRIu64 ", it was set to %" PRIu64, attr->mtime,
		         n->mtime);
	else if (n->type == NFS_LNK && attr->size != strlen(n->target))
		snprintf(what, sizeof(what), "a symlink's size is %" PRIu64 ", its target has %zu",
		         attr->size, strlen(n->target));
	else if (n->type == NFS_REG && !content_size_ok(&n->content, &after_crash, attr->size)) {
		m = snprintf(what, sizeof(what), "size %" PRIu64 ", possible are", attr->size);
		content_sizes(&n->content, &after_crash, what + m, sizeof(what) - (size_t)m);
	}
	if (what[0])
		fail(j, what);
	else if (untouched(&r->world, n))
		compare_base(j, attr);
	return !r->failed;
}

static void
attr_again(struct job *j)
{
	nfs_getattr(&j->call, j->conn, &j->n->fh);
	job_started(j);
}

static void
attr_step(struct job *j, struct nfs_result *res)
{
	struct node *n = j->n;

	if (!ok(j, res))
		return;
	settle_attr(j->check->run, n, &res->attr);
	if (!compare_attr(j, &res->attr))
		return;
	j->attr = n->base = res->attr;
	n->base_known = true;
	n->fileid = res->attr.fileid;
	if (n->type == NFS_REG) {
		data_start(j, UNCHANGED_READ_PERCENT);
	} else if (n->type == NFS_LNK) {
		target_start(j);
	} else if (n->type == NFS_DIR && n->parent != n) {
		j->step = parent_step;
		j->again = parent_again;
		parent_again(j);
	}
}

/* The running server's verifier says whether it may have lost what was not committed. */
static void
verf_again(struct job *j)
{
	nfs_commit(&j->call, j->conn, &j->n->fh, 0, 0);
	job_started(j);
}

static void
verf_step(struct job *j, struct nfs_result *res)
{
	if (!ok(j, res))
		return;
	content_verifier(&j->n->content, res->verf);
	j->step = attr_step;
	j->again = attr_again;
	attr_again(j);
}

bool
check_node_start(struct check *c, struct job *j)
{
	struct world *w = &c->run->world;

	if (c->next == w->nnodes)
		return false;
	j->n = w->node[c->next++];
	if (j->n->type == NFS_REG && j->n->content.nchange) {
		j->step = verf_step;
		j->again = verf_again;
	} else {
		j->step = attr_step;
		j->again = attr_again;
	}
	j->again(j);
	return true;
}

static void
adopt(struct node *n)
{
	if (n->type == NFS_REG && n->content.nchange)
		content_settled(&n->content, n->base.size);
	n->attr_known = true;
	n->mode = n->base.mode;
	n->uid = n->base.uid;
	n->gid = n->base.gid;
	n->mtime_known = false; /* the base holds it from now on */
}

void
check_node_adopt(struct run *r)
{
	struct world *w = &r->world;

	for (uint32_t i = 0; i < w->nnodes; i++)
		adopt(w->node[i]);
	for (uint32_t i = 0; i < GONE_MAX; i++)
		if (w->gone[i].node)
			adopt(w->gone[i].node);
	w->round_start = world_tick(w);
}

/* ---- handles of what is gone */

static void
gone_again(struct job *j)
{
	nfs_getattr(&j->call, j->conn, &j->gone->fh);
	job_started(j);
}

/* What is in the trash is what it was when it was removed: nothing there changes it, whatever background work does. */
static void
kept_look(struct job *j, const struct nfs_attr *attr)
{
	const struct world *w = &j->check->run->world;
	struct node *n = j->gone->node;
	char what[400] = "";
	int m;

	j->n = n;
	if (attr->type != n->type || (n->fileid && attr->fileid != n->fileid))
		snprintf(what, sizeof(what), "in the trash, type %u fileid %" PRIu64 " instead of %u %" PRIu64, attr->type, attr->fileid,
		         n->type, n->fileid);
	else if (n->attr_known && n->chattr <= w->round_start && !owner_equal(attr, n->mode, n->uid, n->gid))
		snprintf(what, sizeof(what), "in the trash, mode %o owner %u.%u instead of %o %u.%u", attr->mode, attr->uid, attr->gid,
		         n->mode, n->uid, n->gid);
	else if (n->type == NFS_REG && !content_size_ok(&n->content, &after_crash, attr->size)) {
		m = snprintf(what, sizeof(what), "in the trash, size %" PRIu64 ", possible are", attr->size);
		content_sizes(&n->content, &after_crash, what + m, sizeof(what) - (size_t)m);
	}
	if (what[0])
		fail(j, what);
	else if (untouched(w, n))
		compare_base(j, attr);
	if (j->check->run->failed)
		return;
	j->attr = n->base = *attr;
	n->base_known = true;
	n->fileid = attr->fileid;
	if (n->type == NFS_REG)
		data_start(j, KEPT_READ_PERCENT);
	else if (n->type == NFS_LNK)
		target_start(j);
}

static void
gone_step(struct job *j, struct nfs_result *res)
{
	struct run *r = j->check->run;
	bool stale = res->status == NFSERR_STALE;

	if (!stale && !(r->trash && res->status == NFS_OK))
		run_fail(r, j->gone->id, 0, "n%u was removed, its handle answers %s", j->gone->id, nfs_status_name(res->status));
	else if (stale && r->trash == TRASH_LONG)
		run_fail(r, j->gone->id, 0, "n%u was removed, and is lost: it should be in the trash", j->gone->id);
	else if (!stale && res->attr.nlink != (res->attr.type == NFS_DIR ? 2 : 1))
		run_fail(r, j->gone->id, 0, "n%u is in the trash with %u links", j->gone->id, res->attr.nlink);
	else if (j->gone->node)
		kept_look(j, &res->attr);
}

bool
check_gone_start(struct check *c, struct job *j)
{
	struct world *w = &c->run->world;
	uint32_t n = w->ngone < GONE_MAX ? w->ngone : GONE_MAX;

	if (c->next == n)
		return false;
	j->gone = &w->gone[c->next++];
	j->n = NULL;
	j->step = gone_step;
	j->again = gone_again;
	gone_again(j);
	return true;
}
