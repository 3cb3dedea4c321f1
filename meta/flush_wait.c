/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits until the object store has what was written, and the rounds that bring
 * it there.  A round begins at once when none is under way.  The next ones begin a part of a
 * round's time after each other: long enough that many small files share a pack, short enough that
 * nobody waits much longer than a round takes.
 *
 * An extent that is gone says little: newer bytes may lie there.  So what is waited for is a
 * pass over the file (flush.h) that began after the last record of who waits.
 */
#include "meta/flush_impl.h"

#include "reactor/log.h"
#include "reactor/reactor.h"

#define GATHER_MAX_NS (5 * MSEC_NS)
#define ROUND_WEIGHT  8 /* of what is known against what was seen last */

/* ---- files that somebody waits for, in the order in which their waiting began */

void
wanted_remove(struct file *f)
{
	struct flush_core *c = flush_core;

	if (!f->wanted)
		return;
	*(f->want_prev ? &f->want_prev->want_next : &c->wanted) = f->want_next;
	*(f->want_next ? &f->want_next->want_prev : &c->wanted_tail) = f->want_prev;
	f->wanted = false;
	c->nwanted--;
}

static void
wanted_append(struct file *f)
{
	struct flush_core *c = flush_core;

	if (f->wanted || f->flush)
		return;
	f->want_prev = c->wanted_tail;
	f->want_next = NULL;
	*(c->wanted_tail ? &c->wanted_tail->want_next : &c->wanted) = f;
	c->wanted_tail = f;
	f->wanted = true;
	c->nwanted++;
	flush_kick();
}

/* ---- rounds */

bool
round_is_due(void)
{
	struct flush_core *c = flush_core;
	uint64_t now = reactor_now_ns();

	if (!c->wanted || c->nrounds == FLUSH_ROUNDS)
		return false;
	if (c->nrounds == 0 || c->nwanted >= FLUSH_FILES || now >= c->round_at_ns)
		return true;
	if (c->gather.slot == 0)
		timer_start(&c->gather, c->round_at_ns - now, &c->gathered);
	return false;
}

void
round_began(struct flush *fl)
{
	struct flush_core *c = flush_core;

	c->nbulky += fl->bulky;
	c->round_at_ns = fl->start_ns + MIN(c->round_ns / FLUSH_ROUNDS, GATHER_MAX_NS);
}

void
round_ended(struct flush *fl)
{
	struct flush_core *c = flush_core;

	if (fl->nslices > 0)
		c->nbulky -= fl->bulky;
	if (fl->retired && !fl->bulky)
		c->round_ns = ((ROUND_WEIGHT - 1) * c->round_ns + reactor_now_ns() - fl->start_ns) / ROUND_WEIGHT;
}

void
pass_end(struct file *f)
{
	f->pass_at = 0;
	f->stored = f->pass_seq;
	f->stored_ns = f->pass_ns;
}

/* ---- waiting */

enum { WAITS_ON = 1 };

/* What to answer who waits for the record. */
static int
wait_result(const struct file *f, uint64_t seq)
{
	if (!f->inode || f->inode->gone)
		return -ESTALE;
	if (f->stored >= seq || (f->dirty.count == 0 && !f->flush))
		return 0;
	if (f->stuck)
		return -EIO; /* and why is in the log */
	return flush_core->stopping ? -E_JUKEBOX : WAITS_ON;
}

static void
answer(struct file_sync *s, int res)
{
	if (res == 0)
		crash_point("flush.before_reply");
	if (s->timer.slot != 0)
		timer_stop(&s->timer);
	reactor_post(s->wait, res);
	file_put(s->file);
}

void
waits_look(struct file *f)
{
	struct file_sync **at = &f->waits, *s;

	f->users++; /* while those leave who held it */
	while ((s = *at) != NULL) {
		int res = wait_result(f, s->seq);

		if (res == WAITS_ON) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		answer(s, res);
	}
	if (f->waits)
		wanted_append(f);
	else
		wanted_remove(f);
	file_put(f);
}

void
waits_stop(void)
{
	while (flush_core->wanted)
		waits_look(flush_core->wanted);
}

/* The object store has had its time.  What is dirty stays dirty, and goes there when it can. */
static void
timeout(struct op *op)
{
	struct file_sync *s = container_of(op, struct file_sync, timeout), **at = &s->file->waits;
	struct file *f = s->file;

	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	if (!f->waits)
		wanted_remove(f);
	answer(s, -E_JUKEBOX);
}

static enum op_state
stored(struct file_sync *s, struct file *f, struct op *op)
{
	struct file_sync **at = &f->waits;
	int res = wait_result(f, s->seq);

	if (res != WAITS_ON)
		return op_done(op, res);
	while (*at)
		at = &(*at)->next;
	*at = s;
	s->next = NULL;
	s->file = f;
	s->wait = op;
	f->users++;
	s->timer.slot = 0;
	s->timeout.resume = timeout;
	timer_start(&s->timer, file_options()->write_wait_ns, &s->timeout);
	wanted_append(f);
	return OP_PENDING;
}

enum op_state
file_sync(struct file_sync *s, struct inode *i, uint64_t seq, struct op *op)
{
	struct file *f = i->file;

	assert(shard_owns(i->ino));
	s->seq = seq;
	/* In the object store only what the journal has too (flush_commit.c), so one wait is enough. */
	if (file_options()->remote)
		return f ? stored(s, f, op) : op_done(op, 0);
	/* Records of earlier runs are durable anyway. */
	if (seq <= journal_durable(file_journal()))
		return op_done(op, 0);
	return journal_sync(file_journal(), seq, op);
}
