/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every benchmark program measures with: a clock, the CPU of processes, a histogram of
 * latencies, medians, and one JSON object a line on stdout.  Plain structs of the caller's;
 * nothing is shared, any thread.
 */
#ifndef BENCH_LIB_MEASURE_H
#define BENCH_LIB_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t measure_now_ns(void);
/*
 * CPU time of a process so far, all its threads and io_uring workers, in nanoseconds; 0 when
 * there is no such process.  pid 0: this one.
 */
uint64_t measure_cpu_ns(uint32_t pid);
void measure_pause(double seconds);
/* Prints "PROGRAM: what: reason" and ends with 1; err is an errno, 0: no reason. */
_Noreturn void measure_fail(const char *what, int err);

/* ---- latencies: buckets 1/64 of a power of two wide, so a value is known to 1.6 % */
enum { HIST_SUB = 64, HIST_BUCKETS = 58 * HIST_SUB };

struct hist {
	uint64_t n, sum_ns, max_ns;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *into, const struct hist *from);
/* The smallest value that share (0..1) of all are not above; in microseconds, 0 when empty. */
double hist_quantile_us(const struct hist *h, double share);

/* ---- rounds: sorts v */
double measure_median(double *v, int n);

/*
 * ---- one JSON object on stdout
 *
 * json_begin(); json_str("name", "echo"); json_num("ops_per_s", x, 1); json_end();
 */
void json_begin(void);
void json_str(const char *key, const char *value);
void json_num(const char *key, double value, int decimals);
void json_end(void);

#endif
