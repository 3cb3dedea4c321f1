/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/stats.h"

Test(stats, buckets_cover_all_times_without_gaps)
{
	for (int b = 0; b < STATS_BUCKETS - 1; b++) {
		uint64_t from = stats_bucket_ns(b), to = stats_bucket_ns(b + 1);

		cr_assert(lt(u64, from, to));
		cr_assert(eq(int, stats_bucket(from), b));
		cr_assert(eq(int, stats_bucket(to - 1), b));
		if (b >= 4) /* known to a quarter */
			cr_assert(le(u64, 4 * (to - from), from));
	}
	cr_assert(eq(int, stats_bucket(UINT64_MAX), STATS_BUCKETS - 1));
	cr_assert(gt(u64, stats_bucket_ns(STATS_BUCKETS - 1), 60000000000));
}

Test(stats, sums_and_quantiles)
{
	static struct proto_stats a, sum;
	struct proc_stats *p = &a.proc[6];

	for (uint64_t i = 1; i <= 1000; i++)
		stats_call(p, i * 1000, i % 10 == 0, 100);
	a.calls_now = 3;
	stats_sum(&sum, &a);
	stats_sum(&sum, &a);
	p = &sum.proc[6];
	cr_assert(eq(u64, p->calls, 2000));
	cr_assert(eq(u64, p->errors, 200));
	cr_assert(eq(u64, p->bytes, 200000));
	cr_assert(eq(u64, p->max_ns, 1000000));
	cr_assert(eq(u64, sum.calls_now, 6));
	cr_assert(ge(u64, stats_quantile(p, 0.5), 500000));
	cr_assert(le(u64, stats_quantile(p, 0.5), 650000));
	cr_assert(ge(u64, stats_quantile(p, 0.99), 990000));
	cr_assert(eq(u64, stats_quantile(&sum.proc[7], 0.5), 0));
	cr_assert(eq(str, (char *)stats_proc_name(6), (char *)"READ"));
	cr_assert(eq(str, (char *)stats_proc_name(STATS_PROCS - 1), (char *)"EXPORT"));
}
