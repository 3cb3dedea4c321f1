/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   list    a page of names, share by share, own objects and then packs
 *   look    object by object: whether there is a record of it
 *   delete  those of the page that are leaked
 *   pause   clients come first
 */
#include "meta/gc.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/file_core.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "store/claim.h"

#define PAUSE_NS (5 * MSEC_NS)

enum gc_stage { GC_PAUSED, GC_LISTED, GC_LOOKED, GC_DELETED };

struct gc {
	enum gc_stage stage;
	bool stopping;
	struct gc_report report;
	struct timer timer;
	struct op step;
	struct obj_req list, del;
	struct obj_entry *page;
	int share, kind;             /* what is listed */
	bool more;                   /* pages of it */
	int at;                      /* in the page */
	bool asked;                  /* for the record of that one */
	struct object_id id;         /* of that one */
	struct kv_get get;
	uint8_t val[8];
	char (*name)[OBJECT_NAME_MAX]; /* leaked ones of the page */
	int nnames;
	struct gc_count doomed;
};

static __thread struct gc *mine;

static void
count(struct gc_count *c, const struct obj_entry *e)
{
	c->objects++;
	c->bytes += e->size;
}

/* ---- list */

static enum op_state
list(struct gc *g)
{
	static const char *const kinds[] = { "chunks/", "packs/" };
	const char *prefix = share_prefix_at(g->share);
	struct obj_req *r = &g->list;
	char after[OBJ_NAME] = "";

	if (g->more)
		memcpy(after, g->page[r->nentries - 1].name, sizeof(after));
	memset(r, 0, sizeof(*r));
	r->store = file_options()->store;
	snprintf(r->name, sizeof(r->name), "%s%s%s", prefix, *prefix ? "/" : "", kinds[g->kind]);
	memcpy(r->after, after, sizeof(r->after));
	r->entry = g->page;
	r->nentries = LIST_MAX;
	return r->store->ops->list(r, &g->step);
}

/* Another page, another kind, another share; false: that was all. */
static bool
advance(struct gc *g)
{
	g->more = g->list.more && g->list.nentries > 0;
	if (g->more)
		return true;
	if (g->kind++ == 0)
		return true;
	g->kind = 0;
	return ++g->share < share_count();
}

/* ---- look */

static bool
is_recent(const struct gc *g, const struct obj_entry *e)
{
	uint64_t id = g->id.pack ? g->id.pack : g->id.slice;

	return id >= file_options()->slice_floor || e->mtime_s + g->report.opts.age_s > (uint64_t)time(NULL);
}

static void
judge(struct gc *g, const struct obj_entry *e, bool named)
{
	struct gc_report *r = &g->report;

	if (named) {
		count(&r->valid, e);
	} else if (is_recent(g, e)) {
		count(&r->recent, e);
	} else {
		count(&r->leaked, e);
		count(&g->doomed, e);
		memcpy(g->name[g->nnames++], e->name, OBJECT_NAME_MAX);
	}
}

static enum op_state
look_up(struct gc *g)
{
	uint8_t key[KV_KEY_MAX];
	size_t klen = g->id.pack ? key_pack(key, g->id.pack) : key_block(key, g->id.slice, g->id.index);

	g->asked = true;
	return kv_get(&g->get, key, klen, g->val, sizeof(g->val), &g->step);
}

/* Until the page is through. */
static enum op_state
look(struct gc *g)
{
	for (; g->at < g->list.nentries; g->at++) {
		const struct obj_entry *e = &g->page[g->at];

		if (!g->asked) {
			count(&g->report.scanned, e);
			if (!object_name_parse(e->name, share_prefix_at(g->share), &g->id)) {
				count(&g->report.foreign, e);
				continue;
			}
			if (look_up(g) == OP_PENDING)
				return OP_PENDING;
		}
		g->asked = false;
		if (g->step.res < 0 && g->step.res != -ENOENT)
			return OP_DONE;
		judge(g, e, g->step.res != -ENOENT);
	}
	return op_done(&g->step, 0);
}

/* ---- delete */

static enum op_state
delete_leaked(struct gc *g)
{
	if (!g->report.opts.delete || g->nnames == 0)
		return op_done(&g->step, 0);
	memset(&g->del, 0, sizeof(g->del));
	g->del.store = file_options()->store;
	g->del.names = g->name;
	g->del.nnames = g->nnames;
	return claim_del(&g->del, &g->step);
}

static void
count_deleted(struct gc *g)
{
	if (!g->report.opts.delete)
		return;
	g->report.deleted.objects += g->doomed.objects;
	g->report.deleted.bytes += g->doomed.bytes;
}

/* ---- the steps */

static void
finish(struct gc *g, int err)
{
	struct gc_report *r = &g->report;

	r->running = false;
	r->err = err;
	if (err < 0)
		log_warn("gc ended early: %s", objstore_error(err));
	else
		log_info("gc: %lu objects, %lu leaked, %lu deleted", r->scanned.objects, r->leaked.objects, r->deleted.objects);
	free(g->page);
	free(g->name);
	g->page = NULL;
	g->name = NULL;
}

static void
gc_run(struct gc *g)
{
	for (;;) {
		switch (g->stage) {
		case GC_PAUSED:
			if (g->stopping) {
				finish(g, -ECANCELED);
				return;
			}
			g->stage = GC_LISTED;
			if (list(g) == OP_PENDING)
				return;
			fallthrough;
		case GC_LISTED:
			if (g->step.res < 0)
				goto failed;
			g->at = g->nnames = 0;
			g->doomed = (struct gc_count){ 0 };
			g->stage = GC_LOOKED;
			fallthrough;
		case GC_LOOKED:
			if (look(g) == OP_PENDING)
				return;
			if (g->step.res < 0)
				goto failed;
			g->stage = GC_DELETED;
			if (delete_leaked(g) == OP_PENDING)
				return;
			fallthrough;
		case GC_DELETED:
			if (g->step.res < 0)
				goto failed;
			count_deleted(g);
			if (!advance(g)) {
				finish(g, 0);
				return;
			}
			g->stage = GC_PAUSED;
			timer_start(&g->timer, PAUSE_NS, &g->step);
			return;
		}
	}
failed:
	finish(g, g->step.res);
}

static void
gc_resume(struct op *step)
{
	gc_run(container_of(step, struct gc, step));
}

int
gc_start(const struct gc_opts *opts)
{
	struct gc *g = mine;

	assert(reactor_core() == 0);
	if (g->report.running || g->stopping)
		return -EBUSY;
	g->page = calloc(LIST_MAX, sizeof(*g->page));
	g->name = calloc(LIST_MAX, sizeof(*g->name));
	if (!g->page || !g->name) {
		free(g->page);
		free(g->name);
		return -ENOMEM;
	}
	g->report = (struct gc_report){ .running = true, .opts = *opts };
	g->share = g->kind = 0;
	g->more = g->asked = false;
	g->stage = GC_PAUSED;
	timer_start(&g->timer, 0, &g->step);
	return 0;
}

void
gc_report(struct gc_report *r)
{
	assert(reactor_core() == 0);
	*r = mine->report;
}

bool
gc_quit(void)
{
	struct gc *g = mine;

	if (!g)
		return true;
	g->stopping = true;
	if (g->report.running && timer_stop(&g->timer))
		finish(g, -ECANCELED);
	return !g->report.running;
}

int
gc_init(void)
{
	if (reactor_core() != 0)
		return 0;
	mine = calloc(1, sizeof(*mine));
	if (!mine)
		return -ENOMEM;
	mine->step.resume = gc_resume;
	return 0;
}

void
gc_fini(void)
{
	assert(!mine || !mine->report.running);
	free(mine);
	mine = NULL;
}
