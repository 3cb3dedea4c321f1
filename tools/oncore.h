/* SPDX-License-Identifier: Apache-2.0 */
/* How a thread that may block (main, admin) has something done on a reactor core. */
#ifndef TOOLS_ONCORE_H
#define TOOLS_ONCORE_H

#include "reactor/shard.h"

/* Runs start(arg, op) on the core and waits for its op: op->res.  Not from a reactor thread. */
int on_core(int core, enum op_state (*start)(void *arg, struct op *op), void *arg);
/* Asks all of them for a sign of life: the first that gives none within timeout_ms, or -1. */
int on_core_silent(int cores, int timeout_ms);

#endif
