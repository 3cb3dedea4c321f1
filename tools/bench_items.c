/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench_items.h"

#include <inttypes.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- stamps: that what is read is what was written */

static uint64_t
stamp_of(uint64_t seed, uint64_t off)
{
	return mix64(seed ^ mix64(off + 1));
}

/* At both ends; a block shorter than two stamps has one of which the end is cut. */
void
bench_stamp(uint8_t *p, uint32_t len, uint64_t seed, uint64_t off)
{
	uint64_t v = stamp_of(seed, off);

	memcpy(p, &v, MIN(len, 8));
	if (len >= 16)
		memcpy(p + len - 8, &v, 8);
}

bool
bench_stamped(const uint8_t *p, uint32_t len, uint64_t seed, uint64_t off)
{
	uint64_t v = stamp_of(seed, off);

	return memcmp(p, &v, MIN(len, 8)) == 0 && (len < 16 || memcmp(p + len - 8, &v, 8) == 0);
}

/* ---- the threads */

struct lane {
	struct run *run;
	int id;
	struct bench_fs *fs;
	uint8_t *buf;
	struct hist latency;
	uint64_t things, bytes, each_ns;
	uint64_t end_ns;
	int err;
	char what[64];              /* what failed */
};

struct item {
	const char *name, *unit, *timed;
	bool big;
	int (*file)(struct lane *l, uint32_t nth); /* one file of it; counts what it did */
};

struct run {
	const struct bench_opts *o;
	struct bench_watch *watch;
	struct bench_report *rep;
	char dir[96];
	uint64_t seed;
	const struct item *item;
	struct bench_fs *fs;        /* the main thread's */
	struct lane *lane;
	bool made;
};

static void
file_name(const struct run *r, bool big, int lane, uint32_t nth, char out[160])
{
	if (big)
		snprintf(out, 160, "%s/big.%d", r->dir, lane);
	else
		snprintf(out, 160, "%s/small.%d.%" PRIu32, r->dir, lane, nth);
}

static struct bench_io
file_io(struct lane *l, uint32_t nth)
{
	const struct bench_opts *o = l->run->o;
	bool big = l->run->item->big;
	struct bench_io io = { .buf = l->buf, .seed = mix64(l->run->seed + ((uint64_t)l->id << 33) + nth + (big ? 1ull << 32 : 0)) };

	if (big) {
		io.bytes = o->big_bytes, io.block = o->block_bytes, io.depth = o->depth;
		io.latency = &l->latency, io.watch = l->run->watch, io.sync = true;
	} else {
		io.bytes = o->small_bytes, io.block = (uint32_t)o->small_bytes, io.depth = 1, io.sync = o->fsync;
	}
	return io;
}

static int
count(struct lane *l, uint64_t then_ns, uint64_t bytes, int err, const char *what)
{
	uint64_t took = bench_now_ns() - then_ns;

	if (err < 0) {
		snprintf(l->what, sizeof(l->what), "%s", what);
		return err;
	}
	l->things++;
	l->bytes += bytes;
	l->each_ns += took;
	if (!l->run->item->big) {
		hist_record(&l->latency, took);
		atomic_fetch_add(&l->run->watch->done, 1);
	}
	return 0;
}

static int
write_file(struct lane *l, uint32_t nth)
{
	struct bench_io io = file_io(l, nth);
	uint64_t then = bench_now_ns();
	char name[160];

	file_name(l->run, l->run->item->big, l->id, nth, name);
	return count(l, then, io.bytes, l->run->o->ops->write(l->fs, name, &io), "writing a file");
}

static int
read_file(struct lane *l, uint32_t nth)
{
	struct bench_io io = file_io(l, nth);
	uint64_t then = bench_now_ns();
	char name[160];

	file_name(l->run, l->run->item->big, l->id, nth, name);
	return count(l, then, io.bytes, l->run->o->ops->read(l->fs, name, &io), "reading a file");
}

static int
stat_file(struct lane *l, uint32_t nth)
{
	uint64_t then = bench_now_ns();
	char name[160];

	file_name(l->run, false, l->id, nth, name);
	return count(l, then, 0, l->run->o->ops->stat(l->fs, name), "asking for attributes");
}

static void *
lane_main(void *arg)
{
	struct lane *l = arg;
	struct run *r = l->run;
	uint32_t files = r->item->big ? 1 : r->o->small_count;

	for (uint32_t i = 0; i < files && l->err == 0; i++)
		l->err = atomic_load(&r->watch->stop) ? -EINTR : r->item->file(l, i);
	l->end_ns = bench_now_ns();
	bench_watch_done(r->watch);
	return NULL;
}

/* A sentence for the first that failed. */
static int
explain(struct run *r, char why[256])
{
	for (int i = 0; i < r->o->threads; i++) {
		const struct lane *l = &r->lane[i];

		if (l->err == -EINTR)
			snprintf(why, 256, "interrupted");
		else if (l->err == -EBADMSG)
			snprintf(why, 256, "%s: WHAT WAS READ IS NOT WHAT WAS WRITTEN", r->item->name);
		else if (l->err < 0)
			snprintf(why, 256, "%s: %s failed: %s", r->item->name, l->what, strerror(-l->err));
		if (l->err < 0)
			return l->err;
	}
	return 0;
}

static int
run_item(struct run *r, const struct item *it, char why[256])
{
	const struct bench_opts *o = r->o;
	uint64_t total = it->big ? o->big_bytes * (uint64_t)o->threads : (uint64_t)o->small_count * (uint64_t)o->threads;
	struct bench_result *res = &r->rep->result[r->rep->nresults];
	pthread_t thread[BENCH_THREADS_MAX];
	uint64_t start, end = 0;

	if (total == 0)
		return 0;
	r->item = it;
	*res = (struct bench_result){ .item = it->name, .unit = it->unit, .each = "file", .timed = it->timed };
	bench_watch_begin(r->watch, it->name, o->threads, total, it->big);
	start = bench_now_ns();
	for (int i = 0; i < o->threads; i++) {
		struct lane *l = &r->lane[i];

		memset(&l->latency, 0, sizeof(l->latency));
		l->things = l->bytes = l->each_ns = 0;
		if (pthread_create(&thread[i], NULL, lane_main, l) != 0)
			abort(); /* a few hundred at most */
	}
	bench_watch_wait(r->watch);
	for (int i = 0; i < o->threads; i++) {
		struct lane *l = &r->lane[i];

		pthread_join(thread[i], NULL);
		hist_merge(&res->latency, &l->latency);
		res->things += l->things, res->bytes += l->bytes, res->each_ns += l->each_ns;
		end = MAX(end, l->end_ns);
	}
	res->seconds_ns = end - start;
	r->rep->nresults++;
	return explain(r, why);
}

/* ---- caches */

static bool
drop_all_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, "3", 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

/* Between writing and reading; says in a note what may be in the way of a true figure. */
static void
forget(struct run *r)
{
	const struct bench_opts *o = r->o;
	bool dropped = o->drop_caches && o->ops == &bench_path && drop_all_caches();
	int64_t left = 0, one;
	char name[160];

	for (int i = 0; i < o->threads && left >= 0; i++) {
		for (uint32_t k = 0; k <= o->small_count && left >= 0; k++) {
			bool big = k == o->small_count;

			if (big ? o->big_bytes == 0 : o->small_bytes == 0)
				continue;
			file_name(r, big, i, k, name);
			one = o->ops->forget(r->fs, name);
			left = one < 0 ? one : left + one;
		}
	}
	if (o->ops == &bench_nfs)
		bench_note(r->rep, "Reads: libnfs keeps nothing, so the server answered all of them; its own cache was not dropped.");
	else if (left < 0)
		bench_note(r->rep, "Reads: this machine's cache may have served them (it cannot be asked: %s).", strerror((int)-left));
	else if (left > 0)
		bench_note(r->rep, "Reads: this machine's cache still held %s of the files and may have served them.", format_bytes((uint64_t)left));
	else
		bench_note(r->rep, "Reads: %s; a server's own cache was not dropped.", dropped ?
			"all caches of this machine were dropped before" : "this machine's cache of the files was dropped before");
	if (o->ops == &bench_path && !dropped)
		bench_note(r->rep, "Stat: the attributes may have come from this machine's cache%s.",
			o->drop_caches ? ", which only root can drop" : "; --drop-caches, as root, drops that too");
}

/* ---- from making the directory to its removal */

static int
open_lanes(struct run *r, char why[256])
{
	const struct bench_opts *o = r->o;
	size_t buf = MAX((size_t)o->block_bytes * (size_t)o->depth, (size_t)o->small_bytes);

	r->lane = calloc((size_t)o->threads, sizeof(*r->lane));
	for (int i = 0; i < o->threads; i++) {
		struct lane *l = &r->lane[i];
		int err = o->ops->open(&l->fs, o->target, why);

		if (err < 0)
			return err;
		l->run = r;
		l->id = i;
		l->buf = aligned_alloc(PAGE, ROUND_UP(buf, PAGE));
		if (!l->buf) {
			snprintf(why, 256, "no memory for %d threads with %s of buffers each", o->threads, format_bytes(buf));
			return -ENOMEM;
		}
		/* Random, so that nothing on the way can make it smaller. */
		for (size_t at = 0; at < buf;) {
			ssize_t n = getrandom(l->buf + at, buf - at, 0);

			at += n > 0 ? (size_t)n : 0;
		}
	}
	return 0;
}

static void
close_lanes(struct run *r)
{
	for (int i = 0; r->lane && i < r->o->threads; i++) {
		if (r->lane[i].fs)
			r->o->ops->close(r->lane[i].fs);
		free(r->lane[i].buf);
	}
	free(r->lane);
}

static int
check_room(struct run *r, char why[256])
{
	const struct bench_opts *o = r->o;
	uint64_t need = (uint64_t)o->threads * (o->big_bytes + o->small_count * o->small_bytes), room;
	int err = o->ops->space(r->fs, &room);

	if (err < 0) {
		snprintf(why, 256, "%.150s: how much room there is cannot be asked: %s", o->target, strerror(-err));
		return err;
	}
	if (room < need) {
		snprintf(why, 256, "%.120s has no room: %s are needed, %s are free; --big-file-size and --small-file-count make it less",
			o->target, format_bytes(need), format_bytes(room));
		return -ENOSPC;
	}
	return 0;
}

/* A name that nobody else has: whatever is there stays untouched. */
static int
make_dir(struct run *r, char why[256])
{
	int err = -EEXIST;

	for (int i = 0; i < 10 && err == -EEXIST; i++) {
		if (getrandom(&r->seed, sizeof(r->seed), 0) != sizeof(r->seed))
			return -EIO;
		snprintf(r->dir, sizeof(r->dir), "dittofs-bench-%d-%08" PRIx32, getpid(), (uint32_t)r->seed);
		err = r->o->ops->mkdir(r->fs, r->dir);
	}
	if (err < 0)
		snprintf(why, 256, "%.150s: no directory can be made in it: %s", r->o->target, strerror(-err));
	r->made = err == 0;
	return err;
}

/* Only names that it gave itself; those that do not exist are no error. */
static int
remove_files(struct run *r)
{
	const struct bench_opts *o = r->o;
	int err = 0, one;
	char name[160];

	for (int i = 0; i < o->threads; i++) {
		for (uint32_t k = 0; k <= o->small_count; k++) {
			file_name(r, k == o->small_count, i, k, name);
			one = o->ops->unlink(r->fs, name);
			if (one < 0 && one != -ENOENT && err == 0)
				err = one;
			if (one == -EIO || one == -EPIPE)
				return one; /* a lost connection stays lost */
		}
	}
	one = o->ops->rmdir(r->fs, r->dir);
	return err < 0 ? err : one;
}

/* Over a new connection where the old one is gone. */
static void
clean_up(void *arg)
{
	struct run *r = arg;
	struct bench_fs *again;
	char why[256];
	int err;

	if (!r->made)
		return;
	err = remove_files(r);
	if (err < 0 && r->o->ops->open(&again, r->o->target, why) == 0) {
		r->o->ops->close(r->fs);
		r->fs = again;
		err = remove_files(r);
	}
	if (err < 0 && err != -ENOENT)
		fprintf(stderr, "dittofs bench: could not remove %s/%s: %s\n", r->o->target, r->dir, strerror(-err));
}

static const struct item writing[] = {
	{ "Write big file", "MiB/s", "block", true, write_file },
	{ "Write small file", "files/s", "file", false, write_file },
}, reading[] = {
	{ "Read big file", "MiB/s", "block", true, read_file },
	{ "Read small file", "files/s", "file", false, read_file },
	{ "Stat file", "files/s", "file", false, stat_file },
};

struct counters bench_server;

/* A server that does not answer any more is told in a note: the figures stand. */
static void
server_after(struct run *r, const struct counters *before)
{
	static struct counters now;
	char why[256];

	if (counters_get(r->o->server, &now, why) < 0)
		bench_note(r->rep, "Server: %.180s", why);
	else if (!counters_since(&bench_server, &now, before))
		bench_note(r->rep, "Server: it was started anew meanwhile.");
}

static int
run_items(struct run *r, char why[256])
{
	static struct counters before;
	uint64_t cpu = bench_cpu_ns();
	int err = r->o->server ? counters_get(r->o->server, &before, why) : 0;

	for (size_t i = 0; i < ARRAY_LEN(writing) && err == 0; i++)
		err = run_item(r, &writing[i], why);
	if (err == 0)
		forget(r);
	for (size_t i = 0; i < ARRAY_LEN(reading) && err == 0; i++)
		err = run_item(r, &reading[i], why);
	r->rep->cpu_ns = bench_cpu_ns() - cpu;
	if (r->o->server && err == 0)
		server_after(r, &before);
	return err;
}

int
bench_items(const struct bench_opts *o, struct bench_watch *w, struct bench_report *rep, char why[256])
{
	struct run r = { .o = o, .watch = w, .rep = rep };
	char left[512];
	int err = o->ops->open(&r.fs, o->target, why);

	if (err < 0)
		return err;
	if ((err = check_room(&r, why)) < 0 || (err = open_lanes(&r, why)) < 0 || (err = make_dir(&r, why)) < 0)
		goto close;
	snprintf(left, sizeof(left), "%s/%s", o->target, r.dir);
	w->left_behind = left;
	err = run_items(&r, why);
	bench_watch_run(w, "Removing", 0, clean_up, &r);
close:
	close_lanes(&r);
	o->ops->close(r.fs);
	return err;
}
