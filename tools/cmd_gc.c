/* SPDX-License-Identifier: Apache-2.0 */
/* The server does it, and goes on when this is interrupted: it is asked how far it has come. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meta/gc.h"
#include "tools/cmd.h"
#include "tools/control_client.h"

#define ASK_US 100000

/* What a server said, or NULL after a sentence on stderr; the caller puts it. */
static json_t *
ask(const struct config *c, const char *url)
{
	char *body, why[256];

	if (control_get(c->control, url, &body, why) < 0) {
		cmd_fail("gc", "%s", why);
		return NULL;
	}
	json_t *j = json_loads(body, 0, NULL);

	free(body);
	if (!j)
		cmd_fail("gc", "the server's answer is no JSON; is it of another version?");
	return j;
}

static uint64_t
number(json_t *j, const char *what, const char *unit)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(j, what), unit));
}

static void
line(json_t *j, const char *what, const char *means)
{
	printf("%-8s %12" PRIu64 " objects %12s   %s\n", what, number(j, what, "objects"), format_bytes(number(j, what, "bytes")),
		means);
}

static void
show(json_t *j)
{
	uint64_t foreign = number(j, "foreign", "objects");

	line(j, "scanned", "");
	line(j, "valid", "the metadata names them");
	line(j, "recent", "it does not, but they are of this start, or too young");
	line(j, "leaked", "nothing needs them");
	if (json_is_true(json_object_get(j, "delete")))
		line(j, "deleted", "");
	else if (number(j, "leaked", "objects") > 0)
		printf("dittofs gc --delete deletes what is leaked\n");
	if (foreign > 0)
		printf("%" PRIu64 " objects have names that are not of a volume; they stay\n", foreign);
}

/* Asks until it has ended; the last answer, or NULL. */
static json_t *
wait_for_it(const struct config *c, const char *url, bool progress)
{
	json_t *j;

	for (;; url = "/gc") {
		j = ask(c, url);
		if (!j || json_object_get(j, "error") != json_null() || !json_is_true(json_object_get(j, "running")))
			break;
		if (progress)
			fprintf(stderr, "\r%" PRIu64 " objects, %" PRIu64 " leaked\033[K", number(j, "scanned", "objects"),
				number(j, "leaked", "objects"));
		json_decref(j);
		usleep(ASK_US);
	}
	if (progress)
		fprintf(stderr, "\r\033[K");
	return j;
}

int
cmd_gc(int argc, char **argv)
{
	static const struct option opts[] = {
		{ "delete", no_argument, NULL, 'd' }, { "age", required_argument, NULL, 'a' }, { "json", no_argument, NULL, 'j' },
		{ "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	static struct config c;
	const char *file = NULL;
	bool del = false, json = false;
	uint64_t age_ns = (uint64_t)GC_AGE_S * 1000000000;
	char url[64];
	int o;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'd')
			del = true;
		else if (o == 'a' && parse_duration(optarg, &age_ns) == 0)
			;
		else if (o == 'j')
			json = true;
		else if (o == 'c')
			file = optarg;
		else
			return cmd_usage("gc", o == 'h');
	}
	if (argc - optind != (file ? 0 : 1))
		return cmd_usage("gc", false);
	if (cmd_config_of("gc", file, argv[optind], &c))
		return 1;
	snprintf(url, sizeof(url), "/gc?start=%s&age=%" PRIu64, del ? "delete" : "check", age_ns / 1000000000);
	json_t *j = wait_for_it(&c, url, !json && isatty(STDERR_FILENO));

	if (!j)
		return 1;
	const char *error = json_string_value(json_object_get(j, "error"));
	int res = 0;

	if (error)
		res = cmd_fail("gc", "%s", error);
	else if (json)
		json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
	else
		show(j);
	json_decref(j);
	return res;
}
