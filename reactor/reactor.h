/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one pinned thread and one io_uring per core.
 *
 * A lap takes completions from the ring, messages from the other cores and due
 * timers, runs every op that became ready, runs the lap hooks (which gather:
 * sends, journal groups, buffer returns), and submits, all in one
 * io_uring_enter.  An idle reactor polls for busy_poll_us before it sleeps,
 * because waking a sleeping thread costs tens of microseconds.
 *
 * All calls but reactor_start/reactor_stop/reactor_join are for reactor threads only.
 */
#ifndef REACTOR_REACTOR_H
#define REACTOR_REACTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "reactor/op.h"

#define REACTOR_MAX_CORES 64

/* How a core wakes another that sleeps, at the end of the lap that has something for it. */
enum reactor_wake {
	REACTOR_WAKE_RING,  /* by its own next submission (IORING_OP_MSG_RING): no system call more */
	REACTOR_WAKE_EVENT, /* by writing an eventfd: one system call each time */
};

struct reactor_opts {
	int cores;               /* 1..REACTOR_MAX_CORES */
	uint32_t busy_poll_us;   /* poll this long before sleeping; 0: sleep at once */
	enum reactor_wake wake;
	uint32_t ring_entries;   /* submission queue entries, a power of two; 0: 1024 */
	uint64_t buf_bytes;      /* payload buffers (buf.h), all cores together */
	uint32_t recv_bufs;      /* provided receive buffers a core, a power of two; 0: 256 */
	uint32_t recv_buf_bytes; /* size of each; 0: 16 KiB */
	uint32_t max_conns;      /* connections a core; 0: 4096 */
	bool pin;                /* pin thread i to the i-th allowed CPU (cores <= CPUs) */
	bool touch;              /* touch every page of the arena at start, and register it with the rings */
	int worker_threads;      /* for what blocks; 0: 4 */
	/*
	 * Runs on each core's thread before any core's first lap, core 0 first, one
	 * core at a time; the layers above set up their per-core state here.
	 * Blocking is allowed, and what is started asynchronously goes on with the
	 * laps.  A negative errno ends the start: the laps run until what was
	 * started is done, and fini follows on the cores whose init succeeded.
	 * `fini` runs on each core after the last lap of all, the highest core
	 * first; after it all pools must be full.
	 */
	int  (*init)(int core, void *arg);
	void (*fini)(int core, void *arg);
	void *arg;
};

/*
 * Raises this process's soft limits (descriptors, locked memory) to the hard ones.  Descriptors for connections and
 * objects that each of so many cores may have then, or -EMFILE with a sentence for the user in `why` where they are too few.
 * Any thread.  Whoever opens files before reactor_start calls it first: with too few, one open or another
 * fails later, by chance, in a library that says less.
 */
int  reactor_raise_limits(int cores, char why[256]);
/*
 * Starts the cores; returns when all have run init, or a negative errno with a
 * sentence for the user in `why` (no io_uring, memlock, too few descriptors).
 */
int  reactor_start(const struct reactor_opts *opts, char why[256]);
/*
 * Any thread: closes all connections and asks the cores to leave their loops
 * once nothing is pending on any of them: no I/O, message, work, buffer wait,
 * ready op or conn reference.  Timers do not count; those still running are
 * dropped.
 */
void reactor_stop(void);
/* Waits for all cores to have ended. */
void reactor_join(void);

int      reactor_core(void);    /* this thread's core, -1 on other threads */
int      reactor_cores(void);   /* number of cores */
uint64_t reactor_now_ns(void);  /* CLOCK_MONOTONIC, taken once a lap */
/* The same clock as it is now, by the CPU's counter: some 20 ns, for durations within a lap.  On other threads the clock itself. */
uint64_t reactor_clock_ns(void);
uint64_t reactor_wall_ns(void); /* CLOCK_REALTIME, taken once a lap, never goes back in a run */

/* Puts `op` on this core's run queue with result `res`. */
void reactor_post(struct op *op, int res);

/*
 * Something of this core's is under way where the reactor cannot see it, say
 * in the queue of a thread of yours that will shard_post: the end waits until
 * it is released, on the same core.
 */
void reactor_hold(void);
void reactor_release(void);

/* Runs once at the end of every lap, before the submit.  Never unhooked. */
struct lap_hook {
	struct lap_hook *next;
	void (*run)(struct lap_hook *h);
};
void reactor_hook(struct lap_hook *h);

/* One-shot timer, millisecond accuracy; `op` resumes with res 0.  O(log n). */
struct timer {
	struct op *op;
	uint64_t due_ns;
	uint32_t slot; /* position in the heap + 1; 0: not running */
};
void timer_start(struct timer *t, uint64_t delay_ns, struct op *op);
/* Stops it: its op will not resume.  False: it was not running, for its op has resumed. */
bool timer_stop(struct timer *t);
/* At due_ns (reactor_now_ns) at the latest: a timer that runs already is left as it is where it is due before. */
static inline void
timer_start_by(struct timer *t, uint64_t due_ns, struct op *op)
{
	uint64_t now = reactor_now_ns();

	if (t->slot != 0 && t->due_ns <= due_ns)
		return;
	timer_stop(t);
	timer_start(t, due_ns > now ? due_ns - now : 0, op);
}

/* Counters of one core; written by its thread, readable from any (__atomic_load_n, relaxed). */
struct reactor_stats {
	uint64_t laps, enters, sleeps, ops, cqes, msgs_in, msgs_out, slow_laps, busy_ns;
	uint64_t wakes, events; /* of cores that slept, by this one; of this one, by its eventfd */
};
const struct reactor_stats *reactor_stats(int core);

#endif
