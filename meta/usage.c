/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/usage.h"

#include <stdatomic.h>

#include "meta/record.h"

struct sum { _Atomic int64_t bytes, inodes, trash_bytes, trash_inodes; _Atomic uint64_t trash_ns; };

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

static void
trash_add(struct sum *s, int64_t bytes, int64_t inodes)
{
	atomic_fetch_add_explicit(&s->trash_bytes, bytes, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->trash_inodes, inodes, memory_order_relaxed);
}

int
usage_load(const uint32_t *ids, int n)
{
	memset(sums, 0, sizeof(sums));
	for (int i = 0; i < n; i++) {
		uint8_t key[8], val[32] = { 0 };
		struct sum *to = mine(ids[i]);
		int res = kv_get_now(key, key_usage(key, ids[i]), val, sizeof(val));

		if (res < 0 && res != -ENOENT)
			return res;
		sum_add(to, (int64_t)get_le64(val), (int64_t)get_le64(val + 8));
		trash_add(to, (int64_t)get_le64(val + 16), (int64_t)get_le64(val + 24));
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
usage_add_trash(struct kv_batch *b, uint32_t share, int64_t bytes, int64_t inodes)
{
	struct sum *to = mine(share);
	uint8_t key[8], val[32] = { 0 };

	if (bytes == 0 && inodes == 0)
		return;
	put_le64(val + 16, (uint64_t)bytes);
	put_le64(val + 24, (uint64_t)inodes);
	kv_batch_merge(b, key, key_usage(key, share), val, sizeof(val));
	trash_add(to, bytes, inodes);
	if (inodes != 0)
		atomic_store_explicit(&to->trash_ns, reactor_wall_ns(), memory_order_relaxed);
}

void
usage_pending(uint32_t share, int64_t bytes)
{
	if (bytes != 0)
		sum_add(mine(share), bytes, 0);
}

/* Sums of several cores are not of one instant. */
static uint64_t
positive(int64_t n)
{
	return (uint64_t)MAX(n, 0);
}

void
usage_get(uint32_t share, struct usage *u)
{
	int64_t b = 0, i = 0, tb = 0, ti = 0;

	*u = (struct usage){ 0 };
	for (int core = 0; core <= REACTOR_MAX_CORES; core++) {
		struct sum *s = &sums[core][share];

		b += atomic_load_explicit(&s->bytes, memory_order_relaxed);
		i += atomic_load_explicit(&s->inodes, memory_order_relaxed);
		tb += atomic_load_explicit(&s->trash_bytes, memory_order_relaxed);
		ti += atomic_load_explicit(&s->trash_inodes, memory_order_relaxed);
		u->trash_ns = MAX(u->trash_ns, atomic_load_explicit(&s->trash_ns, memory_order_relaxed));
	}
	u->bytes = positive(b);
	u->inodes = positive(i);
	u->trash_bytes = positive(tb);
	u->trash_inodes = positive(ti);
}
