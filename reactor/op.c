/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/op.h"

#include <assert.h>

void
runq_init(struct runq *q)
{
	q->head = NULL;
	q->tail = &q->head;
}

void
runq_push(struct runq *q, struct op *op, int res)
{
	assert(op->resume);
	op->res = res;
	op->next = NULL;
	*q->tail = op;
	q->tail = &op->next;
}

int
runq_drain(struct runq *q, int limit)
{
	int n;

	for (n = 0; q->head && n < limit; n++) {
		struct op *op = q->head;

		q->head = op->next;
		if (!q->head)
			q->tail = &q->head;
		op->next = NULL;
		op->resume(op);
	}
	return n;
}

enum op_state
op_done(struct op *op, int res)
{
	op->res = res;
	return OP_DONE;
}

static void
join_note(struct op_join *j, int res)
{
	if (res < 0 && j->err == 0)
		j->err = res;
}

static void
join_part_done(struct op *op)
{
	struct op_join *j = container_of(op, struct op_part, op)->join;

	assert(j->left > 0);
	join_note(j, op->res);
	if (--j->left > 0)
		return;
	j->waiter->res = j->err;
	j->waiter->resume(j->waiter);
}

void
op_join_start(struct op_join *j, struct op *waiter)
{
	*j = (struct op_join){ .waiter = waiter };
}

struct op *
op_join_part(struct op_join *j, struct op_part *part)
{
	*part = (struct op_part){ .op.resume = join_part_done, .join = j };
	return &part->op;
}

void
op_join_add(struct op_join *j, struct op_part *part, enum op_state s)
{
	if (s == OP_PENDING)
		j->left++;
	else
		join_note(j, part->op.res);
}

enum op_state
op_join_wait(struct op_join *j)
{
	return j->left > 0 ? OP_PENDING : op_done(j->waiter, j->err);
}
