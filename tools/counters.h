/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running server's counters (GET /stats, report_stats.c), and what happened between
 * two readings.  The subcommands' side of the control socket.
 */
#ifndef TOOLS_COUNTERS_H
#define TOOLS_COUNTERS_H

#include "reactor/base.h"

#define COUNTERS_PROCS 64

struct counters {
	uint64_t time_ns, cpu_ns;          /* CLOCK_MONOTONIC; of the process since its start */
	uint64_t rss_bytes, buffer_bytes;  /* now */
	uint64_t cache_hits, cache_misses; /* look-ups of frames */
	uint64_t gets, puts;               /* sent to the object store */
	struct counters_proc {
		char name[16];             /* "READ" */
		uint64_t calls, errors, bytes, ns;
	} proc[COUNTERS_PROCS];
	int nprocs;
};

/* Asks the server: 0, or -errno with a sentence in why[]. */
int  counters_get(const char *socket, struct counters *c, char why[256]);
/* now - then; what is no counter is as it is now.  False when the server was started anew between them. */
bool counters_since(struct counters *out, const struct counters *now, const struct counters *then);
/* Zeros when it was never called. */
struct counters_proc counters_of(const struct counters *c, const char *procedure);

#endif
