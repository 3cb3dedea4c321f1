/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long the parts of the server below the protocol take: durations by name
 * ("journal sync", "object get"), a histogram for each core, summed for who asks.
 */
#ifndef REACTOR_LATENCY_H
#define REACTOR_LATENCY_H

#include "reactor/hist.h"

#define LATENCY_NAMES 16

/*
 * This core's histogram of that name, made empty at the first call, which allocates: for
 * init functions, and to be kept.  Only this core may record.  It lasts as long as the
 * process, and is the same again after a restart of the reactors.
 */
struct hist *latency_hist(const char *name);
/*
 * Any thread: the n-th name, from 0, in the order of their first calls, and its sum over
 * all cores; NULL when there are not so many.
 */
const char *latency_sum(int n, struct hist *sum);

#endif
