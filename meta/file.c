/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in memory on their core: which are clean (in order of use, the first
 * makes room), which are dirty (by age), and what may not be forgotten yet.
 */
#include <stdio.h>
#include <stdlib.h>

#include "meta/chunkmap.h"
#include "meta/file_core.h"
#include "meta/file_trunc.h"
#include "meta/flush.h"
#include "meta/garbage.h"
#include "meta/replay.h"
#include "meta/sliceid.h"
#include "meta/usage.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define FILES_DEFAULT 32768
#define CHUNKS_LEAST  8192 /* more than READs and flushes hold at once */
#define BORN_LOOK 256 /* extents looked at for the oldest one */
/* Extents looked at by who is short of buffers, and the pause after that brought too little. */
#define RECLAIM_LOOKS    16384
#define RECLAIM_PAUSE_NS (5 * MSEC_NS)

/* The oldest record whose segment must stay. */
struct hold {
	bool used;
	uint64_t seq;
	struct jloc loc;
};

/*
 * Segments are overwritten strictly in order, so holding the oldest record of a
 * group holds them all.  While one group waits for its sync the next gathers.
 */
struct retire {
	struct hold gather, syncing;
	bool running;
	bool broken;               /* RocksDB takes no more changes: what is held stays held */
	uint64_t tail;
	struct kv_batch *batch;
	struct kv_write write;
	struct op step;
	enum { RETIRE_WRITTEN, RETIRE_SYNCED } stage;
};

struct file_core {
	struct journal *journal;
	struct slab slab;
	struct file_list clean, dirty, stuck;
	struct retire retire;
	uint64_t kept_from;
	uint64_t reclaim_again_ns;
	struct op *stopped, stop;    /* who waits for file_stop */
	struct timer stop_timer;
	struct file_stats stats;
};

static struct file_core *cores[REACTOR_MAX_CORES];
static __thread struct file_core *mine;

struct file_list *
file_dirty_list(void)
{
	return &mine->dirty;
}

bool
file_is_stuck(void)
{
	return mine->stuck.head != NULL;
}

struct journal *
file_journal(void)
{
	return mine->journal;
}

uint64_t
journal_kept_from(void)
{
	return mine->kept_from;
}

void
journal_tail_applied(uint64_t tail)
{
	/* The first of this run: earlier ones' segments may still be there. */
	if (tail > file_old_seq() + 1)
		mine->kept_from = MAX(mine->kept_from, tail);
}

struct file_stats *
file_count(void)
{
	return &mine->stats;
}

/* Any thread, while the core lives: what others count is copied for who asks. */
const struct file_stats *
file_stats(int core)
{
	static const struct file_stats none;
	const struct cache_stats *cache = cache_stats(core);
	struct file_stats *s;

	if (!cores[core])
		return &none;
	s = &cores[core]->stats;
	s->cache_hits = cache->hits;
	s->cache_misses = cache->misses;
	s->cache_bytes = cache->frames * FRAME_BYTES;
	journal_usage(cores[core]->journal, &s->journal_used_bytes, &s->journal_bytes);
	return s;
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
	slab_put(&mine->slab, f);
}

/* Makes room: the clean file that was used least lately. */
static bool
evict_one(void)
{
	for (struct file *f = mine->clean.head; f; f = f->next) {
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
		f = slab_get(&mine->slab);
		if (!f && evict_one())
			f = slab_get(&mine->slab);
		if (!f)
			return NULL;
		*f = (struct file){ .inode = i };
		extents_init(&f->dirty);
		i->file = f;
	}
	f->users++;
	if (!f->list || f->list == &mine->clean) {
		list_remove(f);
		if (!f->flush)
			list_insert_after(&mine->clean, mine->clean.tail, f);
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

/* The birth of the oldest extent; where there are too many to look at, what was known before stays. */
static uint64_t
oldest_birth(const struct file *f)
{
	struct extent *e = extent_at(&f->dirty, 0);
	uint64_t born = UINT64_MAX;

	for (int n = 0; e; e = extent_next(&f->dirty, e)) {
		if (++n > BORN_LOOK)
			return f->since_ns;
		born = MIN(born, e->born_ns);
	}
	return born;
}

static void
insert_dirty(struct file *f)
{
	struct file *at = mine->dirty.tail;

	while (at && at->since_ns > f->since_ns)
		at = at->prev;
	list_insert_after(&mine->dirty, at, f);
}

void
file_changed(struct file *f, struct attr *a)
{
	struct file_stats *s = &mine->stats;

	a->dirty = a->size > a->used ? MIN(f->dirty.bytes, a->size - a->used) : 0;
	usage_pending(a->share, (int64_t)(a->dirty - f->shown));
	f->shown = a->dirty;
	s->dirty_bytes += f->dirty.bytes - f->counted;
	f->counted = f->dirty.bytes;
	if (f->flush) {
		list_remove(f);
	} else if (f->stuck) {
		list_remove(f);
		list_insert_after(&mine->stuck, mine->stuck.tail, f);
	} else if (f->dirty.count == 0) {
		if (f->list == &mine->clean)
			return;
		list_remove(f);
		list_insert_after(&mine->clean, mine->clean.tail, f);
		file_replayed(f, false);
		ready_remove(f);
	} else if (f->list != &mine->dirty) {
		list_remove(f);
		f->since_ns = oldest_birth(f);
		insert_dirty(f);
	}
	s->dirty_files = mine->dirty.count;
}

void
file_forget(struct inode *i)
{
	struct file *f = i->file;

	if (!f)
		return;
	retire_hold(f, 0);
	extents_clear(&f->dirty);
	usage_pending(i->attr.share, -(int64_t)f->shown);
	f->shown = 0;
	mine->stats.dirty_bytes -= f->counted;
	f->counted = 0;
	file_replayed(f, false);
	chunkmap_drop(f);
	ready_remove(f);
	list_remove(f);
	mine->stats.dirty_files = mine->dirty.count;
	i->file = NULL;
	f->inode = NULL;
	f->cut = 0;
	write_kick();
	if (f->users == 0)
		file_free(f);
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
	if (!mine || seq <= journal_durable(mine->journal))
		return op_done(op, 0);
	return journal_sync(mine->journal, seq, op);
}

int
file_check_type(const struct attr *a)
{
	return a->type == FT_REG ? 0 : a->type == FT_DIR ? -EISDIR : -EINVAL;
}

/* ---- holding back what a crash may still need */

static void
retire_start(struct retire *r)
{
	r->syncing = r->gather;
	r->gather.used = false;
	r->running = true;
	r->stage = RETIRE_WRITTEN;
	kv_batch_clear(r->batch);
	/* Anything that is written now is synced after what was written before. */
	r->tail = journal_tail(mine->journal);
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
	struct retire *r = &mine->retire;

	if (!r->running && !r->broken && journal_tail(mine->journal) != r->tail)
		retire_start(r);
}

void
retire_hold(const struct file *f, uint64_t off)
{
	struct hold *h = &mine->retire.gather;
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
	if (!mine->retire.running && !mine->retire.broken)
		retire_start(&mine->retire);
}

/* ---- memory */

/*
 * The cache gives first; then extents whose bytes are safe in the journal lose their
 * buffers, the oldest files' first, so that writers need not wait for the object store.
 */
static uint64_t
reclaim(uint64_t want)
{
	uint64_t got = cache_reclaim(want), durable = journal_durable(mine->journal);
	uint32_t looks = RECLAIM_LOOKS;

	if (reactor_now_ns() < mine->reclaim_again_ns)
		return got;
	for (struct file *f = mine->dirty.head; f && got < want && looks > 0; f = f->next) {
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
		mine->reclaim_again_ns = reactor_now_ns() + RECLAIM_PAUSE_NS;
	flush_pressure();
	return got;
}

/* ---- start and end */

static uint64_t
arena_bytes(void)
{
	struct pool_stat pool[REACTOR_MAX_CORES];
	int n = pool_stats(pool, REACTOR_MAX_CORES);

	for (int i = 0; i < n; i++)
		if (pool[i].core == reactor_core() && strcmp(pool[i].name, "buffers") == 0)
			return pool[i].total_bytes;
	return 0;
}

static uint32_t
clamp32(uint64_t want, uint32_t lo, uint32_t hi)
{
	return (uint32_t)MAX(lo, MIN(want, hi));
}

static void stop_poll(struct op *op);

static int
journal_init(void)
{
	const struct file_opts *o = file_options();
	struct journal_opts jo = {
		.dir = o->journal_dir,
		.uuid = file_volume()->uuid,
		.bytes = o->journal_bytes / (uint64_t)reactor_cores(),
		.segment_bytes = o->segment_bytes,
		.epoch = file_epoch(),
		.first_seq = file_old_seq() + 1,
	};
	char why[256] = "";
	int res = journal_open(&mine->journal, reactor_core(), &jo, why);

	if (res < 0)
		log_error("%s", why);
	return res;
}

/* The last run's records have their place, whatever the limits are now. */
static uint32_t
replay_records(void)
{
	size_t n;

	(void)file_recs(&n);
	return (uint32_t)MIN(n, UINT32_MAX / 4);
}

static int
files_init(void)
{
	uint32_t max = file_options()->max_files;

	return slab_init(&mine->slab, "files", sizeof(struct file),
	                 clamp32(max ? max : FILES_DEFAULT, 64, UINT32_MAX / 2) + replay_records());
}

static void
files_fini(void)
{
	slab_fini(&mine->slab);
}

static int
extents_part_init(void)
{
	uint32_t max = file_options()->max_extents;

	return extent_init(clamp32(max ? max : arena_bytes() / 4096, 4096, 1u << 20) + 2 * replay_records());
}

static int
chunks_init(void)
{
	uint64_t arena = arena_bytes();

	return chunkmap_init(clamp32(arena / (32 * KIB), CHUNKS_LEAST, 1u << 17), MAX(arena / 16, 8 * MIB));
}

static int
frames_init(void)
{
	return cache_init(clamp32(arena_bytes() / BUF_LARGE_BYTES, 16, 1u << 29));
}

static void
journal_fini(void)
{
	journal_close(mine->journal);
}

static int
retire_init(void)
{
	mine->retire.step.resume = retire_run;
	mine->retire.batch = kv_batch_new();
	return 0;
}

static void
retire_fini(void)
{
	if (mine->retire.gather.used)
		jloc_put(&mine->retire.gather.loc);
	if (mine->retire.syncing.used)
		jloc_put(&mine->retire.syncing.loc);
	kv_batch_free(mine->retire.batch);
}

static int
lists_init(void)
{
	/* 0 is the jseq of who was never in a journal. */
	mine->kept_from = replay_records() > 0 ? 1 : file_old_seq() + 1;
	buf_set_reclaim(reclaim);
	return 0;
}

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

/* What is still dirty is in the journal, for the next start. */
static void
lists_fini(void)
{
	buf_set_reclaim(cache_reclaim);
	list_fini(&mine->dirty);
	list_fini(&mine->stuck);
	list_fini(&mine->clean);
}

static int
flush_part_init(void)
{
	return flush_init(arena_bytes());
}

/* In the order of their start; they end the other way round. */
static const struct part {
	int (*init)(void);
	void (*fini)(void);
} parts[] = {
	{ files_init, files_fini },
	{ extents_part_init, extent_fini },
	{ chunks_init, chunkmap_fini },
	{ frames_init, cache_fini },
	{ journal_init, journal_fini },
	{ slice_id_init, slice_id_fini },
	{ read_init, read_fini },
	{ write_init, write_fini },
	{ trunc_init, trunc_fini },
	{ flush_part_init, flush_fini },
	{ garbage_init, garbage_fini },
	{ retire_init, retire_fini },
	{ lists_init, lists_fini },
	{ replay_run, replay_fini },
};

static void
parts_fini(int core, size_t n)
{
	while (n > 0)
		parts[--n].fini();
	cores[core] = NULL;
	free(mine);
	mine = NULL;
}

int
file_init(int core)
{
	mine = calloc(1, sizeof(*mine));
	if (!mine)
		return -ENOMEM;
	cores[core] = mine;
	mine->stop.resume = stop_poll;
	for (size_t n = 0; n < ARRAY_LEN(parts); n++) {
		int res = parts[n].init();

		if (res < 0) {
			parts_fini(core, n);
			return res;
		}
	}
	return 0;
}

void
file_fini(int core)
{
	assert(mine && mine == cores[core]);
	parts_fini(core, ARRAY_LEN(parts));
}

/* ---- for tools */

enum op_state
file_drain(struct op *op)
{
	return flush_drain(op);
}

/* Not often enough to need messages between all that has to end: looks each millisecond. */
static void
stop_poll(struct op *op)
{
	struct op *wait = mine->stopped;

	(void)op;
	if (!flush_quit() || !garbage_quit() || mine->retire.running || replay_is_busy() ||
	    slice_id_is_busy()) {
		timer_start(&mine->stop_timer, MSEC_NS, &mine->stop);
		return;
	}
	mine->stopped = NULL;
	wait->res = 0;
	wait->resume(wait);
}

enum op_state
file_stop(struct op *op)
{
	assert(!mine->stopped);
	mine->stopped = op;
	timer_start(&mine->stop_timer, 0, &mine->stop);
	return OP_PENDING;
}
