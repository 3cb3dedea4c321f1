/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/flush_impl.h"

#include <stdlib.h>

#include "reactor/log.h"
#include "reactor/reactor.h"

#define AGE_POLL_NS      (20 * MSEC_NS)
#define BACKOFF_FIRST_NS (100 * MSEC_NS)
#define BACKOFF_MAX_NS   (30 * SEC_NS)
/* A drain gives up after so many failures in a row: about 10 s. */
#define DRAIN_FAILURES   7

__thread struct flush_core *flush_core;

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

static void
arm_age(struct flush_core *c)
{
	const struct file *f = file_dirty_list()->head;
	uint64_t due, now = reactor_now_ns();

	if (!f || c->age.slot != 0 || c->stopping)
		return;
	due = f->since_ns ? f->since_ns + file_options()->upload_delay_ns : now;
	timer_start(&c->age, MAX(due, now + AGE_POLL_NS) - now, &c->aged);
}

void
flush_look(void)
{
	struct flush_core *c = flush_core;

	if (c->ready || journal_is_short())
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
flush_new(struct flush_core *c)
{
	struct flush *fl = slab_get(&c->slab), **at = &c->flushes;

	if (!fl)
		return NULL;
	fl->stage = FLUSH_LOAD;
	fl->since_ns = UINT64_MAX;
	fl->nfiles = fl->nchunks = fl->nslices = fl->nown = fl->nsmall = fl->nrefs = fl->nloads = 0;
	fl->small_refs = fl->small_bytes = fl->nobjects = 0;
	fl->load_bytes = 0;
	fl->readers = fl->uploading = fl->uploaded = 0;
	fl->timer.slot = 0;
	fl->batch = c->batch[--c->nbatches];
	kv_batch_clear(fl->batch);
	fl->next = NULL;
	while (*at)
		at = &(*at)->next;
	*at = fl;
	return fl;
}

/* What was written last is not on disk yet, and wanted. */
static void
ask_sync(struct flush_core *c)
{
	struct journal *j = file_journal();

	if (!c->sync_asked)
		return;
	c->sync_asked = false;
	if (c->syncing)
		return;
	c->syncing = true;
	if (journal_sync(j, journal_last(j), &c->synced) == OP_DONE) {
		c->syncing = false;
		if (c->synced.res == 0)
			flush_kick();
	}
}

static void
synced(struct op *op)
{
	flush_core->syncing = false;
	if (op->res == 0)
		flush_kick();
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

	return c->ready || (f && flush_is_due(f));
}

static void
poll(struct op *op)
{
	struct flush_core *c = flush_core;

	(void)op;
	c->kicked = false;
	c->pressure |= journal_is_short();
	while (!c->stopping && !c->away && has_work(c)) {
		struct flush *fl = flush_new(c);

		if (!fl)
			break;
		if (!flush_pick(fl)) {
			flush_end(fl);
			/* Nothing durable is left: what made it urgent is taken care of. */
			c->pressure = false;
			break;
		}
		flush_load(fl);
	}
	if (!file_dirty_list()->head && !c->flushes) {
		c->pressure = false;
		tail_note();
	}
	ask_sync(c);
	arm_age(c);
	drains_look(c);
}

/* ---- the end of a flush */

static void
file_leave(struct flush_file *ff)
{
	struct file *f = ff->file;

	f->flush = NULL;
	if (ff->bad || ff->gone)
		f->stuck = true;
	if (f->inode)
		file_changed(f, &f->inode->attr);
	if (f->nready > 0 && f->dirty.count > 0)
		ready_append(f);
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
		pieces_fini(&fl->chunk[i].next);
	}
	for (uint32_t i = 0; i < fl->nfiles; i++)
		file_leave(&fl->file[i]);
	c->batch[c->nbatches++] = fl->batch;
	slab_put(&c->slab, fl);
}

/* ---- when the object store or RocksDB takes nothing */

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
	uint64_t wait = BACKOFF_FIRST_NS << MIN(c->failures, 10u);

	file_count()->upload_errors++;
	if (c->away)
		return; /* one of those that were under way */
	if (c->failures++ == 0)
		log_error("%s does not take what was written (%s): it stays in the journal, and is tried again",
		          what, strerror(-res < 1000 ? -res : EIO));
	wait = MIN(wait, BACKOFF_MAX_NS);
	/* Not all cores, nor all servers, at the same instant. */
	wait = wait / 2 + mix64(reactor_wall_ns() + (uint64_t)reactor_core()) % (wait / 2);
	c->away = true;
	timer_start(&c->backoff, wait, &c->again);
	drains_look(c);
}

void
flush_worked(void)
{
	if (flush_core->failures > 0 && !flush_core->away)
		log_info("uploads work again");
	if (!flush_core->away)
		flush_core->failures = 0;
}

/* ---- waiting for all */

/* Whether something is left that was dirty when the drain began. */
static bool
is_dirty_since(const struct flush_core *c, uint64_t start_ns)
{
	const struct file *f = file_dirty_list()->head;

	if (f && f->since_ns <= start_ns)
		return true;
	for (const struct flush *fl = c->flushes; fl; fl = fl->next)
		if (fl->since_ns <= start_ns)
			return true;
	return false;
}

void
drains_look(struct flush_core *c)
{
	struct flush_drain **at = &c->drains, *d;

	while ((d = *at) != NULL) {
		bool gave_up = c->failures >= DRAIN_FAILURES || c->stopping;

		if (!gave_up && is_dirty_since(c, d->start_ns)) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		reactor_post(d->op, gave_up || file_is_stuck() ? -EIO : 0);
		slab_put(&c->drain_slab, d);
	}
}

enum op_state
flush_drain(struct op *op)
{
	struct flush_core *c = flush_core;
	struct flush_drain *d = slab_get(&c->drain_slab);

	if (!d)
		return op_done(op, -E_JUKEBOX);
	*d = (struct flush_drain){ .op = op, .start_ns = reactor_now_ns(), .next = c->drains };
	c->drains = d;
	/* Who asks wants it tried now. */
	if (c->away && timer_stop(&c->backoff))
		again(&c->again);
	c->failures = 0;
	flush_kick();
	return OP_PENDING;
}

bool
flush_quit(void)
{
	struct flush_core *c = flush_core;

	c->stopping = true;
	drains_look(c);
	if (c->away && timer_stop(&c->backoff))
		again(&c->again); /* those that wait see that it ends */
	return !c->flushes && !c->kicked && !c->syncing;
}

/* ---- start and end */

int
flush_init(uint64_t arena_bytes)
{
	struct flush_core *c = calloc(1, sizeof(*c));
	int res;

	if (!c)
		return -ENOMEM;
	flush_core = c;
	/* All of them together take no more than BUF_DRAIN has for itself. */
	c->load_budget = arena_bytes / 8 / FLUSHES;
	c->poll.resume = poll;
	c->synced.resume = synced;
	c->ids_ready.resume = ids_ready;
	c->aged.resume = aged;
	c->again.resume = again;
	while (c->nbatches < FLUSHES)
		c->batch[c->nbatches++] = kv_batch_new();
	res = slab_init(&c->slab, "flushes", sizeof(struct flush), FLUSHES);
	if (res == 0)
		res = slab_init(&c->drain_slab, "drains", sizeof(struct flush_drain), 16);
	return res < 0 ? res : upload_init((uint32_t)MAX(file_options()->uploads, 1));
}

void
flush_fini(void)
{
	struct flush_core *c = flush_core;

	assert(!c->flushes); /* file_stop was waited for */
	timer_stop(&c->age);
	timer_stop(&c->backoff);
	upload_fini();
	flush_commit_fini();
	slab_fini(&c->drain_slab);
	slab_fini(&c->slab);
	while (c->nbatches > 0)
		kv_batch_free(c->batch[--c->nbatches]);
	free(c);
	flush_core = NULL;
}
