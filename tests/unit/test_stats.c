/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/nfs3.h"
#include "proto/stats.h"

static struct proto_stats a, sum;

Test(stats, sums_over_cores)
{
	struct proc_stats *p = &a.proc[6];

	for (uint64_t i = 1; i <= 1000; i++) {
		struct stats_stamps at = { .start_ns = 5, .run_ns = 5 + i * 100, .ran_ns = 5 + i * 700, .queued_ns = 5 + i * 1000 };

		stats_answered(p, &at, i % 10 == 0, 100);
		stats_sent(p, &at, 5 + i * 3000);
	}
	a.calls_now = 3;
	stats_sum(&sum, &a);
	stats_sum(&sum, &a);
	p = &sum.proc[6];
	cr_assert(eq(u64, p->calls, 2000));
	cr_assert(eq(u64, p->errors, 200));
	cr_assert(eq(u64, p->bytes, 200000));
	cr_assert(eq(u64, sum.calls_now, 6));
	for (int t = 0; t < STATS_TIMES; t++)
		cr_assert(eq(u64, p->time[t].count, 2000));
	cr_assert(eq(u64, p->time[STATS_TOTAL].max, 1000000));
	cr_assert(eq(u64, p->time[STATS_QUEUE].max, 100000));
	cr_assert(eq(u64, p->time[STATS_WORK].max, 600000));
	cr_assert(eq(u64, p->time[STATS_REPLY].max, 300000));
	cr_assert(eq(u64, p->time[STATS_SEND].max, 2000000));
	/* The stages are the total. */
	cr_assert(eq(u64, p->time[STATS_TOTAL].sum,
	             p->time[STATS_QUEUE].sum + p->time[STATS_WORK].sum + p->time[STATS_REPLY].sum));
	cr_assert(eq(u64, sum.proc[7].calls, 0));
}

Test(stats, a_call_that_never_ran_has_a_total_alone)
{
	struct stats_stamps at = { .start_ns = 100, .queued_ns = 150 };

	stats_answered(&a.proc[0], &at, true, 0);
	cr_assert(eq(u64, a.proc[0].time[STATS_TOTAL].sum, 50));
	cr_assert(eq(u64, a.proc[0].time[STATS_WORK].count, 0));
}

Test(stats, a_result_at_once_is_work_up_to_the_reply)
{
	struct stats_stamps at = { .start_ns = 100, .run_ns = 110, .queued_ns = 150 };

	stats_answered(&a.proc[0], &at, false, 0);
	cr_assert(eq(u64, a.proc[0].time[STATS_QUEUE].sum, 10));
	cr_assert(eq(u64, a.proc[0].time[STATS_WORK].sum, 40));
	cr_assert(eq(u64, a.proc[0].time[STATS_REPLY].count, 0));
}

/* The clocks of two cores may be a little apart. */
Test(stats, no_time_is_negative)
{
	struct stats_stamps at = { .start_ns = 100, .run_ns = 99, .ran_ns = 98, .queued_ns = 97 };

	stats_answered(&a.proc[0], &at, false, 0);
	stats_sent(&a.proc[0], &at, 96);
	for (int t = 0; t < STATS_TIMES; t++)
		cr_assert(eq(u64, a.proc[0].time[t].sum, 0));
}

Test(stats, errors_are_told_apart)
{
	int noent = 0, other = 0;

	stats_error(&a.proc[3], NFS3ERR_NOENT);
	stats_error(&a.proc[3], NFS3ERR_NOENT);
	stats_error(&a.proc[3], 4711);
	stats_sum(&sum, &a);
	for (int i = 0; i < STATS_STATUSES; i++) {
		bool is_noent = !strcmp(stats_status_name(i), "NOENT"), is_other = !strcmp(stats_status_name(i), "other");

		noent += is_noent;
		other += is_other;
		cr_assert(eq(u64, sum.proc[3].error[i], is_noent ? 2 : is_other));
	}
	cr_assert(eq(int, noent, 1));
	cr_assert(eq(int, other, 1));
}

Test(stats, names)
{
	cr_assert(eq(str, (char *)stats_proc_name(6), (char *)"READ"));
	cr_assert(eq(str, (char *)stats_proc_name(STATS_PROCS - 1), (char *)"EXPORT"));
	cr_assert(eq(str, (char *)stats_time_name(STATS_SEND), (char *)"send"));
}
