/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/kv_group.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "reactor/latency.h"
#include "reactor/probe.h"

static struct {
	int (*sync)(void);
	_Atomic(struct kv_write *) waiting; /* a stack; who finds it empty wakes the syncer */
	sem_t wake;
	pthread_t thread;
	bool running;
	_Atomic bool stop;
	_Atomic bool answering; /* waiters may have resumed while the thread still wakes their core */
} group;

static __thread struct hist *wait_time;

/* On the waiters' core: a chain of one group. */
static void
group_resume(struct shard_msg *m)
{
	struct kv_write *w = container_of(m, struct kv_write, msg), *next;

	for (; w; w = next) {
		uint64_t ns = reactor_clock_ns() - w->joined_ns;

		next = w->next;
		hist_record(wait_time, ns);
		PROBE_WAL_DONE(w->core, w->res, ns);
		reactor_post(w->sync_op, w->res);
	}
}

static void
group_answer(struct kv_write *waiters, int res)
{
	struct kv_write *head[REACTOR_MAX_CORES] = { NULL }, *next;

	/* The stack has the newest first, this turns it around: the oldest is resumed first. */
	for (struct kv_write *w = waiters; w; w = next) {
		next = w->next;
		w->res = res;
		w->next = head[w->core];
		head[w->core] = w;
	}
	for (int core = 0; core < REACTOR_MAX_CORES; core++) {
		if (!head[core])
			continue;
		head[core]->msg.run = group_resume;
		shard_post(core, &head[core]->msg);
	}
}

static void *
syncer(void *arg)
{
	(void)arg;
	for (;;) {
		struct kv_write *waiters;

		while (sem_wait(&group.wake) < 0)
			;
		atomic_store(&group.answering, true);
		waiters = atomic_exchange(&group.waiting, NULL);
		if (waiters)
			group_answer(waiters, group.sync());
		atomic_store(&group.answering, false);
		if (waiters)
			continue;
		if (atomic_load(&group.stop))
			return NULL;
	}
}

void
kv_group_join(struct kv_write *w, struct op *op)
{
	struct kv_write *top = atomic_load(&group.waiting);

	w->core = reactor_core();
	w->sync_op = op;
	w->joined_ns = reactor_clock_ns();
	if (!wait_time)
		wait_time = latency_hist("wal sync");
	PROBE_WAL_WAIT(w->core);
	assert(w->core >= 0);
	do
		w->next = top;
	while (!atomic_compare_exchange_weak(&group.waiting, &top, w));
	if (!top)
		sem_post(&group.wake);
}

void
kv_quiet(void)
{
	struct timespec t = { .tv_nsec = 100000 };

	while (atomic_load(&group.answering))
		nanosleep(&t, NULL);
}

int
kv_group_start(int (*sync)(void))
{
	sigset_t all, old;
	int err;

	group.sync = sync;
	atomic_store(&group.stop, false);
	sem_init(&group.wake, 0, 0);
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&group.thread, NULL, syncer, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	group.running = !err;
	if (!err)
		pthread_setname_np(group.thread, "kv-sync");
	return -err;
}

void
kv_group_stop(void)
{
	if (!group.running)
		return;
	atomic_store(&group.stop, true);
	sem_post(&group.wake);
	pthread_join(group.thread, NULL);
	sem_destroy(&group.wake);
	assert(!atomic_load(&group.waiting));
	group.running = false;
}
