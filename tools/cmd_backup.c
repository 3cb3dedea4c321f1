/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/backup_manifest.h"
#include "tools/cmd.h"
#include "tools/control_client.h"
#include "tools/control_job.h"

/* ---- into a directory */

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

/* ---- into the object store */

static uint64_t
n(const json_t *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

static void
progress(const json_t *j)
{
	fprintf(stderr, "\r\033[K%s of %s, %s of it uploaded", format_bytes(n(j, "done_bytes")), format_bytes(n(j, "total_bytes")),
		format_bytes(n(j, "sent_bytes")));
}

static int
into_store(const struct cmd_args *a)
{
	json_t *j = control_job("backup", a->config, "/backup?start=1", "/backup", !a->json && isatty(STDERR_FILENO) ? progress : NULL);
	char at[BACKUP_TIME];

	if (!j)
		return 1;
	backup_time(at, n(j, "taken"));
	if (a->json)
		json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
	else
		printf("backup of %s: %" PRIu64 " files, %s of metadata, %s of it in %" PRIu64 " new objects; %" PRIu64 " backups are kept\n", at,
			n(j, "files"), format_bytes(n(j, "total_bytes")), format_bytes(n(j, "sent_bytes")), n(j, "sent_objects"), n(j, "kept"));
	json_decref(j);
	return 0;
}

int
cmd_backup(int argc, char **argv)
{
	struct cmd_args a;
	char url[4000];
	int res = 0;

	if (!cmd_take_some(argc, argv, 0, 1, &a))
		return a.status;
	if (a.nwords == 0)
		return into_store(&a);
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
