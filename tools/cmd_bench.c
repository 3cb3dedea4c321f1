/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench_items.h"
#include "tools/cmd.h"

static struct bench_report report;
static struct bench_watch watch;

/* A number from lo to hi: 0, or the exit status after a sentence. */
static int
number(const char *opt, const char *s, long lo, long hi, long *out)
{
	char *end;

	*out = strtol(s, &end, 10);
	if (*s && !*end && *out >= lo && *out <= hi)
		return 0;
	cmd_fail("bench", "--%s: a number from %ld to %ld, not '%s'", opt, lo, hi, s);
	return 2;
}

static int
size(const char *opt, const char *s, uint64_t lo, uint64_t hi, uint64_t *out)
{
	if (parse_size(s, out) == 0 && *out >= lo && *out <= hi)
		return 0;
	cmd_fail("bench", "--%s: a size like 64KiB or 1GiB, from %s to %s, not '%s'", opt, bench_human(lo), bench_human(hi), s);
	return 2;
}

static void
print_json(const struct bench_opts *o)
{
	json_t *j = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:i, s:b, s:f, s:o, s:o}", "target", o->target, "threads", o->threads,
		"big_file_bytes", (json_int_t)o->big_bytes, "block_bytes", (json_int_t)o->block_bytes, "small_file_bytes",
		(json_int_t)o->small_bytes, "small_files", (json_int_t)o->small_count, "depth", o->depth, "fsync_small", o->fsync,
		"client_cpu_s", (double)report.cpu_ns / 1e9, "items", bench_items_json(&report), "notes", bench_notes_json(&report));

	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

static void
print_head(const struct bench_opts *o)
{
	printf("%s: %d thread%s, each with a file of %s in blocks of %s", o->target, o->threads, o->threads > 1 ? "s" : "",
		bench_human(o->big_bytes), bench_human(o->block_bytes));
	if (o->ops == &bench_nfs)
		printf(" (%d under way)", o->depth);
	printf(" and %u of %s\n\n", o->small_count, bench_human(o->small_bytes));
}

/* GO_ON, or the exit status. */
#define GO_ON (-1)

static int
parse_args(int argc, char **argv, struct bench_opts *o, bool *json)
{
	enum { BIG = 256, BLOCK, SMALL, COUNT, DEPTH, FSYNC, DROP };
	static const struct option opts[] = {
		{ "threads", required_argument, NULL, 'p' }, { "big-file-size", required_argument, NULL, BIG },
		{ "block-size", required_argument, NULL, BLOCK }, { "small-file-size", required_argument, NULL, SMALL },
		{ "small-file-count", required_argument, NULL, COUNT }, { "depth", required_argument, NULL, DEPTH },
		{ "fsync", no_argument, NULL, FSYNC }, { "drop-caches", no_argument, NULL, DROP },
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	uint64_t bytes;
	long n;
	int c;

	while ((c = getopt_long(argc, argv, "hp:", opts, NULL)) != -1) {
		int bad = 0;

		if (c == 'p' && (bad = number("threads", optarg, 1, BENCH_THREADS_MAX, &n)) == 0)
			o->threads = (int)n;
		else if (c == BIG)
			bad = size("big-file-size", optarg, 0, 1024 * GIB, &o->big_bytes);
		else if (c == BLOCK && (bad = size("block-size", optarg, 512, 64 * MIB, &bytes)) == 0)
			o->block_bytes = (uint32_t)bytes;
		else if (c == SMALL)
			bad = size("small-file-size", optarg, 1, 64 * MIB, &o->small_bytes);
		else if (c == COUNT && (bad = number("small-file-count", optarg, 0, 10000000, &n)) == 0)
			o->small_count = (uint32_t)n;
		else if (c == DEPTH && (bad = number("depth", optarg, 1, 256, &n)) == 0)
			o->depth = (int)n;
		else if (c == FSYNC)
			o->fsync = true;
		else if (c == DROP)
			o->drop_caches = true;
		else if (c == 'j')
			*json = true;
		else if (c == 'h' || c == '?')
			return cmd_usage("bench", c == 'h');
		if (bad)
			return bad;
	}
	if (argc - optind != 1)
		return cmd_usage("bench", false);
	o->target = argv[optind];
	return GO_ON;
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

	if (err != GO_ON)
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
	return 0;
}
