/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGHUP: the config is read again, and what may change while the server runs is handed to the cores, each of which takes it
 * between two calls.  What changed, and what has to wait for the next start, is told in the log.  A file with an error
 * changes nothing.  Main thread.
 */
#ifndef TOOLS_RELOAD_H
#define TOOLS_RELOAD_H

#include "tools/daemon.h"

/* d->seen: the file as it was read last; renewed. */
void reload(struct daemon *d);
/* The settings of *o that reload changes, of so many cores. */
void reload_tunables(struct file_opts *o, const struct config *c, uint32_t cores);

#endif
