/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads for what can block: RocksDB misses, files of the local object store,
 * DNS.  One pool a process.  The work runs with no reactor state (reactor_core()
 * is -1 there); its result comes back to the calling core as op->res.
 */
#ifndef REACTOR_WORKER_H
#define REACTOR_WORKER_H

#include "reactor/shard.h"

struct work {
	struct shard_msg msg; /* the way back */
	struct work *next;
	int (*run)(struct work *w); /* on a worker thread: 0 or more, or -errno */
	struct op *wait;
	int core, res;
};

/* Always OP_PENDING.  `w` is the caller's until wait resumes. */
enum op_state worker_run(struct work *w, int (*run)(struct work *w), struct op *wait);

#endif
