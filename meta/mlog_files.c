/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meta/mlog_impl.h"
#include "reactor/log.h"

#define SEG_BYTES_MIN (256 * KIB)
#define ZERO_BYTES    (256 * KIB)

/* ---- segments ---- */

/* A write in place needs no change of the file's own metadata, which a sync would have to wait for. */
static int
seg_zero(int fd, uint32_t bytes)
{
	uint8_t *zeros = aligned_alloc(PAGE, ZERO_BYTES);
	int err = zeros ? 0 : -ENOMEM;

	if (zeros)
		memset(zeros, 0, ZERO_BYTES);
	for (uint32_t at = 0; at < bytes && !err;) {
		ssize_t n = pwrite(fd, zeros, MIN(bytes - at, (uint32_t)ZERO_BYTES), at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err = n < 0 ? -errno : -ENOSPC;
		else
			at += (uint32_t)n;
	}
	if (!err && fsync(fd) < 0)
		err = -errno;
	free(zeros);
	return err;
}

static int
seg_open(struct mlog_seg *s, uint32_t bytes)
{
	struct stat st;
	int err = 0;

	s->last = 0;
	s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	if (fstat(s->fd, &st) < 0)
		err = -errno;
	else if (st.st_size != (off_t)bytes)
		err = ftruncate(s->fd, 0) < 0 ? -errno : seg_zero(s->fd, bytes);
	if (err) {
		close(s->fd);
		s->fd = -1;
		return err;
	}
	/* Past the page cache, where the file system can. */
	(void)fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_DIRECT);
	return 0;
}

static int
dir_make(const char *dir)
{
	char parent[512];
	char *slash;
	int fd, err;

	if (mkdir(dir, 0700) < 0)
		return errno == EEXIST ? 0 : -errno;
	snprintf(parent, sizeof(parent), "%s", dir);
	slash = strrchr(parent, '/');
	if (!slash)
		return 0;
	*slash = 0;
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	return err;
}

/* Segments of another size are about to be made: whatever becomes of that, the old ones say nothing any more. */
static int
void_other_size(const struct mlog_files *f)
{
	struct mlog_head h;
	int err = mlog_head_read(f->dir, &h);

	if (err == 0 && h.segments == MLOG_SEGMENTS && h.segment_bytes == f->seg_bytes)
		return 0;
	h = f->head;
	h.clean = true;
	return mlog_head_write(f->dir, &h);
}

int
mlog_files_open(struct mlog_files *f, const struct mlog_opts *o, uint8_t run[MLOG_RUN_BYTES], char why[256])
{
	uint32_t n = 0;
	int err;

	memset(f, 0, sizeof(*f));
	snprintf(f->dir, sizeof(f->dir), "%.500s", o->dir);
	f->seg_bytes = (uint32_t)ROUND_DOWN(MIN(MAX(o->bytes / MLOG_SEGMENTS, SEG_BYTES_MIN), 1 * GIB), PAGE);
	f->head = (struct mlog_head){ .segments = MLOG_SEGMENTS, .segment_bytes = f->seg_bytes };
	err = dir_make(f->dir);
	if (!err)
		err = void_other_size(f);
	if (!err && getrandom(f->head.run, MLOG_RUN_BYTES, 0) != MLOG_RUN_BYTES)
		err = -EIO;
	for (; n < MLOG_SEGMENTS && !err; n++) {
		mlog_seg_path(f->seg[n].path, f->dir, n);
		err = seg_open(&f->seg[n], f->seg_bytes);
		if (err)
			break;
	}
	if (!err)
		err = mlog_head_write(f->dir, &f->head);
	if (!err) {
		memcpy(run, f->head.run, MLOG_RUN_BYTES);
		return 0;
	}
	snprintf(why, 256, "cannot make the metadata log of %llu MiB in %.120s: %s%s",
	         (unsigned long long)(f->seg_bytes * (uint64_t)MLOG_SEGMENTS / MIB), f->dir, strerror(-err),
	         err == -EMFILE ? " (ulimit -n, or LimitNOFILE= of the service)" : "");
	while (n-- > 0)
		close(f->seg[n].fd);
	return err;
}

void
mlog_files_close(struct mlog_files *f, bool clean)
{
	f->head.clean = clean;
	if (clean && mlog_head_write(f->dir, &f->head) < 0)
		log_warn("metadata: the next start will look through the log, though all is in its place");
	for (int i = 0; i < MLOG_SEGMENTS; i++)
		close(f->seg[i].fd);
}

int
mlog_make_empty(const char *dir)
{
	struct mlog_head h = { .segments = MLOG_SEGMENTS, .segment_bytes = SEG_BYTES_MIN, .clean = true };
	int err = dir_make(dir);

	return err ? err : mlog_head_write(dir, &h);
}

uint32_t
mlog_files_next(const struct mlog_files *f)
{
	return (f->open + 1) % MLOG_SEGMENTS;
}

void
mlog_files_turn(struct mlog_files *f)
{
	f->open = mlog_files_next(f);
	f->fill = 0;
}

/* ---- the thread that makes them free ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake, done;
	pthread_t thread;
	int (*go)(int (*flush)(void));
	int (*flush)(void);
	uint64_t wanted, began, ended; /* rounds */
	int res;
	bool stop;
} fl = { .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER };

static void *
flusher(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&fl.lock);
	for (;;) {
		int res;

		while (fl.wanted <= fl.began && !fl.stop)
			pthread_cond_wait(&fl.wake, &fl.lock);
		if (fl.stop)
			break;
		fl.began = fl.wanted;
		pthread_mutex_unlock(&fl.lock);
		res = fl.go(fl.flush);
		pthread_mutex_lock(&fl.lock);
		fl.res = res;
		fl.ended = fl.began;
		pthread_cond_broadcast(&fl.done);
	}
	pthread_mutex_unlock(&fl.lock);
	return NULL;
}

void
mlog_flusher_wake(void)
{
	pthread_mutex_lock(&fl.lock);
	fl.wanted = fl.began + 1;
	pthread_cond_signal(&fl.wake);
	pthread_mutex_unlock(&fl.lock);
}

int
mlog_flusher_wait(void)
{
	uint64_t round;
	int res;

	pthread_mutex_lock(&fl.lock);
	round = fl.wanted = fl.began + 1;
	pthread_cond_signal(&fl.wake);
	while (fl.ended < round)
		pthread_cond_wait(&fl.done, &fl.lock);
	res = fl.res;
	pthread_mutex_unlock(&fl.lock);
	return res;
}

int
mlog_flusher_start(int (*go)(int (*flush)(void)), int (*flush)(void))
{
	sigset_t all, old;
	int err;

	fl.go = go;
	fl.flush = flush;
	fl.wanted = fl.began = fl.ended = 0;
	fl.stop = false;
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&fl.thread, NULL, flusher, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!err)
		pthread_setname_np(fl.thread, "kv-flush");
	return -err;
}

void
mlog_flusher_stop(void)
{
	pthread_mutex_lock(&fl.lock);
	fl.stop = true;
	pthread_cond_signal(&fl.wake);
	pthread_mutex_unlock(&fl.lock);
	pthread_join(fl.thread, NULL);
}
