/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

#include "meta/kv.h"
#include "reactor/log.h"
#include "tools/backup_job.h"

/* Of its files, and how many there are. */
static uint64_t
bytes_of(const char *dir, int *files)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;

	*files = 0;
	while (d && (e = readdir(d)) != NULL)
		if (fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISREG(st.st_mode)) {
			sum += (uint64_t)st.st_size;
			++*files;
		}
	if (d)
		closedir(d);
	return sum;
}

char *
report_copy_json(const char *dir)
{
	char why[256] = "where to?", said[600];
	uint64_t bytes = 0;
	int files = 0;
	int err = dir && *dir == '/' ? kv_checkpoint(dir, why) : -EINVAL;

	if (err == 0) {
		bytes = bytes_of(dir, &files);
		chmod(dir, 0700);
		log_info("the metadata was copied to %s", dir);
	} else {
		snprintf(said, sizeof(said), "%s", why);
	}
	json_t *j = json_pack("{s:I, s:i, s:s?}", "bytes", (json_int_t)bytes, "files", files, "error", err ? said : NULL);
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}

json_t *
backup_json(const struct backup_report *r)
{
	return json_pack("{s:b, s:s?, s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I}", "running", r->running, "error",
		r->err < 0 ? r->why : NULL, "total_bytes", (json_int_t)r->total_bytes, "done_bytes", (json_int_t)r->done_bytes, "sent_bytes",
		(json_int_t)r->sent_bytes, "sent_objects", (json_int_t)r->sent_objects, "files", (int)r->files, "taken",
		(json_int_t)r->taken_s, "kept", (json_int_t)r->kept, "oldest", (json_int_t)r->oldest_s, "newest", (json_int_t)r->newest_s,
		"next", (json_int_t)r->next_s);
}

char *
report_backup_json(bool start)
{
	struct backup_report r;
	int err = start ? backup_job_ask() : 0;

	backup_job_look(&r);
	if (err < 0) {
		r.err = err;
		snprintf(r.why, sizeof(r.why), "one is under way");
	}
	json_t *j = backup_json(&r);
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
