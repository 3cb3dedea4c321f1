/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/cmd.h"
#include "tools/control_client.h"
#include "tools/control_job.h"

static uint64_t
number(const json_t *j, const char *what)
{
	return (uint64_t)json_integer_value(json_object_get(j, what));
}

/* What compression saves of it. */
static void
print_frames(const json_t *j)
{
	const json_t *frames = json_object_get(j, "frames");
	uint64_t plain = number(j, "stored"), raw = number(frames, "raw"), lz4 = number(frames, "lz4"), zstd = number(frames, "zstd");

	if (plain > 0)
		printf("there they take %" PRIu64 " bytes (%.0f %%): %" PRIu64 " frames by lz4, %" PRIu64 " by zstd, %" PRIu64 " as they are\n",
			number(j, "object_bytes"), 100.0 * (double)number(j, "object_bytes") / (double)plain, lz4, zstd, raw);
}

static void
show(const json_t *j)
{
	json_t *list = json_object_get(j, "list"), *p;
	const char *type = json_string_value(json_object_get(j, "type"));
	size_t i;

	printf("inode %" PRIu64 ", %s, mode %04o, uid %" PRIu64 ", gid %" PRIu64 ", links %" PRIu64 "\n", number(j, "inode"), type,
		(unsigned)number(j, "mode"), number(j, "uid"), number(j, "gid"), number(j, "links"));
	if (!strcmp(type, "directory"))
		printf("%" PRIu64 " entries\n", number(j, "entries"));
	if (strcmp(type, "file"))
		return;
	printf("size %" PRIu64 ", %" PRIu64 " of it in the object store in %" PRIu64 " pieces\n", number(j, "size"), number(j, "stored"),
		number(j, "pieces"));
	print_frames(j);
	if (json_array_size(list) > 0)
		printf("%16s %10s  OBJECT, AND WHERE IN IT ITS BLOCK BEGINS\n", "OFFSET", "LENGTH");
	json_array_foreach(list, i, p)
		printf("%16" PRIu64 " %10" PRIu64 "  %s %" PRIu64 "\n", number(p, "offset"), number(p, "length"),
			json_string_value(json_object_get(p, "object")), number(p, "block_at"));
	if (number(j, "pieces") > json_array_size(list))
		printf("and %" PRIu64 " more\n", number(j, "pieces") - json_array_size(list));
}

int
cmd_info(int argc, char **argv)
{
	struct cmd_args a;
	char url[4000];

	if (!cmd_take(argc, argv, 1, &a))
		return a.status;
	if (control_url(url, sizeof(url), "/info?path=", a.words[0]) < 0)
		return cmd_fail("info", "%.100s...: the path is too long", a.words[0]);
	json_t *j = control_json("info", a.config, url);
	const char *error = json_string_value(json_object_get(j, "error"));

	if (error)
		cmd_fail("info", "%s", error);
	else if (a.json)
		json_dumpf(j, stdout, JSON_INDENT(2)), putchar('\n');
	else if (j)
		show(j);
	json_decref(j);
	return error || !j;
}
