/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "meta/gc.h"
#include "tools/cmd.h"
#include "tools/control_job.h"

static uint64_t
number(const json_t *j, const char *what, const char *unit)
{
	return (uint64_t)json_integer_value(json_object_get(json_object_get(j, what), unit));
}

static void
line(const json_t *j, const char *what, const char *means)
{
	printf("%-8s %12" PRIu64 " objects %12s   %s\n", what, number(j, what, "objects"), format_bytes(number(j, what, "bytes")),
		means);
}

static void
show(const json_t *j)
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

static void
progress(const json_t *j)
{
	fprintf(stderr, "\r%" PRIu64 " objects, %" PRIu64 " leaked\033[K", number(j, "scanned", "objects"), number(j, "leaked", "objects"));
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
	json_t *j = control_job("gc", &c, url, "/gc", !json && isatty(STDERR_FILENO) ? progress : NULL);

	if (!j)
		return 1;
	if (json)
		json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
	else
		show(j);
	json_decref(j);
	return 0;
}
