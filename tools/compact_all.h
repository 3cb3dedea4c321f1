/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merges what is worth it in all files (meta/compact.h), whether or not anybody reads or writes them: a walk over all
 * chunks that asks for those with pieces enough, and waits until each was looked at.  Merging keeps to its rate.
 *
 * A thread of its own, because the walk blocks.  One at a time.
 */
#ifndef TOOLS_COMPACT_ALL_H
#define TOOLS_COMPACT_ALL_H

#include "tools/daemon.h"
#include "tools/job.h"

struct compact_all_report {
	struct job_state job;
	uint64_t chunks, worth;       /* looked at; of these, with something to merge */
	uint64_t waiting;             /* of those, not merged yet */
	/* Merged since it began, by it or for readers. */
	uint64_t merges, bytes, pieces_before, pieces_after, errors;
};

/* 0; -EBUSY: one is under way; -ENOTSUP: compaction is off. */
int  compact_all_start(const struct daemon *d);
/* Ends early, and waits for it. */
void compact_all_stop(void);
/* Of the one that is under way, or of the last. */
void compact_all_look(struct compact_all_report *r);

#endif
