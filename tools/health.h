/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the server well, for load balancers and supervisors.  Admin threads, one at a time.
 *
 *   /livez    every reactor answers.  What a restart may mend: for liveness probes, and for systemd.
 *   /healthz  also, clients are served as they should be.  What a restart does not mend: for alerts, readiness, and for who
 *             spreads new mounts.  Not well is: shutting down; the object store is away or refuses us; the journal is full or
 *             broken; RocksDB or its log takes no changes.  A broken cache disk is none: reads are slower, and it is told.
 */
#ifndef TOOLS_HEALTH_H
#define TOOLS_HEALTH_H

#include <stdio.h>

#include "tools/daemon.h"

#define HEALTH_ANSWER_MS 3000  /* for all reactors together */
#define HEALTH_ROOM_S    5     /* writers have waited for so long: the journal is full, not only in use */

/* How many reasons there are not to be well; a line each into the stream, where there is one. */
int health_look(const struct daemon *d, FILE *out);
/* The bodies of both pages; *well: it is. The caller frees. */
char *health_text(const struct daemon *d, bool *well);
char *health_live_text(const struct daemon *d, bool *well);

#endif
