/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What cache.c and fetch.c know of each other.  The outside is store/blockio.h.
 */
#ifndef STORE_CACHE_H
#define STORE_CACHE_H

#include "store/blockio.h"

/* As cache_find, but counts nothing: a miss is counted once, by who fetches it. */
struct buf *cache_peek(uint64_t slice, uint32_t frame);

/* Contexts of this core's fetches; cache_init and cache_fini call them. */
int  cache_fetch_init(void);
void cache_fetch_fini(void);

/* This core's counters, and how to add to one: others read them meanwhile. */
struct cache_stats *cache_count(void);

static inline void
count_up(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

#endif
