/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "tools/compact_all.h"

char *
report_compact_json(const struct daemon *d, bool start)
{
	int err = start ? compact_all_start(d) : 0;
	struct compact_all_report r;

	compact_all_look(&r);
	const char *error = err == -ENOTSUP ? "compaction is off (compaction.merge is 0)" : job_error(err, r.job.err);
	json_t *j = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s?}", "running", r.job.running, "chunks",
		(json_int_t)r.chunks, "worth", (json_int_t)r.worth, "waiting", (json_int_t)r.waiting, "merges",
		(json_int_t)r.merges, "bytes", (json_int_t)r.bytes, "pieces_before", (json_int_t)r.pieces_before,
		"pieces_after", (json_int_t)r.pieces_after, "errors", (json_int_t)r.errors, "error", error);
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
