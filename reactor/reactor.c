/* SPDX-License-Identifier: Apache-2.0 */
/* The laps of a core, from its first to the one that finds all cores done. */
#include "reactor/reactor.h"

#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "reactor/core.h"
#include "reactor/log.h"
#include "reactor/uring.h"

#define OPS_A_LAP    1024
#define SLOW_LAP_NS  (25 * 1000000ull)
#define SLOW_LOG_NS  1000000000ull /* at most one line so often */
#define STOP_LAP_NS  1000000ull    /* while stopping, look around so often */
#define LONG_SLEEP_NS (3600 * 1000000000ull) /* without a timer: until something comes */
#define STOP_LOG_NS  (5 * 1000000000ull)
#define SPIN_CHECKS  16 /* looks at memory between two looks at the clock */
#define SHARED_NS    20000ull /* a CPU that was given away for so long is not ours alone */

static struct core *cores; /* all; start.c's */
static int ncores;

static _Atomic bool stopping, ended;

static __thread struct {
	struct core *core;
	struct runq ready;
	struct lap_hook *hooks, **hooks_tail;
	uint64_t now_ns, wall_ns;
	/* The CPU's counter at now_ns, and how fast it has run since the core's start. */
	uint64_t now_ticks, base_ns, base_ticks;
	double tick_ns;
	uint64_t slow_logged_ns, slow_unlogged;
	uint32_t held; /* reactor_hold */
	uint64_t event;             /* what was read from event_fd */
	struct ring_req event_read;
} me;

__thread struct lap_clock lap_clock;

/* ---- what everybody asks */

static __thread int core_id_plus_1;

int
reactor_core(void)
{
	return core_id_plus_1 - 1;
}

int
reactor_cores(void)
{
	return ncores > 0 ? ncores : 1;
}

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t
reactor_now_ns(void)
{
	return me.now_ns ? me.now_ns : clock_ns(CLOCK_MONOTONIC);
}

uint64_t
reactor_clock_ns(void)
{
	if (!me.now_ns)
		return clock_ns(CLOCK_MONOTONIC);
	return me.now_ns + (uint64_t)((double)(lap_ticks() - me.now_ticks) * me.tick_ns);
}

uint64_t
reactor_wall_ns(void)
{
	return me.wall_ns ? me.wall_ns : clock_ns(CLOCK_REALTIME);
}

const struct reactor_stats *
reactor_stats(int core)
{
	assert(core >= 0 && core < ncores);
	return &cores[core].stats;
}

struct reactor_stats *
core_stats(void)
{
	return &me.core->stats;
}

int
core_ring_fd(int core)
{
	return cores[core].ring_fd;
}

bool
core_ended(void)
{
	return atomic_load_explicit(&ended, memory_order_relaxed);
}

void
core_wake(int core)
{
	uint64_t one = 1;

	ssize_t n = write(cores[core].event_fd, &one, sizeof(one));

	assert(n == sizeof(one));
}

void
reactor_post(struct op *op, int res)
{
	runq_push(&me.ready, op, res);
}

void
reactor_hold(void)
{
	me.held++;
}

void
reactor_release(void)
{
	assert(me.held > 0);
	me.held--;
}

void
reactor_hook(struct lap_hook *h)
{
	h->next = NULL;
	*me.hooks_tail = h;
	me.hooks_tail = &h->next;
}

/* ---- laps */

void
loop_take_time(void)
{
	uint64_t wall = clock_ns(CLOCK_REALTIME);

	me.now_ns = clock_ns(CLOCK_MONOTONIC);
	me.now_ticks = lap_ticks();
	/* The two are read apart: over a millisecond that is no more than a ten-thousandth. */
	if (me.base_ns == 0)
		me.base_ns = me.now_ns, me.base_ticks = me.now_ticks;
	else if (me.now_ns - me.base_ns > 1000000 && me.now_ticks > me.base_ticks)
		me.tick_ns = (double)(me.now_ns - me.base_ns) / (double)(me.now_ticks - me.base_ticks);
	/* When the clock is set back, ours creeps: a change always has a later time. */
	me.wall_ns = MAX(wall, me.wall_ns + 1);
}

/*
 * At least all that are ready now, or a queue that grows faster than a limit
 * would never shrink again; then what these made ready, up to the limit.
 */
static int
run_ops(void)
{
	struct op *last = me.ready.head ? container_of(me.ready.tail, struct op, next) : NULL;
	int n;

	for (n = 0; me.ready.head && (last || n < OPS_A_LAP); n++) {
		struct op *op = me.ready.head;
		uintptr_t fn = (uintptr_t)op->resume;

		if (op == last)
			last = NULL;
		runq_drain(&me.ready, 1);
		lap_ran(fn);
	}
	return n;
}

static void
run_hooks(void)
{
	for (struct lap_hook *h = me.hooks; h; h = h->next) {
		h->run(h);
		lap_ran((uintptr_t)h->run);
	}
}

static void
log_slow(uint64_t took_ns)
{
	uint64_t ticks = MAX(lap_ticks() - lap_clock.start, 1u);

	stat_add(&me.core->stats.slow_laps, 1);
	if (me.now_ns - me.slow_logged_ns < SLOW_LOG_NS) {
		me.slow_unlogged++;
		return;
	}
	me.slow_logged_ns = me.now_ns;
	log_warn("a lap took %llu ms, %llu ms of it in %s (%llu more slow laps not logged)",
	         (unsigned long long)(took_ns / 1000000),
	         (unsigned long long)((double)took_ns * (double)lap_clock.worst /
	                              (double)ticks / 1000000),
	         symbol_name(lap_clock.worst_fn), (unsigned long long)me.slow_unlogged);
	me.slow_unlogged = 0;
}

/* Returns how many things it found to do. */
static int
lap(void)
{
	struct reactor_stats *s = &me.core->stats;
	int cqes, ops, n;

	cqes = ring_reap(&me.ready);
	n = cqes + shard_poll();
	ops = run_ops();
	n += timer_run(me.now_ns); /* last: what has come in time is in time */
	ops += run_ops();
	run_hooks();
	n += ops + net_flush();
	buf_flush();
	shard_flush();
	lap_ran((uintptr_t)lap);
	/* Sends, receives and much of the disk I/O happen in here. */
	stat_add(&s->enters, (uint64_t)ring_submit());
	lap_ran((uintptr_t)ring_submit);

	stat_add(&s->laps, 1);
	stat_add(&s->cqes, (uint64_t)cqes);
	stat_add(&s->ops, (uint64_t)ops);
	return n;
}

/* The time of a busy lap is known when the next one starts, or when it turns out to be the last. */
static void
end_busy(uint64_t then_ns)
{
	uint64_t took = me.now_ns - then_ns;

	stat_add(&me.core->stats.busy_ns, took);
	if (took > SLOW_LAP_NS)
		log_slow(took);
}

static bool
anything_ready(void)
{
	return me.ready.head || ring_ready() || shard_ready();
}

/*
 * Polls for the configured time.  True when there is something to do.  Gives the CPU to
 * whoever wants it, which may be the client that is waited for; then polling only keeps him
 * from it, and sleeping is right: who wakes up soon gets the CPU back.  Not inlined, so that
 * a profile tells waiting from work.
 */
static __attribute__((noinline)) bool
spin(uint64_t until_ns)
{
	uint64_t due = timer_next_ns();

	for (;;) {
		uint64_t now;

		for (int i = 0; i < SPIN_CHECKS; i++) {
			if (anything_ready())
				return true;
			cpu_relax();
		}
		now = clock_ns(CLOCK_MONOTONIC);
		if (now >= due)
			return true;
		if (now >= until_ns)
			return false;
		sched_yield();
		if (clock_ns(CLOCK_MONOTONIC) - now > SHARED_NS)
			return anything_ready();
	}
}

static void
sleep_until(uint64_t due_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (due_ns <= now)
		return;
	if (shard_sleep_begin()) {
		stat_add(&me.core->stats.sleeps, 1);
		stat_add(&me.core->stats.enters, 1);
		ring_sleep(due_ns - now);
		shard_sleep_end();
	}
}

static void
event_read(struct ring_req *r, int res, uint32_t flags)
{
	(void)flags;
	(void)res;
	stat_add(&me.core->stats.events, 1);
	ring_read_event(me.core->event_fd, &me.event, r);
}

/* ---- the end of the laps */

/* The event read is always under way. */
static bool
quiet(void)
{
	/* What the ring has is in flight until it is reaped; its "task work" flag alone may stay set with nothing behind it. */
	return !me.ready.head && !shard_ready() && ring_inflight() <= 1 && !shard_blocked() &&
	       worker_outstanding() == 0 && me.held == 0 && buf_idle() && net_idle();
}

/*
 * All cores are done when all are quiet and no message is on its way.  Core 0
 * looks twice: what was sent by the second look is what was taken by the first,
 * and every core has made a whole lap between (Mattern's four counters, 1987).
 */
static void
look_around(void)
{
	static uint64_t laps_then[REACTOR_MAX_CORES], taken_then;
	static bool looked;
	uint64_t sent = 0, taken = 0;

	for (int i = 0; looked && i < ncores; i++)
		if (atomic_load(&cores[i].laps) < laps_then[i] + 2)
			return;
	for (int i = 0; i < ncores; i++) {
		laps_then[i] = atomic_load(&cores[i].laps);
		if (!atomic_load(&cores[i].quiet)) {
			looked = false;
			return;
		}
		taken += atomic_load(&cores[i].taken);
		sent += atomic_load(&cores[i].sent);
	}
	if (looked && sent == taken_then && taken == taken_then) {
		looked = false;
		atomic_store(&ended, true);
		return;
	}
	looked = true;
	taken_then = taken;
}

/* Once a lap while stopping.  True: leave the loop. */
static bool
stop_lap(uint64_t *complain_ns)
{
	struct core *c = me.core;

	net_shutdown();
	atomic_store(&c->quiet, quiet());
	atomic_store(&c->taken, shard_taken());
	atomic_store(&c->sent, shard_sent());
	atomic_fetch_add(&c->laps, 1);
	if (c->id == 0)
		look_around();
	if (me.now_ns > *complain_ns && !atomic_load(&c->quiet)) {
		*complain_ns = me.now_ns + STOP_LOG_NS;
		log_warn("the end waits for: %u ring operations, %u workers, %u held%s%s",
		         ring_inflight() - 1, worker_outstanding(), me.held,
		         net_idle() ? "" : ", connections", buf_idle() ? "" : ", buffers");
	}
	return atomic_load(&ended);
}

void
loop_run(uint64_t spin_ns)
{
	uint64_t complain_ns = 0;
	bool busy = false;

	for (;;) {
		bool stop = atomic_load_explicit(&stopping, memory_order_acquire);
		uint64_t then_ns = me.now_ns;

		loop_take_time();
		if (busy)
			end_busy(then_ns);
		lap_clock = (struct lap_clock){ .start = lap_ticks() };
		lap_clock.mark = lap_clock.start;
		busy = lap() > 0;
		if (stop) {
			if (complain_ns == 0)
				complain_ns = me.now_ns + STOP_LOG_NS;
			if (stop_lap(&complain_ns))
				return;
		}
		if (busy || anything_ready())
			continue;
		if (shard_blocked()) {
			sched_yield(); /* the receiver makes room soon, but wakes nobody for it */
			continue;
		}
		if (spin_ns > 0 && !stop && ring_can_poll() && spin(me.now_ns + spin_ns))
			continue;
		sleep_until(MIN(timer_next_ns(), me.now_ns + (stop ? STOP_LAP_NS : LONG_SLEEP_NS)));
	}
}

void
loop_init(struct core *c)
{
	runq_init(&me.ready);
	me.hooks = NULL;
	me.hooks_tail = &me.hooks;
	me.core = c;
	me.event_read.done = event_read;
	core_id_plus_1 = c->id + 1;
	loop_take_time();
}

void
loop_watch_event(void)
{
	ring_read_event(me.core->event_fd, &me.event, &me.event_read);
}

void
loop_set_cores(struct core *all, int n)
{
	cores = all;
	ncores = n;
	atomic_store(&stopping, false);
	atomic_store(&ended, false);
}

void
reactor_stop(void)
{
	if (atomic_exchange(&stopping, true))
		return; /* a wake every lap would keep the cores from being quiet */
	for (int i = 0; i < ncores; i++)
		core_wake(i);
}
