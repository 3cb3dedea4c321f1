/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench_watch.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench_table.h"

#define SHOW_NS 200000000
#define BAR     30

static sigset_t signals;

uint64_t
bench_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void
bench_watch_init(struct bench_watch *w, const char *cmd)
{
	w->cmd = cmd;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1); /* a worker is done */
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

void
bench_watch_begin(struct bench_watch *w, const char *item, int workers, uint64_t total, bool bytes)
{
	w->item = item;
	w->total = total;
	w->bytes = bytes;
	atomic_store(&w->done, 0);
	atomic_store(&w->busy, workers);
}

void
bench_watch_done(struct bench_watch *w)
{
	if (atomic_fetch_sub(&w->busy, 1) == 1)
		kill(getpid(), SIGUSR1);
}

struct task {
	struct bench_watch *watch;
	void (*fn)(void *arg);
	void *arg;
};

static void *
task_main(void *arg)
{
	struct task *t = arg;

	t->fn(t->arg);
	bench_watch_done(t->watch);
	return NULL;
}

void
bench_watch_run(struct bench_watch *w, const char *item, uint64_t total, void (*fn)(void *arg), void *arg)
{
	struct task t = { w, fn, arg };
	pthread_t thread;

	bench_watch_begin(w, item, 1, total, false);
	if (pthread_create(&thread, NULL, task_main, &t) != 0) {
		fn(arg);
		return;
	}
	bench_watch_wait(w);
	pthread_join(thread, NULL);
}

static void
show(const struct bench_watch *w, uint64_t since_ns)
{
	uint64_t done = MIN(atomic_load(&w->done), w->total);
	double s = (double)(bench_now_ns() - since_ns) / 1e9;
	int full = w->total ? (int)(done * BAR / w->total) : 0;
	char rate[64];

	if (w->total == 0)
		rate[0] = '\0';
	else if (w->bytes)
		snprintf(rate, sizeof(rate), "%s of %s, %.0f MiB/s", format_bytes(done), format_bytes(w->total),
			(double)done / (double)MIB / s);
	else
		snprintf(rate, sizeof(rate), "%" PRIu64 " of %" PRIu64 ", %.0f/s", done, w->total, (double)done / s);
	fprintf(stderr, "\r\033[K%-24s [%.*s%*s] %s", w->item, full, "##############################", BAR - full, "", rate);
}

static void
signalled(struct bench_watch *w, int sig)
{
	if (sig == SIGUSR1)
		return;
	if (atomic_load(&w->stop)) {
		fprintf(stderr, "\ndittofs %s: ended at once; left behind: %s\n", w->cmd, w->left_behind);
		_exit(128 + sig);
	}
	atomic_store(&w->stop, sig);
	fprintf(stderr, "\ndittofs %s: stopping; what it made will be removed (once more ends it at once)\n", w->cmd);
}

void
bench_watch_wait(struct bench_watch *w)
{
	const struct timespec tick = { 0, SHOW_NS };
	bool terminal = isatty(STDERR_FILENO);
	uint64_t since = bench_now_ns();

	while (atomic_load(&w->busy) > 0) {
		int sig = sigtimedwait(&signals, NULL, &tick);

		if (sig > 0)
			signalled(w, sig);
		if (terminal)
			show(w, since);
	}
	if (terminal)
		fputs("\r\033[K", stderr);
}
