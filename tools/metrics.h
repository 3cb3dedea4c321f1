/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOOLS_METRICS_H
#define TOOLS_METRICS_H

#include "tools/daemon.h"

/*
 * All figures of the running server for Prometheus (GET /metrics); the caller frees.  Admin threads, one at a time.  Read where
 * they lie; only how many clients there are is asked of the reactors, a message each.
 */
char *metrics_text(const struct daemon *d);

#endif
