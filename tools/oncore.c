/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/oncore.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct task {
	struct shard_msg msg;
	struct op op;
	enum op_state (*start)(void *arg, struct op *op);
	void *arg;
	int res;
	sem_t done;
};

static void
task_done(struct op *op)
{
	struct task *t = container_of(op, struct task, op);

	t->res = op->res;
	sem_post(&t->done);
}

static void
task_run(struct shard_msg *m)
{
	struct task *t = container_of(m, struct task, msg);

	if (t->start(t->arg, &t->op) == OP_DONE)
		task_done(&t->op);
}

int
on_core(int core, enum op_state (*start)(void *arg, struct op *op), void *arg)
{
	struct task t = { .msg.run = task_run, .op.resume = task_done, .start = start, .arg = arg };

	sem_init(&t.done, 0, 0);
	shard_post(core, &t.msg);
	while (sem_wait(&t.done) < 0)
		;
	sem_destroy(&t.done);
	return t.res;
}

/* Who asked may have gone by the time that a core answers: the second of the two frees it. */
struct ping {
	struct shard_msg msg;
	sem_t done;
	atomic_bool left;
};

static void
ping_leave(struct ping *p)
{
	if (!atomic_exchange(&p->left, true))
		return;
	sem_destroy(&p->done);
	free(p);
}

static void
ping_run(struct shard_msg *m)
{
	struct ping *p = container_of(m, struct ping, msg);

	sem_post(&p->done);
	ping_leave(p);
}

int
on_core_silent(int cores, int timeout_ms)
{
	struct ping *ping[REACTOR_MAX_CORES];
	struct timespec until;
	int silent = -1;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += timeout_ms / 1000 + (until.tv_nsec + timeout_ms % 1000 * 1000000L) / 1000000000;
	until.tv_nsec = (until.tv_nsec + timeout_ms % 1000 * 1000000L) % 1000000000;
	for (int i = 0; i < cores; i++) {
		ping[i] = calloc(1, sizeof(*ping[i]));
		assert(ping[i]);
		ping[i]->msg.run = ping_run;
		sem_init(&ping[i]->done, 0, 0);
		shard_post(i, &ping[i]->msg);
	}
	for (int i = 0; i < cores; i++) {
		int res;

		while ((res = sem_clockwait(&ping[i]->done, CLOCK_MONOTONIC, &until)) < 0 && errno == EINTR)
			;
		if (res < 0 && silent < 0)
			silent = i;
		ping_leave(ping[i]);
	}
	return silent;
}
