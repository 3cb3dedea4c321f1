/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/trash.h"
#include "meta/trash_expire.h"
#include "meta/usage.h"
#include "tools/metadata.h"
#include "tools/trash_restore.h"
#include "tools/trash_walk.h"

#define LIST_ITEMS 500 /* an answer */

/* Names may be no UTF-8, which JSON cannot say: then what is not ASCII is told as '?'. */
static json_t *
text_json(const char *s)
{
	json_t *j = json_string(s);
	char *plain;

	if (j || !(plain = strdup(s)))
		return j ? j : json_null();
	for (char *p = plain; *p; p++)
		*p = (uint8_t)*p < 0x80 ? *p : '?';
	j = json_string(plain);
	free(plain);
	return j;
}

/* ---- list */

struct list {
	const struct share_rec *share;
	struct origins *origins;
	json_t *items;
	struct trash_item last;
};

static int
see(void *arg, const struct trash_item *it)
{
	static const char *const types[] = { "?", "file", "directory", "block device", "device", "symlink", "socket", "fifo" };
	struct list *l = arg;
	uint64_t keep = trash_retention_s(it->share);
	char place[TRASH_PATH_BYTES], where[TRASH_PATH_BYTES + 80];
	struct attr a;

	l->last = *it;
	if (metadata_attr(it->ino, &a) < 0)
		return 0; /* removed for good meanwhile */
	trash_path(place, it);
	snprintf(where, sizeof(where), "%s/%s", l->share->name, place);
	json_array_append_new(l->items, json_pack("{s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I}", "path",
		text_json(origins_path(l->origins, it)), "trash", text_json(where), "type", types[MIN(it->rec.type, ARRAY_LEN(types) - 1)], "size",
		(json_int_t)(it->rec.type == FT_DIR ? 0 : a.size), "uid", (json_int_t)it->rec.uid, "inode", (json_int_t)it->ino, "deleted", (json_int_t)it->second, "until",
		(json_int_t)(keep ? it->second + keep : it->rec.until_s)));
	return json_array_size(l->items) == LIST_ITEMS;
}

/* `from` is the "next" of the answer before; NULL: from the first of all shares on. */
static json_t *
list(const struct daemon *d, const char *from)
{
	struct list l = { .items = json_array(), .origins = origins_new(&d->vol) };
	struct trash_item at = { 0 };
	char next[80] = "";
	int res = 0, i = 0;

	if (from)
		sscanf(from, "%u-%lu-%lu", &at.share, &at.second, &at.ino);
	while (at.share && i < d->vol.nshares && d->vol.shares[i].id != at.share)
		i++;
	for (; i < d->vol.nshares && res == 0 && l.origins; i++, at = (struct trash_item){ 0 }) {
		l.share = &d->vol.shares[i];
		at.share = l.share->id;
		res = trash_walk(&at, see, &l);
	}
	origins_free(l.origins);
	if (res > 0)
		snprintf(next, sizeof(next), "%u-%lu-%lu", l.last.share, l.last.second, l.last.ino);
	return json_pack("{s:o, s:s?, s:s?}", "items", l.items, "next", next[0] ? next : NULL, "error",
		res < 0 ? "the metadata cannot be read" : NULL);
}

/* ---- restore and empty */

static const char *
why(int err)
{
	switch (err) {
	case -EEXIST:
	case -EISDIR:
		return "the name is taken";
	case -ENOTDIR:
		return "a directory above it is no directory now";
	case -ENOENT:
	case -ESTALE:
		return "its directory has gone for good";
	default:
		return strerror(err > -1000 ? -err : EAGAIN);
	}
}

static void
restored(const struct restore_report *r, void *arg)
{
	json_t **j = arg, *refused = json_array();

	for (uint64_t i = 0; i < MIN(r->nrefused, RESTORE_REFUSED); i++)
		json_array_append_new(refused, json_pack("{s:o, s:s}", "path", text_json(r->refused[i].path), "why", why(r->refused[i].err)));
	*j = json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:s?}", "running", r->job.running, "looked", (json_int_t)r->looked, "found",
		(json_int_t)r->found, "restored", (json_int_t)r->restored, "older", (json_int_t)r->older, "refused", (json_int_t)r->nrefused, "list",
		refused, "error", r->job.err == -ENOENT ? "there is no such share; a path begins with it: /export/..." :
		job_error(0, r->job.err));
}

static json_t *
emptying(const struct daemon *d)
{
	uint64_t left = 0, bytes = 0;
	struct usage u;

	for (int i = 0; i < d->vol.nshares; i++) {
		usage_get(d->vol.shares[i].id, &u);
		left += u.trash_inodes;
		bytes += u.trash_bytes;
	}
	return json_pack("{s:b, s:I, s:I, s:I}", "running", trash_emptying(), "removed", (json_int_t)trash_expired(), "left", (json_int_t)left,
		"left_bytes", (json_int_t)bytes);
}

static char *
dump(json_t *j, int err)
{
	if (err < 0)
		json_object_set_new(j, "error", json_string(job_error(err, 0)));
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}

char *
report_trash_json(const struct daemon *d, const char *from)
{
	return dump(list(d, from && *from ? from : NULL), 0);
}

char *
report_restore_json(const struct daemon *d, const char *path, bool force)
{
	int err = path ? trash_restore_start(d, path, force) : 0;
	json_t *j;

	trash_restore_look(restored, &j);
	return dump(j, err);
}

char *
report_empty_json(const struct daemon *d, const char *share, uint64_t before_s)
{
	int err = share && *share ? -ENOENT : 0;

	for (int i = 0; err && i < d->vol.nshares; i++)
		if (!strcmp(d->vol.shares[i].name, share)) {
			trash_empty(d->vol.shares[i].id, before_s);
			err = 0;
			share = NULL;
		}
	if (err == 0 && share)
		trash_empty(0, before_s);
	json_t *j = emptying(d);

	if (err)
		json_object_set_new(j, "error", json_string("there is no such share"));
	return dump(j, 0);
}
