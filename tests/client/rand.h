/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeded random numbers for the tests: xorshift64* (Vigna 2016).  The caller
 * owns the state; the same seed gives the same numbers everywhere.
 */
#ifndef TESTS_CLIENT_RAND_H
#define TESTS_CLIENT_RAND_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t s; /* never 0 */
};

static inline uint64_t
rng_next(struct rng *r)
{
	r->s ^= r->s >> 12;
	r->s ^= r->s << 25;
	r->s ^= r->s >> 27;
	return r->s * 0x2545f4914f6cdd1dULL;
}

static inline void
rng_seed(struct rng *r, uint64_t seed)
{
	r->s = seed * 0x9e3779b97f4a7c15ULL + 0x1234567;
	if (!r->s)
		r->s = 1;
	for (int i = 0; i < 8; i++)
		rng_next(r);
}

/* 0 .. n-1; n must not be 0. */
static inline uint64_t
rng_below(struct rng *r, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)rng_next(r) * n) >> 64);
}

static inline uint64_t
rng_between(struct rng *r, uint64_t lo, uint64_t hi)
{
	return lo + rng_below(r, hi - lo + 1);
}

/* True in so many of a hundred cases. */
static inline bool
rng_percent(struct rng *r, unsigned percent)
{
	return rng_below(r, 100) < percent;
}

/* 1 .. max, small ones far more often: the exponent is what is drawn evenly. */
static inline uint64_t
rng_log(struct rng *r, uint64_t max)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(max);
	uint64_t v = 1 + (rng_next(r) & ((2ULL << rng_below(r, bits)) - 1));

	return v < max ? v : max;
}

#endif
