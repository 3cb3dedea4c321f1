/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/oncore.h"

#include <semaphore.h>

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
