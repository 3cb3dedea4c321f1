/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segment files, and the making of them.  The ring begins with one small segment and
 * grows up to its limit as it fills, and some part of it beforehand.
 *
 * New segments are written with zeros, because a synced write into blocks that
 * were only allocated has to change the file system's maps too (measured on ext4:
 * 8 KiB in 0.45 instead of 0.2 ms, 2 MiB in 2.3 instead of 1.5).  But where
 * writers come faster than that, a segment is taken half zeroed: better than to
 * make them wait.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/journal_impl.h"

#define FIRST_BYTES   (16 * MIB) /* of the segment that a start waits for */
#define ZERO_STEP     (4 * MIB)  /* a worker isn't kept longer */
#define GROW_AGAIN_NS (30 * 1000000000ull)
#define PAUSE_NS      (200 * 1000000ull) /* nothing came for so long: the burst is over */

/* ---- files */

void
jseg_direct(int fd)
{
	/*
	 * Refused by some file systems: then it goes through the page cache, and RWF_DSYNC
	 * still syncs.
	 */
	int flags = fcntl(fd, F_GETFL);

	if (flags >= 0)
		(void)fcntl(fd, F_SETFL, flags | O_DIRECT);
}

int
jdir_sync(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void
jseg_unhold(struct jseg *s)
{
	uint32_t held = atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel);

	assert(held > 0);
	if (held > 1)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s);
}

void
jseg_release(struct jseg *s)
{
	jseg_unhold(s);
}

void
jloc_get(const struct jloc *loc)
{
	if (!loc->seg)
		return;
	uint32_t held = atomic_fetch_add_explicit(&loc->seg->holders, 1, memory_order_relaxed);

	assert(held > 0);
}

void
jloc_put(const struct jloc *loc)
{
	if (loc->seg)
		jseg_unhold(loc->seg);
}

/* The steps of making a segment; all of them block. */

static struct jseg *
seg_new(struct journal *j, uint32_t bytes)
{
	struct jseg *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	atomic_init(&s->holders, 1);
	s->fd = -1;
	s->bytes = bytes;
	s->core = (uint32_t)j->core;
	s->epoch = j->opts.epoch;
	snprintf(s->path, sizeof(s->path), "%s/%02d-%016llx-%04llu.journal", j->dir, j->core,
	         (unsigned long long)j->opts.epoch, (unsigned long long)j->files++);
	return s;
}

static int
seg_create(struct jseg *s, bool *reserved)
{
	int err = 0;

	*reserved = true;
	s->fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	if (fallocate(s->fd, 0, 0, s->bytes) < 0)
		err = -errno;
	if (err == -EOPNOTSUPP || err == -ENOSYS) {
		*reserved = false;
		err = 0;
	}
	jseg_direct(s->fd);
	return err;
}

static int
seg_zero(struct jseg *s, uint32_t from, uint32_t to)
{
	struct iovec iov[16];

	while (from < to) {
		uint32_t left = to - from;
		int n = 0;
		ssize_t done;

		for (; n < (int)ARRAY_LEN(iov) && left > 0; n++) {
			uint32_t len = MIN(left, BUF_LARGE_BYTES);

			iov[n] = (struct iovec){ buf_zeros, len };
			left -= len;
		}
		done = pwritev(s->fd, iov, n, from);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < (ssize_t)PAGE)
			return done < 0 ? -errno : -ENOSPC;
		from += ROUND_DOWN((uint32_t)done, PAGE);
	}
	return 0;
}

/* The name too must be there before anything in the segment counts. */
static int
seg_sync(struct jseg *s, const char *dir)
{
	return fsync(s->fd) < 0 ? -errno : jdir_sync(dir);
}

/* ---- one more, in the background */

static bool
may_grow(const struct journal *j)
{
	return j->total_bytes + j->opts.segment_bytes <= j->opts.bytes;
}

/* For the next burst. */
static bool
may_prepare(const struct journal *j)
{
	return j->total_bytes - j->used_bytes + j->opts.segment_bytes <= j->opts.ahead_bytes;
}

/* Zeros take as much of the disk as what they are for. */
static bool
is_pause(struct journal *j)
{
	const struct jgroup *last = &j->group[(j->next - 1) % JGROUPS];

	return j->durable == j->last && reactor_now_ns() - last->opened_ns >= PAUSE_NS;
}

static bool
is_needed(const struct journal *j)
{
	return j->room || (!j->free.head && (!j->open || j->fill > j->open->bytes / 4));
}

/* Writers wait, or will before long. */
static bool
is_urgent(const struct journal *j)
{
	return j->room || (!j->free.head && (!j->open || j->fill > j->open->bytes / 4 * 3));
}

/* Others too live on this disk. */
static bool
leaves_enough(const struct journal *j)
{
	struct statvfs v;

	if (j->opts.free_ratio <= 0 || statvfs(j->dir, &v) < 0)
		return true;
	return (double)v.f_bavail * (double)v.f_frsize - (double)j->opts.segment_bytes >=
	       j->opts.free_ratio * (double)v.f_blocks * (double)v.f_frsize;
}

static int
grow_create(struct work *w)
{
	struct jgrow *g = container_of(w, struct jgrow, work);

	if (!leaves_enough(container_of(g, struct journal, grow)))
		return -ENOSPC;
	return seg_create(g->seg, &g->reserved);
}

static int
grow_zero(struct work *w)
{
	struct jgrow *g = container_of(w, struct jgrow, work);

	return seg_zero(g->seg, g->zeroed, (uint32_t)MIN(g->zeroed + ZERO_STEP, g->seg->bytes));
}

static int
grow_sync(struct work *w)
{
	struct jgrow *g = container_of(w, struct jgrow, work);
	struct journal *j = container_of(g, struct journal, grow);

	return seg_sync(g->seg, j->dir);
}

static int
grow_undo(struct work *w)
{
	struct jgrow *g = container_of(w, struct jgrow, work);

	if (g->seg->fd >= 0)
		(void)unlink(g->seg->path);
	return 0;
}

static void
grow_complain(struct journal *j, int err)
{
	struct jgrow *g = &j->grow;

	if (!g->complained)
		log_warn("journal %s: cannot grow beyond %llu MiB: %s; writers wait for uploads earlier",
		         j->dir, (unsigned long long)(j->total_bytes / MIB), strerror(-err));
	g->complained = true;
	g->retry_ns = reactor_now_ns() + GROW_AGAIN_NS;
}

static void
grow_run(struct op *op)
{
	struct jgrow *g = container_of(op, struct jgrow, op);
	struct journal *j = container_of(g, struct journal, grow);

	if (op->res < 0) {
		grow_complain(j, op->res);
		g->stage = GROW_UNDO;
		worker_run(&g->work, grow_undo, op);
		return;
	}
	switch (g->stage) {
	case GROW_IDLE:
		g->stage = GROW_CREATE;
		worker_run(&g->work, grow_create, op);
		return;
	case GROW_ZERO:
		g->zeroed = (uint32_t)MIN(g->zeroed + ZERO_STEP, g->seg->bytes);
		fallthrough;
	case GROW_CREATE:
	case GROW_PAUSED:
		if (!is_needed(j) && !is_pause(j)) {
			g->stage = GROW_PAUSED;
			return;
		}
		if (g->zeroed < g->seg->bytes && !(g->reserved && is_urgent(j))) {
			g->stage = GROW_ZERO;
			worker_run(&g->work, grow_zero, op);
			return;
		}
		g->stage = GROW_SYNC;
		worker_run(&g->work, grow_sync, op);
		return;
	case GROW_SYNC:
		g->complained = false;
		jring_add(j, g->seg);
		break;
	case GROW_UNDO:
		jseg_release(g->seg);
		break;
	}
	g->seg = NULL;
	g->stage = GROW_IDLE;
}

bool
jgrow_lap(struct journal *j)
{
	struct jgrow *g = &j->grow;
	bool paused = g->stage == GROW_PAUSED;

	if ((g->stage != GROW_IDLE && !paused) || j->err < 0 || !may_grow(j) || reactor_now_ns() < g->retry_ns)
		return false;
	if (!is_needed(j) && !paused && !may_prepare(j))
		return false;
	if (!is_needed(j) && !is_pause(j))
		return true;
	if (!paused) {
		g->seg = seg_new(j, j->opts.segment_bytes);
		if (!g->seg)
			return false;
		g->zeroed = 0;
		g->op.resume = grow_run;
	}
	g->op.res = 0;
	grow_run(&g->op);
	return false;
}

void
jgrow_close(struct journal *j)
{
	struct jgrow *g = &j->grow;

	assert(g->stage == GROW_IDLE || g->stage == GROW_PAUSED);
	if (g->stage == GROW_IDLE)
		return;
	grow_undo(&g->work);
	jseg_release(g->seg);
}

int
jgrow_first(struct journal *j, char why[256])
{
	struct jseg *s = seg_new(j, (uint32_t)MIN(j->opts.segment_bytes, FIRST_BYTES));
	bool reserved;
	int err;

	if (!s)
		return -ENOMEM;
	err = seg_create(s, &reserved);
	if (err == 0)
		err = seg_zero(s, 0, s->bytes);
	if (err == 0)
		err = seg_sync(s, j->dir);
	if (err < 0) {
		snprintf(why, 256, "cannot make a journal segment of %u MiB in %.120s: %s",
		         (unsigned)(s->bytes / MIB), j->dir, strerror(-err));
		if (s->fd >= 0)
			(void)unlink(s->path);
		jseg_release(s);
		return err;
	}
	jring_add(j, s);
	return 0;
}
