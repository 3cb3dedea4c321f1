/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/plan.h"

#include "store/cache.c"

/* store/fetch.c has its own test. */
int
cache_fetch_init(void)
{
	return 0;
}

void
cache_fetch_fini(void)
{
}

static struct buf *
insert(uint64_t slice, uint32_t frame)
{
	struct buf *b = fake_buf_new();

	b->data[0] = (uint8_t)frame;
	cache_insert(slice, frame, b, 65536);
	return b;
}

static bool
has(uint64_t slice, uint32_t frame)
{
	struct buf *b = cache_find(slice, frame);

	if (!b)
		return false;
	cr_assert(eq(u8, b->data[0], (uint8_t)frame));
	buf_put(b);
	return true;
}

/* Without telling the cache that it was found. */
static bool
is_cached(uint64_t slice, uint32_t frame)
{
	return lookup(mine, slice, frame) != NONE;
}

static void
leave(void)
{
	cache_fini();
	cr_assert(eq(int, fake_held, 0));
}

static void
reset_stats(void)
{
	memset(stats, 0, sizeof(stats));
}

TestSuite(cache, .init = reset_stats);

Test(cache, keeps_and_forgets)
{
	cache_init(100);
	for (uint32_t i = 0; i < 100; i++)
		buf_put(insert(7, i));
	cr_assert(eq(int, fake_held, 100));
	for (uint32_t i = 0; i < 100; i++)
		cr_assert(has(7, i));
	cr_assert(not(has(8, 0)));
	cr_assert(not(has(7, 100)));
	cache_forget(7, 10, 20);
	cache_forget(7, 90, 1000);
	for (uint32_t i = 0; i < 100; i++)
		cr_assert(eq(int, has(7, i), i < 10 || (i >= 30 && i < 90)));
	cr_assert(eq(int, fake_held, 70));
	cr_assert(eq(u64, cache_stats(0)->frames, 70));
	leave();
}

/* The same frame twice: the first stays, the second is not kept. */
Test(cache, twice)
{
	cache_init(10);
	struct buf *a = insert(7, 1), *b = insert(7, 1), *c = cache_find(7, 1);

	cr_assert(eq(ptr, a, c));
	cr_assert(eq(u32, b->refs, 1));
	buf_put(a);
	buf_put(b);
	buf_put(c);
	leave();
}

/* NSDI '24, figure 1: found ones stay where they are and survive one pass of the hand. */
Test(cache, sieve)
{
	cache_init(5);
	for (uint32_t i = 0; i < 5; i++)
		buf_put(insert(1, i)); /* old to new: 0 1 2 3 4 */
	cr_assert(has(1, 0));
	cr_assert(has(1, 2));
	buf_put(insert(1, 5)); /* spares 0, evicts 1, the hand is at 2 */
	cr_assert(not(is_cached(1, 1)));
	buf_put(insert(1, 6)); /* spares 2, evicts 3 */
	cr_assert(not(is_cached(1, 3)));
	buf_put(insert(1, 7)); /* goes on: 4 */
	cr_assert(not(is_cached(1, 4)));
	cr_assert(has(1, 5));
	buf_put(insert(1, 8)); /* spares 5, evicts 6 */
	cr_assert(not(is_cached(1, 6)));
	cr_assert(is_cached(1, 0));
	cr_assert(is_cached(1, 2));
	cr_assert(eq(u64, cache_stats(0)->evicted, 4));
	leave();
}

/* To peek at one is to find it. */
Test(cache, what_others_peek_at_stays)
{
	struct buf *b;

	cache_init(2);
	fake_peeked = b = insert(1, 0);
	buf_put(b);
	buf_put(insert(1, 1));
	buf_put(insert(1, 2)); /* spares 0, evicts 1 */
	cr_assert(not(is_cached(1, 1)));
	buf_put(insert(1, 3)); /* 2; then 0, which nobody has asked for since */
	buf_put(insert(1, 4));
	cr_assert(not(is_cached(1, 0)));
	leave();
}

/* Frames that somebody reads stay; when all are, a new one is not taken. */
Test(cache, held_frames_stay)
{
	struct buf *held[4];

	cache_init(4);
	for (uint32_t i = 0; i < 4; i++)
		held[i] = insert(1, i);
	buf_put(insert(1, 4));
	cr_assert(not(is_cached(1, 4)));
	cr_assert(eq(u64, fake_reclaim(1), 0));
	buf_put(held[2]);
	buf_put(insert(1, 5));
	cr_assert(not(is_cached(1, 2)));
	cr_assert(is_cached(1, 5));
	cr_assert(eq(u64, fake_reclaim(10 * MIB), BUF_LARGE_BYTES));
	for (uint32_t i = 0; i < 4; i++)
		if (i != 2)
			buf_put(held[i]);
	cr_assert(eq(int, fake_held, 3));
	leave();
}

Test(cache, reclaim)
{
	cache_init(100);
	for (uint32_t i = 0; i < 100; i++)
		buf_put(insert(1, i));
	cr_assert(eq(u64, fake_reclaim(1), BUF_LARGE_BYTES));
	cr_assert(eq(int, fake_held, 99));
	cr_assert(eq(u64, fake_reclaim(10 * BUF_LARGE_BYTES), 10 * BUF_LARGE_BYTES));
	cr_assert(eq(int, fake_held, 89));
	cr_assert(eq(u64, fake_reclaim(1 * GIB), 89 * BUF_LARGE_BYTES));
	cr_assert(eq(u64, fake_reclaim(1), 0));
	buf_put(insert(1, 5));
	cr_assert(has(1, 5));
	leave();
}

/* Small frames side by side in a block: what is found or held of them is so for all, and they go together. */
Test(cache, small_frames_of_a_block_go_together)
{
	enum { BLOCKS = 3, EACH = 3, EACH_BYTES = EACH * 8192 };
	struct buf *b[BLOCKS * EACH];

	cache_init(100);
	for (uint32_t i = 0; i < BLOCKS * EACH; i++) {
		b[i] = fake_buf_new();
		b[i]->cap = 8192;
		if (i >= BLOCKS)
			fake_buf_move(b[i], b[i % BLOCKS]->block);
		b[i]->data[0] = (uint8_t)i;
		cache_insert(1, i, b[i], 5000);
	}
	cr_assert(eq(u64, cache_stats(0)->bytes, BLOCKS * EACH_BYTES));
	for (uint32_t i = 0; i < BLOCKS * EACH; i++)
		if (i != 4)
			buf_put(b[i]);
	cr_assert(has(1, 3));
	cr_assert(eq(u64, fake_reclaim(1), EACH_BYTES)); /* 3 was found, 4 is held: 2, 5 and 8 */
	for (uint32_t i = 0; i < BLOCKS * EACH; i++)
		cr_assert(eq(int, is_cached(1, i), i % BLOCKS != 2));
	cr_assert(eq(u64, fake_reclaim(1), EACH_BYTES)); /* 0, 3 and 6, not found again */
	cr_assert(eq(u64, fake_reclaim(1), 0));
	buf_put(b[4]);
	cache_forget(1, 7, 1);
	cr_assert(eq(u64, fake_reclaim(1), 2 * 8192));
	cr_assert(eq(u64, cache_stats(0)->evicted, 2 * EACH + 2));
	cr_assert(eq(u64, cache_stats(0)->bytes, 0));
	leave();
}

/* SIEVE as the paper's pseudocode has it, in an array, against ours over many operations. */
Test(cache, model)
{
	enum { MAX = 37, KEYS = 90 };
	struct { uint32_t key; bool visited; } q[MAX + 1]; /* q[0] is the oldest */
	int n = 0, hand = 0;
	unsigned seed = 12345;

	cache_init(MAX);
	for (int step = 0; step < 200000; step++) {
		uint32_t key = (seed = seed * 1103515245 + 12345) >> 16;
		int at = 0;

		key = key % 4 ? key / 4 % 30 : key / 4 % KEYS; /* some are hot */
		while (at < n && q[at].key != key)
			at++;
		cr_assert(eq(int, is_cached(key + 1, key), at < n), "step %d key %u", step, key);
		if ((seed >> 8) % 97 == 0) {
			cache_forget(key + 1, key, 1);
			if (at < n) {
				memmove(&q[at], &q[at + 1], (size_t)(--n - at) * sizeof(q[0]));
				hand = hand - (hand > at) < n ? hand - (hand > at) : 0;
			}
			continue;
		}
		if (has(key + 1, key)) {
			q[at].visited = true;
			continue;
		}
		if (n == MAX) {
			for (; q[hand].visited; hand = (hand + 1) % n)
				q[hand].visited = false;
			memmove(&q[hand], &q[hand + 1], (size_t)(--n - hand) * sizeof(q[0]));
			hand = hand < n ? hand : 0;
		}
		q[n].key = key;
		q[n++].visited = false;
		buf_put(insert(key + 1, key));
		cr_assert(eq(int, fake_held, n));
	}
	cr_assert(lt(u64, 1000, cache_stats(0)->evicted));
	leave();
}
