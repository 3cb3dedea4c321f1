/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text exposition format of Prometheus, version 0.0.4: a family's HELP and TYPE, then its samples.  Who writes keeps the
 * samples of a family together.  Labels are pairs of strings after the value, ended by NULL; their values are escaped here.
 */
#ifndef TOOLS_PROMETHEUS_H
#define TOOLS_PROMETHEUS_H

#include <stdio.h>

#include "reactor/hist.h"

#define PROM_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define PROM_FINEST 12 /* buckets begin at 2^12 ns, 4 µs, ... */
#define PROM_WIDEST 34 /* ... and end at 2^34 ns, 17 s */

/* "counter", "gauge" or "histogram".  `help` is one line, without backslashes. */
void prom_family(FILE *out, const char *name, const char *type, const char *help);
void prom_count(FILE *out, const char *name, uint64_t value, ...) __attribute__((sentinel));
void prom_ratio(FILE *out, const char *name, double value, ...) __attribute__((sentinel));
void prom_seconds(FILE *out, const char *name, uint64_t ns, ...) __attribute__((sentinel));
/* One series of a histogram family: a bucket at every 2^step of nanoseconds; its count is that of its buckets. */
void prom_hist(FILE *out, const char *name, const struct hist *h, int step, ...) __attribute__((sentinel));

/* A family with one sample. */
static inline void
prom_counter(FILE *out, const char *name, const char *help, uint64_t value)
{
	prom_family(out, name, "counter", help);
	prom_count(out, name, value, NULL);
}

static inline void
prom_gauge(FILE *out, const char *name, const char *help, uint64_t value)
{
	prom_family(out, name, "gauge", help);
	prom_count(out, name, value, NULL);
}

#endif
