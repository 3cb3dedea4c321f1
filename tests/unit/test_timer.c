/* SPDX-License-Identifier: Apache-2.0 */
/* Timers that stop each other at the instant when all are due: test_reactor.c has their order and their time. */
#include "tests/unit/oncore.h"

#define MS 1000000ull

static struct {
	struct timer timer;
	struct op op;
	bool resumed, stopped;
} all[8];
static struct op before, last;
static struct timer last_timer;

static void
stop(int i)
{
	bool was = timer_stop(&all[i].timer);

	/* Either it is stopped or it has resumed: nobody has to expect it any more. */
	assert(was == !all[i].resumed && !all[i].stopped);
	all[i].stopped = was;
}

static void
fired(struct op *op)
{
	int i = 0;

	while (op != &all[i].op)
		i++;
	assert(!all[i].stopped && !all[i].resumed);
	all[i].resumed = true;
	for (int k = 0; k < (int)ARRAY_LEN(all); k++)
		if (k != i && !all[k].stopped)
			stop(k);
}

static void
over(struct op *op)
{
	(void)op;
	finish();
}

static void
start_all(void (*resume)(struct op *), uint64_t delay_ns)
{
	last.resume = over;
	timer_start(&last_timer, 10 * MS, &last);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i].op.resume = resume;
		timer_start(&all[i].timer, delay_ns, &all[i].op);
	}
}

static void
one_stops_all(int core)
{
	(void)core;
	start_all(fired, MS);
}

Test(timer_stop, who_is_due_too_is_stopped_by_the_first)
{
	int resumed = 0;

	on_cores(1, one_stops_all, NULL);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		resumed += all[i].resumed;
		cr_assert(all[i].resumed != all[i].stopped);
	}
	cr_assert(eq(int, resumed, 1));
}

static void
answered(struct op *op)
{
	(void)op;
	for (int i = 0; i < (int)ARRAY_LEN(all); i++)
		stop(i);
}

/* What is ready in the lap in which the timers are due, as an answer that comes at the last moment. */
static void
answer_in_time(int core)
{
	(void)core;
	start_all(fired, 0);
	before.resume = answered;
	reactor_post(&before, 0);
}

Test(timer_stop, an_answer_that_is_here_is_in_time)
{
	on_cores(1, answer_in_time, NULL);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		cr_assert(all[i].stopped && !all[i].resumed);
}
