/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>

#include "reactor/buf.h"
#include "reactor/core.h"
#include "reactor/shard.h"
#include "tests/unit/oncore.h"

/* on_cores() gives each core 4 MiB: 64 blocks. */
#define BLOCKS 64

static uint64_t
used_bytes(int core)
{
	struct pool_stat s[64];
	int n = pool_stats(s, 64);

	for (int i = 0; i < n; i++)
		if (s[i].core == core && strcmp(s[i].name, "buffers") == 0)
			return s[i].used_bytes;
	assert(!"no pool");
	return 0;
}

static void
classes_body(int core)
{
	struct buf *large = buf_get(BUF_LARGE, BUF_INGEST), *small = buf_get(BUF_SMALL, BUF_INGEST);

	(void)core;
	assert(large->cap == 65536 && small->cap == 4096);
	assert((uintptr_t)large->data % 4096 == 0 && (uintptr_t)small->data % 4096 == 0);
	assert(large->refs == 1 && small->refs == 1);
	assert(used_bytes(0) == 65536 + 4096);
	assert(buf_keep(large) == large && large->refs == 2);
	buf_put(large);
	assert(used_bytes(0) == 65536 + 4096);
	buf_put(large);
	buf_put(small);
	assert(used_bytes(0) == 0);
	for (int i = 0; i < 65536; i++)
		assert(buf_zeros[i] == 0);
	finish();
}

Test(buf, classes_references_and_accounting)
{
	on_cores(1, classes_body, NULL);
}

/* All memory can be small, then all large again, in whatever order it comes back. */
static void
split_body(int core)
{
	static struct buf *b[BLOCKS * 16];
	static bool seen[BLOCKS * 16];
	uint8_t *lowest = (uint8_t *)UINTPTR_MAX;

	(void)core;
	srand(3);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < BLOCKS * 16; i++) {
			b[i] = buf_get(BUF_SMALL, BUF_DRAIN);
			assert(b[i]);
			lowest = MIN(lowest, b[i]->data);
		}
		assert(!buf_get(BUF_SMALL, BUF_DRAIN) && !buf_get(BUF_LARGE, BUF_DRAIN));
		memset(seen, 0, sizeof(seen));
		for (int i = 0; i < BLOCKS * 16; i++) {
			size_t at = (size_t)(b[i]->data - lowest) / 4096;

			assert(at < BLOCKS * 16 && !seen[at]); /* each piece once */
			seen[at] = true;
		}
		for (int i = BLOCKS * 16; i > 1; i--) {
			int j = rand() % i;
			struct buf *t = b[j];

			b[j] = b[i - 1];
			b[i - 1] = t;
		}
		for (int i = 0; i < BLOCKS * 16; i++)
			buf_put(b[i]);
		for (int i = 0; i < BLOCKS; i++)
			assert((b[i] = buf_get(BUF_LARGE, BUF_DRAIN)) != NULL);
		assert(!buf_get(BUF_SMALL, BUF_DRAIN));
		for (int i = 0; i < BLOCKS; i++)
			buf_put(b[i]);
	}
	finish();
}

Test(buf, blocks_split_and_merge)
{
	on_cores(1, split_body, NULL);
}

/* Pages side by side: each buffer's are its own, and whole blocks come back, whatever the order. */
static void
sizes_body(int core)
{
	static struct buf *b[BLOCKS * 16];
	int n = 0, taken[BUF_LARGE + 1] = { 0 };

	(void)core;
	srand(11);
	for (int step = 0; step < 50000; step++) {
		if (rand() % 5 < 3) {
			enum buf_class class = (enum buf_class)(rand() % (BUF_LARGE + 1));
			struct buf *x = buf_get(class, BUF_DRAIN);

			if (!x)
				continue;
			assert(x->cap == buf_class_bytes(class) && (uintptr_t)x->data % 4096 == 0);
			memset(x->data, n, x->cap);
			x->data[0] = x->data[x->cap - 1] = (uint8_t)step;
			for (int i = 0; i < n; i++)
				assert(b[i]->data + b[i]->cap <= x->data || x->data + x->cap <= b[i]->data);
			assert(x->block == (uint32_t)((size_t)(x->data - buf_arenas.map) / 65536));
			taken[class]++;
			b[n++] = x;
		} else if (n > 0) {
			int i = rand() % n;

			assert(b[i]->data[0] == b[i]->data[b[i]->cap - 1]);
			buf_put(b[i]);
			b[i] = b[--n];
		}
	}
	for (int class = 0; class <= BUF_LARGE; class++)
		assert(taken[class] > 100);
	while (n > 0)
		buf_put(b[--n]);
	assert(used_bytes(0) == 0);
	for (n = 0; n < BLOCKS; n++)
		assert((b[n] = buf_get(BUF_LARGE, BUF_DRAIN)) != NULL);
	while (n > 0)
		buf_put(b[--n]);
	finish();
}

Test(buf, sizes_side_by_side)
{
	on_cores(1, sizes_body, NULL);
}

/* Who frees less memory waits earlier. */
static void
uses_body(int core)
{
	static struct buf *b[BLOCKS];
	int n = 0;

	(void)core;
	while ((b[n] = buf_get(BUF_LARGE, BUF_INGEST)) != NULL)
		n++;
	assert(n == BLOCKS * 3 / 4);
	while ((b[n] = buf_get(BUF_LARGE, BUF_CACHE)) != NULL)
		n++;
	assert(n == BLOCKS * 7 / 8);
	assert(!buf_get(BUF_SMALL, BUF_INGEST));
	while (n < BLOCKS && (b[n] = buf_get(BUF_LARGE, BUF_DRAIN)) != NULL)
		n++;
	assert(n == BLOCKS);
	assert(!buf_get(BUF_LARGE, BUF_DRAIN));
	while (n > 0)
		buf_put(b[--n]);
	finish();
}

Test(buf, reserves_by_use)
{
	on_cores(1, uses_body, NULL);
}

/* ---- waiting */

struct waiter {
	struct buf_wait w;
	struct op op;
	struct buf *out[BLOCKS];
	int n, id;
	bool served;
};

static struct waiter waiters[4];
static struct buf *taken[BLOCKS];
static int served_order[8], served;

static void
waiter_served(struct op *op)
{
	struct waiter *w = container_of(op, struct waiter, op);

	assert(op->res == 0 && !w->served);
	w->served = true;
	served_order[served++] = w->id;
}

static enum op_state
wait_for(struct waiter *w, int id, int n, enum buf_class class, enum buf_use use)
{
	*w = (struct waiter){ .op.resume = waiter_served, .n = n, .id = id };
	return buf_get_many(&w->w, w->out, n, class, use, &w->op);
}

static void
put_all(struct waiter *w)
{
	for (int i = 0; i < w->n; i++) {
		assert(w->out[i]->refs == 1);
		buf_put(w->out[i]);
	}
}

static struct op step_op;
static struct timer step_timer;

/* Goes on some laps later, when whoever could be served has been. */
static void
then(void (*next)(struct op *))
{
	step_op.resume = next;
	timer_start(&step_timer, 2000000, &step_op);
}

static void
drained(struct op *op)
{
	(void)op;
	assert(served == 4 && served_order[1] == 0 && served_order[2] == 1 && served_order[3] == 2);
	for (int i = 0; i < 3; i++)
		put_all(&waiters[i]);
	finish();
}

static void
one_is_served(struct op *op)
{
	(void)op;
	/* The drainer went before the others, who wait for a quarter and more. */
	assert(served == 1 && served_order[0] == 3);
	put_all(&waiters[3]);
	for (int i = 1; i < BLOCKS; i++)
		buf_put(taken[i]);
	then(drained);
}

static void
none_is_served(struct op *op)
{
	(void)op;
	assert(served == 0);
	/* Room for the second in line, but the first goes first. */
	buf_put(taken[0]);
	then(one_is_served);
}

static void
fifo_body(int core)
{
	(void)core;
	for (int i = 0; i < BLOCKS; i++)
		taken[i] = buf_get(BUF_LARGE, BUF_DRAIN);
	assert(wait_for(&waiters[0], 0, 8, BUF_LARGE, BUF_INGEST) == OP_PENDING);
	assert(wait_for(&waiters[1], 1, 1, BUF_SMALL, BUF_INGEST) == OP_PENDING);
	assert(wait_for(&waiters[2], 2, 3, BUF_SMALL, BUF_INGEST) == OP_PENDING);
	assert(wait_for(&waiters[3], 3, 1, BUF_LARGE, BUF_DRAIN) == OP_PENDING);
	then(none_is_served);
}

Test(buf, waiting_is_in_line)
{
	on_cores(1, fifo_body, NULL);
	cr_assert(eq(int, served, 4));
}

static void
others_are_served(struct op *op)
{
	(void)op;
	/* The first left; who was served cannot leave any more. */
	assert(served == 2 && served_order[0] == 1 && served_order[1] == 3);
	assert(!buf_cancel(&waiters[1].w));
	put_all(&waiters[1]);
	put_all(&waiters[3]);
	finish();
}

static void
cancel_body(int core)
{
	(void)core;
	for (int i = 0; i < BLOCKS; i++)
		taken[i] = buf_get(BUF_LARGE, BUF_DRAIN);
	for (int i = 0; i < 3; i++)
		assert(wait_for(&waiters[i], i, 8, BUF_LARGE, BUF_INGEST) == OP_PENDING);
	/* The first, and the last: the next stands behind the second. */
	assert(buf_cancel(&waiters[0].w) && buf_cancel(&waiters[2].w));
	assert(!buf_cancel(&waiters[0].w));
	assert(wait_for(&waiters[3], 3, 1, BUF_LARGE, BUF_INGEST) == OP_PENDING);
	for (int i = 0; i < BLOCKS; i++)
		buf_put(taken[i]);
	then(others_are_served);
}

Test(buf, who_leaves_the_line_is_not_served)
{
	on_cores(1, cancel_body, NULL);
}

static void
line_is_served(struct op *op)
{
	(void)op;
	assert(served == 1);
	put_all(&waiters[0]);
	finish();
}

static void
no_overtaking(int core)
{
	(void)core;
	for (int i = 0; i < BLOCKS * 3 / 4; i++)
		taken[i] = buf_get(BUF_LARGE, BUF_INGEST);
	assert(wait_for(&waiters[0], 0, 16, BUF_LARGE, BUF_INGEST) == OP_PENDING);
	buf_put(taken[0]);
	assert(!buf_get(BUF_SMALL, BUF_INGEST)); /* there is room, and somebody before us */
	for (int i = 1; i < BLOCKS * 3 / 4; i++)
		buf_put(taken[i]);
	then(line_is_served);
}

Test(buf, nobody_overtakes_the_line)
{
	on_cores(1, no_overtaking, NULL);
}

/* ---- the cache gives way */

static struct buf *cache[BLOCKS];
static int cached, asked;

static uint64_t
give_back(uint64_t want)
{
	uint64_t got = 0;

	asked++;
	assert(want > 0);
	while (cached > 0 && got < want) {
		got += cache[--cached]->cap;
		buf_put(cache[cached]);
	}
	return got;
}

static void
reclaim_body(int core)
{
	struct buf *b;

	(void)core;
	buf_set_reclaim(give_back);
	while (cached < BLOCKS && (cache[cached] = buf_get(BUF_LARGE, BUF_DRAIN)) != NULL)
		cached++;
	assert(cached == BLOCKS && asked == 0);
	b = buf_get(BUF_LARGE, BUF_CACHE); /* evicts down to an eighth free */
	assert(b && asked == 1 && cached == BLOCKS * 7 / 8 - 1);
	buf_put(b);
	assert(wait_for(&waiters[0], 0, 16, BUF_LARGE, BUF_INGEST) == OP_DONE);
	put_all(&waiters[0]);
	while (cached > 0)
		buf_put(cache[--cached]);
	finish();
}

Test(buf, reclaim_makes_room)
{
	on_cores(1, reclaim_body, NULL);
}

/* ---- between cores: core 1 caches what core 0 allocated */

struct gift {
	struct shard_msg msg;
	struct buf *b[BLOCKS];
	int n;
};

static struct gift gift;
static bool gift_cached;

static uint64_t
give_back_gift(uint64_t want)
{
	uint64_t got = 0;

	if (reactor_core() != 1)
		return 0;
	for (; gift.n > 0 && got < want; got += gift.b[gift.n]->cap)
		buf_put(gift.b[--gift.n]);
	return got;
}

static void
core0_got_it(struct op *op)
{
	(void)op;
	put_all(&waiters[0]);
	finish();
}

static void
core0_wants_it_back(struct shard_msg *m)
{
	(void)m;
	*(&waiters[0]) = (struct waiter){ .op.resume = core0_got_it, .n = 16 };
	assert(buf_get_many(&waiters[0].w, waiters[0].out, 16, BUF_LARGE, BUF_DRAIN,
	                    &waiters[0].op) == OP_PENDING);
}

static void
take_gift(struct shard_msg *m)
{
	gift_cached = true;
	m->run = core0_wants_it_back;
	shard_send(0, m);
}

static void
gift_body(int core)
{
	buf_set_reclaim(give_back_gift);
	if (core != 0)
		return;
	for (gift.n = 0; gift.n < BLOCKS; gift.n++)
		gift.b[gift.n] = buf_get(BUF_LARGE, BUF_DRAIN);
	gift.msg.run = take_gift;
	shard_send(1, &gift.msg);
}

static void
gift_end(int core)
{
	/* Core 1 still caches some: they go home during the end. */
	while (core == 1 && gift.n > 0)
		buf_put(gift.b[--gift.n]);
}

Test(buf, others_give_back_what_is_ours)
{
	on_cores(2, gift_body, gift_end);
	cr_assert(gift_cached);
}

/* ---- random use against a count */

static void
random_body(int core)
{
	static struct buf *held[4096];
	int n = 0;
	uint64_t bytes = 0;

	srand(11);
	for (int i = 0; i < 200000; i++) {
		if (n < 4096 && rand() % 2) {
			enum buf_class class = rand() % 8 ? BUF_SMALL : BUF_LARGE;
			struct buf *b = buf_get(class, rand() % 3);

			if (!b)
				continue;
			memset(b->data, n & 0xff, 16);
			bytes += b->cap;
			held[n++] = b;
		} else if (n > 0) {
			int k = rand() % n;

			bytes -= held[k]->cap;
			buf_put(held[k]);
			held[k] = held[--n];
		}
		assert(used_bytes(core) == bytes && bytes <= 4 * MIB);
	}
	while (n > 0)
		buf_put(held[--n]);
	assert(used_bytes(core) == 0);
	finish();
}

Test(buf, random_use_keeps_count)
{
	on_cores(1, random_body, NULL);
}

/* ---- slabs */

static void
slab_body(int core)
{
	struct slab s;
	void *p[10];
	struct pool_stat st[64];
	int n;

	(void)core;
	assert(slab_init(&s, "things", 20, 10) == 0);
	for (int i = 0; i < 10; i++) {
		assert((p[i] = slab_get(&s)) != NULL && (uintptr_t)p[i] % 16 == 0);
		assert(i == 0 || (uint8_t *)p[i] == (uint8_t *)p[i - 1] + s.size);
		assert(memcmp(p[i], (uint8_t[20]){ 0 }, 20) == 0);
		memset(p[i], i, 20);
	}
	assert(!slab_get(&s));
	for (int i = 0; i < 10; i++)
		assert(((uint8_t *)p[i])[19] == i); /* none overlaps another */
	n = pool_stats(st, 64);
	for (int i = 0; i < n; i++)
		if (strcmp(st[i].name, "things") == 0)
			assert(st[i].used_bytes == 320 && st[i].total_bytes == 320 && st[i].core == 0);
	slab_put(&s, p[3]);
	assert(slab_get(&s) == p[3]);
	for (int i = 0; i < 10; i++)
		slab_put(&s, p[i]);
	slab_fini(&s);
	assert(pool_stats(st, 64) == n - 1);
	finish();
}

Test(slab, gives_what_it_has_and_takes_it_back)
{
	on_cores(1, slab_body, NULL);
}

static void
leak_body(int core)
{
	(void)core;
	assert(buf_get(BUF_SMALL, BUF_INGEST));
	finish();
}

Test(buf, the_end_asserts_that_all_are_home, .signal = SIGABRT)
{
	on_cores(1, leak_body, NULL);
}
