/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Brings back what the journals of earlier runs hold: dirty extents whose bytes
 * stay where they are, on disk, until somebody reads them or they are uploaded.
 */
#ifndef META_REPLAY_H
#define META_REPLAY_H

#include <stdbool.h>

/* On each core, blocking, before its first lap: the records of its inodes.  The last core frees them all. */
int  replay_run(void);
void replay_fini(void);
bool replay_is_busy(void);

#endif
