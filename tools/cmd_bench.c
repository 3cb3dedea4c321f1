/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench_args.h"
#include "tools/bench_items.h"
#include "tools/cmd.h"

static struct bench_report report;
static struct bench_watch watch;

static json_t *
server_json(const struct counters *d)
{
	json_t *calls = json_array();

	for (int i = 0; i < d->nprocs; i++) {
		const struct counters_proc *p = &d->proc[i];

		if (p->calls)
			json_array_append_new(calls, json_pack("{s:s, s:I, s:I, s:f}", "procedure", p->name, "calls", (json_int_t)p->calls,
				"errors", (json_int_t)p->errors, "mean_ms", (double)p->ns / 1e6 / (double)p->calls));
	}
	return json_pack("{s:f, s:f, s:I, s:I, s:I, s:o}", "seconds", (double)d->time_ns / 1e9, "cpu_s", (double)d->cpu_ns / 1e9,
		"memory_bytes", (json_int_t)d->rss_bytes, "gets", (json_int_t)d->gets, "puts", (json_int_t)d->puts, "calls", calls);
}

static void
print_json(const struct bench_opts *o)
{
	json_t *j = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:i, s:b, s:f, s:o, s:o}", "target", o->target, "threads", o->threads,
		"big_file_bytes", (json_int_t)o->big_bytes, "block_bytes", (json_int_t)o->block_bytes, "small_file_bytes",
		(json_int_t)o->small_bytes, "small_files", (json_int_t)o->small_count, "depth", o->depth, "fsync_small", o->fsync,
		"client_cpu_s", (double)report.cpu_ns / 1e9, "items", bench_items_json(&report), "notes", bench_notes_json(&report));

	if (bench_server.time_ns > 0)
		json_object_set_new(j, "server", server_json(&bench_server));
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

/* Below the table: operations with ms each, CPU and memory of the server. */
static void
print_server(const struct counters *d)
{
	printf("\n%-16s %18s %18s\n", "SERVER", "OPERATIONS", "COST");
	for (int i = 0; i < d->nprocs; i++) {
		const struct counters_proc *p = &d->proc[i];

		if (p->calls)
			printf("%-16s %18" PRIu64 " %15.3f ms\n", p->name, p->calls, (double)p->ns / 1e6 / (double)p->calls);
	}
	printf("%-16s %18" PRIu64 "\n%-16s %18" PRIu64 "\n", "object GET", d->gets, "object PUT", d->puts);
	printf("CPU %.1f %% of one core, memory %s\n", 100.0 * (double)d->cpu_ns / (double)d->time_ns, format_bytes(d->rss_bytes));
}

static void
print_head(const struct bench_opts *o)
{
	printf("%s: %d thread%s, each with a file of %s in blocks of %s", o->target, o->threads, o->threads > 1 ? "s" : "",
		format_bytes(o->big_bytes), format_bytes(o->block_bytes));
	if (o->ops == &bench_nfs)
		printf(" (%d under way)", o->depth);
	printf(" and %u of %s\n\n", o->small_count, format_bytes(o->small_bytes));
}

static int
parse_args(int argc, char **argv, struct bench_opts *o, bool *json)
{
	enum { BIG = 256, BLOCK, SMALL, COUNT, DEPTH, FSYNC, DROP, SERVER };
	static const struct option opts[] = {
		{ "threads", required_argument, NULL, 'p' }, { "big-file-size", required_argument, NULL, BIG },
		{ "block-size", required_argument, NULL, BLOCK }, { "small-file-size", required_argument, NULL, SMALL },
		{ "small-file-count", required_argument, NULL, COUNT }, { "depth", required_argument, NULL, DEPTH },
		{ "fsync", no_argument, NULL, FSYNC }, { "drop-caches", no_argument, NULL, DROP },
		{ "server", required_argument, NULL, SERVER },
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static const char cmd[] = "bench";
	static struct config config;
	int c, bad = 0;

	while (bad == 0 && (c = getopt_long(argc, argv, "hp:", opts, NULL)) != -1) {
		switch (c) {
		case 'p':
			bad = bench_int(cmd, "threads", optarg, 1, BENCH_THREADS_MAX, &o->threads);
			break;
		case BIG:
			bad = bench_size(cmd, "big-file-size", optarg, 0, 1024 * GIB, &o->big_bytes);
			break;
		case BLOCK:
			bad = bench_size32(cmd, "block-size", optarg, 512, 64 * MIB, &o->block_bytes);
			break;
		case SMALL:
			bad = bench_size(cmd, "small-file-size", optarg, 1, 64 * MIB, &o->small_bytes);
			break;
		case COUNT:
			bad = bench_count(cmd, "small-file-count", optarg, 0, 10000000, &o->small_count);
			break;
		case DEPTH:
			bad = bench_int(cmd, "depth", optarg, 1, 256, &o->depth);
			break;
		case FSYNC:
			o->fsync = true;
			break;
		case DROP:
			o->drop_caches = true;
			break;
		case SERVER:
			if (cmd_config_of(cmd, NULL, optarg, &config))
				return 1;
			o->server = config.control;
			break;
		case 'j':
			*json = true;
			break;
		default:
			return cmd_usage(cmd, c == 'h');
		}
	}
	if (bad)
		return bad;
	if (argc - optind != 1)
		return cmd_usage(cmd, false);
	o->target = argv[optind];
	return BENCH_GO_ON;
}

int
cmd_bench(int argc, char **argv)
{
	struct bench_opts o = {
		.threads = 1, .depth = 8, .big_bytes = GIB, .block_bytes = (uint32_t)MIB, .small_bytes = 128 * KIB,
		.small_count = 100,
	};
	bool json = false;
	char why[256];
	int err = parse_args(argc, argv, &o, &json);

	if (err != BENCH_GO_ON)
		return err;
	o.ops = strncmp(o.target, "nfs://", 6) ? &bench_path : &bench_nfs;
	bench_watch_init(&watch, "bench");
	err = bench_items(&o, &watch, &report, why);
	if (err < 0) {
		cmd_fail("bench", "%s", why);
		return err == -EINTR && atomic_load(&watch.stop) ? 128 + atomic_load(&watch.stop) : 1;
	}
	if (json) {
		print_json(&o);
		return 0;
	}
	print_head(&o);
	bench_note(&report, "Write big file ends with an fsync; small files %s.  This program took %.2f s of CPU.",
		o.fsync ? "too" : "are closed without one", (double)report.cpu_ns / 1e9);
	bench_print_table(&report);
	if (bench_server.time_ns > 0)
		print_server(&bench_server);
	return 0;
}
