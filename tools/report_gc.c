/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "meta/gc.h"
#include "tools/daemon.h"
#include "tools/job.h"
#include "tools/oncore.h"

struct ask {
	struct gc_opts opts;
	bool start;
	struct gc_report report;
};

static enum op_state
ask_core(void *arg, struct op *op)
{
	struct ask *a = arg;
	int err = a->start ? gc_start(&a->opts) : 0;

	gc_report(&a->report);
	return op_done(op, err);
}

static json_t *
count(const struct gc_count *c)
{
	return json_pack("{s:I, s:I}", "objects", (json_int_t)c->objects, "bytes", (json_int_t)c->bytes);
}

char *
report_gc_json(const char *start, uint64_t age_s)
{
	struct ask a = { .start = start != NULL, .opts = { .delete = start && !strcmp(start, "delete"), .age_s = age_s } };
	int err = on_core(0, ask_core, &a);
	const struct gc_report *r = &a.report;

	json_t *j = json_pack("{s:b, s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s?}", "running", r->running, "delete",
		r->opts.delete, "age_s", (json_int_t)r->opts.age_s, "scanned", count(&r->scanned), "valid", count(&r->valid),
		"leaked", count(&r->leaked), "deleted", count(&r->deleted), "recent", count(&r->recent), "foreign",
		count(&r->foreign), "error", job_error(err, r->err));
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
