/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the journal that a metadata change made void stay until that change
 * is durable: a crash before would bring back the file, and must find its bytes.
 *
 * Segments are overwritten strictly in order, so holding the oldest record of a
 * group holds them all.  While one group waits for its sync the next gathers.
 */
#include "meta/file_core.h"
#include "reactor/reactor.h"

static void
retire_start(struct retire *r)
{
	r->syncing = r->gather;
	r->gather.used = false;
	r->running = true;
	r->stage = RETIRE_WRITTEN;
	kv_batch_clear(r->batch);
	/* Anything that is written now is synced after what was written before. */
	r->tail = journal_tail_now();
	journal_tail_put(r->batch, r->tail);
	if (kv_write(&r->write, r->batch, &r->step) == OP_DONE)
		reactor_post(&r->step, r->step.res);
}

static void
retire_run(struct op *step)
{
	struct retire *r = container_of(step, struct retire, step);

	if (step->res < 0) {
		r->broken = true;
		r->running = false;
		return;
	}
	if (r->stage == RETIRE_WRITTEN) {
		journal_tail_applied(r->tail);
		r->stage = RETIRE_SYNCED;
		if (kv_sync(&r->write, step) == OP_DONE)
			retire_run(step);
		return;
	}
	crash_point("file.hold_released");
	if (r->syncing.used)
		jloc_put(&r->syncing.loc);
	r->syncing.used = r->running = false;
	if (r->gather.used)
		retire_start(r);
	write_kick();
}

void
tail_note(void)
{
	struct retire *r = &file_core->retire;

	if (!r->running && !r->broken && !r->ended && journal_tail_now() != r->tail)
		retire_start(r);
}

bool
retire_quit(void)
{
	struct retire *r = &file_core->retire;

	/* From here on: what a timer began now would be in the air when the reactors end, and the metadata's end would wait for it. */
	r->ended = !r->running;
	return r->ended;
}

void
retire_hold(const struct file *f, uint64_t off)
{
	struct hold *h = &file_core->retire.gather;
	const struct extent *oldest = NULL;

	/* Those of earlier runs are held by replay.c. */
	for (struct extent *e = extent_at(&f->dirty, off); e; e = extent_next(&f->dirty, e))
		if (e->seq > file_old_seq() && (!oldest || e->seq < oldest->seq))
			oldest = e;
	if (!oldest)
		return;
	if (!h->used || oldest->seq < h->seq) {
		jloc_get(&oldest->loc);
		if (h->used)
			jloc_put(&h->loc);
		*h = (struct hold){ true, oldest->seq, oldest->loc };
	}
	if (!file_core->retire.running && !file_core->retire.broken)
		retire_start(&file_core->retire);
}

int
retire_init(void)
{
	struct retire *r = &file_core->retire;

	r->step.resume = retire_run;
	r->batch = kv_batch_new();
	return 0;
}

void
retire_fini(void)
{
	struct retire *r = &file_core->retire;

	if (r->gather.used)
		jloc_put(&r->gather.loc);
	if (r->syncing.used)
		jloc_put(&r->syncing.loc);
	kv_batch_free(r->batch);
}
