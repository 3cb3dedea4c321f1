/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash/check.h"

int
check_phase(struct check *c, bool (*start)(struct check *c, struct job *j))
{
	uint64_t end = rpc_now_ns() + CHECK_TIMEOUT_MS * 1000000ull;
	bool more = true;

	c->next = 0;
	for (;;) {
		uint32_t busy = 0;

		for (uint32_t i = 0; i < JOBS; i++) {
			struct job *j = &c->job[i];

			/* a start may find nothing to send and leave the job free */
			while (more && !j->busy && !c->run->failed && !c->lost)
				more = start(c, j);
			busy += j->busy;
		}
		if (c->lost)
			return -ECONNRESET;
		if (c->run->failed)
			return -1;
		if (!busy && !more)
			return 0;
		rpc_loop_run(&c->run->loop, 10);
		if (rpc_now_ns() > end) {
			run_fail(c->run, 0, 0, "the check got no answer for %d s",
			         CHECK_TIMEOUT_MS / 1000);
			return -1;
		}
	}
}

static void
job_done(struct rpc_call *call)
{
	struct job *j = (struct job *)(void *)call;
	struct run *r = j->check->run;
	struct nfs_result res;
	int err;

	j->busy = false;
	if (call->res == -ECONNRESET || r->failed)
		return;
	err = nfs_result(call, &res);
	if (err)
		run_fail(r, j->n ? j->n->id : 0, 0, "%s: %s", nfs_proc_name(call->proc),
		         err == -EPROTO ? "refused by the RPC layer" : "malformed answer");
	else if (res.status == NFSERR_JUKEBOX ||
	         (res.status == NFSERR_SERVERFAULT && !r->opt.strict)) {
		r->tally.jukebox++;
		j->again(j);
	} else {
		j->step(j, &res);
	}
}

void
job_started(struct job *j)
{
	j->busy = true;
}

/* ---- nodes whose fileid no answer has told yet */

static void
learn_again(struct job *j)
{
	nfs_getattr(&j->call, j->conn, &j->n->fh);
	job_started(j);
}

static void
learn_step(struct job *j, struct nfs_result *res)
{
	if (res->status == NFS_OK)
		j->n->fileid = res->attr.fileid;
	else if (res->status != NFSERR_STALE || !j->n->dying)
		run_fail(j->check->run, j->n->id, 0, "n%u was made, GETATTR answers %s", j->n->id,
		         nfs_status_name(res->status));
}

static bool
learn_start(struct check *c, struct job *j)
{
	struct world *w = &c->run->world;

	while (c->next < w->nnodes) {
		struct node *n = w->node[c->next++];

		if (n->fileid)
			continue;
		j->n = n;
		j->step = learn_step;
		j->again = learn_again;
		learn_again(j);
		return true;
	}
	return false;
}

/* ---- names */

static void list_page(struct job *j);

static void
list_entry(struct job *j, const struct nfs_dirent *e)
{
	struct node *dir = j->n;
	struct slot *s = dir_find(dir, e->name, e->name_len);
	struct run *r = j->check->run;

	if (!s && e->name_len == 1 && e->name[0] == '.') {
		if (dir->fileid && e->fileid != dir->fileid)
			run_fail(r, dir->id, 0, "\".\" of d%u is %" PRIu64 ", not %" PRIu64, dir->id,
			         e->fileid, dir->fileid);
		return;
	}
	if (!s && e->name_len == 2 && memcmp(e->name, "..", 2) == 0)
		return; /* LOOKUP asks for it, after what is in doubt is settled */
	if (!s) {
		run_fail(r, dir->id, 0, "d%u lists \"%.*s\", which was never made", dir->id,
		         (int)e->name_len, e->name);
		return;
	}
	if (s->seen_fileid)
		run_fail(r, dir->id, s->node ? s->node->id : 0, "d%u lists \"%s\" twice", dir->id,
		         s->name);
	s->seen_fileid = e->fileid;
	if (!e->fileid)
		run_fail(r, dir->id, 0, "d%u lists \"%s\" with fileid 0", dir->id, s->name);
}

/* A directory may be gone only where its removal is in doubt. */
static void
list_step(struct job *j, struct nfs_result *res)
{
	struct run *r = j->check->run;
	struct nfs_dirent e = { .cookie = j->cookie };
	uint64_t last = j->cookie;
	int n = 0;

	if (res->status == NFSERR_STALE && j->n->dying)
		return;
	if (res->status != NFS_OK) {
		run_fail(r, j->n->id, 0, "%s of d%u: %s", nfs_proc_name(j->call.proc), j->n->id,
		         nfs_status_name(res->status));
		return;
	}
	while (nfs_dirent_next(res, j->plus, &e) > 0) {
		list_entry(j, &e);
		last = e.cookie;
		n++;
	}
	j->cookie = last;
	j->verf = res->verf;
	if (res->eof)
		j->n->checked = r->checks;
	else if (n)
		list_page(j);
	else
		run_fail(r, j->n->id, 0, "a page of d%u with no entry and no end", j->n->id);
}

static void
list_page(struct job *j)
{
	if (j->plus)
		nfs_readdirplus(&j->call, j->conn, &j->n->fh, j->cookie, j->verf, j->count, j->count);
	else
		nfs_readdir(&j->call, j->conn, &j->n->fh, j->cookie, j->verf, j->count);
	job_started(j);
}

/* nfs-ganesha fails where the end mark does not fit the reply: it gets more room. */
static void
list_again(struct job *j)
{
	if (!j->check->run->opt.strict)
		j->count += 512;
	list_page(j);
}

static bool
list_start(struct check *c, struct job *j)
{
	struct world *w = &c->run->world;

	while (c->next < w->nnodes) {
		struct node *n = w->node[c->next++];

		if (n->type != NFS_DIR || n->checked == c->run->checks)
			continue;
		for (uint32_t i = 0; i < n->nslots; i++)
			n->slot[i].seen_fileid = n->slot[i].seen_fh.len = 0;
		j->n = n;
		j->cookie = j->verf = 0;
		j->plus = rng_percent(&w->rng, 50);
		j->count = (uint32_t)rng_between(&w->rng, 2048, 40000);
		j->step = list_step;
		j->again = list_again;
		list_page(j);
		return true;
	}
	return false;
}

/* ---- what is in doubt */

static void
doubt_again(struct job *j)
{
	nfs_lookup(&j->call, j->conn, &j->s->dir->fh, j->s->name);
	job_started(j);
}

static void
doubt_step(struct job *j, struct nfs_result *res)
{
	struct slot *s = j->s;

	if (res->status != NFS_OK || !res->has_attr || res->attr.fileid != s->seen_fileid) {
		run_fail(j->check->run, s->dir->id, 0, "d%u lists \"%s\", LOOKUP says %s or another file",
		         s->dir->id, s->name, nfs_status_name(res->status));
		return;
	}
	s->seen_fh = res->fh;
	for (uint32_t i = 0; i < ACTS; i++) {
		struct act *a = &j->check->run->act[i];

		if (a->state != ACT_AIR || a->s1 != s || !a->made)
			continue;
		if (res->attr.type != a->made->type ||
		    (a->sattr.set & NFS_SET_MODE && res->attr.mode != a->sattr.mode)) {
			run_fail(j->check->run, a->made->id, s->dir->id,
			         "n%u was made with type %u mode %o, asked for were %u %o",
			         a->made->id, res->attr.type, res->attr.mode, a->made->type,
			         a->sattr.mode);
			return;
		}
		act_apply(a, &res->fh, &res->attr);
		a->applied = true;
	}
}

/* Asks for the handles of nodes that a call without an answer has made. */
static bool
doubt_start(struct check *c, struct job *j)
{
	while (c->next < ACTS) {
		struct act *a = &c->run->act[c->next++];

		if (a->state != ACT_AIR || !a->made || !a->s1->seen_fileid)
			continue;
		j->s = a->s1;
		j->n = a->d1;
		j->step = doubt_step;
		j->again = doubt_again;
		doubt_again(j);
		return true;
	}
	return false;
}

static uint64_t
fileid_in(const struct slot *s)
{
	return s->node ? s->node->fileid : 0;
}

/* Wholly there, or wholly not: -1 when it is neither. */
static int
happened(const struct act *a)
{
	uint64_t seen1 = a->s1->seen_fileid, seen2 = a->s2 ? a->s2->seen_fileid : 0;

	switch (a->proc) {
	case NFS_REMOVE:
	case NFS_RMDIR:
		return seen1 == 0 ? 1 : seen1 == a->n1->fileid ? 0 : -1;
	case NFS_LINK:
		return seen1 == a->n1->fileid ? 1 : seen1 == 0 ? 0 : -1;
	case NFS_RENAME:
		if (seen1 == 0 && seen2 == a->n1->fileid)
			return 1;
		return seen1 == a->n1->fileid && seen2 == fileid_in(a->s2) ? 0 : -1;
	default:
		return 0; /* what was made is found by doubt_start */
	}
}

static void
settle_names(struct run *r)
{
	for (uint32_t i = 0; i < ACTS && !r->failed; i++) {
		struct act *a = &r->act[i];
		int done;

		if (a->state != ACT_AIR || !a->effect || a->applied || !a->s1 || a->has_change)
			continue;
		r->tally.doubt++;
		done = happened(a);
		if (done < 0) {
			run_fail(r, a->n1->id, a->n2 ? a->n2->id : a->d1->id,
			         "%s without an answer is half done: \"%s\" of d%u is fileid %" PRIu64
			         ", \"%s\" is %" PRIu64 "; n%u is %" PRIu64,
			         nfs_proc_name(a->proc), a->s1->name, a->d1->id,
			         a->s1->seen_fileid, a->s2 ? a->s2->name : "-",
			         a->s2 ? a->s2->seen_fileid : 0, a->n1->id, a->n1->fileid);
			return;
		}
		if (done) {
			act_apply(a, NULL, NULL);
			a->applied = true;
			r->tally.doubt_done++;
		}
	}
}

static void
compare_slot(struct run *r, const struct slot *s)
{
	const struct node *n = s->node;

	if (fileid_in(s) == s->seen_fileid)
		return;
	if (!n)
		run_fail(r, s->dir->id, 0, "\"%s\" in d%u is there (fileid %" PRIu64 "), it should not",
		         s->name, s->dir->id, s->seen_fileid);
	else if (!s->seen_fileid)
		run_fail(r, n->id, s->dir->id, "\"%s\" in d%u (n%u) is lost", s->name, s->dir->id,
		         n->id);
	else
		run_fail(r, n->id, s->dir->id,
		         "\"%s\" in d%u is fileid %" PRIu64 ", n%u is %" PRIu64, s->name, s->dir->id,
		         s->seen_fileid, n->id, n->fileid);
}

static void
compare_names(struct run *r)
{
	struct world *w = &r->world;

	for (uint32_t i = 0; i < w->nnodes && !r->failed; i++) {
		struct node *d = w->node[i];

		if (d->type != NFS_DIR)
			continue;
		if (d->checked != r->checks)
			run_fail(r, d->id, d->parent->id, "d%u is stale, it should not", d->id);
		for (uint32_t k = 0; k < d->nslots && !r->failed; k++)
			compare_slot(r, &d->slot[k]);
	}
}

/* ---- all of it */

static void
lost(struct rpc_conn *conn, int err)
{
	struct check *c = conn->user;

	(void)err;
	c->lost = true;
}

static int
check_run(struct check *c)
{
	struct run *r = c->run;
	int err = check_phase(c, learn_start);

	if (!err)
		err = check_phase(c, list_start);
	if (!err)
		err = check_phase(c, doubt_start);
	if (err)
		return err;
	settle_names(r);
	/* directories that were found just now must be empty */
	err = r->failed ? -1 : check_phase(c, list_start);
	if (err)
		return err;
	compare_names(r);
	if (!r->failed)
		err = check_phase(c, check_node_start);
	if (!r->failed && !err)
		err = check_phase(c, check_gone_start);
	if (!r->failed && !err && r->opt.usage)
		err = check_usage(c);
	return r->failed ? -1 : err;
}

int
verify_world(struct run *r, bool all_data)
{
	struct check *c = calloc(1, sizeof(*c));
	int err = 0;

	if (!c)
		abort();
	c->run = r;
	c->all_data = all_data;
	r->checks++;
	for (uint32_t i = 0; i < CHECK_LANES && !err; i++) {
		rpc_conn_init(&c->conn[i], &r->loop);
		c->conn[i].cred = &r->cred;
		c->conn[i].on_close = lost;
		c->conn[i].user = c;
		err = rpc_conn_open(&c->conn[i], &r->server.addr);
	}
	for (uint32_t i = 0; i < JOBS; i++) {
		c->job[i].call.done = job_done;
		c->job[i].check = c;
		c->job[i].conn = &c->conn[i % CHECK_LANES];
	}
	if (!err)
		err = check_run(c);
	for (uint32_t i = 0; i < CHECK_LANES; i++) {
		if (!c->conn[i].loop)
			continue;
		rpc_conn_close(&c->conn[i]);
		rpc_conn_abandon(&c->conn[i]);
	}
	for (uint32_t i = 0; i < JOBS; i++)
		free(c->job[i].ranges);
	free(c);
	if (!err)
		check_node_adopt(r);
	return err;
}
