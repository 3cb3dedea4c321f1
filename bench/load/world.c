/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests work on: folders, files, the data file.  What is there from an earlier run
 * with the same options is used again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/load.h"

enum { TIMEOUT_MS = 120000, SETUP_DEPTH = 256, PAGES = 512, CANNED_FH = 32 };

static const struct nfs_sattr file_mode = { .set = NFS_SET_MODE, .mode = 0644 };
static const struct nfs_sattr dir_mode = { .set = NFS_SET_MODE, .mode = 0755 };

/* "f00000017"; of what a worker makes also whose it is and of which run, so that none is there before. */
void
world_name(char name[LOAD_NAME], char kind, uint32_t worker, uint64_t id)
{
	uint32_t left = (uint32_t)id;

	if (kind != 'f') {
		snprintf(name, LOAD_NAME, "%c%u.%llx", kind, worker, (unsigned long long)id);
		return;
	}
	/* A LOOKUP is too short for printf to take a part of it. */
	name[0] = 'f';
	name[9] = '\0';
	for (int i = 8; i > 0; i--, left /= 10)
		name[i] = (char)('0' + left % 10);
}

/*
 * Page i of MiB b is page (97 b + i) of the pool: neighbours differ, a page in the wrong place
 * shows, and a MiB lies in one piece.
 */
const uint8_t *
world_page(const struct world *world, uint64_t off)
{
	return world->pool + (off / LOAD_IO_MAX * 97 % 256) * LOAD_PAGE + off % LOAD_IO_MAX;
}

void
world_connect(struct worker *w)
{
	const struct load_opts *o = w->o;
	int err = rpc_loop_init(&w->loop, LOAD_DEPTH * 2, (uint32_t)measure_now_ns() + (w->index << 28));

	if (err < 0)
		measure_fail("memory", -err);
	rpc_cred_sys(&w->cred, 0, 0, NULL, 0);
	for (uint32_t i = 0; i < w->nconns; i++) {
		rpc_conn_init(&w->conn[i], &w->loop);
		w->conn[i].cred = &w->cred;
		w->conn[i].congestion = o->congestion;
		err = rpc_conn_open(&w->conn[i], &o->addr);
		if (err < 0)
			measure_fail("connect", -err);
	}
	for (uint32_t i = 0; i < w->nconns; i++)
		for (int n = 0; w->conn[i].state != RPC_OPEN; n++) {
			if (n > 1000 || w->conn[i].state == RPC_CLOSED)
				measure_fail("the server does not take connections", 0);
			rpc_loop_run(&w->loop, 10);
		}
}

/* ---- one call at a time */

static struct once {
	struct rpc_call call;
	struct nfs_result result;
	bool done;
} one;

static void
on_once(struct rpc_call *call)
{
	int err = nfs_result(call, &one.result);

	if (err < 0)
		measure_fail(nfs_proc_name(call->proc), -err);
	one.done = true;
}

static struct rpc_call *
once(void)
{
	one.call.done = on_once;
	one.done = false;
	return &one.call;
}

/* Its status; the result is in one.result. */
static uint32_t
once_wait(struct worker *w)
{
	if (rpc_loop_until(&w->loop, &one.done, TIMEOUT_MS) < 0)
		measure_fail("no answer", ETIMEDOUT);
	return one.result.status;
}

static void
must(struct worker *w, const char *what)
{
	char msg[200];
	uint32_t status = once_wait(w);

	if (status != NFS_OK) {
		snprintf(msg, sizeof(msg), "%s: %s", what, nfs_status_name(status));
		measure_fail(msg, 0);
	}
}

void
world_commit(struct worker *w, const struct nfs_fh *fh)
{
	nfs_commit(once(), &w->conn[0], fh, 0, 0);
	must(w, "COMMIT");
}

static struct nfs_fh
folder(struct worker *w, const struct nfs_fh *parent, const char *name)
{
	uint32_t status;

	nfs_mkdir(once(), &w->conn[0], parent, name, &dir_mode);
	status = once_wait(w);
	if (status != NFS_OK && status != NFSERR_EXIST)
		must(w, name);
	nfs_lookup(once(), &w->conn[0], parent, name);
	must(w, name);
	return one.result.fh;
}

static struct nfs_fh
file(struct worker *w, const struct nfs_fh *parent, const char *name)
{
	nfs_create(once(), &w->conn[0], parent, name, NFS_UNCHECKED, &file_mode, 0);
	must(w, name);
	nfs_lookup(once(), &w->conn[0], parent, name);
	must(w, name);
	return one.result.fh;
}

/* ---- many calls: each lane goes through its steps for one number after the other */

struct lane {
	struct rpc_call call;
	struct crowd *crowd;
	uint64_t i;
};

struct crowd {
	struct worker *w;
	uint64_t next, end;
	uint32_t running;
	bool done;
	void (*start)(struct lane *l);                        /* the first call of l->i */
	bool (*finish)(struct lane *l, struct nfs_result *r); /* true: another call was started */
};

static void
lane_go(struct lane *l)
{
	struct crowd *c = l->crowd;

	if (c->next == c->end) {
		c->done = --c->running == 0;
		return;
	}
	l->i = c->next++;
	c->start(l);
}

static void
on_lane(struct rpc_call *call)
{
	struct lane *l = (struct lane *)call;
	struct nfs_result r;
	int err = nfs_result(call, &r);

	if (err < 0)
		measure_fail(nfs_proc_name(call->proc), -err);
	if (!l->crowd->finish(l, &r))
		lane_go(l);
}

static void
crowd_run(struct crowd *c)
{
	uint32_t n = c->end - c->next < SETUP_DEPTH ? (uint32_t)(c->end - c->next) : SETUP_DEPTH;
	struct lane *lane = calloc(n + 1, sizeof(*lane));
	uint64_t shown = measure_now_ns();

	if (!lane)
		measure_fail("memory", ENOMEM);
	c->running = n;
	c->done = n == 0;
	for (uint32_t i = 0; i < n; i++) {
		lane[i].call.done = on_lane;
		lane[i].crowd = c;
		lane_go(&lane[i]);
	}
	while (!c->done) {
		rpc_loop_run(&c->w->loop, 1000);
		if (c->w->loop.now_ns - shown > 10000000000u) {
			shown = c->w->loop.now_ns;
			fprintf(stderr, "  preparing: %llu of %llu\n", (unsigned long long)c->next, (unsigned long long)c->end);
		}
	}
	free(lane);
}

static struct rpc_conn *
lane_conn(const struct lane *l)
{
	return &l->crowd->w->conn[l->i % l->crowd->w->nconns];
}

_Noreturn static void
lane_fail(const struct lane *l, uint32_t status)
{
	char msg[200];

	snprintf(msg, sizeof(msg), "preparing file %llu: %s of %s", (unsigned long long)l->i,
	         nfs_status_name(status), nfs_proc_name(l->call.proc));
	measure_fail(msg, 0);
}

/* ---- files: looked up, made where they are missing, looked up again for what CREATE did not say */

static const struct nfs_fh *
file_dir(const struct lane *l)
{
	return &l->crowd->w->world->dirs[l->i % l->crowd->w->o->dirs];
}

static void
file_start(struct lane *l)
{
	char name[LOAD_NAME];

	world_name(name, 'f', 0, l->i);
	nfs_lookup(&l->call, lane_conn(l), file_dir(l), name);
}

static bool
file_finish(struct lane *l, struct nfs_result *r)
{
	struct world *d = l->crowd->w->world;
	char name[LOAD_NAME];

	if (r->status == NFSERR_JUKEBOX || (l->call.proc == NFS_CREATE && r->status == NFS_OK)) {
		file_start(l);
		return true;
	}
	if (l->call.proc == NFS_LOOKUP && r->status == NFSERR_NOENT) {
		world_name(name, 'f', 0, l->i);
		nfs_create(&l->call, lane_conn(l), file_dir(l), name, NFS_UNCHECKED, &file_mode, 0);
		return true;
	}
	if (r->status != NFS_OK || !r->has_fh || !r->has_attr)
		lane_fail(l, r->status);
	if (l->i < d->nhandles) {
		d->handle[l->i] = r->fh;
		d->fileid[l->i] = r->attr.fileid;
	}
	return false;
}

/* Only the first ones are wanted, and an earlier run made them all: that is what the mark says. */
static void
prepare_files(struct worker *w)
{
	const struct load_opts *o = w->o;
	struct world *d = w->world;
	struct crowd c = { .w = w, .end = o->files, .start = file_start, .finish = file_finish };
	char mark[40];

	d->nhandles = o->files < LOAD_HANDLES ? o->files : LOAD_HANDLES;
	d->handle = calloc(d->nhandles, sizeof(*d->handle));
	d->fileid = calloc(d->nhandles, sizeof(*d->fileid));
	if (!d->handle || !d->fileid)
		measure_fail("memory", ENOMEM);
	snprintf(mark, sizeof(mark), "made.%llu.%u", (unsigned long long)o->files, o->dirs);
	nfs_lookup(once(), &w->conn[0], &d->base, mark);
	if (once_wait(w) == NFS_OK)
		c.end = d->nhandles;
	crowd_run(&c);
	file(w, &d->base, mark);
}

/* ---- data */

static void
data_start(struct lane *l)
{
	struct world *d = l->crowd->w->world;

	nfs_write(&l->call, lane_conn(l), &d->data, l->i * LOAD_IO_MAX, world_page(d, l->i * LOAD_IO_MAX),
	          LOAD_IO_MAX, NFS_UNSTABLE);
}

static bool
data_finish(struct lane *l, struct nfs_result *r)
{
	if (r->status == NFSERR_JUKEBOX) {
		data_start(l);
		return true;
	}
	if (r->status != NFS_OK || r->count != LOAD_IO_MAX)
		lane_fail(l, r->status);
	return false;
}

static void
prepare_data(struct worker *w)
{
	struct world *d = w->world;
	struct crowd c = { .w = w, .end = w->o->size / LOAD_IO_MAX, .start = data_start, .finish = data_finish };

	d->data = file(w, &d->base, "data");
	if (one.result.attr.size >= w->o->size)
		return; /* an earlier run's, and the bytes are the same */
	crowd_run(&c);
	world_commit(w, &d->data);
}

void
world_fresh(struct worker *w, bool make)
{
	nfs_remove(once(), &w->conn[0], &w->world->base, "fresh");
	if (once_wait(w) != NFSERR_NOENT && one.result.status != NFS_OK)
		must(w, "remove fresh");
	if (make)
		w->world->fresh = file(w, &w->world->base, "fresh");
}

void
world_prepare(struct worker *w, bool handles, bool files, bool data)
{
	const struct load_opts *o = w->o;
	struct world *d = w->world;
	struct rpc_conn mount;
	struct rng rng;
	int err;

	rpc_conn_init(&mount, &w->loop);
	mount.cred = &w->cred;
	err = rpc_conn_open(&mount, &o->mount_addr);
	if (err == 0)
		err = nfs_mount(&mount, o->export, &d->root, 10000);
	rpc_conn_close(&mount);
	rpc_conn_abandon(&mount);
	if (err)
		measure_fail("mount", err < 0 ? -err : EACCES);
	rng_seed(&rng, 7);
	d->pool = aligned_alloc(LOAD_PAGE, PAGES * LOAD_PAGE);
	d->dirs = calloc(o->dirs, sizeof(*d->dirs));
	if (!d->pool || !d->dirs)
		measure_fail("memory", ENOMEM);
	for (size_t i = 0; i < PAGES * LOAD_PAGE / 8; i++)
		((uint64_t *)(void *)d->pool)[i] = rng_next(&rng);
	d->base = folder(w, &d->root, o->dir);
	for (uint32_t i = 0; i < o->dirs; i++) {
		char name[LOAD_NAME];

		snprintf(name, sizeof(name), "dir%05u", i);
		d->dirs[i] = folder(w, &d->base, name);
	}
	if (files || handles)
		prepare_files(w);
	if (data)
		prepare_data(w);
}

void
world_canned(struct worker *w)
{
	const struct load_opts *o = w->o;
	struct world *d = w->world;

	d->nhandles = o->files < LOAD_HANDLES ? o->files : LOAD_HANDLES;
	d->handle = calloc(d->nhandles, sizeof(*d->handle));
	d->fileid = calloc(d->nhandles, sizeof(*d->fileid));
	d->dirs = calloc(o->dirs, sizeof(*d->dirs));
	d->pool = calloc(PAGES, LOAD_PAGE);
	if (!d->handle || !d->fileid || !d->dirs || !d->pool)
		measure_fail("memory", ENOMEM);
	d->data.len = CANNED_FH;
	for (uint32_t i = 0; i < o->dirs; i++)
		d->dirs[i].len = CANNED_FH;
	for (uint64_t i = 0; i < d->nhandles; i++)
		d->handle[i].len = CANNED_FH;
}

/* ---- afterwards */

static void
clean_start(struct lane *l)
{
	struct worker *w = l->crowd->w;
	char name[LOAD_NAME];
	uint64_t id = 0;

	if (pool_pop(&w->names, &id)) {
		world_name(name, 'c', w->index, id);
		nfs_remove(&l->call, lane_conn(l), &w->world->dirs[id % w->o->dirs], name);
	} else {
		pool_pop(&w->folders, &id);
		world_name(name, 'd', w->index, id);
		nfs_rmdir(&l->call, lane_conn(l), &w->world->dirs[id % w->o->dirs], name);
	}
}

static bool
clean_finish(struct lane *l, struct nfs_result *r)
{
	if (r->status != NFS_OK)
		lane_fail(l, r->status);
	return false;
}

void
world_clean(struct worker *w)
{
	struct crowd c = { .w = w, .start = clean_start, .finish = clean_finish };

	c.end = w->names.head - w->names.tail + w->folders.head - w->folders.tail;
	crowd_run(&c);
}
