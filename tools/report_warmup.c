/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "tools/warmup.h"

char *
report_warmup_json(const struct daemon *d, const char *what, const char *path, int reads)
{
	bool start = what && !strcmp(what, "start");
	int err = start ? warmup_start(d, path, reads) : 0;
	struct warmup_report r;

	if (what && !start)
		warmup_cancel();
	warmup_look(&r);
	const char *error = err == -ENOENT || err == -ENOTDIR ? "there is no such file; a path begins with its share: /export/..." :
	                    job_error(err, 0);
	json_t *j = json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:s, s:s?}", "running", r.job.running, "interrupted", r.job.err == -ECANCELED,
		"files", (json_int_t)r.files, "directories", (json_int_t)r.dirs, "bytes", (json_int_t)r.bytes, "errors",
		(json_int_t)r.errors, "first_error", r.first, "error", error);
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
