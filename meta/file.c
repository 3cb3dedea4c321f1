/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in memory on their core: which are clean (in order of use, the first
 * makes room), which are dirty (by age), and which give up their buffers when
 * memory is short.
 */
#include "meta/chunkmap.h"
#include "meta/file_core.h"
#include "meta/flush.h"
#include "meta/usage.h"
#include "reactor/reactor.h"

#define BORN_LOOK 256 /* extents looked at for the oldest one */
/* Extents looked at by who is short of buffers, and the pause after that brought too little. */
#define RECLAIM_LOOKS    16384
#define RECLAIM_PAUSE_NS (5 * MSEC_NS)

__thread struct file_core *file_core;

struct file_list *
file_dirty_list(void)
{
	return &file_core->dirty;
}

bool
file_is_stuck(void)
{
	return file_core->stuck.head != NULL;
}

struct journal *
file_journal(void)
{
	return file_core->journal;
}

uint64_t
journal_kept_from(void)
{
	return file_core->kept_from;
}

/*
 * Never less than before: when all is retired the journal says so, and with the next
 * record it is back at the start of the segment.  But files were cut without a
 * record in the journal since then, because nothing below would ever be replayed.
 */
uint64_t
journal_tail_now(void)
{
	file_core->tail = MAX(file_core->tail, journal_tail(file_core->journal));
	return file_core->tail;
}

void
journal_tail_applied(uint64_t tail)
{
	/* The first of this run: earlier ones' segments may still be there. */
	if (tail > file_old_seq() + 1)
		file_core->kept_from = MAX(file_core->kept_from, tail);
}

struct file_stats *
file_count(void)
{
	return &file_core->stats;
}

/* ---- lists */

static void
list_remove(struct file *f)
{
	struct file_list *l = f->list;

	if (!l)
		return;
	if (f->prev)
		f->prev->next = f->next;
	else
		l->head = f->next;
	if (f->next)
		f->next->prev = f->prev;
	else
		l->tail = f->prev;
	l->count--;
	f->list = NULL;
}

static void
list_insert_after(struct file_list *l, struct file *at, struct file *f)
{
	f->list = l;
	f->prev = at;
	f->next = at ? at->next : l->head;
	if (f->next)
		f->next->prev = f;
	else
		l->tail = f;
	if (at)
		at->next = f;
	else
		l->head = f;
	l->count++;
}

/* ---- files */

static void
file_free(struct file *f)
{
	assert(f->users == 0 && f->dirty.count == 0 && !f->chunks && !f->flush);
	list_remove(f);
	slab_put(&file_core->slab, f);
}

/* Makes room: the clean file that was used least lately. */
static bool
evict_one(void)
{
	for (struct file *f = file_core->clean.head; f; f = f->next) {
		if (f->users > 0)
			continue;
		chunkmap_drop(f);
		f->inode->file = NULL;
		file_free(f);
		return true;
	}
	return false;
}

struct file *
file_get(struct inode *i)
{
	struct file *f = i->file;

	if (!f) {
		f = slab_get(&file_core->slab);
		if (!f && evict_one())
			f = slab_get(&file_core->slab);
		if (!f)
			return NULL;
		*f = (struct file){ .inode = i };
		extents_init(&f->dirty);
		i->file = f;
	}
	f->users++;
	if (!f->list || f->list == &file_core->clean) {
		list_remove(f);
		if (!f->flush)
			list_insert_after(&file_core->clean, file_core->clean.tail, f);
	}
	return f;
}

void
file_put(struct file *f)
{
	assert(f->users > 0);
	if (--f->users == 0 && !f->inode)
		file_free(f);
}

/* The birth of the oldest extent; where there are too many to look at, the best that is known. */
static uint64_t
oldest_birth(const struct file *f)
{
	struct extent *e = extent_at(&f->dirty, 0);
	uint64_t born = UINT64_MAX;

	for (int n = 0; e; e = extent_next(&f->dirty, e)) {
		if (++n > BORN_LOOK)
			return MAX(f->since_ns, f->stored_ns);
		born = MIN(born, e->born_ns);
	}
	return born;
}

static void
insert_dirty(struct file *f)
{
	struct file *at = file_core->dirty.tail;

	while (at && at->since_ns > f->since_ns)
		at = at->prev;
	list_insert_after(&file_core->dirty, at, f);
}

void
file_changed(struct file *f, struct attr *a)
{
	struct file_stats *s = &file_core->stats;
	uint64_t unused = f->dirty.bytes - MIN(f->dirty.bytes, f->landed);

	inode_hide(f->inode);
	a->dirty = a->size > a->used ? MIN(unused, a->size - a->used) : 0;
	usage_pending(a->share, (int64_t)(a->dirty - f->shown));
	f->shown = a->dirty;
	s->dirty_bytes += f->dirty.bytes - f->counted;
	s->dirty_files += (f->dirty.bytes > 0) - (f->counted > 0);
	f->counted = f->dirty.bytes;
	if (f->flush) {
		list_remove(f);
	} else if (f->stuck) {
		list_remove(f);
		list_insert_after(&file_core->stuck, file_core->stuck.tail, f);
	} else if (f->dirty.count == 0) {
		if (f->list == &file_core->clean)
			return;
		list_remove(f);
		list_insert_after(&file_core->clean, file_core->clean.tail, f);
		file_replayed(f, false);
		ready_remove(f);
	} else if (f->list != &file_core->dirty) {
		list_remove(f);
		f->since_ns = oldest_birth(f);
		insert_dirty(f);
	}
}

void
file_unlocked(struct inode *i)
{
	file_changed(i->file, &i->attr);
}

void
file_forget(struct inode *i)
{
	struct file *f = i->file;

	if (!f)
		return;
	extents_clear(&f->dirty); /* its removal is durable (inode_forget) */
	usage_pending(i->attr.share, -(int64_t)f->shown);
	f->shown = 0;
	file_core->stats.dirty_bytes -= f->counted;
	file_core->stats.dirty_files -= f->counted > 0;
	f->counted = 0;
	file_replayed(f, false);
	chunkmap_drop(f);
	ready_remove(f);
	list_remove(f);
	i->file = NULL;
	f->inode = NULL;
	f->cut = 0;
	write_kick();
	waits_look(f); /* frees it where nobody else is at work on it */
}

bool
file_is_clean(const struct inode *i)
{
	const struct file *f = i->file;

	return !f || (f->dirty.count == 0 && f->users == 0);
}

enum op_state
file_quiesce(struct inode *i, struct op *op)
{
	uint64_t seq = i->attr.jseq;

	/* Records of earlier runs are durable anyway. */
	if (!file_core || seq <= journal_durable(file_core->journal))
		return op_done(op, 0);
	return journal_sync(file_core->journal, seq, op);
}

int
file_check_type(const struct attr *a)
{
	return a->type == FT_REG ? 0 : a->type == FT_DIR ? -EISDIR : -EINVAL;
}

/* ---- memory */

/*
 * The cache gives first; then extents whose bytes are safe in the journal lose their
 * buffers, the oldest files' first, so that writers need not wait for the object store.
 */
uint64_t
file_reclaim(uint64_t want)
{
	uint64_t got = cache_reclaim(want), durable = journal_durable(file_core->journal);
	uint32_t looks = RECLAIM_LOOKS;

	if (got >= want || reactor_now_ns() < file_core->reclaim_again_ns)
		return got;
	for (struct file *f = file_core->dirty.head; f && got < want && looks > 0; f = f->next) {
		for (struct extent *e = extent_at(&f->dirty, 0); e && got < want && looks > 0;
		     e = extent_next(&f->dirty, e), looks--) {
			if (!e->buf || e->seq > durable)
				continue;
			if (e->buf->refs == 1)
				got += e->buf->cap;
			buf_put(e->buf);
			e->buf = NULL;
		}
	}
	/* Most have none any more: looking at them all again and again would take the core. */
	if (got < want)
		file_core->reclaim_again_ns = reactor_now_ns() + RECLAIM_PAUSE_NS;
	flush_pressure();
	return got;
}

/* ---- the end */

/* What is still dirty is in the journal, for the next start. */
static void
list_fini(struct file_list *l)
{
	while (l->head) {
		struct file *f = l->head;

		extents_clear(&f->dirty);
		chunkmap_drop(f);
		ready_remove(f);
		f->inode->file = NULL;
		file_free(f);
	}
}

void
file_lists_fini(void)
{
	list_fini(&file_core->dirty);
	list_fini(&file_core->stuck);
	list_fini(&file_core->clean);
}
