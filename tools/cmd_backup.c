/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/control_job.h"

/* "/backup?to=" and the path, absolute; -1: it is too long. */
static int
make_url(char *url, size_t room, const char *to)
{
	char here[PATH_MAX] = "", path[2 * PATH_MAX];
	size_t n = (size_t)snprintf(url, room, "/backup?to=");

	if (*to != '/' && !getcwd(here, sizeof(here)))
		return -1;
	snprintf(path, sizeof(path), "%s%s%s", here, *to == '/' ? "" : "/", to);
	for (const char *p = path; *p && n + 4 < room; p++)
		n += (size_t)snprintf(url + n, room - n, isalnum((unsigned char)*p) || *p == '/' ? "%c" : "%%%02X", (unsigned char)*p);
	return n + 4 < room ? 0 : -1;
}

int
cmd_backup(int argc, char **argv)
{
	static const struct option opts[] = { { "config", required_argument, NULL, 'c' }, { "help", no_argument, NULL, 'h' }, { 0 } };
	static struct config c;
	const char *file = NULL;
	char url[4000];
	int o, res = 0;

	while ((o = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		if (o == 'c')
			file = optarg;
		else
			return cmd_usage("backup", o == 'h');
	}
	if (argc - optind != (file ? 1 : 2))
		return cmd_usage("backup", false);
	if (cmd_config_of("backup", file, argv[optind], &c))
		return 1;
	if (make_url(url, sizeof(url), argv[argc - 1]) < 0)
		return cmd_fail("backup", "%.100s...: the path is too long", argv[argc - 1]);
	json_t *j = control_json("backup", &c, url);
	const char *error = json_string_value(json_object_get(j, "error"));

	if (error)
		res = cmd_fail("backup", "%s", error);
	else if (j)
		printf("%lld files, %s of metadata in %s\n", json_integer_value(json_object_get(j, "files")),
			format_bytes((uint64_t)json_integer_value(json_object_get(j, "bytes"))), argv[argc - 1]);
	json_decref(j);
	return j ? res : 1;
}
