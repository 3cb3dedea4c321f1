/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings back what was removed to where it was: one thing, or all that was at and below a path, newest first, so
 * directories before what was in them.  A directory above it that was removed comes back with it; where there is another
 * one of its path now, what was in it goes there.
 *
 * A thread of its own, because it blocks; each thing is a RENAME as a client's, as root.  One at a time.
 */
#ifndef TOOLS_TRASH_RESTORE_H
#define TOOLS_TRASH_RESTORE_H

#include "tools/daemon.h"
#include "tools/job.h"

#define RESTORE_REFUSED 100 /* so many are told; the others are counted */

struct restore_refused {
	char *path;
	int err;                 /* -EEXIST: the name is taken; -ENOENT: its directory has gone for good; what RENAME says */
};

struct restore_report {
	struct job_state job;
	uint64_t looked, found, restored;
	uint64_t older;          /* versions of the same path that stay */
	uint64_t nrefused;
	struct restore_refused refused[RESTORE_REFUSED];
};

/*
 * PATH as it was: /export/a/b; or where it is: /export/.trash/HOUR/NAME.  `force`: in the place of a file that has the name now.
 * 0; -EBUSY: one is under way.
 */
int  trash_restore_start(const struct daemon *d, const char *path, bool force);
/* Ends early, and waits for it. */
void trash_restore_stop(void);
/* Of the one that is under way, or of the last; `see` reads it while it stands still. */
void trash_restore_look(void (*see)(const struct restore_report *r, void *arg), void *arg);

#endif
