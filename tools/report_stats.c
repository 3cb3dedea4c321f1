/* SPDX-License-Identifier: Apache-2.0 */
/* Counters since the start, for who takes their difference: `stats`, and `bench --server`. */
#include <jansson.h>
#include <stdio.h>
#include <time.h>

#include "proto/server.h"
#include "store/objcount.h"
#include "tools/daemon.h"

#define POOLS_MAX 1024

static json_int_t
clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (json_int_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* From /proc/self/statm: its second number is what is resident, in pages. */
static json_int_t
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long pages = 0;

	if (f && fscanf(f, "%*s %lld", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (json_int_t)PAGE;
}

static json_int_t
buffer_bytes(void)
{
	static struct pool_stat pools[POOLS_MAX]; /* the admin thread only */
	int n = MIN(pool_stats(pools, POOLS_MAX), POOLS_MAX);
	uint64_t used = 0;

	for (int i = 0; i < n; i++)
		if (!strcmp(pools[i].name, "buffers"))
			used += pools[i].used_bytes;
	return (json_int_t)used;
}

static json_t *
procedures_json(const struct daemon *d)
{
	static struct proto_stats sum; /* the admin thread only */
	json_t *out = json_array();

	memset(&sum, 0, sizeof(sum));
	for (int i = 0; i < d->cores; i++)
		stats_sum(&sum, server_stats(i));
	for (int i = 0; i < STATS_PROCS; i++) {
		const struct proc_stats *p = &sum.proc[i];

		if (p->calls)
			json_array_append_new(out, json_pack("{s:s, s:I, s:I, s:I, s:I}", "procedure", stats_proc_name(i), "calls",
				(json_int_t)p->calls, "errors", (json_int_t)p->errors, "bytes", (json_int_t)p->bytes, "ns",
				(json_int_t)p->time[STATS_TOTAL].sum));
	}
	return out;
}

static json_t *
requests_json(void)
{
	json_t *out = json_object();

	for (int i = 0; i < OBJ_CLASSES; i++)
		json_object_set_new(out, objcount_name(i), json_integer((json_int_t)objcount_get(i).requests));
	return out;
}

char *
report_stats_json(const struct daemon *d)
{
	uint64_t hits = 0, misses = 0;

	for (int i = 0; i < d->cores; i++) {
		const struct file_stats *s = file_stats(i);

		hits += s->cache_hits, misses += s->cache_misses;
	}
	json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o}", "time_ns", clock_ns(CLOCK_MONOTONIC), "cpu_ns",
		clock_ns(CLOCK_PROCESS_CPUTIME_ID), "rss_bytes", resident_bytes(), "buffer_bytes", buffer_bytes(), "procedures",
		procedures_json(d), "cache_hits", (json_int_t)hits, "cache_misses", (json_int_t)misses, "requests", requests_json());
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	return text;
}
