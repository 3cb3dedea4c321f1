/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting, without blocking and without callbacks running under your feet.
 *
 * An asynchronous call takes a struct op from its caller and answers either
 * OP_DONE, the result is in op->res now, or OP_PENDING, the reactor will run
 * op->resume later, from its own stack, with the result in op->res.  Never
 * both.  The caller owns the op and keeps it alive until one of the two.
 */
#ifndef REACTOR_OP_H
#define REACTOR_OP_H

#include <stddef.h>

enum op_state { OP_DONE, OP_PENDING };

struct op {
	struct op *next;               /* run queue link, the reactor's */
	void (*resume)(struct op *op);
	int res;                       /* 0 or more, or -errno */
};

/* Waits for several ops at once; keeps the first error. */
struct op_join {
	struct op *waiter;
	int left;
	int err;
};

struct op_part {
	struct op op;
	struct op_join *join;
};

struct runq {
	struct op *head, **tail;
};

void runq_init(struct runq *q);
void runq_push(struct runq *q, struct op *op, int res);
int  runq_drain(struct runq *q, int limit);

enum op_state op_done(struct op *op, int res);

void op_join_start(struct op_join *j, struct op *waiter);
struct op *op_join_part(struct op_join *j, struct op_part *part);
void op_join_add(struct op_join *j, struct op_part *part, enum op_state s);
enum op_state op_join_wait(struct op_join *j);

#define container_of(p, type, member) \
	((type *)(void *)((char *)(p) - offsetof(type, member)))

#endif
