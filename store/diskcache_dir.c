/* SPDX-License-Identifier: Apache-2.0 */
/* What is of the process: the directories, their room and their trouble; segment files that several cores read. */
#include "store/diskcache_impl.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "reactor/log.h"
#include "reactor/reactor.h"

#define SAY_NS       (1 * (uint64_t)1000000000)
#define SHORT_SAY_NS (600 * (uint64_t)1000000000)
#define RETRY_NS     (60 * (uint64_t)1000000000)
#define SEGMENT_LEAST (256 * KIB)

struct diskcache_opts cache_disk_opts;
static struct cdir dirs[DISKCACHE_DIRS_MAX];
static _Atomic uint64_t next_serial;

struct cdir *
cdir_get(int i)
{
	return &dirs[i];
}

uint64_t
cdir_serial(void)
{
	return atomic_fetch_add_explicit(&next_serial, 1, memory_order_relaxed);
}

uint64_t
cdir_budget(void)
{
	return cache_disk_opts.bytes / (uint64_t)(cache_disk_opts.ndirs * cache_disk_opts.cores);
}

/* An eviction rewrites a part of one: so a small part of the cache. */
uint64_t
cdir_segment_bytes(void)
{
	return ROUND_DOWN(MAX(SEGMENT_LEAST, MIN(SEGMENT_BYTES_MAX, cdir_budget() / 32)), PAGE);
}

void
cdir_bytes(struct cdir *d, uint64_t more, uint64_t less)
{
	atomic_fetch_add_explicit(&d->bytes, more - less, memory_order_relaxed);
}

bool
cdir_reserve(struct cdir *d, uint64_t bytes)
{
	uint64_t was = d->bytes, max = cdir_budget() * (uint64_t)cache_disk_opts.cores;

	do
		if (was + bytes > max)
			return false;
	while (!atomic_compare_exchange_weak(&d->bytes, &was, was + bytes));
	return true;
}

bool
diskcache_dir(int i, struct diskcache_dir *out)
{
	struct cdir *d = &dirs[i];

	if (i >= cache_disk_opts.ndirs)
		return false;
	*out = (struct diskcache_dir){
		.path = d->path,
		.bytes = d->bytes,
		.max_bytes = cdir_budget() * (uint64_t)cache_disk_opts.cores,
		.state = d->broken ? "failed" : d->is_short ? "no room" : d->loading > 0 ? "loading" : "ok",
	};
	return true;
}

/* ---- trouble */

void
cdir_break(struct cdir *d, const char *what, int err)
{
	if (!atomic_exchange(&d->broken, true))
		log_warn("cache directory %s: %s: %s; it is left alone, and tried again each minute", d->path, what,
		         strerror(-err));
}

void
cdir_damaged(struct cdir *d, const char *what, uint64_t serial)
{
	uint64_t more;

	if (!log_turn(&d->damage, SAY_NS, &more))
		return;
	if (more > 0)
		log_warn("cache file %016" PRIx64 " in %s: %s; the object store has it (%" PRIu64 " more like it)", serial,
		         d->path, what, more);
	else
		log_warn("cache file %016" PRIx64 " in %s: %s; the object store has it", serial, d->path, what);
}

void
cdir_no_room(struct cdir *d)
{
	uint64_t more;

	if (log_turn(&d->shortage, SHORT_SAY_NS, &more))
		log_warn("cache directory %s: its file system is full, or fuller than cache.free_space_ratio allows; the cache stays smaller",
		         d->path);
}

/* ---- on a worker */

/* 0, -errno; how many bytes are free beyond what has to stay free. */
static int
room(const struct cdir *d, int64_t *bytes)
{
	struct statvfs v;

	if (statvfs(d->path, &v) < 0)
		return -errno;
	*bytes = (int64_t)((double)v.f_bavail * (double)v.f_frsize -
	                   cache_disk_opts.free_ratio * (double)v.f_blocks * (double)v.f_frsize);
	return 0;
}

int
cdir_room(const struct cdir *d, uint64_t bytes)
{
	int64_t have = 0;
	int err = room(d, &have);

	if (err < 0)
		return err;
	return have < (int64_t)bytes ? -ENOSPC : 0;
}

static int
look_run(struct work *w)
{
	struct cdir *d = container_of(w, struct cdir, work);
	int64_t have = 0;
	int err = room(d, &have);

	if (err < 0)
		return err;
	return access(d->path, W_OK | X_OK) < 0 ? -errno : have < 0;
}

static bool
parse_name(const char *name, struct cfile *f)
{
	int end = 0;

	return sscanf(name, "%2" SCNu32 "-%16" SCNx64 ".cache%n", &f->core, &f->serial, &end) == 2 && end > 0 &&
	       name[end] == '\0';
}

/* Calls fn for each of our files; the folder is made where its parent is there. */
static int
for_files(struct cdir *d, int (*fn)(struct cdir *d, int dirfd, const char *name, const struct cfile *f))
{
	struct dirent *e;
	struct cfile f;
	DIR *dir;
	int err = 0;

	if (mkdir(d->path, 0700) < 0 && errno != EEXIST)
		return -errno;
	dir = opendir(d->path);
	if (!dir)
		return -errno;
	while (err == 0 && (e = readdir(dir)))
		if (parse_name(e->d_name, &f))
			err = fn(d, dirfd(dir), e->d_name, &f);
	closedir(dir);
	return err;
}

static int
remove_file(struct cdir *d, int dirfd, const char *name, const struct cfile *f)
{
	(void)d;
	(void)f;
	return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int
try_write(const struct cdir *d)
{
	static const uint8_t text[] = "can this be written?\n";
	char path[PATH_BYTES + 16];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/probe", d->path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, sizeof(text)) != sizeof(text) || fsync(fd) < 0)
		err = errno ? -errno : -EIO;
	close(fd);
	unlink(path);
	return err;
}

/* It was left alone: what is there is of nobody's index, so it begins empty. */
static int
probe_run(struct work *w)
{
	struct cdir *d = container_of(w, struct cdir, work);
	int err = for_files(d, remove_file);

	return err < 0 ? err : try_write(d);
}

/* ---- now and then, on core 0 */

static void
looked(struct op *op)
{
	struct cdir *d = container_of(op, struct cdir, step);

	d->looking = false;
	if (d->broken) {
		d->retry_ns = reactor_now_ns() + (cache_disk_opts.retry_ns ? cache_disk_opts.retry_ns : RETRY_NS);
		if (op->res < 0)
			return;
		d->retry_ns = 0;
		d->broken = false;
		log_info("cache directory %s can be used again", d->path);
		return;
	}
	if (op->res < 0) {
		cdir_break(d, "looking at it", op->res);
		return;
	}
	d->is_short = op->res == 1;
	if (d->is_short)
		cdir_no_room(d);
}

void
cdir_look(struct cdir *d)
{
	uint64_t wait_ns = cache_disk_opts.retry_ns ? cache_disk_opts.retry_ns : RETRY_NS;

	if (d->looking)
		return;
	if (d->broken && d->retry_ns == 0)
		d->retry_ns = reactor_now_ns() + wait_ns;
	if (d->broken && reactor_now_ns() < d->retry_ns)
		return;
	d->looking = true;
	d->step.resume = looked;
	worker_run(&d->work, d->broken ? probe_run : look_run, &d->step);
}

bool
cdir_is_looking(void)
{
	for (int i = 0; i < cache_disk_opts.ndirs; i++)
		if (dirs[i].looking)
			return true;
	return false;
}

/* ---- segment files */

struct cseg *
cseg_new(struct cdir *d, uint64_t serial, uint64_t bytes, uint32_t core)
{
	struct cseg *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct cseg){ .dir = d, .fd = -1, .serial = serial, .bytes = bytes, .core = core, .owner = reactor_core() };
	atomic_init(&s->holders, 1);
	return s;
}

void
cseg_path(const struct cseg *s, char out[PATH_BYTES + 64])
{
	snprintf(out, PATH_BYTES + 64, "%s/%02" PRIu32 "-%016" PRIx64 ".cache", s->dir->path, s->core, s->serial);
}

void
cseg_direct(const struct cseg *s)
{
	int flags = fcntl(s->fd, F_GETFL);

	(void)fcntl(s->fd, F_SETFL, flags | O_DIRECT);
}

static void
cseg_free(struct cseg *s)
{
	free(s->found);
	free(s);
}

static int
close_run(struct work *w)
{
	close(container_of(w, struct cseg, work)->fd);
	return 0;
}

static void
closed(struct op *op)
{
	cseg_free(container_of(op, struct cseg, step));
}

/* Closing a file that was deleted frees its blocks, which takes time. */
void
cseg_put(struct cseg *s)
{
	if (atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) > 1)
		return;
	if (s->fd >= 0 && !dcore->fini) {
		s->step.resume = closed;
		worker_run(&s->work, close_run, &s->step);
		return;
	}
	if (s->fd >= 0)
		close(s->fd);
	cseg_free(s);
}

static void
tell_run(struct shard_msg *m)
{
	struct cseg *s = container_of(m, struct cseg, msg);

	if (reactor_core() == s->owner) {
		s->told(s);
		return;
	}
	s->visit(s);
	s->left &= s->left - 1;
	shard_send(s->left ? __builtin_ctzll(s->left) : s->owner, m);
}

void
cseg_tell(struct cseg *s, void (*visit)(struct cseg *s), void (*told)(struct cseg *s))
{
	assert(s->others && reactor_core() == s->owner);
	s->visit = visit;
	s->told = told;
	s->left = s->others;
	s->msg.run = tell_run;
	shard_send(__builtin_ctzll(s->left), &s->msg);
}

/* ---- start and end */

static int
add_file(struct cdir *d, int dirfd, const char *name, const struct cfile *f)
{
	struct stat st;
	struct cfile *more;

	if (fstatat(dirfd, name, &st, 0) < 0)
		return errno == ENOENT ? 0 : -errno;
	if ((d->nfiles & (d->nfiles - 1)) == 0) { /* full at every power of two */
		more = realloc(d->file, (d->nfiles ? 2 * (size_t)d->nfiles : 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		d->file = more;
	}
	d->file[d->nfiles] = *f;
	d->file[d->nfiles++].bytes = (uint64_t)st.st_size;
	d->bytes += (uint64_t)st.st_size;
	if (f->serial >= next_serial)
		next_serial = f->serial + 1;
	return 0;
}

static int
by_serial(const void *a, const void *b)
{
	const struct cfile *x = a, *y = b;

	return (x->serial > y->serial) - (x->serial < y->serial);
}

int
diskcache_open(const struct diskcache_opts *o)
{
	assert(o->ndirs <= DISKCACHE_DIRS_MAX && (o->ndirs == 0 || o->cores > 0));
	cache_disk_opts = *o;
	memset(dirs, 0, sizeof(dirs));
	next_serial = 1;
	for (int i = 0; i < o->ndirs; i++) {
		struct cdir *d = &dirs[i];
		int n = snprintf(d->path, sizeof(d->path), "%s/", o->dir[i]), err;

		d->index = i;
		if (n < 0 || n > PATH_BYTES - 33)
			return -ENAMETOOLONG;
		mkdir(o->dir[i], 0700); /* or it is there, or the next mkdir says what is wrong */
		for (int k = 0; k < 16; k++)
			n += snprintf(d->path + n, sizeof(d->path) - (size_t)n, "%02x", o->uuid[k]);
		err = for_files(d, add_file);
		if (err < 0) {
			cdir_break(d, "opening it", err);
			d->nfiles = 0;
			d->bytes = 0;
		}
		if (d->nfiles > 0)
			qsort(d->file, d->nfiles, sizeof(*d->file), by_serial);
	}
	return 0;
}

void
diskcache_close(void)
{
	for (int i = 0; i < cache_disk_opts.ndirs; i++)
		free(dirs[i].file);
	memset(dirs, 0, sizeof(dirs));
	memset(&cache_disk_opts, 0, sizeof(cache_disk_opts));
}
