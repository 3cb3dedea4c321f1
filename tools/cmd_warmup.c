/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/control_client.h"
#include "tools/control_job.h"
#include "tools/warmup.h"

#define ASK_US 100000

struct sum {
	uint64_t files, dirs, bytes, errors;
	char first[512];
};

static volatile sig_atomic_t interrupted;

static void
on_signal(int sig)
{
	interrupted = sig;
}

/* The server would go on without us. */
static void
catch_signals(void)
{
	struct sigaction act = { .sa_handler = on_signal };

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
}

static uint64_t
number(const json_t *j, const char *what)
{
	return (uint64_t)json_integer_value(json_object_get(j, what));
}

static void
progress(const struct sum *before, const json_t *j)
{
	fprintf(stderr, "\r%" PRIu64 " files, %s\033[K", before->files + number(j, "files"), format_bytes(before->bytes + number(j, "bytes")));
}

static void
add(struct sum *s, const json_t *j)
{
	if (s->errors == 0)
		snprintf(s->first, sizeof(s->first), "%s", json_string_value(json_object_get(j, "first_error")));
	s->files += number(j, "files");
	s->dirs += number(j, "directories");
	s->bytes += number(j, "bytes");
	s->errors += number(j, "errors");
}

/* All of one path, NULL: all shares.  0, or 1 after a sentence on stderr. */
static int
warm(const struct config *c, const char *path, int reads, bool show, struct sum *sum)
{
	char url[4096], start[64];
	const char *error;
	bool told = false;
	json_t *j;

	snprintf(start, sizeof(start), "/warmup?do=start&reads=%d%s", reads, path ? "&path=" : "");
	if (control_url(url, sizeof(url), start, path ? path : "") < 0)
		return cmd_fail("warmup", "the path is too long");
	for (j = control_json("warmup", c, url); j; j = control_json("warmup", c, url)) {
		error = json_string_value(json_object_get(j, "error"));
		if (error || !json_is_true(json_object_get(j, "running")))
			break;
		if (show)
			progress(sum, j);
		json_decref(j);
		if (!interrupted || told)
			usleep(ASK_US);
		snprintf(url, sizeof(url), "/warmup%s", interrupted && !told ? "?do=stop" : "");
		told = interrupted;
	}
	if (show)
		fprintf(stderr, "\r\033[K");
	if (!j)
		return 1;
	if (error)
		cmd_fail("warmup", "%s%s%s", path ? path : "", path ? ": " : "", error);
	else
		add(sum, j);
	json_decref(j);
	return error != NULL;
}

static void
show_sum(const struct sum *s, bool json)
{
	if (json) {
		json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:s, s:b}", "files", (json_int_t)s->files, "directories",
			(json_int_t)s->dirs, "bytes", (json_int_t)s->bytes, "errors", (json_int_t)s->errors, "first_error",
			s->first, "interrupted", interrupted != 0);

		json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
		json_decref(j);
		return;
	}
	printf("%s%" PRIu64 " files in %" PRIu64 " directories, %s\n", interrupted ? "interrupted after " : "", s->files, s->dirs,
		format_bytes(s->bytes));
	if (s->errors)
		printf("%" PRIu64 " could not be read, the first: %s\n", s->errors, s->first);
}

int
cmd_warmup(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "reads", required_argument, NULL, 'p' }, { "json", no_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	const char *file = NULL;
	bool json = false, show;
	int o, reads = WARMUP_READS, failed = 0;
	struct sum sum = { 0 };

	while ((o = getopt_long(argc, argv, "hp:", opts, NULL)) != -1) {
		if (o == 'p' && (reads = atoi(optarg)) >= 1 && reads <= WARMUP_READS_MAX)
			;
		else if (o == 'j')
			json = true;
		else if (o == 'c')
			file = optarg;
		else
			return cmd_usage("warmup", o == 'h');
	}
	if (!file && optind == argc)
		return cmd_usage("warmup", false);
	if (cmd_config_of("warmup", file, file ? NULL : argv[optind], &c))
		return 1;
	optind += !file;
	show = !json && isatty(STDERR_FILENO);
	catch_signals();
	if (optind == argc)
		failed = warm(&c, NULL, reads, show, &sum);
	for (int i = optind; i < argc && !failed && !interrupted; i++)
		failed = warm(&c, argv[i], reads, show, &sum);
	if (failed)
		return 1;
	show_sum(&sum, json);
	return interrupted ? 128 + interrupted : sum.errors > 0;
}
