/* SPDX-License-Identifier: Apache-2.0 */
/* Work that the server does in the background when it is asked to (gc, fsck, compact): started, watched, and left alone. */
#ifndef TOOLS_CONTROL_JOB_H
#define TOOLS_CONTROL_JOB_H

#include <jansson.h>

#include "tools/config.h"

/* What the server answers; NULL after a sentence on stderr.  The caller puts it. */
json_t *control_json(const char *cmd, const struct config *c, const char *url);
/*
 * Asks for `start`, then `url` again and again, until "running" is false: the last answer, as above, or
 * NULL where it has an "error", which was told.  Interrupted, the work goes on.  `progress` (or NULL) writes what is seen
 * meanwhile on stderr.
 */
json_t *control_job(const char *cmd, const struct config *c, const char *start, const char *url,
                    void (*progress)(const json_t *j));
/*
 * All of a subcommand without options of its own: `show` prints the last answer for people.  Exit status 1 also where the
 * number `bad` in it is not 0.
 */
int control_job_main(int argc, char **argv, const char *start, const char *url, void (*progress)(const json_t *j),
                     void (*show)(const json_t *j), const char *bad);

#endif
