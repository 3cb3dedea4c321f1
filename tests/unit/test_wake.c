/* SPDX-License-Identifier: Apache-2.0 */
/* Cores that sleep, and what wakes them. */
#include "reactor/shard.h"
#include "tests/unit/oncore.h"

#define WAKES 200

static struct shard_call ping;
static struct op pong;
static uint64_t rounds, events;

static void
reply(struct shard_call *c)
{
	shard_reply(c, 0);
}

/* Until each has often been asleep when the other had something for it. */
static void
next_round(struct op *op)
{
	(void)op;
	rounds++;
	if (reactor_stats(0)->wakes < WAKES || __atomic_load_n(&reactor_stats(1)->wakes, __ATOMIC_RELAXED) < WAKES) {
		assert(shard_call(1, &ping, reply, &pong) == OP_PENDING);
		return;
	}
	events = reactor_stats(0)->events + __atomic_load_n(&reactor_stats(1)->events, __ATOMIC_RELAXED);
	finish();
}

static void
body(int core)
{
	pong.resume = next_round;
	if (core == 0)
		assert(shard_call(1, &ping, reply, &pong) == OP_PENDING);
}

static void
wake_by(enum reactor_wake wake)
{
	struct on_cores o = { .opts = { .cores = 2, .wake = wake, .buf_bytes = MIB, .max_conns = 16 }, .body = body };

	on_cores_run(&o);
	cr_assert(le(u64, WAKES, rounds));
}

Test(wake, by_the_ring_of_who_has_something)
{
	wake_by(REACTOR_WAKE_RING);
	cr_assert(eq(u64, events, 0));
}

Test(wake, by_an_event)
{
	wake_by(REACTOR_WAKE_EVENT);
	cr_assert(lt(u64, 0, events));
}
