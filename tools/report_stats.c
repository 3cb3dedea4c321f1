/* SPDX-License-Identifier: Apache-2.0 */
/* Counters since the start, for who takes their difference: `stats`, and `bench --server`. */
#include <jansson.h>

#include "store/objcount.h"
#include "tools/totals.h"

static json_int_t
resident_bytes(void)
{
	uint64_t now, peak;

	totals_rss(&now, &peak);
	return (json_int_t)now;
}

static json_t *
procedures_json(const struct daemon *d)
{
	const struct proto_stats *sum = totals_proto(d);
	json_t *out = json_array();

	for (int i = 0; i < STATS_PROCS; i++) {
		const struct proc_stats *p = &sum->proc[i];

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
	struct file_stats f;

	totals_file(d, &f);
	json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o}", "time_ns", (json_int_t)totals_clock_ns(CLOCK_MONOTONIC), "cpu_ns",
		(json_int_t)totals_clock_ns(CLOCK_PROCESS_CPUTIME_ID), "rss_bytes", resident_bytes(), "buffer_bytes", (json_int_t)totals_buffers(), "procedures",
		procedures_json(d), "cache_hits", (json_int_t)f.cache_hits, "cache_misses", (json_int_t)f.cache_misses, "requests", requests_json());
	char *text = json_dumps(j, JSON_COMPACT);

	json_decref(j);
	return text;
}
