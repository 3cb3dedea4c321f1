/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segments of this run.  They are used, and used again, in the order of
 * their numbers, so the files always hold one contiguous suffix of the log.
 *
 * The ring begins with one small segment and grows up to its limit as it fills.
 * New segments are written with zeros, because a synced write into blocks that were
 * only allocated has to change the file system's maps too (measured here: 8 KiB in 0.45 instead of 0.2 ms,
 * 2 MiB in 2.3 instead of 1.5).  But where writers come faster than that, a
 * segment is taken half zeroed: better than to make them wait.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/journal_impl.h"

#define FIRST_BYTES   (16 * MIB) /* of the segment that a start waits for */
#define ZERO_STEP     (4 * MIB)  /* a worker isn't kept longer */
#define GROW_AGAIN_NS (30 * 1000000000ull)
#define POLL_NS       (20 * 1000000ull)

/* ---- files */

void
jseg_direct(int fd)
{
	/* Refused by some file systems: then it goes through the page cache, and RWF_DSYNC still syncs. */
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

/* ---- lists */

static void
fifo_init(struct jfifo *f)
{
	*f = (struct jfifo){ .tail = &f->head };
}

static void
fifo_push(struct jfifo *f, struct jseg *s)
{
	s->next = NULL;
	*f->tail = s;
	f->tail = &s->next;
	f->count++;
}

static struct jseg *
fifo_pop(struct jfifo *f)
{
	struct jseg *s = f->head;

	f->head = s->next;
	if (!f->head)
		f->tail = &f->head;
	f->count--;
	return s;
}

/* ---- the ring */

/* No more groups into the open segment, nor records into the group that gathers in it. */
static void
seal(struct journal *j)
{
	if (!j->open)
		return;
	j->open->last_seq = j->last;
	j->open = NULL;
	j->gather = NULL;
}

struct jseg *
jring_next(struct journal *j)
{
	struct jseg *s;

	seal(j);
	if (!j->free.head)
		return NULL;
	s = fifo_pop(&j->free);
	s->number = j->number++;
	s->first_seq = j->last + 1;
	s->retiring = false;
	fifo_push(&j->used, s);
	j->used_bytes += s->bytes;
	j->open = s;
	j->fill = 0;
	return s;
}

/*
 * Takes the disk's answer; false: once more.
 *
 * Before a segment is used again its header is wiped, and that is durable: torn by a crash,
 * the first write over what it held would leave the old header over half of the old records, and the log would
 * seem to end there.
 */
static bool
wipe_took(struct journal *j, int res)
{
	struct jseg *s = j->used.head;

	if (j->err == 0 && res != (int)PAGE && (res >= 0 || res == -EINTR || res == -EAGAIN) &&
	    ++j->wipe.tries < JTRIES_MAX)
		return false;
	j->wipe.running = false;
	if (j->err < 0)
		return true;
	if (res != (int)PAGE) {
		journal_fail(j, s, 0, res < 0 ? res : -EIO);
		return true;
	}
	fifo_push(&j->free, fifo_pop(&j->used));
	j->used_bytes -= s->bytes;
	crash_point("journal.segment_free");
	return true;
}

static void
wipe(struct journal *j)
{
	do
		if (disk_writev(j->used.head->fd, &j->wipe.iov, 1, 0, true, &j->wipe.op) == OP_PENDING)
			return;
	while (!wipe_took(j, j->wipe.op.res));
}

static void
wiped(struct op *op)
{
	struct journal *j = container_of(op, struct journal, wipe.op);

	if (!wipe_took(j, op->res))
		wipe(j);
}

static void
wipe_start(struct journal *j)
{
	j->wipe = (struct jwipe){ .op.resume = wiped, .iov = { buf_zeros, PAGE }, .running = true };
	crash_point("journal.segment_before_wipe");
	wipe(j);
}

/*
 * The oldest segment, when nothing needs it, becomes free.  A record may have gone because a newer one covers
 * it, and that one must be durable first.  And what is left of
 * earlier runs must be gone: replayed without what came after, it would bring old data back.
 */
static void
reclaim(struct journal *j)
{
	struct jseg *s = j->used.head;

	if (!s || s == j->open || j->wipe.running || j->err < 0)
		return;
	if (!s->retiring) {
		if (jseg_is_live(s))
			return;
		s->retiring = true;
		s->retire_seq = j->last;
	}
	if (j->durable >= s->retire_seq && !jscan_is_left())
		wipe_start(j);
}

static bool
is_all_retired(const struct journal *j)
{
	const struct jseg *s = j->used.head;

	return j->durable == j->last && !jscan_is_left() && (!s || (s == j->open && !jseg_is_live(s)));
}

uint64_t
journal_tail(const struct journal *j)
{
	/* Segments that could be free but are not seen as such yet only make it lower. */
	if (jscan_is_left())
		return j->opts.first_seq;
	return is_all_retired(j) ? j->last + 1 : j->used.head->first_seq;
}

uint64_t
journal_oldest(const struct journal *j)
{
	const struct jseg *s = j->used.head;

	return s && s != j->open ? s->last_seq : j->last;
}

void
journal_usage(const struct journal *j, uint64_t *used, uint64_t *total)
{
	*used = j->used_bytes - (j->open ? j->open->bytes - j->fill : 0);
	*total = MAX(j->opts.bytes, j->total_bytes);
}

/* ---- waiting for room */

static uint64_t
room(const struct journal *j)
{
	return j->total_bytes - j->used_bytes + (j->open ? j->open->bytes - j->fill : 0);
}

/* With descriptors, padding, and what stays empty at the end of a segment; but no more than can ever be. */
static uint64_t
need(const struct journal *j, uint64_t bytes)
{
	return MIN(bytes + bytes / 16 + JRECORD_BYTES_MAX + 4 * PAGE, j->total_bytes / 2);
}

static bool
has_group(const struct journal *j)
{
	return j->next - j->acked < JGROUPS;
}

enum op_state
journal_wait_room(struct journal *j, uint64_t bytes, struct op *op)
{
	assert(reactor_core() == j->core);
	if (j->err < 0)
		return op_done(op, j->err);
	if (!j->room && has_group(j) && room(j) >= need(j, bytes))
		return op_done(op, 0);
	if (!j->free.head)
		seal(j); /* else it could never be freed */
	op->res = (int)MIN(bytes, (uint64_t)INT32_MAX);
	op->next = NULL;
	*j->room_tail = op;
	j->room_tail = &op->next;
	return OP_PENDING;
}

/* In order, as many as there is room for. */
static void
wake(struct journal *j)
{
	uint64_t left = room(j);

	while (j->room && has_group(j)) {
		struct op *op = j->room;
		uint64_t want = need(j, (uint64_t)op->res);

		if (want > left)
			return;
		left -= want;
		j->room = op->next;
		if (!j->room)
			j->room_tail = &j->room;
		reactor_post(op, 0);
	}
}

void
jring_fail(struct journal *j)
{
	while (j->room) {
		struct op *op = j->room;

		j->room = op->next;
		reactor_post(op, j->err);
	}
	j->room_tail = &j->room;
}

/* ---- growing */

static bool
may_grow(const struct journal *j)
{
	return j->total_bytes + j->opts.segment_bytes <= j->opts.bytes;
}

static bool
wants_more(const struct journal *j)
{
	return j->room || (!j->free.head && (!j->open || j->fill > j->open->bytes / 4));
}

/* Writers wait, or will before long. */
static bool
is_urgent(const struct journal *j)
{
	return j->room || !j->open || j->fill > j->open->bytes / 4 * 3;
}

static int
grow_create(struct work *w)
{
	struct jgrow *g = container_of(w, struct jgrow, work);

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
seg_add(struct journal *j, struct jseg *s)
{
	fifo_push(&j->free, s);
	j->total_bytes += s->bytes;
	crash_point("journal.segment_new");
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
		seg_add(j, g->seg);
		break;
	case GROW_UNDO:
		jseg_release(g->seg);
		break;
	}
	g->seg = NULL;
	g->stage = GROW_IDLE;
}

static void
grow(struct journal *j)
{
	struct jgrow *g = &j->grow;

	if (g->stage != GROW_IDLE || j->err < 0 || !wants_more(j) || !may_grow(j) ||
	    reactor_now_ns() < g->retry_ns)
		return;
	g->seg = seg_new(j, j->opts.segment_bytes);
	if (!g->seg)
		return;
	g->zeroed = 0;
	g->op.resume = grow_run;
	g->op.res = 0;
	grow_run(&g->op);
}

/* ---- once a lap */

static void
polled(struct op *op)
{
	jscan_reap(container_of(op, struct journal, poll_op));
}

void
jring_lap(struct journal *j)
{
	reclaim(j);
	j->clean = is_all_retired(j);
	wake(j);
	grow(j);
	/* Other cores may put what this one waits for. */
	if ((j->room || jscan_wants_poll(j)) && j->poll.slot == 0)
		timer_start(&j->poll, POLL_NS, &j->poll_op);
}

int
jring_open(struct journal *j, char why[256])
{
	bool reserved;
	struct jseg *s;
	int err;

	fifo_init(&j->used);
	fifo_init(&j->free);
	j->room_tail = &j->room;
	j->poll_op.resume = polled;
	s = seg_new(j, (uint32_t)MIN(j->opts.segment_bytes, FIRST_BYTES));
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
	seg_add(j, s);
	return 0;
}

/* From the oldest on: at every instant what is left is a suffix of the log. */
static void
close_list(struct journal *j, struct jfifo *f, bool *drop)
{
	while (f->head) {
		struct jseg *s = fifo_pop(f);

		if (*drop && (unlink(s->path) < 0 || jdir_sync(j->dir) < 0)) {
			log_warn("cannot delete %s: %s", s->path, strerror(errno));
			*drop = false;
		}
		jseg_release(s);
	}
}

/*
 * Whether all is retired was seen in the last lap: extents that are put away for the end don't
 * make their records look uploaded.
 */
void
jring_close(struct journal *j)
{
	bool drop = j->clean && j->err == 0;

	assert(j->grow.stage == GROW_IDLE && !j->wipe.running && !j->room);
	if (j->poll.slot != 0)
		timer_stop(&j->poll);
	close_list(j, &j->free, &drop);
	close_list(j, &j->used, &drop);
}
