/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/stats.h"

/* Four buckets to a power of two; below 4 each value has its own. */
int
stats_bucket(uint64_t ns)
{
	int log2, bucket;

	if (ns < 4)
		return (int)ns;
	log2 = 63 - __builtin_clzll(ns);
	bucket = 4 * (log2 - 1) + (int)(ns >> (log2 - 2) & 3);
	return MIN(bucket, STATS_BUCKETS - 1);
}

uint64_t
stats_bucket_ns(int bucket)
{
	int log2 = bucket / 4 + 1;

	if (bucket < 4)
		return (uint64_t)bucket;
	return (uint64_t)(4 + bucket % 4) << (log2 - 2);
}

void
stats_call(struct proc_stats *s, uint64_t ns, bool error, uint64_t bytes)
{
	stats_add(&s->calls, 1);
	if (error)
		stats_add(&s->errors, 1);
	if (bytes)
		stats_add(&s->bytes, bytes);
	stats_add(&s->total_ns, ns);
	if (ns > s->max_ns)
		stats_add(&s->max_ns, ns - s->max_ns);
	stats_add(&s->bucket[stats_bucket(ns)], 1);
}

static uint64_t
seen(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

void
stats_sum(struct proto_stats *sum, const struct proto_stats *from)
{
	for (int i = 0; i < STATS_PROCS; i++) {
		struct proc_stats *a = &sum->proc[i];
		const struct proc_stats *b = &from->proc[i];
		uint64_t max;

		a->calls += seen(&b->calls);
		a->errors += seen(&b->errors);
		a->bytes += seen(&b->bytes);
		a->total_ns += seen(&b->total_ns);
		max = seen(&b->max_ns);
		a->max_ns = MAX(a->max_ns, max);
		for (int k = 0; k < STATS_BUCKETS; k++)
			a->bucket[k] += seen(&b->bucket[k]);
	}
	sum->records += seen(&from->records);
	sum->garbage += seen(&from->garbage);
	sum->rejected += seen(&from->rejected);
	sum->denied += seen(&from->denied);
	sum->replayed += seen(&from->replayed);
	sum->dropped += seen(&from->dropped);
	sum->waited_call += seen(&from->waited_call);
	sum->waited_buf += seen(&from->waited_buf);
	sum->waited_conn += seen(&from->waited_conn);
	sum->refused_buf += seen(&from->refused_buf);
	sum->sessions += seen(&from->sessions);
	sum->calls_now += seen(&from->calls_now);
}

uint64_t
stats_quantile(const struct proc_stats *s, double share)
{
	uint64_t total = 0, below = 0;

	for (int i = 0; i < STATS_BUCKETS; i++)
		total += s->bucket[i];
	if (total == 0)
		return 0;
	for (int i = 0; i < STATS_BUCKETS - 1; i++) {
		below += s->bucket[i];
		if ((double)below >= share * (double)total)
			return stats_bucket_ns(i + 1);
	}
	return s->max_ns;
}

const char *
stats_proc_name(int proc)
{
	static const char *const names[STATS_PROCS] = {
		"NULL", "GETATTR", "SETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "CREATE", "MKDIR",
		"SYMLINK", "MKNOD", "REMOVE", "RMDIR", "RENAME", "LINK", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO",
		"PATHCONF", "COMMIT", "MOUNT_NULL", "MNT", "DUMP", "UMNT", "UMNTALL", "EXPORT",
	};

	return names[proc];
}
