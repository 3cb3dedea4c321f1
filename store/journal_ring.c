/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segments of this run in use.  They are used, and used again, in the order of their
 * numbers, so the files always hold one contiguous suffix of the log.
 */
#include <stdlib.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/journal_impl.h"

#define POLL_NS (20 * 1000000ull)

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

static void
wiped(struct op *op)
{
	struct journal *j = container_of(op, struct journal, wipe.op);
	struct jseg *s = j->used.head;

	j->wipe.running = false;
	if (j->err < 0)
		return;
	if (op->res < 0) {
		journal_fail(j, s, 0, op->res);
		return;
	}
	fifo_push(&j->free, fifo_pop(&j->used));
	j->used_bytes -= s->bytes;
	crash_point("journal.segment_free");
}

/*
 * Before a segment is used again its header is wiped, and that is durable: torn by a
 * crash, the first write over what it held would leave the old header over half of the
 * old records, and the log would seem to end there.
 */
static void
wipe_start(struct journal *j)
{
	j->wipe = (struct jwipe){ .op.resume = wiped, .iov = { buf_zeros, PAGE }, .running = true };
	crash_point("journal.segment_before_wipe");
	if (disk_write_all(&j->wipe.write, j->used.head->fd, &j->wipe.iov, 1, 0, &j->wipe.op) == OP_DONE)
		wiped(&j->wipe.op);
}

/*
 * The oldest segment, when nothing needs it, becomes free.  A record may have gone
 * because a newer one covers it, and that one must be durable first.  And what is left of
 * earlier runs must be gone: replayed without what came after, it would bring old data
 * back.
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

static void
let_see(struct journal *j)
{
	uint64_t used, total;

	journal_usage(j, &used, &total);
	__atomic_store_n(&j->seen.used, used, __ATOMIC_RELAXED);
	__atomic_store_n(&j->seen.total, total, __ATOMIC_RELAXED);
}

void
journal_usage_seen(const struct journal *j, uint64_t *used, uint64_t *total)
{
	*used = __atomic_load_n(&j->seen.used, __ATOMIC_RELAXED);
	*total = __atomic_load_n(&j->seen.total, __ATOMIC_RELAXED);
}

bool
journal_is_broken(const struct journal *j)
{
	return __atomic_load_n(&j->err, __ATOMIC_RELAXED) < 0;
}

void
jring_add(struct journal *j, struct jseg *s)
{
	fifo_push(&j->free, s);
	j->total_bytes += s->bytes;
	crash_point("journal.segment_new");
}

/* ---- waiting for room */

static uint64_t
room(const struct journal *j)
{
	return j->total_bytes - j->used_bytes + (j->open ? j->open->bytes - j->fill : 0);
}

/*
 * With descriptors, padding, and what stays empty at the end of a segment; but no more than can
 * ever be.
 */
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

/* ---- once a lap */

static void
polled(struct op *op)
{
	jscan_reap(container_of(op, struct journal, poll_op));
}

void
jring_lap(struct journal *j)
{
	bool poll;

	reclaim(j);
	j->clean = is_all_retired(j);
	wake(j);
	poll = jgrow_lap(j);
	/* Other cores may put what this one waits for. */
	if ((poll || j->room || jscan_wants_poll(j)) && j->poll.slot == 0)
		timer_start(&j->poll, POLL_NS, &j->poll_op);
	let_see(j);
}

int
jring_open(struct journal *j, char why[256])
{
	int res;

	fifo_init(&j->used);
	fifo_init(&j->free);
	j->room_tail = &j->room;
	j->poll_op.resume = polled;
	res = jgrow_first(j, why);
	let_see(j);
	return res;
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

	assert(!j->wipe.running);
	jgrow_close(j);
	if (j->poll.slot != 0)
		timer_stop(&j->poll);
	close_list(j, &j->free, &drop);
	close_list(j, &j->used, &drop);
}
