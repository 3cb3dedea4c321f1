/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/lib/measure.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t
measure_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void
measure_pause(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9) };

	nanosleep(&t, NULL);
}

/* The process's own clock: to the nanosecond, where /proc/PID/stat counts ticks of 10 ms. */
uint64_t
measure_cpu_ns(uint32_t pid)
{
	struct timespec t;
	clockid_t clock;

	if (clock_getcpuclockid((pid_t)(pid ? pid : (uint32_t)getpid()), &clock) != 0 || clock_gettime(clock, &t) < 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void
measure_fail(const char *what, int err)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s%s%s\n", program_invocation_short_name, what, err ? ": " : "",
	        err ? strerror(err) : "");
	exit(1);
}

/* ---- latencies */

static uint32_t
bucket_of(uint64_t ns)
{
	uint32_t shift;

	if (ns < HIST_SUB)
		return (uint32_t)ns;
	shift = 63 - (uint32_t)__builtin_clzll(ns) - 6;
	return (shift + 1) * HIST_SUB + (uint32_t)(ns >> shift) - HIST_SUB;
}

/* The largest value that falls into it. */
static uint64_t
bucket_end(uint32_t i)
{
	uint32_t shift;

	if (i < HIST_SUB)
		return i;
	shift = i / HIST_SUB - 1;
	return ((uint64_t)(i % HIST_SUB + HIST_SUB + 1) << shift) - 1;
}

void
hist_add(struct hist *h, uint64_t ns)
{
	uint32_t i = bucket_of(ns);

	h->bucket[i < HIST_BUCKETS ? i : HIST_BUCKETS - 1]++;
	h->n++;
	h->sum_ns += ns;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

void
hist_merge(struct hist *into, const struct hist *from)
{
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
	into->n += from->n;
	into->sum_ns += from->sum_ns;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
}

double
hist_quantile_us(const struct hist *h, double share)
{
	uint64_t rank = (uint64_t)(share * (double)h->n), seen = 0;

	if (!h->n)
		return 0;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen > rank) {
			uint64_t v = bucket_end(i);

			return (double)(v < h->max_ns ? v : h->max_ns) / 1e3;
		}
	}
	return (double)h->max_ns / 1e3;
}

/* ---- rounds */

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double
measure_median(double *v, int n)
{
	if (n == 0)
		return 0;
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* ---- JSON */

static bool json_first;

void
json_begin(void)
{
	putchar('{');
	json_first = true;
}

static void
key_put(const char *key)
{
	printf("%s\"%s\": ", json_first ? "" : ", ", key);
	json_first = false;
}

void
json_str(const char *key, const char *value)
{
	key_put(key);
	putchar('"');
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar(*value);
	}
	putchar('"');
}

void
json_num(const char *key, double value, int decimals)
{
	key_put(key);
	printf("%.*f", decimals, value);
}

void
json_end(void)
{
	puts("}");
	fflush(stdout);
}
