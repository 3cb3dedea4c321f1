/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work goes in over a lock-free stack and a semaphore, so that a reactor never
 * waits for a worker that was preempted with a lock in its hand; only workers
 * share a lock, to take from the stack oldest first.
 */
#include "reactor/worker.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "reactor/core.h"

#define MAX_WORKERS 64

static _Atomic(struct work *) inbox;
static sem_t there; /* one for each work in inbox or queue, and one a thread to end it */
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct work *queue;
static pthread_t threads[MAX_WORKERS];
static int running;

static __thread uint32_t outstanding;

static struct work *
take(void)
{
	struct work *w;

	while (sem_wait(&there) < 0)
		; /* EINTR */
	pthread_mutex_lock(&queue_lock);
	if (!queue) {
		w = atomic_exchange_explicit(&inbox, NULL, memory_order_acquire);
		while (w) {
			struct work *next = w->next;

			w->next = queue;
			queue = w;
			w = next;
		}
	}
	w = queue;
	if (w)
		queue = w->next;
	pthread_mutex_unlock(&queue_lock);
	return w; /* NULL: the end */
}

static void *
worker_main(void *arg)
{
	struct work *w;

	(void)arg;
	while ((w = take()) != NULL) {
		w->res = w->run(w);
		shard_post(w->core, &w->msg);
	}
	return NULL;
}

int
worker_start(int n)
{
	assert(n > 0 && n <= MAX_WORKERS);
	sem_init(&there, 0, 0);
	for (running = 0; running < n; running++) {
		char name[32];
		int err = pthread_create(&threads[running], NULL, worker_main, NULL);

		if (err) {
			worker_stop();
			return -err;
		}
		snprintf(name, sizeof(name), "worker-%d", running);
		pthread_setname_np(threads[running], name);
	}
	return 0;
}

void
worker_stop(void)
{
	for (int i = 0; i < running; i++)
		sem_post(&there);
	for (int i = 0; i < running; i++)
		pthread_join(threads[i], NULL);
	running = 0;
	sem_destroy(&there);
}

uint32_t
worker_outstanding(void)
{
	return outstanding;
}

static void
work_home(struct shard_msg *m)
{
	struct work *w = container_of(m, struct work, msg);
	struct op *wait = w->wait;
	void (*resume)(struct op *) = wait->resume;

	outstanding--;
	wait->res = w->res;
	resume(wait);
	lap_ran((uintptr_t)resume);
}

enum op_state
worker_run(struct work *w, int (*run)(struct work *w), struct op *wait)
{
	struct work *head = atomic_load_explicit(&inbox, memory_order_relaxed);

	w->run = run;
	w->wait = wait;
	w->core = reactor_core();
	w->msg.run = work_home;
	assert(w->core >= 0 && wait->resume);
	outstanding++;
	do
		w->next = head;
	while (!atomic_compare_exchange_weak_explicit(&inbox, &head, w, memory_order_release,
	                                              memory_order_relaxed));
	sem_post(&there);
	return OP_PENDING;
}
