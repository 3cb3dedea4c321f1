/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/trash_walk.h"

#include <stdio.h>
#include <stdlib.h>

#include "meta/trash.h"
#include "tools/metadata.h"

#define PAGE_ITEMS 128
#define REMEMBERED 512

struct page {
	struct trash_item v[PAGE_ITEMS];
	int n;
};

static int
see_record(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct page *p = arg;
	struct trash_item *it = &p->v[p->n];
	struct trash_key k;

	if (!key_read_trash(&k, key, klen) || trash_decode(&it->rec, val, vlen) < 0)
		return 0;
	it->share = k.share;
	it->second = k.deleted_s;
	it->ino = k.ino;
	return ++p->n == PAGE_ITEMS;
}

int
trash_walk(const struct trash_item *from, int (*see)(void *arg, const struct trash_item *it), void *arg)
{
	struct page *p = malloc(sizeof(*p));
	struct kv_scan scan = { .fn = see_record, .arg = p };
	int res = p ? 0 : -ENOMEM, more = 1;

	scan.from_len = (uint16_t)key_trash(scan.from, from->share, from->second, from->ino + 1);
	scan.to_len = (uint16_t)key_trash(scan.to, from->share + 1, 0, 0);
	while (res == 0 && more > 0) {
		p->n = 0;
		more = kv_scan_now(&scan);
		res = MIN(more, 0);
		for (int i = 0; i < p->n && res == 0; i++)
			res = see(arg, &p->v[i]);
		if (p->n > 0)
			scan.from_len = (uint16_t)key_trash(scan.from, from->share, p->v[p->n - 1].second, p->v[p->n - 1].ino + 1);
	}
	free(p);
	return res;
}

void
trash_path(char out[TRASH_PATH_BYTES], const struct trash_item *it)
{
	char hour[TRASH_HOUR_BYTES + 1], name[NAME_BYTES_MAX];
	uint32_t len = trash_name(name, &it->rec, it->ino);

	trash_hour_name(hour, it->second);
	snprintf(out, TRASH_PATH_BYTES, TRASH_NAME "/%s/%.*s", hour, (int)len, name);
}

/* ---- where it was */

struct origins {
	const struct volume_open *volume;
	struct { uint64_t ino; char *path; } known[REMEMBERED];
	char path[8192];
};

struct origins *
origins_new(const struct volume_open *v)
{
	struct origins *o = calloc(1, sizeof(*o));

	if (o)
		o->volume = v;
	return o;
}

void
origins_free(struct origins *o)
{
	for (int i = 0; o && i < REMEMBERED; i++)
		free(o->known[i].path);
	free(o);
}

const char *
origins_path(struct origins *o, const struct trash_item *it)
{
	uint64_t dir = it->rec.parent, at = dir % REMEMBERED;

	if (o->known[at].ino != dir) {
		free(o->known[at].path);
		o->known[at].path = metadata_origin(o->volume, dir);
		o->known[at].ino = dir;
	}
	snprintf(o->path, sizeof(o->path), "%s/%.*s", o->known[at].path ? o->known[at].path : "...", (int)it->rec.name_len, it->rec.name);
	return o->path;
}
