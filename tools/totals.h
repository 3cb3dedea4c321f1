/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cores' counters as sums over all of them, for who reports them (report*.c, metrics.c, health.c).  They are read where they
 * lie, relaxed: no reactor is asked, none waits.  Admin threads, one at a time.
 */
#ifndef TOOLS_TOTALS_H
#define TOOLS_TOTALS_H

#include <time.h>

#include "proto/server.h"
#include "store/diskcache.h"
#include "tools/daemon.h"

#define TOTALS_POOLS 1024

void totals_file(const struct daemon *d, struct file_stats *sum); /* `away`, `journal_broken`: of any core; room_ns: the oldest */
void totals_disk(const struct daemon *d, struct diskcache_stats *sum);
uint64_t totals_evicted(const struct daemon *d);                  /* frames, by the memory cache */
/* Lends; until the next call. */
const struct proto_stats *totals_proto(const struct daemon *d);
/* Pools of the same name as one (core 0), up to TOTALS_POOLS; how many.  *total: bytes of all of them. */
int totals_pools(struct pool_stat *out, uint64_t *total);
/* Payload buffers in use. */
uint64_t totals_buffers(void);
/* Nanoseconds of a clock. */
int64_t totals_clock_ns(clockid_t id);
/* What the process may take: `pools` bytes, and what no pool counts. */
uint64_t totals_budget(const struct daemon *d, uint64_t pools);
/* Resident now and at most. */
void totals_rss(uint64_t *now, uint64_t *peak);

struct share_usage {
	uint64_t bytes, inodes, trash_bytes, trash_inodes;
};
void totals_share(const struct export *e, struct share_usage *u);

#endif
