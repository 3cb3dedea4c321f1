/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "reactor/op.h"

#define MAX_PARTS 4

static struct runq q;
static int order[8], ran;

struct numbered {
	struct op op;
	int n;
};

static void
note(struct op *op)
{
	order[ran++] = container_of(op, struct numbered, op)->n;
}

Test(op, run_queue_is_fifo_and_stops_at_the_limit)
{
	struct numbered a = { { .resume = note }, 1 }, b = { { .resume = note }, 2 },
	                c = { { .resume = note }, 3 };

	runq_init(&q);
	runq_push(&q, &a.op, -1);
	runq_push(&q, &b.op, 7);
	runq_push(&q, &c.op, 0);
	cr_assert(eq(int, runq_drain(&q, 2), 2));
	cr_assert(eq(int, ran, 2));
	cr_assert(eq(int, runq_drain(&q, 5), 1));
	cr_assert(eq(int, order[0], 1));
	cr_assert(eq(int, order[1], 2));
	cr_assert(eq(int, order[2], 3));
	cr_assert(eq(int, a.op.res, -1));
	cr_assert(eq(int, b.op.res, 7));
	cr_assert(eq(int, runq_drain(&q, 5), 0));
}

static struct numbered again;

static void
push_again(struct op *op)
{
	ran++;
	if (op->res > 0)
		runq_push(&q, op, op->res - 1);
}

Test(op, an_op_may_queue_itself_while_it_runs)
{
	again.op.resume = push_again;
	runq_init(&q);
	runq_push(&q, &again.op, 3);
	cr_assert(eq(int, runq_drain(&q, 100), 4));
	cr_assert(eq(ptr, q.head, NULL));
}

Test(op, done_answers_with_the_result)
{
	struct op op = { .res = 99 };

	cr_assert(eq(int, (int)op_done(&op, -5), OP_DONE));
	cr_assert(eq(int, op.res, -5));
}

/* ---- every way in which n calls can answer, and in which order the late ones do */

struct waiter {
	struct op op;
	int resumed;
};

static void
waited(struct op *op)
{
	container_of(op, struct waiter, op)->resumed++;
}

/* Two bits of the plan a call: now or later, well or ill. */
static int
result(unsigned plan, int i)
{
	return plan >> (2 * i) & 2 ? -(i + 1) : i;
}

static bool
is_late(unsigned plan, int i)
{
	return plan >> (2 * i) & 1;
}

/* The first error in the order in which the results came. */
static int
expected(unsigned plan, int n, const int *late, int nlate)
{
	for (int i = 0; i < n; i++)
		if (!is_late(plan, i) && result(plan, i) < 0)
			return result(plan, i);
	for (int i = 0; i < nlate; i++)
		if (result(plan, late[i]) < 0)
			return result(plan, late[i]);
	return 0;
}

/* The k-th permutation of p[0..n). */
static void
permute(int *p, int n, int k)
{
	for (int i = n; i > 1; i--) {
		int j = k % i, t = p[i - 1];

		k /= i;
		p[i - 1] = p[j];
		p[j] = t;
	}
}

static void
join_once(unsigned plan, int n, int perm)
{
	struct waiter w = { .op = { .resume = waited, .res = 12345 } };
	struct op_part part[MAX_PARTS];
	struct op_join j;
	int late[MAX_PARTS], nlate = 0;
	enum op_state s;

	op_join_start(&j, &w.op);
	for (int i = 0; i < n; i++) {
		struct op *op = op_join_part(&j, &part[i]);

		if (is_late(plan, i)) {
			late[nlate++] = i;
			op_join_add(&j, &part[i], OP_PENDING);
		} else {
			op_join_add(&j, &part[i], op_done(op, result(plan, i)));
		}
	}
	permute(late, nlate, perm);
	s = op_join_wait(&j);
	cr_assert(eq(int, w.resumed, 0));
	cr_assert(eq(int, (int)s, nlate > 0 ? OP_PENDING : OP_DONE));

	runq_init(&q);
	for (int i = 0; i < nlate; i++)
		runq_push(&q, &part[late[i]].op, result(plan, late[i]));
	for (int i = 0; i < nlate; i++) {
		cr_assert(eq(int, w.resumed, 0));
		runq_drain(&q, 1);
	}
	cr_assert(eq(int, w.resumed, nlate > 0));
	cr_assert(eq(int, w.op.res, expected(plan, n, late, nlate)));
}

Test(op, join_every_plan)
{
	static const int factorial[] = { 1, 1, 2, 6, 24 };

	for (int n = 0; n <= MAX_PARTS; n++)
		for (unsigned plan = 0; plan < 1u << (2 * n); plan++)
			for (int perm = 0; perm < factorial[n]; perm++)
				join_once(plan, n, perm);
}
