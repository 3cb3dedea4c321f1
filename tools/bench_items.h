/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The items of `dittofs bench`: threads that write, read and stat files in a
 * directory of the benchmark's own, and the removal of all that.
 */
#ifndef TOOLS_BENCH_ITEMS_H
#define TOOLS_BENCH_ITEMS_H

#include "tools/bench_fs.h"
#include "tools/bench_table.h"
#include "tools/counters.h"

#define BENCH_THREADS_MAX 256

struct bench_opts {
	const char *target;         /* a directory, or nfs://... */
	const struct bench_fs_ops *ops;
	int threads, depth;
	uint64_t big_bytes, small_bytes;
	uint32_t block_bytes, small_count; /* of each thread */
	bool fsync;                 /* small files too */
	bool drop_caches;           /* the whole machine's, where we may */
	const char *server;         /* the control socket of the server behind it, a dittofs; or NULL */
};

/* What the server did while the items ran; time_ns is 0 when it was not asked. */
extern struct counters bench_server;

/*
 * Makes the directory and runs every item.  0, or -errno with a sentence in
 * why[]; -EINTR when a signal ended it.  Whatever the result, what it made is
 * removed again, or it says on stderr what could not be.
 */
int bench_items(const struct bench_opts *o, struct bench_watch *w, struct bench_report *rep, char why[256]);

#endif
