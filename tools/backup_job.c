/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/backup_job.h"

#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "meta/garbage.h"
#include "meta/kv.h"
#include "tools/backup_keep.h"
#include "tools/backup_upload.h"

#define SNAPSHOT "backup.tmp" /* below paths.meta, so that files are links */
#define SEC_NS   1000000000ull
#define RETRY_S  60
#define SOON_S   60           /* after a start */
#define NICE     10

static struct {
	pthread_mutex_t lock;    /* of the first five */
	pthread_cond_t wake;
	bool made, stopping, asked;
	struct backup_report report;
	pthread_t thread;
	/* the thread's own */
	const struct daemon *daemon;
	struct backup_place place;
	struct backup_id *id;    /* that are there, sorted */
	size_t n;
	struct backup_manifest last; /* the newest, where it was read or made in this run */
	struct backup_upload up;
	uint64_t next_s;         /* UINT64_MAX: none by itself */
	uint64_t looked_s;       /* when nothing had changed since the last one */
	uint64_t writes;         /* of RocksDB, before the last one of this run; UINT64_MAX: there is none */
	bool failed;             /* the last one; its pieces are for the next try */
	int said;                /* its error, once until another */
	bool untidy;             /* there may be pieces that no manifest names */
} job = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .writes = UINT64_MAX };

static uint64_t
wall_s(void)
{
	return (uint64_t)time(NULL);
}

static uint64_t
keep_s(void)
{
	return job.daemon->config->backup_keep_ns / SEC_NS;
}

/* ---- which there are */

static void
hold(void)
{
	garbage_hold(backup_needs_since(job.id, job.n, wall_s(), keep_s()));
}

static void
note_kept(void)
{
	pthread_mutex_lock(&job.lock);
	job.report.kept = job.n;
	job.report.oldest_s = job.n ? job.id[0].taken_s : 0;
	job.report.newest_s = job.n ? job.id[job.n - 1].taken_s : 0;
	job.report.next_s = job.next_s == UINT64_MAX ? 0 : job.next_s;
	pthread_mutex_unlock(&job.lock);
}

static int
add_id(const struct backup_id *id)
{
	struct backup_id *v = realloc(job.id, (job.n + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	job.id = v;
	v[job.n++] = *id;
	qsort(v, job.n, sizeof(*v), backup_id_cmp);
	return 0;
}

/* ---- taking one */

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static void
snapshot_dir(char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%.4000s/" SNAPSHOT, job.daemon->config->meta);
}

static void
remove_snapshot(const char *dir)
{
	if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0 && errno != ENOENT)
		log_warn("backup: %s stays: %s", dir, strerror(errno));
}

/* A later second than any that is there, so that they sort as they were made. */
static uint64_t
next_second(void)
{
	const struct timespec nap = { .tv_nsec = 20000000 };
	uint64_t newest = job.n ? job.id[job.n - 1].taken_s : 0;

	while (wall_s() == newest)
		nanosleep(&nap, NULL);
	return MAX(wall_s(), newest + 1); /* the clock was set back */
}

static void
describe(struct backup_manifest *m, uint64_t taken_s)
{
	const struct volume_open *v = &job.daemon->vol;

	memcpy(m->uuid, v->vol.uuid, 16);
	m->id = (struct backup_id){ taken_s, v->claim.me.epoch };
	m->until_s = taken_s + MAX(job.daemon->config->backup_keep_ns, job.daemon->config->garbage_keep_ns) / SEC_NS;
	m->nshares = (uint32_t)v->nshares;
	for (int i = 0; i < v->nshares; i++)
		snprintf(m->share[i], sizeof(m->share[i]), "%s", v->shares[i].name);
}

/* The one before: its pieces need not be uploaded again. */
static void
read_last(void)
{
	const struct backup_id *id = job.n ? &job.id[job.n - 1] : NULL;
	int err;

	if (!id || (job.last.npieces > 0 && backup_id_cmp(&job.last.id, id) == 0))
		return;
	backup_manifest_free(&job.last);
	err = backup_read(&job.place, id, &job.last);
	if (err < 0) {
		log_warn("the backup before this one cannot be read (%s), so all is uploaded again", backup_error(err));
		backup_manifest_free(&job.last);
	}
}

static uint64_t
writes_now(void)
{
	struct kv_stats s;

	kv_stats(&s);
	return s.writes;
}

/* The last one is as good as another would be, and young enough to stay so until the next look. */
static bool
is_same(void)
{
	return !job.failed && job.n > 0 && writes_now() == job.writes && wall_s() < job.id[job.n - 1].taken_s + keep_s() / 2;
}

static int
take_one(char why[256])
{
	struct backup_manifest made = { 0 };
	const struct config *c = job.daemon->config;
	char dir[PATH_MAX];
	uint64_t writes = writes_now(); /* those from here on are perhaps not in it */
	int err;

	snapshot_dir(dir);
	describe(&made, next_second());
	garbage_hold(MIN(made.id.taken_s, backup_needs_since(job.id, job.n, made.id.taken_s, keep_s())));
	remove_snapshot(dir);
	err = kv_checkpoint(dir, why);
	if (err == 0) {
		read_last();
		job.up.place = &job.place;
		job.up.dir = dir;
		job.up.rate = c->backup_rate;
		job.up.before = &job.last;
		job.up.made = &made;
		err = backup_upload(&job.up, why);
	}
	remove_snapshot(dir);
	if (err == 0)
		err = add_id(&made.id);
	if (err < 0) {
		backup_manifest_free(&made);
		return err;
	}
	backup_known_free(&job.up.known);
	backup_manifest_free(&job.last);
	job.last = made;
	job.writes = writes;
	return 0;
}

static void
back_up(void)
{
	char why[256] = "", at[BACKUP_TIME];
	int err = take_one(why);
	struct backup_report *r = &job.report;

	job.failed = err < 0;
	job.untidy |= job.failed;

	pthread_mutex_lock(&job.lock);
	r->total_bytes = job.up.total_bytes;
	r->done_bytes = job.up.done_bytes;
	r->sent_bytes = job.up.sent_bytes;
	r->sent_objects = job.up.sent_objects;
	r->err = err;
	memcpy(r->why, why, sizeof(why));
	if (err == 0) {
		r->files = job.last.nfiles;
		r->taken_s = job.last.id.taken_s;
	}
	pthread_mutex_unlock(&job.lock);
	if (err == 0) {
		backup_time(at, job.last.id.taken_s);
		log_info("backup of %s: %" PRIu64 " bytes of metadata, %" PRIu64 " of them new, in %s", at, job.up.total_bytes, job.up.sent_bytes,
			job.place.store->url);
	} else if (err != -ECANCELED && err != -E_FENCED && err != job.said) {
		log_warn("no backup of the metadata: %s; it is tried again", why);
	}
	job.said = err;
}

/* ---- tidying up */

/* Manifests that need not stay. */
static int
drop_old(int *dropped)
{
	bool *stays = calloc(job.n + 1, sizeof(*stays));
	char (*name)[OBJ_NAME] = calloc(DEL_MAX, sizeof(*name));
	int err = stays && name ? 0 : -ENOMEM, doomed = 0;
	size_t left = 0;

	if (err == 0)
		backup_keep(job.id, job.n, wall_s(), keep_s(), stays);
	for (size_t i = 0; i < job.n && err == 0 && doomed < DEL_MAX; i++)
		if (!stays[i])
			backup_name(name[doomed++], job.place.prefix, &job.id[i]);
	if (err == 0)
		err = backup_remove(&job.place, name, doomed);
	if (err == 0 && doomed > 0) {
		job.untidy = true;
		*dropped = doomed;
		for (size_t i = 0; i < job.n; i++)
			if (stays[i] || doomed-- <= 0)
				job.id[left++] = job.id[i];
		job.n = left;
	}
	free(stays);
	free(name);
	return err;
}

/* Those of all backups, sorted. */
static int
named_pieces(struct piece_id **out, size_t *n)
{
	int err = 0;

	*out = NULL;
	*n = 0;
	for (size_t i = 0; i < job.n && err == 0; i++) {
		struct backup_manifest m = { 0 };
		struct piece_id *v;

		if (atomic_load(&job.up.stop))
			return -ECANCELED;
		err = backup_read(&job.place, &job.id[i], &m);
		v = err == 0 ? realloc(*out, (*n + m.npieces + 1) * sizeof(*v)) : NULL;
		if (err == 0 && !v)
			err = -ENOMEM;
		if (v)
			*out = v;
		for (uint32_t k = 0; k < m.npieces && err == 0; k++)
			v[(*n)++] = m.piece[k].id;
		if (err < 0) {
			char at[BACKUP_TIME];

			backup_time(at, job.id[i].taken_s);
			log_warn("the backup of %s cannot be read (%s): pieces of old backups stay where they are", at, backup_error(err));
		}
		backup_manifest_free(&m);
		if (err == 0) { /* most are the same */
			size_t left = 0;

			qsort(v, *n, sizeof(*v), piece_id_cmp);
			for (size_t k = 0; k < *n; k++)
				if (left == 0 || piece_id_cmp(&v[left - 1], &v[k]))
					v[left++] = v[k];
			*n = left;
		}
	}
	return err;
}

/* As it is now: a server that was taken over may have made one more. */
static int
list_again(void)
{
	struct backup_id *id;
	size_t n;
	int err = backup_list(&job.place, &id, &n);

	if (err < 0) {
		free(id);
		return err;
	}
	free(job.id);
	job.id = id;
	job.n = n;
	return 0;
}

static int
drop_pieces(void)
{
	char (*name)[OBJ_NAME] = calloc(DEL_MAX, sizeof(*name));
	struct piece_id *named = NULL, *there = NULL;
	size_t nnamed = 0, nthere = 0;
	int err = name ? list_again() : -ENOMEM, doomed = 0;

	if (err == 0)
		err = named_pieces(&named, &nnamed);
	if (err == 0)
		err = backup_list_pieces(&job.place, &there, &nthere);
	for (size_t i = 0; i < nthere && err == 0; i++) {
		if (there[i].epoch > job.daemon->vol.claim.me.epoch || (nnamed && bsearch(&there[i], named, nnamed, sizeof(*named), piece_id_cmp)))
			continue;
		piece_name(name[doomed++], job.place.prefix, &there[i]);
		if (doomed == DEL_MAX) {
			err = backup_remove(&job.place, name, doomed);
			doomed = 0;
		}
	}
	if (err == 0)
		err = backup_remove(&job.place, name, doomed);
	free(named);
	free(there);
	free(name);
	return err;
}

/* `made`: another one was, just now. */
static void
tidy(bool made)
{
	int dropped = 0, err = drop_old(&dropped);

	hold();
	if (err == 0 && job.untidy && !job.failed && (made || dropped > 0)) {
		err = drop_pieces();
		job.untidy = err < 0;
	}
	if (err < 0 && err != -ECANCELED && err != -E_FENCED)
		log_warn("old backups are not removed: %s; it is tried again after the next one", backup_error(err));
}

/* ---- the thread */

static void
plan_next(bool failed)
{
	uint64_t every_s = job.daemon->config->backup_every_ns / SEC_NS, started_s = job.daemon->started_ns / SEC_NS;
	uint64_t last_s = job.n ? job.id[job.n - 1].taken_s : job.daemon->vol.vol.formatted_ns / SEC_NS;

	job.next_s = UINT64_MAX;
	if (every_s == 0)
		return;
	job.next_s = MAX(MIN(MAX(last_s, job.looked_s), wall_s()) + every_s, started_s + MIN(every_s, (uint64_t)SOON_S));
	if (failed)
		job.next_s = wall_s() + MIN(every_s, (uint64_t)RETRY_S);
}

/* Under the lock: until there is something to do. */
static void
wait_for_work(void)
{
	uint64_t change_s = backup_next_change(job.id, job.n, wall_s(), keep_s());

	while (!job.stopping && !job.asked && wall_s() < MIN(job.next_s, change_s)) {
		struct timespec until = { .tv_sec = (time_t)MIN(MIN(job.next_s, change_s), wall_s() + 3600) };

		pthread_cond_timedwait(&job.wake, &job.lock, &until);
	}
}

static void *
run(void *arg)
{
	char dir[PATH_MAX];

	(void)arg;
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE); /* of this thread: clients come first */
	snapshot_dir(dir);
	remove_snapshot(dir); /* of a run that was killed: it keeps files that RocksDB has deleted */
	pthread_mutex_lock(&job.lock);
	while (!job.stopping) {
		bool due = job.asked || wall_s() >= job.next_s;

		if (due && !job.asked && is_same()) {
			job.looked_s = wall_s();
			due = false;
		}
		job.asked = false;
		job.report.running = due;
		pthread_mutex_unlock(&job.lock);
		if (due)
			back_up();
		if (!atomic_load(&job.up.stop))
			tidy(due);
		plan_next(job.failed);
		note_kept();
		pthread_mutex_lock(&job.lock);
		job.report.running = job.asked;
		wait_for_work();
	}
	pthread_mutex_unlock(&job.lock);
	return NULL;
}

/* ---- from other threads */

void
backup_job_hold(const struct daemon *d)
{
	const struct volume_open *v = &d->vol;

	job.daemon = d;
	garbage_hold(backup_needs_since(v->backup, v->nbackups, wall_s(), keep_s()));
}

int
backup_job_start(const struct daemon *d)
{
	const struct volume_open *v = &d->vol;

	job.daemon = d;
	job.place = (struct backup_place){ .store = v->store, .prefix = v->shares[0].prefix };
	memcpy(job.place.uuid, v->vol.uuid, 16);
	job.up.next = (struct piece_id){ .epoch = v->claim.me.epoch, .number = 1 };
	job.id = v->nbackups ? calloc(v->nbackups, sizeof(*job.id)) : NULL;
	if (v->nbackups && !job.id)
		return -ENOMEM;
	if (v->nbackups)
		memcpy(job.id, v->backup, v->nbackups * sizeof(*job.id));
	job.n = v->nbackups;
	job.untidy = true;
	plan_next(false);
	note_kept();
	job.made = pthread_create(&job.thread, NULL, run, NULL) == 0;
	return job.made ? 0 : -EAGAIN;
}

void
backup_job_stop(void)
{
	if (!job.made)
		return;
	atomic_store(&job.up.stop, true);
	pthread_mutex_lock(&job.lock);
	job.stopping = true;
	pthread_cond_signal(&job.wake);
	pthread_mutex_unlock(&job.lock);
	pthread_join(job.thread, NULL);
	job.made = false;
	backup_known_free(&job.up.known);
	backup_manifest_free(&job.last);
	free(job.id);
	job.id = NULL;
}

int
backup_job_ask(void)
{
	int err = 0;

	pthread_mutex_lock(&job.lock);
	if (job.report.running) {
		err = -EBUSY;
	} else {
		job.report.running = job.asked = true;
		job.report.err = 0;
		pthread_cond_signal(&job.wake);
	}
	pthread_mutex_unlock(&job.lock);
	return err;
}

void
backup_job_look(struct backup_report *r)
{
	pthread_mutex_lock(&job.lock);
	*r = job.report;
	pthread_mutex_unlock(&job.lock);
	if (r->running) {
		r->total_bytes = atomic_load(&job.up.total_bytes);
		r->done_bytes = atomic_load(&job.up.done_bytes);
		r->sent_bytes = atomic_load(&job.up.sent_bytes);
		r->sent_objects = atomic_load(&job.up.sent_objects);
	}
}
