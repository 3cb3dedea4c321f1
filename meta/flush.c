/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/flush_impl.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "reactor/log.h"
#include "reactor/reactor.h"

#define AGE_POLL_NS      (20 * MSEC_NS)
#define BACKOFF_FIRST_NS (100 * MSEC_NS)
#define BACKOFF_MAX_NS   (5 * SEC_NS)
#define FAILING_SAY_NS   (60 * SEC_NS)

__thread struct flush_core *flush_core;
/* So many cores' last attempt has failed: all of them together say so, and that it is over. */
static _Atomic int cores_failing;
/* Where each second upload fails this comes and goes all the time, and is said once a minute. */
static struct log_limit failing;
static _Atomic bool said_failing;

/* ---- files with whole blocks */

static void
ready_append(struct file *f)
{
	struct flush_core *c = flush_core;

	if (f->in_ready)
		return;
	f->in_ready = true;
	f->ready_next = NULL;
	f->ready_prev = c->ready_tail;
	*(c->ready_tail ? &c->ready_tail->ready_next : &c->ready) = f;
	c->ready_tail = f;
}

void
ready_remove(struct file *f)
{
	struct flush_core *c = flush_core;

	f->nready = 0;
	if (!f->in_ready)
		return;
	f->in_ready = false;
	*(f->ready_prev ? &f->ready_prev->ready_next : &c->ready) = f->ready_next;
	*(f->ready_next ? &f->ready_next->ready_prev : &c->ready_tail) = f->ready_prev;
}

static void
block_filled(struct file *f, uint64_t block)
{
	for (uint32_t i = 0; i < f->nready; i++)
		if (f->ready[i] == block)
			return;
	if (f->nready == READY_MAX)
		return; /* its age will bring it up */
	f->ready[f->nready++] = block;
	ready_append(f);
}

/* Counts what is written to a block; when it may be whole, somebody will look whether it is. */
static void
block_note(struct file *f, uint64_t block, uint64_t bytes)
{
	struct fill *least = &f->fill[0];

	for (int i = 0; i < FILLS; i++) {
		struct fill *x = &f->fill[i];

		if (x->block == block + 1) {
			x->bytes += bytes;
			if (x->bytes >= BLOCK_BYTES) {
				*x = (struct fill){ 0 };
				block_filled(f, block);
			}
			return;
		}
		if (x->bytes < least->bytes)
			least = x;
	}
	*least = (struct fill){ .block = block + 1, .bytes = bytes };
}

void
flush_note(struct file *f, uint64_t off, uint32_t len)
{
	while (len > 0) {
		uint32_t n = (uint32_t)MIN(len, BLOCK_BYTES - off % BLOCK_BYTES);

		block_note(f, off / BLOCK_BYTES, n);
		off += n;
		len -= n;
	}
}

/* ---- when */

void
flush_kick(void)
{
	struct flush_core *c = flush_core;

	if (c->kicked || c->away)
		return;
	c->kicked = true;
	reactor_post(&c->poll, 0);
}

void
flush_pressure(void)
{
	flush_core->pressure = true;
	flush_kick();
}

static bool
journal_is_short(void)
{
	uint64_t used, total;

	journal_usage(file_journal(), &used, &total);
	return used > total / 2;
}

/*
 * The first whole blocks of a burst wait a moment, so that it goes to the journal at the full
 * speed of the disk that a local object store shares with it, and what is deleted or
 * written again at once costs no upload.  Beyond some size it is no burst.
 */
static bool
ready_is_due(const struct flush_core *c)
{
	const struct file *f = c->ready;

	return f && (c->pressure || file_options()->remote || file_count()->dirty_bytes > c->linger_bytes ||
	             f->since_ns <= c->urgent_ns || f->since_ns + flush_linger_ns() <= reactor_now_ns());
}

static void
arm_age(struct flush_core *c)
{
	const struct file *f = file_dirty_list()->head;
	uint64_t due, now = reactor_now_ns();

	if (!f || c->stopping)
		return;
	due = f->since_ns ? f->since_ns + file_options()->upload_delay_ns : now;
	if (c->ready)
		due = MIN(due, c->ready->since_ns + flush_linger_ns());
	timer_start_by(&c->age, MAX(due, now + AGE_POLL_NS), &c->aged);
}

void
flush_look(void)
{
	struct flush_core *c = flush_core;

	if (ready_is_due(c) || journal_is_short())
		flush_kick();
	arm_age(c);
}

static void
aged(struct op *op)
{
	(void)op;
	flush_kick();
}

static struct flush *
flush_new(struct flush_core *c, bool round)
{
	struct flush *fl, **at = &c->flushes;

	if (!round && c->nothers == FLUSHES - FLUSH_ROUNDS)
		return NULL;
	fl = slab_get(&c->slab); /* there is one */
	fl->stage = FLUSH_LOAD;
	fl->start_ns = reactor_now_ns();
	fl->round = round;
	fl->bulky = fl->retired = fl->shrunk = false;
	fl->nfiles = fl->nchunks = fl->nslices = fl->nown = fl->nsmall = fl->nrefs = fl->nloads = 0;
	fl->small_refs = fl->small_bytes = fl->nobjects = 0;
	fl->own_bytes = fl->load_bytes = 0;
	fl->readers = fl->uploading = fl->uploaded = 0;
	fl->timer.slot = 0;
	fl->batch = c->batch[--c->nbatches];
	kv_batch_clear(fl->batch);
	fl->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = fl;
	*(round ? &c->nrounds : &c->nothers) += 1;
	return fl;
}

static void
ids_ready(struct op *op)
{
	(void)op;
	flush_kick();
}

static bool
has_work(const struct flush_core *c)
{
	const struct file *f = file_dirty_list()->head;

	return ready_is_due(c) || (f && flush_is_due(f));
}

/* False: there is nothing to take, or no room. */
static bool
start_one(struct flush_core *c, bool round)
{
	struct flush *fl;

	if (c->failures > 0 && c->flushes)
		return false; /* one tries whether the store is back */
	fl = flush_new(c, round);
	if (!fl)
		return false;
	if (!flush_pick(fl)) {
		flush_end(fl);
		return false;
	}
	if (round)
		round_began(fl);
	flush_load(fl);
	return true;
}

static void
poll(struct op *op)
{
	struct flush_core *c = flush_core;

	(void)op;
	c->kicked = false;
	c->pressure |= journal_is_short();
	while (!c->stopping && !c->away && round_is_due() && start_one(c, true))
		;
	while (!c->stopping && !c->away && has_work(c) && start_one(c, false))
		;
	if (!file_dirty_list()->head && !c->flushes) {
		c->pressure = false;
		tail_note();
	}
	arm_age(c);
}

/* ---- the end of a flush */

static void
file_leave(struct flush_file *ff, bool whole)
{
	struct file *f = ff->file;

	f->flush = NULL;
	if (ff->bad || ff->gone)
		f->stuck = true;
	if (ff->in_pass && whole && ff->pass_at == 0)
		pass_end(f);
	else if (ff->in_pass)
		f->pass_at = whole ? ff->pass_at : 0;
	if (f->inode)
		file_changed(f, &f->inode->attr);
	if (f->nready > 0 && f->dirty.count > 0)
		ready_append(f);
	waits_look(f);
	file_put(f);
	inode_put(ff->inode); /* of one that is gone it may be the last */
}

void
flush_end(struct flush *fl)
{
	struct flush_core *c = flush_core;
	struct flush **at = &c->flushes;

	while (*at != fl)
		at = &(*at)->next;
	*at = fl->next;
	for (uint32_t i = 0; i < fl->nrefs; i++)
		if (fl->ref[i].buf)
			buf_put(fl->ref[i].buf);
	for (uint32_t i = 0; i < fl->nloads; i++)
		jloc_put(&fl->load[i].loc);
	for (uint32_t i = 0; i < fl->nchunks; i++) {
		if (fl->chunk[i].chunk)
			chunkmap_put(fl->chunk[i].chunk);
		pieces_fini(&fl->chunk[i].next.pieces);
	}
	for (uint32_t i = 0; i < fl->nfiles; i++)
		file_leave(&fl->file[i], fl->retired && !fl->shrunk);
	if (fl->round)
		round_ended(fl);
	*(fl->round ? &c->nrounds : &c->nothers) -= 1;
	c->batch[c->nbatches++] = fl->batch;
	slab_put(&c->slab, fl);
}

/* ---- when the object store or RocksDB takes nothing: one upload is tried now and then, until one works */

static void
again(struct op *op)
{
	(void)op;
	flush_core->away = false;
	flush_pump();
	flush_kick();
}

void
flush_failed(const char *what, int res)
{
	struct flush_core *c = flush_core;
	uint64_t wait = BACKOFF_FIRST_NS << MIN(c->failures, 10u), unsaid;

	file_count()->upload_errors++;
	if (c->away)
		return; /* one of those that were under way */
	if (c->failures++ == 0)
		atomic_fetch_add(&cores_failing, 1);
	if (!said_failing && log_turn(&failing, FAILING_SAY_NS, &unsaid) && !atomic_exchange(&said_failing, true))
		log_error("%s does not take what was written (%s): it stays in the journal, and is tried again",
		          what, objstore_error(res));
	wait = MIN(wait, BACKOFF_MAX_NS);
	/* Not all cores, nor all servers, at the same instant. */
	wait = wait / 2 + mix64(reactor_wall_ns() + (uint64_t)reactor_core()) % (wait / 2);
	c->away = file_count()->away = true;
	timer_start(&c->backoff, wait, &c->again);
}

static void
failures_end(struct flush_core *c)
{
	if (c->failures > 0 && atomic_fetch_sub(&cores_failing, 1) == 1 && atomic_exchange(&said_failing, false))
		log_info("uploads work again");
	c->failures = 0;
	file_count()->away = false;
}

void
flush_worked(void)
{
	if (flush_core->away || flush_core->failures == 0)
		return;
	failures_end(flush_core);
	flush_kick();
}

/* ---- all that is dirty */

static void
count(struct file_pending *p, const struct file *f)
{
	p->files++;
	p->bytes += f->dirty.bytes;
}

void
flush_pending(uint64_t since_ns, struct file_pending *p)
{
	struct flush_core *c = flush_core;

	*p = (struct file_pending){ .away = c->failures > 0, .stuck = file_is_stuck() };
	for (const struct file *f = file_dirty_list()->head; f && f->since_ns <= since_ns; f = f->next)
		count(p, f);
	for (const struct flush *fl = c->flushes; fl; fl = fl->next)
		for (uint32_t i = 0; i < fl->nfiles; i++)
			if (fl->file[i].file->since_ns <= since_ns)
				count(p, fl->file[i].file);
	if (since_ns <= c->urgent_ns)
		return;
	c->urgent_ns = since_ns;
	/* Who asks wants it tried now. */
	if (c->away && timer_stop(&c->backoff))
		again(&c->again);
	flush_kick();
}

bool
flush_is_behind(void)
{
	const struct flush_core *c = flush_core;

	return c->failures > 0 || c->pressure || c->wanted || journal_is_short() ||
	       file_count()->dirty_bytes > c->linger_bytes;
}

bool
flush_quit(void)
{
	struct flush_core *c = flush_core;

	c->stopping = true;
	waits_stop();
	if (c->away && timer_stop(&c->backoff))
		again(&c->again); /* those that wait see that it ends */
	return !c->flushes && !c->kicked;
}

/* ---- start and end */

static bool
is_encoding(void)
{
	for (uint32_t i = 0; i < SHARES_MAX; i++)
		if (frame_room_bytes(share_how(i), 1) > 0)
			return true;
	return false;
}

int
flush_init(uint64_t arena_bytes)
{
	struct flush_core *c = calloc(1, sizeof(*c));
	int res;

	if (!c)
		return -ENOMEM;
	flush_core = c;
	/* All of them together take no more than BUF_DRAIN has for itself, and leave an upload room for its encoded frames. */
	c->load_budget = (arena_bytes / 8 - (is_encoding() ? MIN(arena_bytes / 16, BLOCK_BYTES + BUF_LARGE_BYTES) : 0)) / FLUSHES;
	/* Half of the buffers, so that the journal's room and not theirs makes writers wait for a slow store. */
	c->own_budget = MAX(arena_bytes / 2 / (FLUSHES - FLUSH_ROUNDS), BLOCK_BYTES);
	/* Before memory makes writers wait, which is at three quarters (BUF_INGEST). */
	c->linger_bytes = MIN(arena_bytes, file_options()->journal_bytes / (uint64_t)reactor_cores()) / 8 * 5;
	c->poll.resume = poll;
	c->ids_ready.resume = ids_ready;
	c->aged.resume = aged;
	c->again.resume = again;
	c->gathered.resume = aged;
	while (c->nbatches < FLUSHES)
		c->batch[c->nbatches++] = kv_batch_new();
	res = slab_init(&c->slab, "flushes", sizeof(struct flush), FLUSHES);
	return res < 0 ? res : upload_init((uint32_t)MAX(file_options()->uploads, 1) + 1); /* one for compact.c */
}

void
flush_fini(void)
{
	struct flush_core *c = flush_core;

	assert(!c->flushes); /* file_stop was waited for */
	timer_stop(&c->age);
	timer_stop(&c->backoff);
	timer_stop(&c->gather);
	if (c->failures > 0)
		atomic_fetch_sub(&cores_failing, 1);
	upload_fini();
	chunk_change_fini();
	slab_fini(&c->slab);
	while (c->nbatches > 0)
		kv_batch_free(c->batch[--c->nbatches]);
	free(c);
	flush_core = NULL;
}
