/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "reactor/hist.h"
#include "tests/client/rand.h"

#define VALUES 20000

Test(hist, buckets_cover_all_values_without_gaps)
{
	for (unsigned b = 0; b < HIST_BUCKETS - 1; b++) {
		uint64_t from = hist_bucket_ns(b), to = hist_bucket_ns(b + 1);

		cr_assert(lt(u64, from, to));
		cr_assert(eq(uint, hist_bucket(from), b));
		cr_assert(eq(uint, hist_bucket(to - 1), b));
		if (b >= HIST_SUB) /* known to a sixteenth */
			cr_assert(le(u64, HIST_SUB * (to - from), from));
	}
	cr_assert(eq(uint, hist_bucket(UINT64_MAX), HIST_BUCKETS - 1));
	cr_assert(eq(uint, hist_bucket((1ull << HIST_TOP_BITS) - 1), HIST_BUCKETS - 1));
	cr_assert(lt(u64, 120000000000, hist_bucket_ns(HIST_BUCKETS - 1)));
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Against the same quantile of the sorted values, over five powers of ten. */
Test(hist, quantiles_are_within_a_thirty_second)
{
	static const double shares[] = { 0, 0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999 };
	static uint64_t value[VALUES];

	for (uint64_t seed = 1; seed <= 20; seed++) {
		static struct hist h;
		struct rng r;
		uint64_t sum = 0;

		memset(&h, 0, sizeof h);
		rng_seed(&r, seed);
		for (int i = 0; i < VALUES; i++) {
			value[i] = rng_next(&r) >> (rng_next(&r) % 17 + 32);
			sum += value[i];
			hist_record(&h, value[i]);
		}
		qsort(value, VALUES, sizeof value[0], by_value);
		for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
			size_t at = (size_t)(shares[i] * VALUES);
			uint64_t want = value[at > 0 ? at - 1 : 0], got = hist_quantile(&h, shares[i]);

			cr_assert(le(u64, 32 * (got > want ? got - want : want - got), want + 32), "share %f: %lu, not %lu",
			          shares[i], got, want);
		}
		cr_assert(eq(u64, hist_quantile(&h, 1), value[VALUES - 1]));
		cr_assert(eq(u64, h.max, value[VALUES - 1]));
		cr_assert(eq(u64, hist_mean(&h), sum / VALUES));
	}
}

Test(hist, small_values_are_exact)
{
	static struct hist h;

	for (uint64_t v = 0; v < HIST_SUB; v++)
		hist_record(&h, v);
	for (unsigned v = 0; v < HIST_SUB; v++)
		cr_assert(eq(u64, hist_quantile(&h, (v + 1) / (double)HIST_SUB), v));
}

Test(hist, what_is_too_long_is_counted_and_its_max_known)
{
	static struct hist h;

	hist_record(&h, 400000000000);
	hist_record(&h, 5);
	cr_assert(eq(u64, h.count, 2));
	cr_assert(eq(u64, hist_quantile(&h, 0.5), 5));
	cr_assert(eq(u64, hist_quantile(&h, 0.99), 400000000000));
}

Test(hist, empty)
{
	static struct hist h;

	cr_assert(eq(u64, hist_quantile(&h, 0.5), 0));
	cr_assert(eq(u64, hist_quantile(&h, 1), 0));
	cr_assert(eq(u64, hist_mean(&h), 0));
}

/* Two parts together say what the whole says; and the difference gives a part back. */
Test(hist, merge_and_since)
{
	static struct hist whole, a, b, sum, rest;

	for (uint64_t i = 1; i <= 1000; i++) {
		hist_record(&whole, i * i * 100);
		hist_record(i % 3 ? &a : &b, i * i * 100);
	}
	hist_merge(&sum, &a);
	hist_merge(&sum, &b);
	cr_assert(eq(int, memcmp(&sum, &whole, sizeof sum), 0));
	hist_since(&rest, &whole, &a);
	rest.max = b.max;
	cr_assert(eq(int, memcmp(&rest, &b, sizeof rest), 0));
}
