/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eviction is SIEVE (Zhang et al., "SIEVE is Simpler than LRU", NSDI '24): a
 * queue in order of insertion and a hand that goes from its old end to its new one,
 * spares what was found since it last came by, and evicts the first that was not.
 * A hit sets one bit and moves nothing.
 *
 * What stands in the queue is 64 KiB of memory, with one frame in it, or up to 16 small ones side by side that come and
 * go together: were they evicted one by one, holes would be left in all of the memory, and no 64 KiB for others
 * anywhere.  One that somebody else holds too is passed over: putting our reference would free no memory.
 */
#include "store/cache.h"

#include <stdlib.h>

#define NONE UINT32_MAX
/* Held blocks that one search passes over before it gives up; the next goes on from there. */
#define HELD_MAX 256

struct frame {
	uint64_t slice;
	struct buf *buf;
	uint32_t number;
	uint32_t next; /* the bucket; also links free ones */
	uint32_t mate; /* in the same block */
	bool found;    /* since the hand last came by */
};

/* 64 KiB of some core's arena, with one large frame in it or up to 16 small ones. */
struct block {
	uint32_t newer, older; /* the queue */
	uint32_t first;        /* frame; NONE: there is none, and it is not in the queue */
};

struct cache {
	struct frame *frame;
	struct block *block;
	uint32_t *bucket;
	uint32_t mask;
	uint32_t count, free;
	uint64_t bytes;  /* of the frames' buffers */
	uint32_t blocks; /* in the queue */
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
count_held(const struct cache *c)
{
	__atomic_store_n(&cache_count()->frames, c->count, __ATOMIC_RELAXED);
	__atomic_store_n(&cache_count()->bytes, c->bytes, __ATOMIC_RELAXED);
}

/* ---- the queue of blocks */

static void
block_leave(struct cache *c, uint32_t n)
{
	struct block *b = &c->block[n];

	if (c->hand == n)
		c->hand = b->newer;
	*(b->newer == NONE ? &c->newest : &c->block[b->newer].older) = b->older;
	*(b->older == NONE ? &c->oldest : &c->block[b->older].newer) = b->newer;
	c->blocks--;
}

static void
block_join(struct cache *c, uint32_t n)
{
	struct block *b = &c->block[n];

	b->newer = NONE;
	b->older = c->newest;
	*(c->newest == NONE ? &c->oldest : &c->block[c->newest].newer) = n;
	c->newest = n;
	c->blocks++;
}

static void
remove_frame(struct cache *c, uint32_t i)
{
	struct frame *f = &c->frame[i];
	struct block *b = &c->block[f->buf->block];
	uint32_t *at = bucket_of(c, f->slice, f->number);

	while (*at != i)
		at = &c->frame[*at].next;
	*at = f->next;
	for (at = &b->first; *at != i; at = &c->frame[*at].mate)
		;
	*at = f->mate;
	if (b->first == NONE)
		block_leave(c, f->buf->block);
	c->bytes -= f->buf->cap;
	buf_put(f->buf);
	f->buf = NULL;
	f->next = c->free;
	c->free = i;
	c->count--;
	count_held(c);
}

/* ---- eviction */

static bool
is_held(const struct cache *c, const struct block *b)
{
	for (uint32_t i = b->first; i != NONE; i = c->frame[i].mate)
		if (c->frame[i].buf->refs > 1)
			return true;
	return false;
}

/* Has any of its frames been found since this was last asked? */
static bool
was_found(struct cache *c, const struct block *b)
{
	bool found = false;

	for (uint32_t i = b->first; i != NONE; i = c->frame[i].mate) {
		found |= c->frame[i].found | buf_was_peeked(c->frame[i].buf);
		c->frame[i].found = false;
	}
	return found;
}

static uint64_t
evict(struct cache *c, const struct block *b)
{
	uint64_t before = c->bytes, n = c->count;

	while (b->first != NONE)
		remove_frame(c, b->first);
	count_up(&cache_count()->evicted, n - c->count);
	return before - c->bytes;
}

/* Bytes given back; 0: there is nothing to evict, or too much of it is held. */
static uint64_t
evict_one(struct cache *c)
{
	uint32_t held = 0;

	/* Twice round: the first may only clear marks. */
	for (uint32_t n = 2 * c->blocks; n > 0 && held < HELD_MAX; n--) {
		const struct block *b = &c->block[c->hand == NONE ? c->oldest : c->hand];

		c->hand = b->newer;
		if (is_held(c, b))
			held++;
		else if (!was_found(c, b))
			return evict(c, b);
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
	struct block *block = &c->block[b->block];
	uint32_t *bucket, i;

	assert(slice != 0 && len > 0 && len <= b->cap);
	if (lookup(c, slice, frame) != NONE)
		return; /* slices never change: it is the same */
	if (c->free == NONE && evict_one(c) == 0)
		return;
	i = c->free;
	f = &c->frame[i];
	c->free = f->next;
	bucket = bucket_of(c, slice, frame);
	if (block->first == NONE)
		block_join(c, b->block);
	*f = (struct frame){ .slice = slice, .number = frame, .buf = buf_keep(b), .next = *bucket, .mate = block->first };
	*bucket = block->first = i;
	c->count++;
	c->bytes += b->cap;
	count_up(&cache_count()->inserts, 1);
	count_held(c);
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
	c->block = malloc(buf_blocks() * sizeof(*c->block));
	c->bucket = malloc(buckets * sizeof(*c->bucket));
	if (!c->frame || !c->block || !c->bucket) {
		err = -ENOMEM;
		goto free;
	}
	err = cache_fetch_init();
	if (err < 0)
		goto free;
	memset(c->bucket, 0xff, buckets * sizeof(*c->bucket)); /* NONE */
	c->mask = buckets - 1;
	for (uint32_t i = 0; i < max_frames; i++)
		c->frame[i].next = i + 1 < max_frames ? i + 1 : NONE;
	for (uint32_t i = 0; i < buf_blocks(); i++)
		c->block[i].first = NONE;
	c->newest = c->oldest = c->hand = NONE;
	mine = c;
	buf_set_reclaim(cache_reclaim);
	return 0;
free:
	free(c->bucket);
	free(c->block);
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
		(void)evict(c, &c->block[c->newest]);
	free(c->bucket);
	free(c->block);
	free(c->frame);
	free(c);
	mine = NULL;
}
