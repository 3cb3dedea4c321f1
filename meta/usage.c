/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/usage.h"

#include <stdatomic.h>

#include "meta/record.h"

struct sum { _Atomic int64_t bytes, inodes; };

/* Rows by core, so that no two cores write one cache line; the last is for other threads and what was loaded. */
static struct sum sums[REACTOR_MAX_CORES + 1][SHARES_MAX] __attribute__((aligned(CACHELINE)));

static struct sum *
mine(uint32_t share)
{
	int core = reactor_core();

	assert(share < SHARES_MAX);
	return &sums[core < 0 ? REACTOR_MAX_CORES : core][share];
}

static void
sum_add(struct sum *s, int64_t bytes, int64_t inodes)
{
	atomic_fetch_add_explicit(&s->bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->inodes, inodes, memory_order_relaxed);
}

int
usage_load(const uint32_t *ids, int n)
{
	memset(sums, 0, sizeof(sums));
	for (int i = 0; i < n; i++) {
		uint8_t key[8], val[16] = { 0 };
		int res = kv_get_now(key, key_usage(key, ids[i]), val, sizeof(val));

		if (res < 0 && res != -ENOENT)
			return res;
		sum_add(mine(ids[i]), (int64_t)get_le64(val), (int64_t)get_le64(val + 8));
	}
	return 0;
}

void
usage_add(struct kv_batch *b, uint32_t share, int64_t bytes, int64_t inodes)
{
	uint8_t key[8], val[16];

	if (bytes == 0 && inodes == 0)
		return;
	put_le64(val, (uint64_t)bytes);
	put_le64(val + 8, (uint64_t)inodes);
	kv_batch_merge(b, key, key_usage(key, share), val, sizeof(val));
	sum_add(mine(share), bytes, inodes);
}

void
usage_pending(uint32_t share, int64_t bytes)
{
	if (bytes != 0)
		sum_add(mine(share), bytes, 0);
}

void
usage_get(uint32_t share, uint64_t *bytes, uint64_t *inodes)
{
	int64_t b = 0, i = 0;

	for (int core = 0; core <= REACTOR_MAX_CORES; core++) {
		b += atomic_load_explicit(&sums[core][share].bytes, memory_order_relaxed);
		i += atomic_load_explicit(&sums[core][share].inodes, memory_order_relaxed);
	}
	/* Sums of several cores are not of one instant. */
	*bytes = (uint64_t)MAX(b, 0);
	*inodes = (uint64_t)MAX(i, 0);
}
