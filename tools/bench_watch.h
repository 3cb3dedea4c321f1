/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main thread of a benchmark while others work: shows how far they are, on
 * a terminal, and passes SIGINT, SIGTERM and SIGHUP on to them as `stop`, so
 * that what was made is removed again.  A second signal ends the process.
 */
#ifndef TOOLS_BENCH_WATCH_H
#define TOOLS_BENCH_WATCH_H

#include <stdatomic.h>

#include "reactor/base.h"

struct bench_watch {
	const char *cmd;              /* "bench": begins each line on stderr */
	const char *left_behind;      /* what a second signal leaves */
	const char *item;             /* what is being done */
	bool bytes;                   /* done and total are bytes */
	uint64_t total;
	_Atomic uint64_t done;
	_Atomic int busy;             /* workers that are not done */
	_Atomic int stop;             /* the signal that asked for it, or 0 */
};

/* Before any thread is made: these signals are for bench_watch alone. */
void bench_watch_init(struct bench_watch *w, const char *cmd);
/* Main: `workers` begin with something of that size. */
void bench_watch_begin(struct bench_watch *w, const char *item, int workers, uint64_t total, bool bytes);
/* Main: returns when every worker has said bench_watch_done. */
void bench_watch_wait(struct bench_watch *w);
/* Main: runs fn on a thread of its own and returns when it is done, so that signals are heard meanwhile. */
void bench_watch_run(struct bench_watch *w, const char *item, uint64_t total, void (*fn)(void *arg), void *arg);
/* Any thread, once for each worker, at its end. */
void bench_watch_done(struct bench_watch *w);

/* CLOCK_MONOTONIC, now. */
uint64_t bench_now_ns(void);

#endif
