/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WRITE: into the journal and into the dirty extents, at once; and the line of
 * those who wait because the journal or the extents' slab is full.  The line is in order:
 * its first has the turn, who comes later stands behind it.
 */
#include "meta/dir.h"
#include "meta/file_core.h"
#include "meta/flush.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define WRITES          1024 /* waiting for something, a core */
#define ROOM_POLL_NS    (20 * MSEC_NS)
#define EXTENTS_A_PIECE 3

enum { WRITE_BEGIN, WRITE_INODE, WRITE_READY, WRITE_MODE, WRITE_ROOM, WRITE_SYNCED };

struct file_write_priv {
	struct inode_get get;
	struct op_wait unlocked;
	struct meta_setattr setattr;  /* clears set-user-ID */
	struct file *file;
	struct file_write *w;
	struct file_write_priv *prev, *next; /* in line */
	struct timer timer;
	struct op timeout;
	bool in_line, timed_out;
	uint64_t at;                  /* where the next piece goes */
	int piece;
	uint64_t seq;                 /* the last record's */
	struct file_sync sync;
};

struct write_core {
	struct slab slab;
	struct runq queue;            /* WRITEs that wait for a priv */
	struct file_write_priv *head, *tail;
	struct op turn;               /* gives the first its turn */
	bool turning;
	bool room_asked;              /* of the journal */
	struct op room;
	struct timer poll;
	struct op polled;
};

static __thread struct write_core mine;

/* ---- the line */

static void
turn(struct op *op)
{
	struct file_write_priv *p = mine.head;

	(void)op;
	mine.turning = false;
	/* It may be waiting for something else just now, and comes back here by itself. */
	if (p && p->w->stage == WRITE_ROOM) {
		p->w->step.res = 0;
		p->w->step.resume(&p->w->step);
	}
}

void
write_kick(void)
{
	if (!mine.head || mine.turning)
		return;
	mine.turning = true;
	reactor_post(&mine.turn, 0);
}

static void
room_there(struct op *op)
{
	(void)op;
	mine.room_asked = false;
	file_count()->room_ns = 0;
	write_kick();
}

static void
polled(struct op *op)
{
	(void)op;
	write_kick();
}

static void
line_leave(struct file_write_priv *p)
{
	if (!p->in_line)
		return;
	*(p->prev ? &p->prev->next : &mine.head) = p->next;
	*(p->next ? &p->next->prev : &mine.tail) = p->prev;
	p->in_line = false;
	write_kick();
}

static void
line_join(struct file_write_priv *p)
{
	if (p->in_line)
		return; /* it keeps its place */
	p->prev = mine.tail;
	p->next = NULL;
	*(mine.tail ? &mine.tail->next : &mine.head) = p;
	mine.tail = p;
	p->in_line = true;
	if (p->timer.slot == 0)
		timer_start(&p->timer, file_options()->write_wait_ns, &p->timeout);
}

static void
timeout(struct op *op)
{
	struct file_write_priv *p = container_of(op, struct file_write_priv, timeout);

	p->timed_out = true;
	if (p->in_line && p->w->stage == WRITE_ROOM) {
		p->w->step.res = 0;
		p->w->step.resume(&p->w->step);
	}
}

/* The first in line found no room: what will tell it that there is some. */
static void
await_room(uint32_t bytes)
{
	flush_pressure();
	if (!mine.room_asked) {
		mine.room_asked = true;
		if (journal_wait_room(file_journal(), bytes, &mine.room) == OP_DONE)
			mine.room_asked = false;
		else
			file_count()->room_ns = reactor_now_ns();
	}
	/* Extents and groups come free without a word. */
	if (mine.poll.slot == 0)
		timer_start(&mine.poll, ROOM_POLL_NS, &mine.polled);
}

/* ---- one piece: one record, one extent */

/* TRUNC records are written under a lock and cannot wait: a little of the journal is theirs. */
static bool
has_reserve(void)
{
	uint64_t used, total;

	journal_usage(file_journal(), &used, &total);
	return used + MIN(total / 16, 1 * MIB) <= total;
}

static void
grow(struct inode *i, uint64_t end, uint64_t now, uint64_t seq)
{
	struct attr *a = &i->attr;

	inode_hide(i);
	a->size = MAX(a->size, end);
	a->mtime_ns = a->ctime_ns = now;
	a->jseq = seq;
}

/* As many files as may wait for their upload do, and this would be one more. */
static bool
is_one_too_many(const struct file *f)
{
	uint32_t most = file_options()->max_pending;

	return most > 0 && f->dirty.count == 0 && !f->flush && file_count()->dirty_files >= most;
}

/* 0, -EAGAIN: no room now, or an error of the journal. */
static int
put_piece(struct file_write *w)
{
	struct file_write_priv *p = w->priv;
	struct inode *i = p->get.inode;
	struct bufref *ref = &w->payload[p->piece];
	uint64_t now = attr_change_ns(&i->attr);
	struct jloc loc;
	int res;

	if (extent_room() < EXTENTS_A_PIECE || !has_reserve() || is_one_too_many(p->file))
		return -EAGAIN;
	res = journal_append(file_journal(), J_WRITE, i->ino, p->at, now, ref, &p->seq, &loc);
	if (res < 0)
		return res;
	crash_point("write.appended");
	res = extent_insert(&p->file->dirty, p->at, ref->len, ref->buf, 0, &loc, p->seq, reactor_now_ns());
	assert(res == 0); /* there was room for it */
	grow(i, p->at + ref->len, now, p->seq);
	flush_note(p->file, p->at, ref->len);
	p->at += ref->len;
	buf_put(ref->buf);
	ref->buf = NULL;
	return 0;
}

/* Everything that is left, unless room ends. */
static int
put_pieces(struct file_write *w)
{
	struct file_write_priv *p = w->priv;
	struct attr *a = &p->get.inode->attr;
	int res = 0, first = p->piece;

	if (first == 0)
		w->wcc = (struct wcc){ .has_pre = true, .pre_size = a->size, .pre_mtime_ns = a->mtime_ns,
			               .pre_ctime_ns = a->ctime_ns };
	for (; p->piece < w->npayload; p->piece++) {
		if (w->payload[p->piece].len > 0)
			res = put_piece(w);
		if (res < 0)
			break;
	}
	if (p->piece > first) {
		file_changed(p->file, a);
		flush_look();
	}
	return res;
}

/* ---- the operation */

static void
priv_give(struct file_write *w, struct file_write_priv *p)
{
	w->priv = p;
	p->w = w;
	p->file = NULL;
	p->get.inode = NULL;
	p->in_line = p->timed_out = false;
	p->at = w->off;
	p->piece = 0;
	p->seq = 0;
	p->timer.slot = 0;
	p->timeout.resume = timeout;
}

static void
priv_put(struct file_write *w)
{
	struct op *step = mine.queue.head;

	if (step) {
		mine.queue.head = step->next;
		if (!mine.queue.head)
			mine.queue.tail = &mine.queue.head;
		priv_give(container_of(step, struct file_write, step), w->priv);
		reactor_post(step, 0);
	} else {
		slab_put(&mine.slab, w->priv);
	}
	w->priv = NULL;
}

static void
payload_put(struct file_write *w)
{
	for (int k = 0; k < w->npayload; k++)
		if (w->payload[k].buf)
			buf_put(w->payload[k].buf);
	w->npayload = 0;
}

static enum op_state
write_finish(struct file_write *w, int res)
{
	struct file_write_priv *p = w->priv;
	struct inode *i = p->get.inode;

	payload_put(w);
	line_leave(p);
	if (p->timer.slot != 0)
		timer_stop(&p->timer);
	if (i && i->gone && res == 0)
		res = -ESTALE;
	if (i && !i->gone) {
		w->wcc.has_post = true;
		w->wcc.post = i->attr;
	}
	if (res == 0) {
		w->committed = w->stable == STABLE_UNSTABLE ? STABLE_UNSTABLE : STABLE_FILE_SYNC;
		file_count()->write_bytes += w->count;
	}
	w->verf = file_verf();
	file_count()->writes++;
	if (p->file)
		file_put(p->file);
	if (i)
		inode_put(i);
	priv_put(w);
	return op_done(w->wait, res);
}

/* Type, permission and limits, as they are at this instant. */
static int
write_check(const struct file_write *w)
{
	const struct attr *a = &w->priv->get.inode->attr;
	int res = file_check_type(a);

	if (w->priv->get.inode->gone)
		return -ESTALE;
	if (res < 0)
		return res;
	if (!perm_may_io(a, &w->req.cred, MAY_WRITE))
		return -EACCES;
	if (trash_holds(a))
		return -EROFS;
	return w->off > FILE_SIZE_MAX || w->count > FILE_SIZE_MAX - w->off ? -EFBIG : 0;
}

/* The new mode must be as durable as the data: a metadata change like any other. */
static enum op_state
clear_setid(struct file_write *w, uint32_t mode)
{
	struct meta_setattr *m = &w->priv->setattr;

	*m = (struct meta_setattr){ .req.f = w->req.f, .sattr = { .set_mode = true, .mode = mode } };
	return meta_setattr(m, &w->step);
}

static enum op_state
write_run(struct file_write *w)
{
	struct file_write_priv *p = w->priv;
	struct inode *i;
	uint32_t mode;
	int res;

	switch (w->stage) {
	case WRITE_BEGIN:
		w->stage = WRITE_INODE;
		if (inode_get(&p->get, w->req.f.ino, w->req.f.gen, &w->step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case WRITE_INODE:
		if (w->step.res < 0)
			return write_finish(w, w->step.res);
		break;
	case WRITE_MODE:
		if (w->step.res < 0)
			return write_finish(w, w->step.res);
		break;
	case WRITE_SYNCED:
		return write_finish(w, w->step.res);
	default: /* WRITE_READY, WRITE_ROOM: look again */
		break;
	}
	i = p->get.inode;
	while (i->locked) {
		w->stage = WRITE_READY;
		if (inode_wait_unlocked(i, &p->unlocked, &w->step) == OP_PENDING)
			return OP_PENDING;
	}
	res = write_check(w);
	if (res < 0 || w->count == 0)
		return write_finish(w, res);
	mode = perm_mode_written(&i->attr, &w->req.cred);
	if (mode != i->attr.mode) {
		w->stage = WRITE_MODE;
		return clear_setid(w, mode) == OP_PENDING ? OP_PENDING : write_run(w);
	}
	if (!p->file)
		p->file = file_get(i);
	/* Nobody overtakes who waits; but when its time is over one may try even so. */
	res = p->file && (!mine.head || mine.head == p || p->timed_out) ? put_pieces(w) : -EAGAIN;
	if (res == -EAGAIN && p->timed_out)
		return write_finish(w, -E_JUKEBOX);
	if (res == -EAGAIN) {
		line_join(p);
		w->stage = WRITE_ROOM;
		if (mine.head == p)
			await_room(w->count);
		return OP_PENDING;
	}
	if (res < 0)
		return write_finish(w, res);
	line_leave(p);
	w->stage = WRITE_SYNCED;
	if (w->stable != STABLE_UNSTABLE && file_sync(&p->sync, i, p->seq, &w->step) == OP_PENDING)
		return OP_PENDING;
	if (w->stable == STABLE_UNSTABLE)
		w->step.res = 0;
	return write_finish(w, w->step.res);
}

static void
write_resume(struct op *step)
{
	struct file_write *w = container_of(step, struct file_write, step);

	if (write_run(w) == OP_DONE)
		w->wait->resume(w->wait);
}

enum op_state
file_write(struct file_write *w, struct op *op)
{
	struct file_write_priv *p;

	assert(shard_owns(w->req.f.ino) && w->npayload <= WRITE_BUFS_MAX);
	w->wait = op;
	w->wcc = (struct wcc){ 0 };
	w->step.resume = write_resume;
	w->stage = WRITE_BEGIN;
	p = mine.queue.head ? NULL : slab_get(&mine.slab);
	if (!p) {
		runq_push(&mine.queue, &w->step, 0);
		return OP_PENDING;
	}
	priv_give(w, p);
	return write_run(w);
}

int
write_init(void)
{
	mine = (struct write_core){ .turn.resume = turn, .room.resume = room_there,
		                    .polled.resume = polled };
	runq_init(&mine.queue);
	return slab_init(&mine.slab, "writes", sizeof(struct file_write_priv), WRITES);
}

void
write_fini(void)
{
	assert(!mine.head && !mine.queue.head);
	if (mine.poll.slot != 0)
		timer_stop(&mine.poll);
	slab_fini(&mine.slab);
}
