/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/hist.h"

static uint64_t
seen(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

uint64_t
hist_bucket_ns(unsigned bucket)
{
	unsigned shift;

	if (bucket < 2 * HIST_SUB)
		return bucket;
	shift = bucket / HIST_SUB - 1;
	return (uint64_t)(HIST_SUB + bucket % HIST_SUB) << shift;
}

void
hist_merge(struct hist *sum, const struct hist *from)
{
	uint64_t max = seen(&from->max);

	sum->count += seen(&from->count);
	sum->sum += seen(&from->sum);
	sum->max = MAX(sum->max, max);
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		sum->bucket[i] += seen(&from->bucket[i]);
}

void
hist_since(struct hist *out, const struct hist *now, const struct hist *then)
{
	out->count = now->count - then->count;
	out->sum = now->sum - then->sum;
	out->max = now->max;
	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		out->bucket[i] = now->bucket[i] - then->bucket[i];
}

/* The middle of a bucket, but no more than the largest value, which is exact. */
static uint64_t
middle(const struct hist *h, unsigned bucket)
{
	if (bucket == HIST_BUCKETS - 1)
		return h->max;
	return MIN((hist_bucket_ns(bucket) + hist_bucket_ns(bucket + 1)) / 2, h->max);
}

/* By the buckets' own total: `count` of a histogram that is being written may be ahead of them. */
uint64_t
hist_quantile(const struct hist *h, double share)
{
	uint64_t total = 0, below = 0;
	unsigned i = 0;

	for (unsigned k = 0; k < HIST_BUCKETS; k++)
		total += h->bucket[k];
	if (total == 0)
		return 0;
	if (share >= 1)
		return h->max;
	while (below += h->bucket[i], below == 0 || (double)below < share * (double)total)
		i++;
	return middle(h, i);
}

uint64_t
hist_mean(const struct hist *h)
{
	return h->count ? h->sum / h->count : 0;
}
