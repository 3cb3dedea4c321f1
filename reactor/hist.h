/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A histogram of durations in the manner of HdrHistogram (Tene): sixteen
 * buckets to each power of two, so a value is known to 1/16 of itself and a
 * quantile, which is the middle of its bucket, to 1/32.  Of fixed size, zeroed
 * is empty, nothing is allocated.
 *
 * Written by one thread with plain stores; any thread may read meanwhile
 * (relaxed: each number by itself is right, their sum may be a few values off).
 */
#ifndef REACTOR_HIST_H
#define REACTOR_HIST_H

#include "reactor/base.h"

#define HIST_SUB_BITS 4
#define HIST_SUB      (1 << HIST_SUB_BITS)
#define HIST_TOP_BITS 37 /* nanoseconds: the last bucket takes what is over 137 s */
#define HIST_BUCKETS  ((HIST_TOP_BITS - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t count, sum, max; /* nanoseconds; exact */
	uint64_t bucket[HIST_BUCKETS];
};

/* Below HIST_SUB each value has a bucket of its own. */
static inline unsigned
hist_bucket(uint64_t ns)
{
	int shift;

	if (ns < HIST_SUB)
		return (unsigned)ns;
	if (ns >> HIST_TOP_BITS)
		return HIST_BUCKETS - 1;
	shift = 63 - __builtin_clzll(ns) - HIST_SUB_BITS;
	return (unsigned)((shift + 1) * HIST_SUB) + (unsigned)(ns >> shift & (HIST_SUB - 1));
}

/* Its own thread only. */
static inline void
hist_record(struct hist *h, uint64_t ns)
{
	uint64_t *b = &h->bucket[hist_bucket(ns)];

	__atomic_store_n(&h->count, h->count + 1, __ATOMIC_RELAXED);
	__atomic_store_n(&h->sum, h->sum + ns, __ATOMIC_RELAXED);
	__atomic_store_n(b, *b + 1, __ATOMIC_RELAXED);
	if (ns > h->max)
		__atomic_store_n(&h->max, ns, __ATOMIC_RELAXED);
}

/* The shortest duration of a bucket; hist_bucket_ns(b + 1) is the first that is not in it. */
uint64_t hist_bucket_ns(unsigned bucket);
/* Adds `from`, which may be another thread's, to `sum`. */
void     hist_merge(struct hist *sum, const struct hist *from);
/* What was recorded between two readings of one histogram; its max is `now`'s. */
void     hist_since(struct hist *out, const struct hist *now, const struct hist *then);
/* Nanoseconds under which the given share (0..1) of the values stayed; the largest for 1, 0 when there are none. */
uint64_t hist_quantile(const struct hist *h, double share);
/* 0 when there are none. */
uint64_t hist_mean(const struct hist *h);

#endif
