/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "tools/fsck.h"

static void
see(const struct fsck_report *r, void *arg)
{
	json_t **j = arg, *broken = json_array();

	for (uint64_t i = 0; i < MIN(r->nbroken, FSCK_BROKEN); i++) {
		const struct fsck_broken *b = &r->broken[i];

		/* A name may be no UTF-8; then the object tells. */
		json_t *path = json_string(b->path);

		json_array_append_new(broken, json_pack("{s:o, s:s, s:I, s:I, s:s}", "path", path ? path : json_null(), "object",
			b->object, "offset", (json_int_t)b->off, "length", (json_int_t)b->len, "what", b->cut ? "too short" : "missing"));
	}
	*j = json_pack("{s:b, s:I, s:I, s:I, s:I, s:o, s:s?}", "running", r->job.running, "files", (json_int_t)r->files, "blocks",
		(json_int_t)r->blocks, "bytes", (json_int_t)r->bytes, "broken", (json_int_t)r->nbroken, "list", broken, "error",
		job_error(0, r->job.err));
}

char *
report_fsck_json(const struct daemon *d, bool start)
{
	int err = start ? fsck_start(d) : 0;
	json_t *j;

	fsck_look(see, &j);
	if (err < 0)
		json_object_set_new(j, "error", json_string(job_error(err, 0)));
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
