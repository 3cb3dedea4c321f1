/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "tools/cmd.h"
#include "tools/control_job.h"

static uint64_t
number(const json_t *j, const char *what)
{
	return (uint64_t)json_integer_value(json_object_get(j, what));
}

static void
progress(const json_t *j)
{
	fprintf(stderr, "\r%" PRIu64 " files, %" PRIu64 " blocks, %" PRIu64 " broken\033[K", number(j, "files"), number(j, "blocks"),
		number(j, "broken"));
}

static void
show(const json_t *j)
{
	json_t *list = json_object_get(j, "list"), *b;
	size_t i;

	json_array_foreach(list, i, b) {
		const char *path = json_string_value(json_object_get(b, "path"));

		printf("%s: bytes %" PRIu64 " to %" PRIu64 ": %s is %s\n", path ? path : "?", number(b, "offset"),
			number(b, "offset") + number(b, "length") - 1, json_string_value(json_object_get(b, "object")),
			json_string_value(json_object_get(b, "what")));
	}
	if (number(j, "broken") > json_array_size(list))
		printf("and %" PRIu64 " more\n", number(j, "broken") - json_array_size(list));
	printf("%" PRIu64 " files with data, %s of it in %" PRIu64 " objects and parts of packs: ", number(j, "files"),
		format_bytes(number(j, "bytes")), number(j, "blocks"));
	if (number(j, "broken"))
		printf("%" PRIu64 " are not whole\n", number(j, "broken"));
	else
		printf("all are there\n");
}

int
cmd_fsck(int argc, char **argv)
{
	return control_job_main(argc, argv, "/fsck?start=1", "/fsck", progress, show, "broken");
}
