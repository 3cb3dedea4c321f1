/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this core's protocol has done: per procedure calls, errors, bytes and
 * a latency histogram.  Written by its own core only, with plain stores; any
 * thread may read (relaxed: each number by itself is right).
 */
#ifndef PROTO_STATS_H
#define PROTO_STATS_H

#include "reactor/base.h"

enum { STATS_NFS_PROCS = 22, STATS_MOUNT_PROCS = 6, STATS_PROCS = STATS_NFS_PROCS + STATS_MOUNT_PROCS };

/*
 * Buckets like HdrHistogram's: four to each power of two, so a value is known
 * to a quarter.  Nanoseconds; the last bucket takes the rest (from 69 s on).
 */
#define STATS_BUCKETS 144

struct proc_stats {
	uint64_t calls;
	uint64_t errors;             /* answered with a status other than OK */
	uint64_t bytes;              /* payload of READ and WRITE */
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t bucket[STATS_BUCKETS];
};

struct proto_stats {
	struct proc_stats proc[STATS_PROCS]; /* NFSv3's by number, then MOUNT's */
	uint64_t records;            /* RPC records taken */
	uint64_t garbage;            /* connections closed for what they sent */
	uint64_t rejected;           /* RPC errors: version, program, procedure, arguments, credentials */
	uint64_t denied;             /* by the share's rules */
	uint64_t replayed;           /* answered from the duplicate request cache */
	uint64_t dropped;            /* replies for which the connection was gone */
	uint64_t waited_call, waited_buf, waited_conn; /* times a connection was made to wait, and for what */
	uint64_t refused_buf;        /* WRITEs that got no buffers in time: JUKEBOX */
	uint64_t sessions;           /* connections now open */
	uint64_t calls_now;          /* calls under way */
};

static inline void
stats_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* The bucket of a duration, and the shortest duration of a bucket. */
int      stats_bucket(uint64_t ns);
uint64_t stats_bucket_ns(int bucket);
void     stats_call(struct proc_stats *s, uint64_t ns, bool error, uint64_t bytes);
/* Adds `from` (another thread's) to the sum. */
void     stats_sum(struct proto_stats *sum, const struct proto_stats *from);
/* Nanoseconds under which the given share (0..1) of calls stayed; 0: no calls. */
uint64_t stats_quantile(const struct proc_stats *s, double share);
/* "READ", "MNT"; index into proc[]. */
const char *stats_proc_name(int proc);

#endif
