/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/counters.h"

#define HEAD_EVERY 20 /* lines */

/* 1234 -> "1.2K": at most five characters.  `step` is 1000 for numbers, 1024 for bytes. */
static const char *
brief(double v, double step)
{
	static const char units[] = " KMGTP";
	static char out[8][16];
	static unsigned at;
	size_t u = 0;

	for (; v >= 999.5 && u + 2 < sizeof(units); u++)
		v /= step;
	at = (at + 1) % 8;
	snprintf(out[at], sizeof(out[at]), v < 9.95 && (u > 0 || (v > 0 && v < 0.95)) ? "%.1f%.*s" : "%.0f%.*s", v, u > 0, &units[u]);
	return out[at];
}

static double
per_second(const struct counters *d, uint64_t count)
{
	return (double)count * 1e9 / (double)d->time_ns;
}

static void
print_head(bool colour)
{
	const char *on = colour ? "\033[1;34m" : "", *off = colour ? "\033[0m" : "";

	printf("%s------usage------ ---nfs-ops--- --cache-- --s3-ops--%s\n", on, off);
	printf("%s  cpu   mem   buf   read  write   hit miss  get  put%s\n", on, off);
}

static void
print_line(const struct counters *d, bool colour)
{
	uint64_t lookups = d->cache_hits + d->cache_misses;
	char hit[8] = "-", miss[8] = "-";
	const char *on = colour && d->cache_misses > 0 ? "\033[33m" : "", *off = *on ? "\033[0m" : "";

	if (lookups > 0) {
		double share = 100.0 * (double)d->cache_hits / (double)lookups;

		snprintf(hit, sizeof(hit), "%.0f%%", share);
		snprintf(miss, sizeof(miss), "%.0f%%", 100 - share);
	}
	printf("%4.0f%% %5s %5s  %5s  %5s  %s%4s %4s%s %4s %4s\n", 100.0 * (double)d->cpu_ns / (double)d->time_ns,
		brief((double)d->rss_bytes, 1024), brief((double)d->buffer_bytes, 1024),
		brief(per_second(d, counters_of(d, "READ").calls), 1000), brief(per_second(d, counters_of(d, "WRITE").calls), 1000), on,
		hit, miss, off, brief(per_second(d, d->gets), 1000), brief(per_second(d, d->puts), 1000));
}

static void
print_json(const struct counters *d)
{
	struct counters_proc r = counters_of(d, "READ"), w = counters_of(d, "WRITE");
	uint64_t calls = 0, ns = 0;
	json_t *j;

	for (int i = 0; i < d->nprocs; i++)
		calls += d->proc[i].calls, ns += d->proc[i].ns;
	j = json_pack("{s:f, s:f, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I, s:f, s:f}", "seconds", (double)d->time_ns / 1e9,
		"cpu_percent", 100.0 * (double)d->cpu_ns / (double)d->time_ns, "mem_bytes", (json_int_t)d->rss_bytes, "buf_bytes",
		(json_int_t)d->buffer_bytes, "ops_per_s", per_second(d, calls), "op_mean_us", calls ? (double)ns / 1e3 / (double)calls : 0.0,
		"reads_per_s", per_second(d, r.calls), "read_bytes_per_s", per_second(d, r.bytes), "writes_per_s", per_second(d, w.calls),
		"write_bytes_per_s", per_second(d, w.bytes), "cache_hits", (json_int_t)d->cache_hits, "cache_misses",
		(json_int_t)d->cache_misses, "gets_per_s", per_second(d, d->gets), "puts_per_s", per_second(d, d->puts));
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

static void
sleep_ns(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };

	while (nanosleep(&t, &t) < 0)
		;
}

/* A line after each interval, `count` of them or until it is ended. */
static int
follow(const char *socket, uint64_t interval_ns, long count, bool json)
{
	static struct counters then, now, d;
	bool terminal = isatty(STDOUT_FILENO);
	char why[256];

	if (counters_get(socket, &then, why) < 0)
		return cmd_fail("stats", "%s", why);
	for (long i = 0; count == 0 || i < count; i++) {
		if (!json && i % HEAD_EVERY == 0)
			print_head(terminal);
		fflush(stdout);
		sleep_ns(interval_ns);
		if (counters_get(socket, &now, why) < 0)
			return cmd_fail("stats", "%s", why);
		if (!counters_since(&d, &now, &then))
			fprintf(stderr, "dittofs stats: the server was started anew\n");
		else if (json)
			print_json(&d);
		else
			print_line(&d, terminal);
		if (fflush(stdout) < 0)
			return 1; /* nobody reads any more */
		then = now;
	}
	return 0;
}

int
cmd_stats(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "interval", required_argument, NULL, 'i' }, { "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' }, { "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	const char *file = NULL;
	double interval = 1;
	bool json = false;
	long count = 0;
	char *end;
	int o;

	while ((o = getopt_long(argc, argv, "hi:n:", opts, NULL)) != -1) {
		if (o == 'i') {
			interval = strtod(optarg, &end);
			if (*end || !(interval >= 0.01 && interval <= 86400)) {
				cmd_fail("stats", "--interval: seconds from 0.01 to 86400, not '%s'", optarg);
				return 2;
			}
		} else if (o == 'n') {
			count = strtol(optarg, &end, 10);
			if (*end || count < 1) {
				cmd_fail("stats", "--count: a number of lines, not '%s'", optarg);
				return 2;
			}
		} else if (o == 'j') {
			json = true;
		} else if (o == 'c') {
			file = optarg;
		} else {
			return cmd_usage("stats", o == 'h');
		}
	}
	if (argc - optind != (file ? 0 : 1))
		return cmd_usage("stats", false);
	if (cmd_config_of("stats", file, argv[optind], &c))
		return 1;
	return follow(c.control, (uint64_t)(interval * 1e9), count, json);
}
