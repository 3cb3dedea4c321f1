/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "reactor/log.h"
#include "tools/bench_args.h"
#include "tools/cmd.h"
#include "tools/objbench.h"
#include "tools/objbench_place.h"

static struct bench_report report;
static struct bench_watch watch;
static struct objbench_test tests[OBJBENCH_TESTS_MAX];
static int ntests;

struct args {
	const char *where;
	struct s3_opts s3;
	uint64_t total_bytes;
	bool json, check;
};

static void
print_tests(void)
{
	printf("%-12s %-46s %s\n", "CATEGORY", "TEST", "RESULT");
	for (int i = 0; i < ntests; i++)
		printf("%-12s %-46s %s\n", tests[i].category, tests[i].name, tests[i].result);
	if (ntests > 0)
		putchar('\n');
}

static int
tests_failed(void)
{
	int n = 0;

	for (int i = 0; i < ntests; i++)
		n += !tests[i].passed;
	return n;
}

static void
print_json(const struct objbench *b, const struct args *a)
{
	json_t *t = json_array(), *j;

	for (int i = 0; i < ntests; i++)
		json_array_append_new(t, json_pack("{s:s, s:s, s:b, s:s}", "category", tests[i].category, "test", tests[i].name, "passed",
			tests[i].passed, "result", tests[i].result));
	j = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:o, s:o, s:o}", "store", a->where, "requests_at_once", b->lanes,
		"object_bytes", (json_int_t)b->big_bytes, "objects", (json_int_t)b->nbig, "small_object_bytes", (json_int_t)b->small_bytes,
		"small_objects", (json_int_t)b->nsmall, "client_cpu_s", (double)report.cpu_ns / 1e9, "tests", t, "items",
		bench_items_json(&report), "notes", bench_notes_json(&report));
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}

static void
check(void *arg)
{
	ntests = objbench_check(arg, tests);
}

static void
clean(void *arg)
{
	int err = objbench_clean(arg);

	if (err < 0)
		fprintf(stderr, "dittofs objbench: could not remove all of %s: %s\n", watch.left_behind, objstore_error(err));
}

static int
run(struct objbench *b, const struct args *a, char why[256])
{
	int err = 0;

	if (a->check)
		bench_watch_run(&watch, "Functional tests", 0, check, b);
	if (atomic_load(&watch.stop)) {
		snprintf(why, 256, "interrupted");
		err = -EINTR;
	} else if (ntests == 1) {
		snprintf(why, 256, "nothing can be put into %.150s", a->where);
		return -EIO;
	} else {
		err = objbench_load(b, &report, why);
	}
	bench_watch_run(&watch, "Removing", 0, clean, b);
	return err;
}

static int
parse_args(int argc, char **argv, struct objbench *b, struct args *a)
{
	enum { SIZE = 256, TOTAL, SMALL, COUNT, SKIP, ENDPOINT, REGION, STYLE, CREDENTIALS, PROFILE, CA };
	static const struct option opts[] = {
		{ "threads", required_argument, NULL, 'p' }, { "object-size", required_argument, NULL, SIZE },
		{ "total-size", required_argument, NULL, TOTAL }, { "small-object-size", required_argument, NULL, SMALL },
		{ "small-objects", required_argument, NULL, COUNT }, { "skip-functional-tests", no_argument, NULL, SKIP },
		{ "endpoint", required_argument, NULL, ENDPOINT }, { "region", required_argument, NULL, REGION },
		{ "style", required_argument, NULL, STYLE }, { "credentials-file", required_argument, NULL, CREDENTIALS },
		{ "profile", required_argument, NULL, PROFILE }, { "ca-file", required_argument, NULL, CA },
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static const char cmd[] = "objbench";
	int c, bad = 0;

	while (bad == 0 && (c = getopt_long(argc, argv, "hp:", opts, NULL)) != -1) {
		switch (c) {
		case 'p':
			bad = bench_int(cmd, "threads", optarg, 1, OBJBENCH_LANES_MAX, &b->lanes);
			break;
		case SIZE:
			bad = bench_size32(cmd, "object-size", optarg, 1, 64 * MIB, &b->big_bytes);
			break;
		case TOTAL:
			bad = bench_size(cmd, "total-size", optarg, 0, 1024 * GIB, &a->total_bytes);
			break;
		case SMALL:
			bad = bench_size32(cmd, "small-object-size", optarg, 1, 64 * MIB, &b->small_bytes);
			break;
		case COUNT:
			bad = bench_count(cmd, "small-objects", optarg, 0, 1000000, &b->nsmall);
			break;
		case SKIP:
			a->check = false;
			break;
		case ENDPOINT:
			a->s3.endpoint = optarg;
			break;
		case REGION:
			a->s3.region = optarg;
			break;
		case STYLE:
			if (parse_style(optarg, &a->s3.style) < 0)
				return cmd_usage("objbench", false);
			break;
		case CREDENTIALS:
			a->s3.credentials_file = optarg;
			break;
		case PROFILE:
			a->s3.profile = optarg;
			break;
		case CA:
			a->s3.ca_file = optarg;
			break;
		case 'j':
			a->json = true;
			break;
		default:
			return cmd_usage("objbench", c == 'h');
		}
	}
	if (bad)
		return bad;
	if (argc - optind != 1)
		return cmd_usage("objbench", false);
	a->where = argv[optind];
	b->nbig = (uint32_t)(a->total_bytes / b->big_bytes);
	return BENCH_GO_ON;
}

int
cmd_objbench(int argc, char **argv)
{
	struct objbench b = {
		.watch = &watch, .lanes = 4, .big_bytes = (uint32_t)(4 * MIB), .small_bytes = (uint32_t)(128 * KIB), .nsmall = 100,
		.large_bytes = 24 * MIB,
	};
	struct args a = {
		.s3 = { .endpoint = "", .region = "", .credentials_file = "", .profile = "", .ca_file = "", .congestion = "",
		        .timeout_ns = 30 * 1000000000ull, .hedge_after_ns = 1000000000 },
		.total_bytes = GIB, .check = true,
	};
	struct objbench_place place;
	char why[256] = "";
	int err = parse_args(argc, argv, &b, &a);

	if (err != BENCH_GO_ON)
		return err;
	log_set_level(LOG_ERROR); /* a slow lap is no news here */
	bench_watch_init(&watch, "objbench");
	err = objbench_place_open(&place, a.where, &a.s3, b.lanes, why);
	if (err < 0)
		return cmd_fail("objbench", "%s", why);
	watch.left_behind = place.url;
	b.store = place.store;
	err = run(&b, &a, why);
	objbench_place_close(&place);
	if (err == -EINTR) {
		cmd_fail("objbench", "%s", why);
		return 128 + atomic_load(&watch.stop);
	}
	bench_note(&report, "%s: %d requests at once, one core.  This program took %.2f s of CPU.", place.url, b.lanes,
		(double)report.cpu_ns / 1e9);
	if (a.json) {
		print_json(&b, &a);
	} else {
		print_tests();
		bench_print_table(&report);
	}
	if (err < 0)
		return cmd_fail("objbench", "%s", why);
	return tests_failed() ? cmd_fail("objbench", "%d tests failed", tests_failed()) : 0;
}
