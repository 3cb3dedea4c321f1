/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `dittofs warmup`: reads files as a client would, so that their data is in the caches, memory first and below it
 * the cache disks, when one comes, and looks each name up, so that names and attributes are known too.  On a thread of its own, beside
 * clients; so many READs at a time, of at most FILE_IO_MAX each, and in memory no more than these and the way down from
 * where it began.  Symlinks are not followed.
 *
 * From the admin thread.  One at a time.
 */
#ifndef TOOLS_WARMUP_H
#define TOOLS_WARMUP_H

#include "tools/daemon.h"
#include "tools/job.h"

#define WARMUP_READS     16  /* at a time, where nobody says how many */
#define WARMUP_READS_MAX 64

struct warmup_report {
	struct job_state job;
	uint64_t files, dirs, bytes;
	uint64_t errors;      /* files and directories that could not be read whole */
	char first[512];      /* the first of them, and why */
};

/* `path`: /SHARE/..., NULL: all shares.  0; -EBUSY: one is under way; -ENOENT, -ENOTDIR: there is no such path. */
int  warmup_start(const struct daemon *d, const char *path, int reads);
/* Ends the one that is under way; without a wait. */
void warmup_cancel(void);
/* At the end of the server; waits. */
void warmup_stop(void);
/* Of the one that is under way, or of the last. */
void warmup_look(struct warmup_report *r);

#endif
