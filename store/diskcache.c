/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index: what is in it is a hint, the checksum is the truth.  So it may be older than
 * the disk in every way, and the worst that comes of it is a frame that is asked of the object store.
 */
#include "store/diskcache_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "reactor/log.h"

#define SLOTS_MAX (UINT16_MAX - 1)

__thread struct dcore *dcore;
static struct diskcache_stats stats[REACTOR_MAX_CORES];

struct diskcache_stats *
diskcache_count(void)
{
	return dcore->stats;
}

const struct diskcache_stats *
diskcache_stats(int core)
{
	return &stats[core];
}

/* ---- slots */

uint16_t
slot_new(struct cseg *s)
{
	uint16_t i = dcore->free_slot;

	if (i == NO_SLOT)
		return NO_SLOT;
	dcore->free_slot = dcore->slot[i].newer;
	dcore->slot[i] = (struct cslot){ .seg = s, .first = NONE, .older = NO_SLOT, .newer = NO_SLOT };
	return i;
}

void
slot_drop(uint16_t slot)
{
	struct cslot *s = &dcore->slot[slot];
	uint32_t i;

	while ((i = entry_pop(slot)) != NONE)
		entry_free(i);
	cseg_put(s->seg);
	*s = (struct cslot){ .newer = dcore->free_slot };
	dcore->free_slot = slot;
}

/* ---- entries */

static uint32_t *
bucket_of(uint64_t key)
{
	return &dcore->bucket[mix64(key) & dcore->mask];
}

uint32_t
entry_find(uint64_t key)
{
	uint32_t i = *bucket_of(key);

	while (i != NONE && dcore->entry[i].key != key)
		i = dcore->entry[i].next;
	return i;
}

void
entry_kill(uint32_t i)
{
	struct centry *e = &dcore->entry[i];
	uint32_t *at = bucket_of(e->key);

	while (*at != i)
		at = &dcore->entry[*at].next;
	*at = e->next;
	e->key = 0;
	dcore->slot[e->slot].live--;
	__atomic_store_n(&diskcache_count()->frames, diskcache_count()->frames - 1, __ATOMIC_RELAXED);
}

uint32_t
entry_pop(uint16_t slot)
{
	struct cslot *s = &dcore->slot[slot];
	uint32_t i = s->first;

	if (i != NONE)
		s->first = dcore->entry[i].seg_next;
	return i;
}

void
entry_free(uint32_t i)
{
	if (dcore->entry[i].key)
		entry_kill(i);
	dcore->entry[i].next = dcore->free;
	dcore->free = i;
	dcore->nfree++;
}

bool
entry_add(uint16_t slot, const struct cframe *f, uint8_t hits)
{
	uint64_t key = centry_key(f->slice, f->frame);
	struct cslot *s = &dcore->slot[slot];
	uint32_t i = dcore->free, *bucket;
	struct centry *e;

	if (entry_find(key) != NONE)
		return true; /* slices never change: it is the same */
	if (dcore->nfree == 0)
		return false;
	if (i != NONE)
		dcore->free = dcore->entry[i].next;
	else
		i = dcore->fresh++;
	dcore->nfree--;
	e = &dcore->entry[i];
	bucket = bucket_of(key);
	*e = (struct centry){
		.key = key, .ino = f->ino <= UINT32_MAX ? (uint32_t)f->ino : 0, .crc = f->crc, .next = *bucket,
		.seg_next = s->first, .slot = slot, .page = (uint16_t)f->page,
		.last = (uint16_t)(f->plain - 1), .hits = hits,
	};
	*bucket = i;
	s->first = i;
	s->live++;
	count_up(&diskcache_count()->frames, 1);
	return true;
}

/* ---- reading */

static void
read_resumed(struct op *op)
{
	struct disk_fetch *r = container_of(op, struct disk_fetch, step);
	struct cdir *d = r->seg->dir;
	int res = op->res;
	uint32_t i;

	if (res < 0)
		cdir_break(d, "read", res);
	else if ((uint32_t)res < r->len ||
	         (r->verify && cframe_crc(cache_disk_opts.uuid, r->slice, r->frame, r->into->data, r->plain) != r->crc))
		res = -E_DAMAGED;
	if (res == -E_DAMAGED) {
		cdir_damaged(d, "a frame is not what was written", r->seg->serial);
		count_up(&diskcache_count()->damaged, 1);
		i = entry_find(centry_key(r->slice, r->frame));
		if (i != NONE && dcore->slot[dcore->entry[i].slot].seg == r->seg)
			entry_kill(i);
	}
	count_up(res < 0 ? &diskcache_count()->misses : &diskcache_count()->hits, 1);
	cseg_put(r->seg);
	r->wait->res = MIN(res, 0);
	r->wait->resume(r->wait);
}

bool
diskcache_read(struct disk_fetch *r, uint64_t slice, uint32_t frame, uint32_t plain, struct buf *into, bool whole,
               struct op *op)
{
	enum disk_verify v = cache_disk_opts.verify;
	struct centry *e;
	uint32_t i;

	if (!dcore || slice >= CFRAME_SLICES)
		return false;
	i = entry_find(centry_key(slice, frame));
	if (i == NONE || dcore->slot[dcore->entry[i].slot].seg->dir->broken || dcore->entry[i].last + 1u != plain) {
		count_up(&diskcache_count()->misses, 1);
		return false;
	}
	e = &dcore->entry[i];
	if (e->hits < HITS_MAX)
		e->hits++;
	*r = (struct disk_fetch){
		.step.resume = read_resumed, .wait = op, .seg = dcore->slot[e->slot].seg, .into = into,
		.slice = slice, .frame = frame, .plain = plain, .crc = e->crc, .len = ROUND_UP(plain, PAGE),
		.verify = v == DISK_VERIFY_FULL ? whole : v != DISK_VERIFY_NONE,
	};
	atomic_fetch_add_explicit(&r->seg->holders, 1, memory_order_relaxed);
	disk_read(r->seg->fd, into->data, r->len, (uint64_t)e->page * PAGE, &r->step);
	return true;
}

/* ---- writing and forgetting */

/* The frames of a block in one directory, near each other; those of a broken one elsewhere. */
static struct clog *
log_of(uint64_t slice, uint32_t frame)
{
	uint32_t n = (uint32_t)dcore->nlogs;
	uint32_t first = (uint32_t)(mix64(slice * 16 + frame / FRAMES_PER_BLOCK) % n);

	for (uint32_t k = 0; k < n; k++) {
		struct clog *l = &dcore->log[(first + k) % n];

		if (!l->dir->broken)
			return l;
	}
	return NULL;
}

void
diskcache_insert(uint64_t slice, uint32_t frame, uint64_t ino, struct buf *b, uint32_t plain, bool fresh)
{
	struct cframe f = { .slice = slice, .ino = ino, .frame = frame, .plain = plain };
	struct clog *l;

	if (!dcore || dcore->quit || slice >= CFRAME_SLICES || entry_find(centry_key(slice, frame)) != NONE)
		return;
	assert(plain > 0 && plain <= b->cap);
	l = log_of(slice, frame);
	if (!l)
		return;
	if (dcore->waiting_bytes >= (fresh ? dcore->max_waiting / 2 : dcore->max_waiting)) {
		count_up(&diskcache_count()->skipped, 1);
		return;
	}
	f.crc = cframe_crc(cache_disk_opts.uuid, slice, frame, b->data, plain);
	if (log_put(l, &f, b, 0))
		log_kick(l);
}

void
diskcache_forget(uint64_t slice, uint32_t first_frame, uint32_t nframes)
{
	for (uint32_t n = 0; dcore && slice < CFRAME_SLICES && n < nframes; n++) {
		uint32_t i = entry_find(centry_key(slice, first_frame + n));

		if (i != NONE)
			entry_kill(i);
	}
}

/* ---- a core's start and end */

static void
tick(struct op *op)
{
	(void)op;
	for (int i = 0; i < dcore->nlogs && !dcore->quit; i++) {
		struct clog *l = &dcore->log[i];

		if (reactor_core() == 0)
			cdir_look(l->dir);
		if (l->dir->is_short)
			l->shrink = true;
		evict_kick(l);
		log_kick(l);
	}
	if (!dcore->quit)
		timer_start(&dcore->timer, TICK_NS, &dcore->tick);
}

bool
diskcache_quit(void)
{
	bool idle;

	if (!dcore)
		return true;
	if (!dcore->quit) {
		dcore->quit = true;
		timer_stop(&dcore->timer);
	}
	idle = load_is_idle() && !(reactor_core() == 0 && cdir_is_looking());
	for (int i = 0; i < dcore->nlogs; i++) {
		evict_kick(&dcore->log[i]);
		log_kick(&dcore->log[i]);
		idle = log_is_idle(&dcore->log[i]) && idle;
	}
	return idle;
}

/* Touched as it fills, so that a large limit costs little. */
static void *
map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void
unmap(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

static int
index_init(struct dcore *c)
{
	uint64_t bytes = cdir_budget() * (uint64_t)cache_disk_opts.ndirs;
	uint64_t slots = bytes / cdir_segment_bytes() * 4 + 64; /* those of other cores', and sealed early, too */
	uint32_t buckets = 1;

	/* A fifth more than full frames would need; where they are smaller the index sets the limit. */
	c->nentries = (uint32_t)MIN(bytes / FRAME_BYTES * 6 / 5 + SEGMENT_FRAMES_MAX, UINT32_MAX / 4);
	while (buckets < c->nentries)
		buckets *= 2;
	c->mask = buckets - 1;
	slots = MIN(slots, SLOTS_MAX);
	c->entry = map((size_t)c->nentries * sizeof(*c->entry));
	c->bucket = map(buckets * sizeof(*c->bucket));
	c->slot = map(slots * sizeof(*c->slot));
	if (!c->entry || !c->bucket || !c->slot)
		return -ENOMEM;
	c->nslots = (uint32_t)slots;
	c->stats->index_bytes = c->nentries * sizeof(*c->entry) + buckets * sizeof(*c->bucket) +
	                        slots * sizeof(*c->slot);
	c->fresh = 1;
	c->nfree = c->nentries - 1;
	c->free_slot = NO_SLOT;
	for (uint32_t i = (uint32_t)slots; i-- > 0; c->free_slot = (uint16_t)i)
		c->slot[i].newer = c->free_slot;
	return 0;
}

int
diskcache_init(uint64_t write_bytes)
{
	struct dcore *c;
	int res;

	stats[reactor_core()] = (struct diskcache_stats){ 0 };
	if (cache_disk_opts.ndirs == 0)
		return 0;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	dcore = c;
	c->stats = &stats[reactor_core()];
	c->max_waiting = MAX(write_bytes, 2 * BUF_LARGE_BYTES);
	c->tick.resume = tick;
	res = index_init(c);
	if (res == 0)
		res = slab_init(&c->puts, "cache writes", sizeof(struct cput), (uint32_t)(c->max_waiting / PAGE) + 64);
	for (int i = 0; res == 0 && i < cache_disk_opts.ndirs; i++) {
		res = log_init(&c->log[i], cdir_get(i));
		c->nlogs += res == 0;
	}
	if (res < 0) {
		diskcache_fini();
		return res;
	}
	load_start();
	timer_start(&c->timer, TICK_NS, &c->tick);
	return 0;
}

void
diskcache_fini(void)
{
	struct dcore *c = dcore;

	if (!c)
		return;
	timer_stop(&c->timer);
	c->fini = true;
	for (int i = 0; i < c->nlogs; i++)
		log_fini(&c->log[i]);
	for (uint32_t i = 0; i < c->nslots; i++)
		if (c->slot[i].seg)
			slot_drop((uint16_t)i);
	slab_fini(&c->puts);
	unmap(c->slot, c->nslots * sizeof(*c->slot));
	unmap(c->bucket, (c->mask + 1) * sizeof(*c->bucket));
	unmap(c->entry, (size_t)c->nentries * sizeof(*c->entry));
	free(c);
	dcore = NULL;
}
