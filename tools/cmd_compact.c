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
	fprintf(stderr, "\r%" PRIu64 " chunks, %" PRIu64 " to merge, %" PRIu64 " of them left, %s merged\033[K", number(j, "chunks"),
		number(j, "worth"), number(j, "waiting"), format_bytes(number(j, "bytes")));
}

static void
show(const json_t *j)
{
	printf("%" PRIu64 " of %" PRIu64 " chunks had something to merge\n", number(j, "worth"), number(j, "chunks"));
	if (number(j, "merges"))
		printf("merged %s: %" PRIu64 " pieces became %" PRIu64 "\n", format_bytes(number(j, "bytes")),
			number(j, "pieces_before"), number(j, "pieces_after"));
	if (number(j, "errors"))
		printf("%" PRIu64 " merges failed; the server's log says why\n", number(j, "errors"));
}

int
cmd_compact(int argc, char **argv)
{
	return control_job_main(argc, argv, "/compact?start=1", "/compact", progress, show, "errors");
}
