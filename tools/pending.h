/* SPDX-License-Identifier: Apache-2.0 */
/* What is not in the object store yet: for `status`, `flush` and the drain at the end.  Not on reactors. */
#ifndef TOOLS_PENDING_H
#define TOOLS_PENDING_H

#include "tools/daemon.h"

struct pending {
	uint64_t files, bytes;
	uint64_t rate;    /* of uploads: bytes a second, a moving average */
	int64_t eta_s;    /* at that rate; -1: not known */
	bool away, stuck; /* file.h: struct file_pending */
};

uint64_t pending_now_ns(void); /* CLOCK_MONOTONIC */
/* Of all that was dirty at since_ns, all cores; makes its turn come now.  Blocking. */
void pending_ask(const struct daemon *d, uint64_t since_ns, struct pending *p);
/* The same as JSON; since_ns 0: now.  The caller frees. */
char *pending_json(const struct daemon *d, uint64_t since_ns);
/* All there is, as the counters have it; asks for nothing. */
void pending_look(const struct daemon *d, struct pending *p);
/*
 * Uploads all that is dirty, with a line in the log each second; ends after shutdown.drain_limit, where that is
 * set.  What is left stays in the journal.
 */
void pending_drain(const struct daemon *d);

#endif
