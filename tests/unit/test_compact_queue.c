/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "meta/compact_queue.h"

#define DELAY 1000u

static struct compact_queue q;

static const struct compact_candidate *
add(uint64_t ino, uint64_t gen, uint64_t now, bool asked)
{
	return compact_queue_add(&q, &(struct compact_candidate){ .ino = ino, .gen = gen, .since_ns = now, .asked = asked }, now, DELAY);
}

static uint64_t
take(void)
{
	const struct compact_candidate *c = compact_queue_first(&q);

	return c ? compact_queue_take(&q, c).ino : 0;
}

Test(compact_queue, goes_by_what_is_due_first)
{
	cr_assert(compact_queue_first(&q) == NULL);
	cr_assert(eq(u64, add(3, 1, 50, false)->due_ns, 50 + DELAY));
	add(1, 1, 10, false);
	add(2, 1, 20, false);
	cr_assert(eq(u32, q.n, 3));
	cr_assert(eq(u64, take(), 1));
	cr_assert(eq(u64, take(), 2));
	cr_assert(eq(u64, take(), 3));
	cr_assert(eq(u64, take(), 0));
	cr_assert(eq(u32, q.n, 0));
}

/* What changes again rests again, but not for ever; one of the same number is another's. */
Test(compact_queue, a_change_puts_it_off)
{
	add(1, 1, 10, false);
	cr_assert(eq(u64, add(1, 1, 500, false)->due_ns, 500 + DELAY));
	cr_assert(eq(u64, add(1, 1, 10 + 2 * COMPACT_BUSY_NS, false)->due_ns, 10 + COMPACT_BUSY_NS + DELAY));
	cr_assert(eq(u32, q.n, 1));
	cr_assert(eq(u64, add(1, 2, 700, false)->due_ns, 700 + DELAY));
	cr_assert(eq(u32, q.n, 1));
	cr_assert(eq(u64, compact_queue_first(&q)->gen, 2));
}

Test(compact_queue, what_is_asked_for_comes_at_once_and_stays_asked_for)
{
	add(1, 1, 10, false);
	add(2, 1, 20, true);
	cr_assert(eq(u32, q.asked, 1));
	cr_assert(eq(u64, compact_queue_first(&q)->ino, 2));
	add(2, 1, 30, false);
	add(2, 1, 30, true);
	cr_assert(eq(u32, q.asked, 1));
	add(1, 1, 40, true);
	cr_assert(eq(u32, q.asked, 2));
	cr_assert(eq(u64, take(), 2));
	cr_assert(eq(u64, take(), 1));
	cr_assert(eq(u32, q.asked, 0));
	/* The one that was asked for is gone: this one was not. */
	add(1, 1, 50, true);
	add(1, 2, 60, false);
	cr_assert(eq(u32, q.asked, 0));
	cr_assert(eq(u32, q.n, 1));
}

Test(compact_queue, is_full_one_day)
{
	uint64_t ino = 0;
	uint32_t n = 0;

	while (++ino <= 100 * COMPACT_QUEUE)
		n += add(ino, 1, ino, true) != NULL;
	cr_assert(eq(u32, n, COMPACT_QUEUE));
	cr_assert(eq(u32, q.n, n));
	cr_assert(eq(u32, q.asked, n));
	for (uint64_t last = 0, x; n > 0; n--, last = x) {
		x = take();
		cr_assert(lt(u64, last, x));
	}
	cr_assert(eq(u32, q.n, 0));
	cr_assert(eq(u32, q.asked, 0));
}
