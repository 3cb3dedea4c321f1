/* SPDX-License-Identifier: Apache-2.0 */
/* Where the time of calls goes, for `status --latency`. */
#include <jansson.h>

#include "reactor/latency.h"
#include "tools/totals.h"

static double
us(uint64_t ns)
{
	return (double)ns / 1e3;
}

static json_t *
hist_json(const struct hist *h)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)h->count, "mean_us", us(hist_mean(h)), "p50_us",
		us(hist_quantile(h, 0.5)), "p99_us", us(hist_quantile(h, 0.99)), "p99_9_us", us(hist_quantile(h, 0.999)),
		"max_us", us(h->max));
}

static json_t *
procedure_json(int proc, const struct proc_stats *p)
{
	json_t *stages = json_object();

	for (int t = STATS_TOTAL + 1; t < STATS_TIMES; t++)
		if (p->time[t].count)
			json_object_set_new(stages, stats_time_name(t), hist_json(&p->time[t]));
	return json_pack("{s:s, s:o, s:o}", "procedure", stats_proc_name(proc), "total", hist_json(&p->time[STATS_TOTAL]), "stages",
		stages);
}

char *
report_latency_json(const struct daemon *d)
{
	const struct proto_stats *sum = totals_proto(d);
	json_t *procs = json_array(), *parts = json_array(), *j;
	struct hist h;
	const char *name;
	char *text;

	for (int i = 0; i < STATS_PROCS; i++)
		if (sum->proc[i].calls)
			json_array_append_new(procs, procedure_json(i, &sum->proc[i]));
	for (int i = 0; (name = latency_sum(i, &h)); i++)
		json_array_append_new(parts, json_pack("{s:s, s:o}", "part", name, "total", hist_json(&h)));
	j = json_pack("{s:o, s:o}", "procedures", procs, "parts", parts);
	text = json_dumps(j, JSON_INDENT(2));
	json_decref(j);
	return text;
}
