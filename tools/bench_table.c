/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

void
bench_note(struct bench_report *r, const char *fmt, ...)
{
	va_list ap;

	if (r->nnotes == BENCH_NOTES_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(r->note[r->nnotes++], sizeof(r->note[0]), fmt, ap);
	va_end(ap);
}

uint64_t
bench_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Files are large things, objects are not. */
static bool
takes_seconds(const struct bench_result *r)
{
	return !strcmp(r->unit, "MiB/s") && !strcmp(r->each, "file");
}

static bool
counts_bytes(const struct bench_result *r)
{
	return !strcmp(r->unit, "MiB/s");
}

double
bench_value(const struct bench_result *r)
{
	double s = (double)r->seconds_ns / 1e9;

	if (r->seconds_ns == 0)
		return 0;
	return counts_bytes(r) ? (double)r->bytes / (double)MIB / s : (double)r->things / s;
}

/* Seconds for one file or object, by who made it. */
static double
cost_s(const struct bench_result *r)
{
	return r->things ? (double)r->each_ns / 1e9 / (double)r->things : 0;
}

static double
ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

void
bench_print_table(const struct bench_report *rep)
{
	if (rep->nresults > 0)
		printf("%-24s %18s %18s  %9s %9s %9s %9s\n", "ITEM", "VALUE", "COST", "P50 ms", "P95 ms", "P99 ms", "MAX ms");
	for (int i = 0; i < rep->nresults; i++) {
		const struct bench_result *r = &rep->result[i];
		const struct hist *h = &r->latency;
		char value[32], cost[32];

		snprintf(value, sizeof(value), "%.2f %s", bench_value(r), r->unit);
		if (takes_seconds(r))
			snprintf(cost, sizeof(cost), "%.2f s/%s", cost_s(r), r->each);
		else
			snprintf(cost, sizeof(cost), "%.2f ms/%s", cost_s(r) * 1e3, r->each);
		printf("%-24s %18s %18s  %9.3f %9.3f %9.3f %9.3f  a %s\n", r->item, value, cost, ms(hist_quantile(h, 0.5)),
			ms(hist_quantile(h, 0.95)), ms(hist_quantile(h, 0.99)), ms(h->max), r->timed);
	}
	for (int i = 0; i < rep->nnotes; i++)
		printf("%s%s\n", i || rep->nresults == 0 ? "" : "\n", rep->note[i]);
}

static double
us(uint64_t ns)
{
	return (double)ns / 1e3;
}

json_t *
bench_items_json(const struct bench_report *rep)
{
	json_t *out = json_array();

	for (int i = 0; i < rep->nresults; i++) {
		const struct bench_result *r = &rep->result[i];
		const struct hist *h = &r->latency;

		json_array_append_new(out, json_pack("{s:s, s:f, s:s, s:f, s:s, s:I, s:I, s:f, s:s, s:o}", "item", r->item, "value",
			bench_value(r), "unit", r->unit, "cost_ms", cost_s(r) * 1e3, "cost_of", r->each, "count", (json_int_t)r->things,
			"bytes", (json_int_t)r->bytes, "seconds", (double)r->seconds_ns / 1e9, "latency_of", r->timed, "latency_us",
			json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)h->count, "mean", us(hist_mean(h)),
				"p50", us(hist_quantile(h, 0.5)), "p95", us(hist_quantile(h, 0.95)), "p99",
				us(hist_quantile(h, 0.99)), "p99_9", us(hist_quantile(h, 0.999)), "max", us(h->max))));
	}
	return out;
}

json_t *
bench_notes_json(const struct bench_report *rep)
{
	json_t *out = json_array();

	for (int i = 0; i < rep->nnotes; i++)
		json_array_append_new(out, json_string(rep->note[i]));
	return out;
}
