/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is everything that the metadata names in the object store?  A walk over all chunks, in the order of their inodes,
 * that asks for each object's size (HEAD), some at a time; nothing is read, nothing is changed.  What a client
 * changes meanwhile is looked at again before anybody is told.
 *
 * A thread of its own, because the walk blocks: RocksDB here, the object store through core 0.  One at a time.
 */
#ifndef TOOLS_FSCK_H
#define TOOLS_FSCK_H

#include "tools/daemon.h"
#include "tools/job.h"

#define FSCK_BROKEN 1000 /* so many are listed; the others are counted */

struct fsck_broken {
	char *path;              /* of the file, "/export/a/b"; or what is known of it */
	char *object;
	uint64_t off, len;       /* bytes of the file */
	bool cut;                /* the object is there, and too short */
};

struct fsck_report {
	struct job_state job;
	uint64_t files, blocks, bytes;
	uint64_t nbroken;        /* pieces of files */
	struct fsck_broken broken[FSCK_BROKEN];
};

/* 0; -EBUSY: one is under way. */
int  fsck_start(const struct daemon *d);
/* Ends early, and waits for it. */
void fsck_stop(void);
/* Of the one that is under way, or of the last; `see` reads it while it stands still. */
void fsck_look(void (*see)(const struct fsck_report *r, void *arg), void *arg);

#endif
