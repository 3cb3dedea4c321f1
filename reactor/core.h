/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of reactor/ know of each other: how the loop starts, drives
 * and ends its parts.  Not for the layers above.
 *
 * Order of life: buf_arena_map (starting thread); then on each core ring_init,
 * *_core_init; laps; *_core_fini, ring_fini; then buf_arena_unmap.
 */
#ifndef REACTOR_CORE_H
#define REACTOR_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "reactor/base.h"
#include "reactor/reactor.h"

/* A core as start.c makes it and reactor.c runs it. */
struct core {
	_Alignas(CACHELINE) struct reactor_stats stats;
	pthread_t thread;
	int id, ring_fd, event_fd;
	int err; /* of setup or init */
	char why[256];
	/* For the end: written by the core at the end of a lap, read by core 0. */
	_Atomic uint64_t laps, sent, taken;
	_Atomic bool quiet;
};

/* reactor.c: all cores, or none; then on each core's thread, in this order. */
void loop_set_cores(struct core *all, int n);
void loop_init(struct core *c);
void loop_watch_event(void); /* once there is a ring */
void loop_take_time(void);
/* Laps until all cores are stopped and quiet; polls so long before it sleeps. */
void loop_run(uint64_t spin_ns);

/*
 * Which function took longest in this lap, for the log of slow ones.  Whatever
 * calls out says lap_ran when it is back.
 */
struct lap_clock {
	uint64_t start, mark, worst; /* ticks */
	uintptr_t worst_fn;
};
extern __thread struct lap_clock lap_clock;

static inline uint64_t
lap_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t v;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
	return v;
#else
	return 0;
#endif
}

static inline void
lap_ran(uintptr_t fn)
{
	uint64_t now = lap_ticks();

	if (now - lap_clock.mark > lap_clock.worst) {
		lap_clock.worst = now - lap_clock.mark;
		lap_clock.worst_fn = fn;
	}
	lap_clock.mark = now;
}

/* Tells the CPU that this loop only waits. */
static inline void
cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* The name of a function of this program, static ones too, or "?". */
void symbol_init(void);
const char *symbol_name(uintptr_t fn);

/* A counter that its thread alone writes and any thread may read. */
static inline void
stat_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

struct reactor_stats *core_stats(void); /* this core's */

/* Any thread: writes the eventfd of a core, which wakes it. */
void core_wake(int core);
/* The ring descriptor of a core, for MSG_RING. */
int  core_ring_fd(int core);
/* All laps have ended, and the cores run fini one after the other. */
bool core_ended(void);

/* timer.c */
int  timer_core_init(void);
void timer_core_fini(void);
/* Resumes what is due by `now`; returns how many. */
int  timer_run(uint64_t now_ns);
/* When the next one is due; UINT64_MAX: none. */
uint64_t timer_next_ns(void);

/* shard.c */
int  shard_init(int cores, enum reactor_wake wake);
void shard_fini(void);
/* Runs the messages that are there; returns how many. */
int  shard_poll(void);
/* Anything to poll, or messages that wait for room at a receiver? */
bool shard_ready(void);
bool shard_blocked(void);
/* Once a lap: moves what had no room, wakes receivers that sleep. */
void shard_flush(void);
/* The receiver's side of waking: false when there is work after all. */
bool shard_sleep_begin(void);
void shard_sleep_end(void);
/* Totals of this core, for the end: messages sent to and taken from other cores. */
uint64_t shard_sent(void);
uint64_t shard_taken(void);

/* worker.c */
int  worker_start(int threads);
void worker_stop(void);
uint32_t worker_outstanding(void); /* of this core */

/* bufarena.c: the arenas of all cores, one after the other, each of whole blocks of 64 KiB */
extern struct buf_arenas {
	uint8_t *map;
	size_t bytes, each; /* of all, of one core */
} buf_arenas;
int  buf_arena_map(int cores, uint64_t bytes_each);
void buf_arena_unmap(void);
/* Pins all arenas; a sentence in why[] where that fails, which costs speed only. */
int  buf_arena_register(char why[256]);
/* Lets this core's ring use the registration, or not any more. */
void buf_core_register(void);
void buf_core_unregister(void);
/* The registered piece that holds [p, p + len), or -1. */
int  buf_registered(const void *p, size_t len);

/* buf.c */
int  buf_core_init(bool touch);
/* Once a lap: sends buffers home, serves who waits. */
void buf_flush(void);
bool buf_idle(void);
/* Asserts that all are home. */
void buf_core_fini(void);
struct pool_stat;
int  buf_pool_stats(struct pool_stat *out, int max);

/* bufpeek.c: of all arenas; life_ends: on the home core, before anybody else gets the buffer */
int  buf_lives_init(const uint8_t *map, size_t map_bytes);
void buf_lives_fini(void);
void buf_life_ends(const uint8_t *data);

/* net.c */
int  net_core_init(uint32_t max_conns, uint32_t recv_bufs, uint32_t recv_buf_bytes,
                   char why[256]);
/* Once a lap: sends what was queued, receives again, closes.  Returns how many had something. */
int  net_flush(void);
/* For the end: closes all; idle when none is left. */
void net_shutdown(void);
bool net_idle(void);
void net_core_fini(void);

#endif
