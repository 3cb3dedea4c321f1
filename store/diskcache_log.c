/* SPDX-License-Identifier: Apache-2.0 */
/* One write at a time, of what has gathered meanwhile; a segment that is full is sealed, and the next made. */
#include "store/diskcache_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define AGAIN_NS (5 * (uint64_t)1000000000)

static void log_resumed(struct op *op);

int
log_init(struct clog *l, struct cdir *d)
{
	*l = (struct clog){ .dir = d, .oldest = NO_SLOT, .newest = NO_SLOT, .open = NO_SLOT, .loaded = NO_SLOT,
	                    .step.resume = log_resumed, .evict.slot = NO_SLOT };
	l->tail = &l->head;
	/* Until they are loaded too, so that the limit holds. */
	for (uint32_t i = 0; i < d->nfiles; i++)
		if (d->file[i].core % (uint32_t)reactor_cores() == (uint32_t)reactor_core())
			l->bytes += d->file[i].bytes;
	l->summary = mmap(NULL, SEGMENT_TAIL_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return l->summary == MAP_FAILED ? -ENOMEM : 0;
}

static void
put_done(struct cput *p)
{
	dcore->waiting_bytes -= p->buf->cap;
	buf_put(p->buf);
	slab_put(&dcore->puts, p);
}

static void
drop_waiting(struct clog *l)
{
	while (l->head) {
		struct cput *p = l->head;

		l->head = p->next;
		count_up(&diskcache_count()->skipped, 1);
		put_done(p);
	}
	l->tail = &l->head;
}

void
log_fini(struct clog *l)
{
	drop_waiting(l);
	munmap(l->summary, SEGMENT_TAIL_MAX);
}

bool
log_put(struct clog *l, const struct cframe *f, struct buf *b, uint8_t hits)
{
	struct cput *p = slab_get(&dcore->puts);

	if (!p) {
		count_up(&diskcache_count()->skipped, 1);
		return false;
	}
	*p = (struct cput){ .f = *f, .buf = buf_keep(b), .hits = hits };
	dcore->waiting_bytes += b->cap;
	*l->tail = p;
	l->tail = &p->next;
	return true;
}

bool
log_is_idle(const struct clog *l)
{
	return l->stage == LOG_IDLE && l->evict.stage == EVICT_IDLE && l->open == NO_SLOT && !l->head;
}

void
log_bytes(struct clog *l, uint64_t more, uint64_t less)
{
	l->bytes += more - less;
	cdir_bytes(l->dir, more, less);
}

/* ---- making a segment */

/* One beside the open one, so that there is always a next. */
bool
log_is_full(const struct clog *l)
{
	return l->bytes + 2 * cdir_segment_bytes() > cdir_budget() ||
	       dcore->nfree < dcore->nentries / 64 + SEGMENT_FRAMES_MAX / 8 || dcore->free_slot == NO_SLOT;
}

static int
make_run(struct work *w)
{
	struct clog *l = container_of(w, struct clog, work);
	struct cseg *s = l->made;
	char path[PATH_BYTES + 64];
	int err = cdir_room(l->dir, s->bytes);

	if (err < 0)
		return err;
	cseg_path(s, path);
	s->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (s->fd < 0)
		return -errno;
	cseg_direct(s);
	/* Where nothing can be reserved it goes without. */
	if (fallocate(s->fd, 0, 0, (off_t)s->bytes) < 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
		err = -errno;
		unlink(path);
	}
	return err;
}

static void
make_segment(struct clog *l)
{
	struct cseg *s;

	if (log_is_full(l))
		evict_kick(l);
	if (reactor_now_ns() < l->again_ns) {
		drop_waiting(l);
		return;
	}
	if (l->bytes + cdir_segment_bytes() > cdir_budget() || dcore->free_slot == NO_SLOT)
		return; /* the eviction kicks */
	if (!cdir_reserve(l->dir, cdir_segment_bytes()))
		return; /* after a change of the number of cores others may still have more than their share */
	s = cseg_new(l->dir, cdir_serial(), cdir_segment_bytes(), (uint32_t)reactor_core());
	if (!s) {
		cdir_bytes(l->dir, 0, cdir_segment_bytes());
		return;
	}
	l->made = s;
	l->bytes += s->bytes;
	l->stage = LOG_MAKE;
	worker_run(&l->work, make_run, &l->step);
}

static void
made(struct clog *l, int res)
{
	struct cseg *s = l->made;

	l->made = NULL;
	if (res == 0) {
		l->open = slot_new(s);
		l->fill = l->nframes = 0;
		if (l->open != NO_SLOT)
			return;
	}
	log_bytes(l, 0, s->bytes);
	cseg_put(s);
	l->again_ns = reactor_now_ns() + AGAIN_NS;
	if (res == -ENOSPC || res == -EDQUOT) {
		cdir_no_room(l->dir);
		l->shrink = true; /* what is older makes room */
		evict_kick(l);
	} else if (res < 0) {
		cdir_break(l->dir, "making a file", res);
	}
	drop_waiting(l);
}

/* ---- writing */

static uint32_t
padded(const struct cput *p)
{
	return ROUND_UP(p->f.plain, PAGE);
}

static bool
fits(const struct clog *l, uint64_t bytes, uint32_t nframes)
{
	uint64_t end = l->fill + bytes + segment_summary_bytes(l->nframes + nframes) + PAGE;

	return l->nframes + nframes <= SEGMENT_FRAMES_MAX && end <= cdir_segment_bytes();
}

/* Returns false when the next frame needs a new segment. */
static bool
write_batch(struct clog *l)
{
	uint64_t bytes = 0;

	for (l->nbatch = 0; l->nbatch < BATCH && l->head; l->nbatch++) {
		struct cput *p = l->head;

		if (!fits(l, bytes + padded(p), (uint32_t)l->nbatch + 1))
			break;
		l->head = p->next;
		if (!l->head)
			l->tail = &l->head;
		p->f.page = (uint32_t)((l->fill + bytes) / PAGE);
		l->iov[l->nbatch] = (struct iovec){ p->buf->data, padded(p) };
		l->batch[l->nbatch] = p;
		bytes += padded(p);
	}
	if (l->nbatch == 0)
		return false;
	l->stage = LOG_WRITE;
	disk_writev(dcore->slot[l->open].seg->fd, l->iov, l->nbatch, l->fill, false, &l->step);
	return true;
}

static void
wrote(struct clog *l, int res)
{
	uint64_t bytes = 0;

	for (int i = 0; i < l->nbatch; i++)
		bytes += l->iov[i].iov_len;
	if (res >= 0 && (uint64_t)res < bytes)
		res = -ENOSPC; /* a disk without room ends a write early */
	if (res < 0)
		cdir_break(l->dir, "write", res);
	for (int i = 0; i < l->nbatch; i++) {
		struct cput *p = l->batch[i];

		/* In the summary even if the index is full now: the next start may have room. */
		if (res >= 0) {
			cframe_encode(l->summary + (l->nframes++) * CFRAME_BYTES, &p->f);
			if (entry_add(l->open, &p->f, p->hits))
				count_up(&diskcache_count()->inserts, 1);
		}
		put_done(p);
	}
	if (res >= 0)
		l->fill += (uint32_t)bytes;
	l->nbatch = 0;
}

/* ---- sealing */

static void
seal(struct clog *l)
{
	struct segment_tail t = { .serial = dcore->slot[l->open].seg->serial, .core = (uint32_t)reactor_core(),
		                  .nframes = l->nframes, .page = l->fill / PAGE };
	uint32_t len = segment_tail_encode(l->summary, &t, cache_disk_opts.uuid);

	l->stage = LOG_SEAL;
	l->iov[0] = (struct iovec){ l->summary, len };
	disk_writev(dcore->slot[l->open].seg->fd, l->iov, 1, l->fill, false, &l->step);
}

/* The trailer is to be the last of the file. */
static int
cut_run(struct work *w)
{
	struct clog *l = container_of(w, struct clog, work);

	return ftruncate(l->made->fd, (off_t)(l->fill + l->iov[0].iov_len)) < 0 ? -errno : 0;
}

static void
cut(struct clog *l)
{
	l->stage = LOG_CUT;
	l->made = dcore->slot[l->open].seg;
	worker_run(&l->work, cut_run, &l->step);
}

static void
sealed(struct clog *l)
{
	struct cseg *s = l->made;
	uint64_t bytes = l->fill + l->iov[0].iov_len;

	log_bytes(l, 0, s->bytes - bytes);
	s->bytes = bytes;
	dcore->slot[l->open].older = l->newest;
	*(l->newest == NO_SLOT ? &l->oldest : &dcore->slot[l->newest].newer) = l->open;
	l->newest = l->open;
	l->open = NO_SLOT;
	l->made = NULL;
}

/* The open segment is of no use. */
static void
abandon(struct clog *l)
{
	if (l->open == NO_SLOT)
		return;
	log_bytes(l, 0, dcore->slot[l->open].seg->bytes);
	slot_drop(l->open);
	l->open = NO_SLOT;
	l->made = NULL;
}

/* ---- the steps */

static void
steps(struct clog *l)
{
	int res = l->step.res;

	for (;;) {
		switch (l->stage) {
		case LOG_IDLE:
			if (l->dir->broken) {
				drop_waiting(l);
				abandon(l);
				return;
			}
			if (dcore->quit) {
				drop_waiting(l);
				if (l->open == NO_SLOT)
					return;
				if (l->nframes == 0) {
					abandon(l); /* the next start removes the file */
					return;
				}
				seal(l);
				return;
			}
			if (!l->head)
				return;
			if (l->open == NO_SLOT) {
				make_segment(l);
				return;
			}
			if (!write_batch(l))
				seal(l);
			return;
		case LOG_MAKE:
			l->stage = LOG_IDLE;
			made(l, res);
			break;
		case LOG_WRITE:
			l->stage = LOG_IDLE;
			wrote(l, res);
			evict_kick(l); /* who may wait for room among what is to be written */
			break;
		case LOG_SEAL:
			if (res >= 0 && (uint32_t)res == l->iov[0].iov_len) {
				cut(l);
				return;
			}
			l->stage = LOG_IDLE;
			cdir_break(l->dir, "write", res < 0 ? res : -ENOSPC);
			break;
		case LOG_CUT:
			l->stage = LOG_IDLE;
			if (res < 0)
				cdir_break(l->dir, "cutting a file", res);
			else
				sealed(l);
			break;
		}
	}
}

/* An eviction that a step kicks may put frames in line, and kick in turn: they are seen when that step has ended. */
static void
log_run(struct clog *l)
{
	assert(!l->running);
	l->running = true;
	steps(l);
	l->running = false;
}

static void
log_resumed(struct op *op)
{
	log_run(container_of(op, struct clog, step));
}

void
log_kick(struct clog *l)
{
	if (l->stage == LOG_IDLE && !l->running)
		log_run(l);
}
