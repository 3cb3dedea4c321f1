/* SPDX-License-Identifier: Apache-2.0 */
/* Cores that sleep, and what wakes them. */
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reactor/core.h"
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

/* ---- the kernel's flag that there is work, with nothing behind it */

#define MS 1000000ull

static struct timer later;
static struct op at_last;
static uint64_t laps;

/* Where the flag stands in the memory that every ring shares with the kernel. */
static _Atomic uint32_t *
ring_flags(int fd)
{
	struct io_uring_params p = { 0 };
	int other = (int)syscall(SYS_io_uring_setup, 1, &p);
	uint8_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);

	assert(other >= 0 && shared != MAP_FAILED && p.sq_off.flags < 4096);
	close(other);
	return (_Atomic uint32_t *)(shared + p.sq_off.flags);
}

static void
count_laps(struct op *op)
{
	(void)op;
	laps = reactor_stats(0)->laps;
	finish();
}

static void
stick(int core)
{
	*ring_flags(core_ring_fd(core)) |= IORING_SQ_TASKRUN;
	at_last.resume = count_laps;
	timer_start(&later, 200 * MS, &at_last);
}

Test(wake, a_stuck_flag_keeps_no_core_awake)
{
	struct on_cores o = { .opts = { .cores = 1, .busy_poll_us = 50, .buf_bytes = MIB, .max_conns = 16 }, .body = stick };

	on_cores_run(&o);
	cr_assert(lt(u64, laps, 100));
}
