/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FIFO with reinsertion: the oldest segment goes as a whole, its frames that were hit are written
 * again at the front with one hit less.  So a frame that is never asked for again costs one
 * write, and the disk sees long writes and whole files deleted, nothing else.
 */
#include "store/diskcache_impl.h"

#include <unistd.h>

static void evict_run(struct clog *l);

static void
evict_resumed(struct op *op)
{
	evict_run(container_of(op, struct clog, evict.step));
}

/* The oldest of the log, taken out of its order. */
static void
take_oldest(struct clog *l)
{
	uint16_t slot = l->oldest, newer = dcore->slot[slot].newer;

	l->oldest = newer;
	*(newer == NO_SLOT ? &l->newest : &dcore->slot[newer].older) = NO_SLOT;
	if (l->loaded == slot)
		l->loaded = NO_SLOT;
	l->evict.slot = slot;
	l->evict.stage = EVICT_NEXT;
}

static bool
is_worth(const struct clog *l, const struct centry *e)
{
	return e->hits > 0 && !cache_disk_opts.fifo && !l->shrink;
}

static bool
log_moves(const struct clog *l)
{
	return l->open != NO_SLOT || l->stage != LOG_IDLE;
}

/* What is read again, from memory where that has it.  OP_DONE: the buffer is there, or NULL. */
static enum op_state
evict_read(struct clog *l, const struct centry *e)
{
	struct cframe *f = &l->evict.f;
	uint32_t page = e->page;

	*f = (struct cframe){ .slice = e->key >> 10, .frame = (uint32_t)(e->key & 1023), .ino = e->ino,
		              .plain = e->last + 1u, .crc = e->crc };
	l->evict.hits = (uint8_t)(e->hits - 1);
	l->evict.buf = cache_peek(f->slice, f->frame);
	if (l->evict.buf)
		return op_done(&l->evict.step, (int)ROUND_UP(f->plain, PAGE));
	l->evict.buf = buf_get(BUF_LARGE, BUF_CACHE);
	if (!l->evict.buf)
		return op_done(&l->evict.step, 0);
	return disk_read(dcore->slot[l->evict.slot].seg->fd, l->evict.buf->data, ROUND_UP(f->plain, PAGE),
	                 (uint64_t)page * PAGE, &l->evict.step);
}

static void
evict_took(struct clog *l, int res)
{
	const struct cframe *f = &l->evict.f;
	struct buf *b = l->evict.buf;

	l->evict.buf = NULL;
	if (!b) {
		count_up(&diskcache_count()->evicted, 1);
		return;
	}
	if (res < 0) {
		cdir_break(l->dir, "read", res);
	} else if ((uint32_t)res < f->plain ||
	           cframe_crc(cache_disk_opts.uuid, f->slice, f->frame, b->data, f->plain) != f->crc) {
		cdir_damaged(l->dir, "a frame is not what was written", dcore->slot[l->evict.slot].seg->serial);
		count_up(&diskcache_count()->damaged, 1);
	} else if (log_put(l, f, b, l->evict.hits)) {
		count_up(&diskcache_count()->reinserted, 1);
	}
	buf_put(b);
}

/* Frame by frame.  OP_DONE: nothing is left in it, or the rest is given up. */
static enum op_state
evict_frames(struct clog *l)
{
	uint32_t i;

	while (!dcore->quit && !l->dir->broken && (i = dcore->slot[l->evict.slot].first) != NONE) {
		const struct centry *e = &dcore->entry[i];
		bool worth = e->key && is_worth(l, e);

		if (worth && dcore->waiting_bytes >= dcore->max_waiting / 2 && log_moves(l)) {
			l->evict.stage = EVICT_ROOM; /* a write that ends kicks */
			return OP_PENDING;
		}
		entry_pop(l->evict.slot);
		if (worth) {
			enum op_state s = evict_read(l, e);

			entry_free(i);
			if (s == OP_PENDING) {
				l->evict.stage = EVICT_READ;
				return OP_PENDING;
			}
			evict_took(l, l->evict.step.res);
			log_kick(l);
			continue;
		}
		if (e->key)
			count_up(&diskcache_count()->evicted, 1);
		entry_free(i);
	}
	return OP_DONE;
}

/* ---- the file goes */

static int
unlink_run(struct work *w)
{
	struct clog *l = container_of(w, struct clog, evict.work);
	char path[PATH_BYTES + 64];

	cseg_path(l->evict.seg, path);
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static void
forget_here(struct cseg *s)
{
	for (uint32_t i = 0; dcore && i < dcore->nslots; i++)
		if (dcore->slot[i].seg == s) {
			slot_drop((uint16_t)i);
			return;
		}
}

static void
evict_told(struct cseg *s)
{
	evict_run(&dcore->log[s->dir->index]);
}

static enum op_state
evict_tell(struct clog *l)
{
	struct cseg *s = l->evict.seg;

	if (!s->others)
		return OP_DONE;
	cseg_tell(s, forget_here, evict_told);
	return OP_PENDING;
}

static void
evict_end(struct clog *l)
{
	log_bytes(l, 0, l->evict.seg->bytes);
	slot_drop(l->evict.slot);
	l->evict.slot = NO_SLOT;
	l->evict.seg = NULL;
	l->evict.stage = EVICT_IDLE;
	l->shrink = false;
	log_kick(l);
}

static void
evict_run(struct clog *l)
{
	for (;;) {
		switch (l->evict.stage) {
		case EVICT_IDLE:
			return;
		case EVICT_READ:
			evict_took(l, l->evict.step.res);
			log_kick(l);
			fallthrough;
		case EVICT_LAP:
		case EVICT_ROOM:
			l->evict.stage = EVICT_NEXT;
			fallthrough;
		case EVICT_NEXT:
			if (evict_frames(l) == OP_PENDING)
				return;
			l->evict.seg = dcore->slot[l->evict.slot].seg;
			l->evict.stage = EVICT_TELL;
			if (evict_tell(l) == OP_PENDING)
				return;
			fallthrough;
		case EVICT_TELL:
			l->evict.stage = EVICT_UNLINK;
			/* At the end what is in it stays for the next start; a broken directory is not touched. */
			if (!dcore->quit && !l->dir->broken) {
				worker_run(&l->evict.work, unlink_run, &l->evict.step);
				return;
			}
			op_done(&l->evict.step, 0);
			fallthrough;
		case EVICT_UNLINK:
			if (l->evict.step.res < 0)
				cdir_break(l->dir, "deleting a file", l->evict.step.res);
			evict_end(l);
			if (l->evict.stage != EVICT_IDLE || l->oldest == NO_SLOT || dcore->quit ||
			    (!l->dir->broken && l->bytes <= cdir_budget()))
				return;
			/* The next in another lap: there may be thousands. */
			take_oldest(l);
			l->evict.stage = EVICT_LAP;
			reactor_post(&l->evict.step, 0);
			return;
		}
	}
}

void
evict_kick(struct clog *l)
{
	if (l->evict.stage == EVICT_ROOM)
		evict_run(l);
	if (l->evict.stage != EVICT_IDLE || l->oldest == NO_SLOT || dcore->quit ||
	    !(log_is_full(l) || l->shrink || l->dir->broken))
		return;
	l->evict.step.resume = evict_resumed;
	take_oldest(l);
	evict_run(l);
}
