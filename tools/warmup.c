/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/warmup.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meta/file.h"
#include "reactor/log.h"
#include "tools/metadata.h"
#include "tools/oncore.h"

#define PAGE_NAMES 64
#define AGAIN_US   50000 /* who is told to come again comes again so much later ... */
#define AGAIN_MAX  200   /* ... so often */

/* What is to be read, and one of the READs that are asked together. */
struct want {
	struct fref f;
	uint64_t off;
	uint32_t count;
};

struct ask {
	struct shard_call call;
	struct op step;
	struct op_part part;
	struct file_read read;
};

/* A directory on the way down, and where in it the next page begins. */
struct level {
	struct fref f;
	uint8_t from[KV_KEY_MAX];
	uint16_t from_len;
};

/* A page of a directory: names, and where the one behind the last begins. */
struct page {
	uint32_t n;
	bool more;
	struct { uint16_t len, klen; uint8_t key[KV_KEY_MAX]; } name[PAGE_NAMES];
};

static struct {
	struct job job;
	struct warmup_report report;
	const struct daemon *daemon;
	struct fref from;        /* where it began; ino 0: at all shares */
	/* the thread's own */
	struct ask *ask;
	struct want want[WARMUP_READS_MAX];
	int reads, nwants;
	struct op_join join;
	uint64_t bad;            /* the last that could not be read */
	struct level *level;
	uint32_t nlevels, cap;
	struct page page;
} warm = { .job = JOB_INIT };

static void
count(uint64_t files, uint64_t dirs, uint64_t bytes)
{
	job_lock(&warm.job);
	warm.report.files += files;
	warm.report.dirs += dirs;
	warm.report.bytes += bytes;
	job_unlock(&warm.job);
}

/* Once a file, whose READs follow each other. */
static void
failed(uint64_t ino, int err)
{
	char *path;

	if (ino == warm.bad)
		return;
	warm.bad = ino;
	path = warm.report.errors == 0 ? metadata_path(&warm.daemon->vol, ino) : NULL; /* only this thread counts */
	job_lock(&warm.job);
	if (path)
		snprintf(warm.report.first, sizeof(warm.report.first), "%.400s: %.100s", path, objstore_error(err));
	warm.report.errors++;
	job_unlock(&warm.job);
	free(path);
}

/* ---- READs */

static void
read_over(struct op *step)
{
	struct ask *a = container_of(step, struct ask, step);
	int res = step->res;

	if (res >= 0)
		file_read_put(&a->read);
	shard_reply(&a->call, res);
}

static void
read_run(struct shard_call *c)
{
	struct ask *a = container_of(c, struct ask, call);

	a->step.resume = read_over;
	if (file_read(&a->read, &a->step) == OP_DONE)
		read_over(&a->step);
}

static enum op_state
ask_all(void *arg, struct op *op)
{
	(void)arg;
	op_join_start(&warm.join, op);
	for (int i = 0; i < warm.nwants; i++) {
		const struct want *w = &warm.want[i];
		struct ask *a = &warm.ask[i];
		struct op *part = op_join_part(&warm.join, &a->part);

		memset(&a->read, 0, sizeof(a->read));
		a->read.req.f = w->f;
		a->read.off = w->off;
		a->read.count = w->count;
		op_join_add(&warm.join, &a->part, shard_call(shard_owner(w->f.ino), &a->call, read_run, part));
	}
	return op_join_wait(&warm.join);
}

/* True: the server had no room, or the object store is away, so it is wanted again.  A file that has gone is no error. */
static bool
read_done(const struct want *w, const struct ask *a, bool again)
{
	int res = a->part.op.res;

	if (res == -E_JUKEBOX && again)
		return true;
	if (res >= 0)
		count(0, 0, a->read.len);
	else if (res != -ESTALE)
		failed(w->f.ino, res);
	return false;
}

/* Reads what was gathered. */
static void
settle(void)
{
	for (int tries = 0; warm.nwants > 0 && !job_ending(&warm.job); tries++) {
		int left = 0;

		if (tries > 0)
			usleep(AGAIN_US);
		on_core(0, ask_all, NULL);
		for (int i = 0; i < warm.nwants; i++)
			if (read_done(&warm.want[i], &warm.ask[i], tries < AGAIN_MAX))
				warm.want[left++] = warm.want[i];
		warm.nwants = left;
	}
	warm.nwants = 0;
}

static void
read_file(const struct fref *f, uint64_t size)
{
	for (uint64_t off = 0; off < size && !job_ending(&warm.job); off += FILE_IO_MAX) {
		warm.want[warm.nwants++] = (struct want){ .f = *f, .off = off, .count = (uint32_t)MIN(FILE_IO_MAX, size - off) };
		if (warm.nwants == warm.reads)
			settle();
	}
	if (!job_ending(&warm.job))
		count(1, 0, 0);
}

/* ---- the way down */

static int
see_name(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct page *p = arg;

	(void)val, (void)vlen;
	if (klen <= KEY_DIRENT_NAME || klen > sizeof(p->name[0].key))
		return 0;
	if (p->n == PAGE_NAMES) {
		p->more = true;
		return 1;
	}
	memcpy(p->name[p->n].key, key, klen);
	p->name[p->n].klen = (uint16_t)klen;
	p->name[p->n].len = (uint16_t)(klen - KEY_DIRENT_NAME);
	p->n++;
	return 0;
}

static int
read_page(const struct level *l)
{
	struct kv_scan s = { .fn = see_name, .arg = &warm.page };

	warm.page.n = 0;
	warm.page.more = false;
	s.from_len = l->from_len;
	memcpy(s.from, l->from, l->from_len);
	s.to_len = (uint16_t)key_dirent_from(s.to, l->f.ino + 1, 0);
	return kv_scan_now(&s);
}

static int
go_down(const struct fref *f)
{
	struct level *l;

	if (warm.nlevels == warm.cap) {
		l = realloc(warm.level, (2 * warm.cap + 16) * sizeof(*l));
		if (!l)
			return -ENOMEM;
		warm.level = l;
		warm.cap = 2 * warm.cap + 16;
	}
	l = &warm.level[warm.nlevels++];
	l->f = *f;
	l->from_len = (uint16_t)key_dirent_from(l->from, f->ino, 0);
	return 0;
}

static enum op_state
lookup_run(void *arg, struct op *op)
{
	return meta_lookup(arg, op);
}

/* 1: it is a directory, and the next to be gone through. */
static int
see_entry(const struct level *l, uint32_t n)
{
	static struct meta_lookup m; /* large */

	memset(&m, 0, sizeof(m));
	m.req.f = l->f;
	m.name = (struct meta_name){ .s = (const char *)warm.page.name[n].key + KEY_DIRENT_NAME, .len = warm.page.name[n].len };
	int res = on_core(shard_owner(l->f.ino), lookup_run, &m);

	if (res == -ENOENT || res == -ESTALE)
		return 0;
	if (res < 0)
		return res;
	if (m.attr.type == FT_REG)
		read_file(&m.child, m.attr.size);
	if (m.attr.type != FT_DIR)
		return 0;
	res = go_down(&m.child);
	return res < 0 ? res : 1;
}

/* The deepest directory: a page of it, or until one below it comes first. */
static void
go_on(void)
{
	uint32_t deep = warm.nlevels - 1;
	int res = read_page(&warm.level[deep]);

	if (res < 0)
		failed(warm.level[deep].f.ino, res);
	for (uint32_t n = 0; res >= 0 && n < warm.page.n && !job_ending(&warm.job); n++) {
		struct level *l = &warm.level[deep];
		int down;

		memcpy(l->from, warm.page.name[n].key, warm.page.name[n].klen);
		l->from[warm.page.name[n].klen] = 0; /* the next key that can be */
		l->from_len = (uint16_t)(warm.page.name[n].klen + 1);
		down = see_entry(l, n);
		if (down < 0)
			failed(l->f.ino, down);
		if (down == 1)
			return;
	}
	if (res >= 0 && warm.page.more)
		return;
	warm.nlevels = deep;
	count(0, 1, 0);
}

static enum op_state
getattr_run(void *arg, struct op *op)
{
	return meta_getattr(arg, op);
}

static void
warm_all_of(const struct fref *f)
{
	struct meta_getattr m = { .req.f = *f };
	int res = on_core(shard_owner(f->ino), getattr_run, &m);

	if (res == 0 && m.attr.type == FT_REG)
		read_file(f, m.attr.size);
	else if (res == 0 && m.attr.type == FT_DIR)
		res = go_down(f);
	if (res < 0)
		failed(f->ino, res);
	while (warm.nlevels > 0 && !job_ending(&warm.job))
		go_on();
	warm.nlevels = 0;
	settle();
}

static int
run(void)
{
	const struct volume_open *v = &warm.daemon->vol;

	if (warm.from.ino)
		warm_all_of(&warm.from);
	for (int i = 0; !warm.from.ino && i < v->nshares; i++)
		warm_all_of(&(struct fref){ .ino = v->shares[i].root, .share = v->shares[i].id });
	free(warm.level);
	free(warm.ask);
	warm.level = NULL;
	warm.ask = NULL;
	warm.cap = 0;
	log_info("warmup: %lu files, %lu bytes, %lu errors%s", warm.report.files, warm.report.bytes, warm.report.errors,
		job_ending(&warm.job) ? "; ended early" : "");
	return job_ending(&warm.job) ? -ECANCELED : 0;
}

/* ---- from the admin thread */

static int
find(const char *path, struct fref *f)
{
	struct attr a;
	int err = metadata_find(&warm.daemon->vol, path, &f->ino);

	if (err == 0)
		err = metadata_attr(f->ino, &a);
	f->share = err == 0 ? a.share : 0;
	return err;
}

int
warmup_start(const struct daemon *d, const char *path, int reads)
{
	int room = (int)(d->config->buffer_bytes / 8 / FILE_IO_MAX); /* clients need them too */
	struct fref from = { 0 };
	int err;

	if (job_ready(&warm.job) < 0)
		return -EBUSY;
	warm.daemon = d;
	err = path ? find(path, &from) : 0;
	if (err < 0)
		return err;
	warm.reads = MAX(1, MIN(MIN(reads, room), WARMUP_READS_MAX));
	warm.ask = calloc((size_t)warm.reads, sizeof(*warm.ask));
	if (!warm.ask)
		return -ENOMEM;
	warm.from = from;
	warm.nwants = 0;
	warm.bad = 0;
	job_lock(&warm.job);
	warm.report = (struct warmup_report){ 0 };
	job_unlock(&warm.job);
	err = job_start(&warm.job, run);
	if (err < 0)
		free(warm.ask);
	return err;
}

void
warmup_cancel(void)
{
	job_cancel(&warm.job);
}

void
warmup_stop(void)
{
	job_stop(&warm.job);
}

void
warmup_look(struct warmup_report *r)
{
	job_lock(&warm.job);
	*r = warm.report;
	r->job = warm.job.state;
	job_unlock(&warm.job);
}
