/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this core's protocol has done: per procedure calls, errors, bytes and
 * where their time went.  Written by its own core only, with plain stores; any
 * thread may read (relaxed: each number by itself is right).
 */
#ifndef PROTO_STATS_H
#define PROTO_STATS_H

#include "reactor/hist.h"

enum { STATS_NFS_PROCS = 22, STATS_MOUNT_PROCS = 6, STATS_PROCS = STATS_NFS_PROCS + STATS_MOUNT_PROCS };

/*
 * The time of a call and its stages.  Queue, work and reply are the total; what
 * happens while it is queued for lack of memory, or at work in the journal,
 * belongs to them.
 */
enum stats_time {
	STATS_TOTAL, /* from the lap in which its record was all here until its reply is queued */
	STATS_QUEUE, /* until it runs on its owner's core: calls before it, memory, the way there */
	STATS_WORK,  /* until it has its result */
	STATS_REPLY, /* until its reply is queued: the way back, encoding; work where the result was there at once */
	STATS_SEND,  /* from there until the kernel has all of it; not in the total */
	STATS_TIMES
};

/* Statuses that are told apart: those of nfs3.h, and one for all others. */
#define STATS_STATUSES 28

struct proc_stats {
	uint64_t calls;              /* answered; those of time[STATS_TOTAL] */
	uint64_t errors;             /* answered with a status other than OK */
	uint64_t error[STATS_STATUSES]; /* of these, by stats_status_name */
	uint64_t bytes;              /* payload of READ and WRITE */
	struct hist time[STATS_TIMES];
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

/* When a call came to its stations (reactor_clock_ns).  0: run, it did not; ran, with its reply. */
struct stats_stamps {
	uint64_t start_ns, run_ns, ran_ns, queued_ns;
};

/* Its reply is queued. */
void stats_answered(struct proc_stats *s, const struct stats_stamps *at, bool error, uint64_t bytes);
/* ... and it was an error: nfsstat3 or mountstat3, as the client hears it. */
void stats_error(struct proc_stats *s, uint32_t status);
/* Its reply is sent. */
void stats_sent(struct proc_stats *s, const struct stats_stamps *at, uint64_t now_ns);
/* Adds `from` (another thread's) to the sum. */
void     stats_sum(struct proto_stats *sum, const struct proto_stats *from);
/* "READ", "MNT"; index into proc[]. */
const char *stats_proc_name(int proc);
/* "NOENT", "JUKEBOX", ..., "other"; index into error[]. */
const char *stats_status_name(int i);
/* "total", "queue", ... */
const char *stats_time_name(enum stats_time t);

#endif
