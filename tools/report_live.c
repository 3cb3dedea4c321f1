/* SPDX-License-Identifier: Apache-2.0 */
/* What the dashboard wants beside status: clocks, and the histogram of each procedure, so that it knows the last seconds' percentiles. */
#include <jansson.h>

#include "tools/totals.h"

/* Those that are not empty: the first nanosecond of each, and how many. */
static json_t *
buckets_json(const struct hist *h)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < HIST_BUCKETS; i++)
		if (h->bucket[i])
			json_array_append_new(out, json_pack("[I, I]", (json_int_t)hist_bucket_ns(i), (json_int_t)h->bucket[i]));
	return out;
}

char *
report_live_json(const struct daemon *d)
{
	const struct proto_stats *sum = totals_proto(d);
	json_t *procs = json_array(), *j;
	char *text;

	for (int i = 0; i < STATS_PROCS; i++)
		if (sum->proc[i].calls)
			json_array_append_new(procs, json_pack("{s:s, s:o}", "procedure", stats_proc_name(i), "buckets",
				buckets_json(&sum->proc[i].time[STATS_TOTAL])));
	j = json_pack("{s:I, s:I, s:I, s:o}", "time_ns", (json_int_t)totals_clock_ns(CLOCK_MONOTONIC), "cpu_ns", (json_int_t)totals_clock_ns(CLOCK_PROCESS_CPUTIME_ID),
		"buffer_bytes", (json_int_t)totals_buffers(), "procedures", procs);
	text = json_dumps(j, JSON_COMPACT);
	json_decref(j);
	return text;
}
