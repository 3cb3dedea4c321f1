/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "reactor/latency.h"
#include "tests/fake/rig.h"

static struct hist *of_core[2];

static int
init(int core, void *arg)
{
	(void)arg;
	of_core[core] = latency_hist("first");
	hist_record(of_core[core], 100 + (uint64_t)core);
	hist_record(latency_hist("second"), 7);
	return 0;
}

Test(latency, sums_over_the_cores_and_lasts)
{
	struct hist *before[2], sum;

	cr_assert(eq(ptr, (void *)latency_sum(0, &sum), NULL));
	rig_start(2, init, NULL);
	rig_stop();
	cr_assert(ne(ptr, of_core[0], of_core[1]));
	cr_assert(eq(str, (char *)latency_sum(0, &sum), (char *)"first"));
	cr_assert(eq(u64, sum.count, 2));
	cr_assert(eq(u64, sum.max, 101));
	cr_assert(eq(str, (char *)latency_sum(1, &sum), (char *)"second"));
	cr_assert(eq(u64, sum.sum, 14));
	cr_assert(eq(ptr, (void *)latency_sum(2, &sum), NULL));
	cr_assert(eq(ptr, (void *)latency_sum(LATENCY_NAMES, &sum), NULL));

	memcpy(before, of_core, sizeof before);
	rig_start(2, init, NULL);
	rig_stop();
	cr_assert(eq(ptr, of_core[0], before[0]));
	cr_assert(eq(ptr, of_core[1], before[1]));
	latency_sum(0, &sum);
	cr_assert(eq(u64, sum.count, 4));
}
