/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <semaphore.h>
#include <unistd.h>

#include "tests/fake/rig.h"
#include "tools/job.h"

/* What a kind of work has: its job, and beside it the report. */
static struct {
	struct job job;
	uint64_t steps;          /* of all runs */
	sem_t go;
	int result;
} work = { .job = JOB_INIT };

static void
step(void)
{
	job_lock(&work.job);
	work.steps++;
	job_unlock(&work.job);
}

static uint64_t
steps(void)
{
	job_lock(&work.job);
	uint64_t n = work.steps;

	job_unlock(&work.job);
	return n;
}

static struct job_state
state(void)
{
	job_lock(&work.job);
	struct job_state s = work.job.state;

	job_unlock(&work.job);
	return s;
}

static bool
is_idle(void)
{
	return !state().running;
}

/* Goes on when the test says so. */
static int
run_held(void)
{
	step();
	sem_wait(&work.go);
	return work.result;
}

/* Goes on until it is to end. */
static int
run_on(void)
{
	while (!job_ending(&work.job))
		step();
	return -ECANCELED;
}

TestSuite(job, .timeout = 300);

Test(job, one_at_a_time_and_its_result_stays)
{
	sem_init(&work.go, 0, 0);
	cr_assert(is_idle());
	cr_assert(eq(int, state().err, 0));
	for (int i = 0; i < 2; i++) {
		work.result = i ? 0 : -E_DAMAGED;
		cr_assert(eq(int, job_ready(&work.job), 0));
		cr_assert(eq(int, job_start(&work.job, run_held), 0));
		cr_assert(state().running);
		cr_assert(eq(int, job_ready(&work.job), -EBUSY));
		EVENTUALLY(steps() == (uint64_t)i + 1);
		cr_assert(state().running);
		sem_post(&work.go);
		EVENTUALLY(is_idle());
		cr_assert(eq(int, state().err, work.result));
	}
	job_stop(&work.job);
	cr_assert(eq(int, state().err, 0));
}

Test(job, a_start_that_fails_before_it_leaves_the_last_one_as_it_was)
{
	sem_init(&work.go, 0, 1);
	work.result = -ENOSPC;
	cr_assert(eq(int, job_ready(&work.job), 0));
	cr_assert(eq(int, job_start(&work.job, run_held), 0));
	EVENTUALLY(is_idle());
	for (int i = 0; i < 2; i++)
		cr_assert(eq(int, job_ready(&work.job), 0)); /* and its caller found no memory */
	cr_assert(eq(int, state().err, -ENOSPC));
	job_stop(&work.job);
}

Test(job, cancelled_it_ends_and_the_next_one_does_not)
{
	for (int i = 0; i < 3; i++) {
		cr_assert(eq(int, job_ready(&work.job), 0));
		uint64_t before = steps();

		cr_assert(eq(int, job_start(&work.job, run_on), 0));
		EVENTUALLY(steps() > before);
		job_cancel(&work.job);
		EVENTUALLY(is_idle());
		cr_assert(eq(int, state().err, -ECANCELED));
	}
	job_stop(&work.job);
}

Test(job, stop_waits_and_may_come_at_any_time)
{
	job_stop(&work.job); /* there was none */
	cr_assert(eq(int, job_ready(&work.job), 0));
	cr_assert(eq(int, job_start(&work.job, run_on), 0));
	job_stop(&work.job);
	cr_assert(not(work.job.state.running)); /* without the lock: nobody is there */
	cr_assert(eq(int, work.job.state.err, -ECANCELED));
	job_stop(&work.job);
}

static int
run_nothing(void)
{
	return 0;
}

/* Over before its start has returned, perhaps: then, too. */
Test(job, one_that_ends_at_once_has_ended)
{
	for (int i = 0; i < 500; i++) {
		cr_assert(eq(int, job_ready(&work.job), 0));
		cr_assert(eq(int, job_start(&work.job, run_nothing), 0));
		EVENTUALLY(is_idle());
	}
	job_stop(&work.job);
}

Test(job, what_people_are_told)
{
	const struct { int started, ended; const char *says; } t[] = {
		{ -EBUSY, 0, "one is under way" },
		{ -EBUSY, -ECANCELED, "one is under way" },
		{ -ENOMEM, 0, strerror(ENOMEM) },
		{ 0, -ECANCELED, "the server ends" },
		{ 0, -E_JUKEBOX, "the object store cannot be reached" },
	};

	cr_assert(job_error(0, 0) == NULL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		cr_assert(strcmp(job_error(t[i].started, t[i].ended), t[i].says) == 0, "row %zu", i);
}
