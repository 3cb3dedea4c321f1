/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/control_client.h"
#include "tools/control_job.h"

/* As the server must see it: it stands elsewhere. */
static int
make_url(char *url, size_t room, const char *to)
{
	char here[PATH_MAX] = "", path[2 * PATH_MAX];

	if (*to != '/' && !getcwd(here, sizeof(here)))
		return -errno;
	snprintf(path, sizeof(path), "%s%s%s", here, *to == '/' ? "" : "/", to);
	return control_url(url, room, "/backup?to=", path);
}

int
cmd_backup(int argc, char **argv)
{
	struct cmd_args a;
	char url[4000];
	int res = 0;

	if (!cmd_take(argc, argv, 1, &a))
		return a.status;
	if (make_url(url, sizeof(url), a.words[0]) < 0)
		return cmd_fail("backup", "%.100s...: the path is too long", a.words[0]);
	json_t *j = control_json("backup", a.config, url);
	const char *error = json_string_value(json_object_get(j, "error"));

	if (error)
		res = cmd_fail("backup", "%s", error);
	else if (a.json)
		json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
	else if (j)
		printf("%lld files, %s of metadata in %s\n", json_integer_value(json_object_get(j, "files")),
			format_bytes((uint64_t)json_integer_value(json_object_get(j, "bytes"))), a.words[0]);
	json_decref(j);
	return j ? res : 1;
}
