/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eviction is SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI '24): a
 * queue in order of insertion and a hand that goes from its old end to its new one,
 * spares what was found since it last came by, and evicts the first that was not.
 * A hit sets one bit and moves nothing.
 *
 * A frame that somebody else holds too is passed over: putting our reference
 * would free no memory.
 */
#include "store/cache.h"

#include <stdlib.h>

#define NONE UINT32_MAX
/* Held frames that one search passes over before it gives up; the next goes on from there. */
#define HELD_MAX 256

struct frame {
	uint64_t slice;
	struct buf *buf;
	uint32_t number;
	uint32_t newer, older; /* the queue; newer also links free ones */
	uint32_t next;         /* the bucket */
	bool found;            /* since the hand last came by */
};

struct cache {
	struct frame *frame;
	uint32_t *bucket;
	uint32_t mask;
	uint32_t count, free;
	uint32_t newest, oldest, hand;
};

static struct cache_stats stats[REACTOR_MAX_CORES];
static __thread struct cache *mine;

struct cache_stats *
cache_count(void)
{
	return &stats[reactor_core()];
}

const struct cache_stats *
cache_stats(int core)
{
	return &stats[core];
}

static uint32_t *
bucket_of(const struct cache *c, uint64_t slice, uint32_t number)
{
	/* The slices of one file are near each other, its frames next to each other. */
	return &c->bucket[mix64(slice * 1024 + number) & c->mask];
}

static uint32_t
lookup(const struct cache *c, uint64_t slice, uint32_t number)
{
	uint32_t i = *bucket_of(c, slice, number);

	while (i != NONE && (c->frame[i].slice != slice || c->frame[i].number != number))
		i = c->frame[i].next;
	return i;
}

static void
remove_frame(struct cache *c, uint32_t i)
{
	struct frame *f = &c->frame[i];
	uint32_t *at = bucket_of(c, f->slice, f->number);

	while (*at != i)
		at = &c->frame[*at].next;
	*at = f->next;
	if (c->hand == i)
		c->hand = f->newer;
	*(f->newer == NONE ? &c->newest : &c->frame[f->newer].older) = f->older;
	*(f->older == NONE ? &c->oldest : &c->frame[f->older].newer) = f->newer;
	buf_put(f->buf);
	f->buf = NULL;
	f->newer = c->free;
	c->free = i;
	c->count--;
	__atomic_store_n(&cache_count()->frames, c->count, __ATOMIC_RELAXED);
}

/* Bytes given back; 0: there is nothing to evict, or too much of it is held. */
static uint64_t
evict_one(struct cache *c)
{
	uint32_t held = 0;

	/* Twice round: the first may only clear marks. */
	for (uint32_t n = 2 * c->count; n > 0 && held < HELD_MAX; n--) {
		uint32_t i = c->hand == NONE ? c->oldest : c->hand;
		struct frame *f = &c->frame[i];
		uint64_t cap = f->buf->cap;

		c->hand = f->newer;
		if (f->buf->refs > 1) {
			held++;
			continue;
		}
		if (f->found | buf_was_peeked(f->buf)) {
			f->found = false;
			continue;
		}
		remove_frame(c, i);
		count_up(&cache_count()->evicted, 1);
		return cap;
	}
	return 0;
}

uint64_t
cache_reclaim(uint64_t want_bytes)
{
	uint64_t given = 0, n;

	while (given < want_bytes && (n = evict_one(mine)) > 0)
		given += n;
	return given;
}

struct buf *
cache_peek(uint64_t slice, uint32_t frame)
{
	struct cache *c = mine;
	uint32_t i = lookup(c, slice, frame);

	if (i == NONE)
		return NULL;
	c->frame[i].found = true;
	return buf_keep(c->frame[i].buf);
}

void
cache_peeked(void)
{
	count_up(&cache_count()->hits, 1);
}

bool
cache_has(uint64_t slice, uint32_t frame)
{
	return lookup(mine, slice, frame) != NONE;
}

struct buf *
cache_find(uint64_t slice, uint32_t frame)
{
	struct buf *b = cache_peek(slice, frame);

	if (b)
		count_up(&cache_count()->hits, 1);
	return b;
}

void
cache_insert(uint64_t slice, uint32_t frame, struct buf *b, uint32_t len)
{
	struct cache *c = mine;
	struct frame *f;
	uint32_t *bucket, i;

	assert(slice != 0 && len > 0 && len <= b->cap);
	if (lookup(c, slice, frame) != NONE)
		return; /* slices never change: it is the same */
	if (c->free == NONE && evict_one(c) == 0)
		return;
	i = c->free;
	f = &c->frame[i];
	c->free = f->newer;
	bucket = bucket_of(c, slice, frame);
	*f = (struct frame){ .slice = slice, .number = frame, .buf = buf_keep(b),
	                     .newer = NONE, .older = c->newest, .next = *bucket };
	*bucket = i;
	*(c->newest == NONE ? &c->oldest : &c->frame[c->newest].newer) = i;
	c->newest = i;
	c->count++;
	count_up(&cache_count()->inserts, 1);
	__atomic_store_n(&cache_count()->frames, c->count, __ATOMIC_RELAXED);
}

void
cache_forget(uint64_t slice, uint32_t first_frame, uint32_t nframes)
{
	for (uint32_t n = 0; n < nframes; n++) {
		uint32_t i = lookup(mine, slice, first_frame + n);

		if (i != NONE)
			remove_frame(mine, i);
	}
}

int
cache_init(uint32_t max_frames)
{
	struct cache *c = calloc(1, sizeof(*c));
	uint32_t buckets = 1;
	int err;

	assert(max_frames > 0 && max_frames < 1u << 30);
	while (buckets < max_frames)
		buckets *= 2;
	if (!c)
		return -ENOMEM;
	c->frame = calloc(max_frames, sizeof(*c->frame));
	c->bucket = malloc(buckets * sizeof(*c->bucket));
	if (!c->frame || !c->bucket) {
		err = -ENOMEM;
		goto free;
	}
	err = cache_fetch_init();
	if (err < 0)
		goto free;
	memset(c->bucket, 0xff, buckets * sizeof(*c->bucket)); /* NONE */
	c->mask = buckets - 1;
	for (uint32_t i = 0; i < max_frames; i++)
		c->frame[i].newer = i + 1 < max_frames ? i + 1 : NONE;
	c->newest = c->oldest = c->hand = NONE;
	mine = c;
	buf_set_reclaim(cache_reclaim);
	return 0;
free:
	free(c->bucket);
	free(c->frame);
	free(c);
	return err;
}

void
cache_fini(void)
{
	struct cache *c = mine;

	if (!c)
		return;
	cache_fetch_fini();
	buf_set_reclaim(NULL);
	while (c->newest != NONE)
		remove_frame(c, c->newest);
	free(c->bucket);
	free(c->frame);
	free(c);
	mine = NULL;
}
