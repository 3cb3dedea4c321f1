/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/metadata.h"

#include <stdio.h>
#include <stdlib.h>

#include "meta/trash.h"

#define DEEP 64 /* directories of a path, upwards */

int
metadata_attr(uint64_t ino, struct attr *a)
{
	uint8_t key[KV_KEY_MAX], val[ATTR_BYTES_MAX + SYMLINK_BYTES_MAX];
	int len = kv_get_now(key, key_inode(key, ino), val, sizeof(val));

	return len < 0 ? len : attr_decode(a, val, MIN((size_t)len, sizeof(val)), NULL);
}

const struct share_rec *
metadata_share(const struct volume_open *v, const struct attr *a)
{
	for (int i = 0; i < v->nshares; i++)
		if (v->shares[i].id == a->share)
			return &v->shares[i];
	return NULL;
}

struct search {
	uint64_t ino;
	char name[2 * NAME_BYTES_MAX]; /* in the trash also the folder's */
};

static int
see_name(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct search *s = arg;
	struct dirent_rec d;

	if (dirent_decode(&d, val, vlen) < 0 || d.ino != s->ino || klen <= 17)
		return 0;
	snprintf(s->name, sizeof(s->name), "%.*s", (int)(klen - 17), (const char *)key + 17);
	return 1;
}

/* Its name in the directory; "?" where it is not. */
static void
find_name(uint64_t dir, struct search *s)
{
	struct kv_scan scan = { .fn = see_name, .arg = s };

	snprintf(s->name, sizeof(s->name), "?");
	scan.from_len = (uint16_t)key_dirent_from(scan.from, dir, 0);
	scan.to_len = (uint16_t)key_dirent_from(scan.to, dir + 1, 0);
	kv_scan_now(&scan);
}

int
metadata_trashed(const struct attr *a, struct trash_rec *r)
{
	uint8_t key[KV_KEY_MAX], val[TRASH_BYTES_MAX];
	int len = -ENOENT;

	if (trash_holds(a))
		len = kv_get_now(key, key_trash(key, a->share, trash_second(a->parent), a->ino), val, sizeof(val));
	return len < 0 ? len : trash_decode(r, val, MIN((size_t)len, sizeof(val)));
}

/* Up from what is in the trash: its name there, and no further; or as if it were where it was. */
static void
step_up(const struct volume_open *v, const struct attr *a, bool origin, struct search *s)
{
	char hour[TRASH_HOUR_BYTES + 1], name[NAME_BYTES_MAX];
	struct trash_rec r;

	if (metadata_trashed(a, &r) < 0) {
		find_name(a->parent, s);
		s->ino = a->parent;
	} else if (origin) {
		snprintf(s->name, sizeof(s->name), "%.*s", (int)r.name_len, r.name);
		s->ino = r.parent;
	} else {
		trash_hour_name(hour, trash_second(a->parent));
		snprintf(s->name, sizeof(s->name), TRASH_NAME "/%s/%.*s", hour, (int)trash_name(name, &r, a->ino), name);
		s->ino = metadata_share(v, a) ? metadata_share(v, a)->root : 0;
	}
}

static char *
path_of(const struct volume_open *v, uint64_t ino, bool origin)
{
	char path[4096] = "", longer[sizeof(path) + 600];
	struct search s = { .ino = ino };
	struct attr a;

	for (int i = 0; i < DEEP && metadata_attr(s.ino, &a) == 0; i++) {
		const struct share_rec *share = metadata_share(v, &a);

		if (share && share->root == s.ino) {
			snprintf(longer, sizeof(longer), "%s%s", share->name, path);
			return strdup(longer);
		}
		step_up(v, &a, origin, &s);
		snprintf(longer, sizeof(longer), "/%s%s", s.name, path);
		snprintf(path, sizeof(path), "%.4095s", longer);
	}
	snprintf(longer, sizeof(longer), "...%s (inode %lu)", path, ino);
	return strdup(longer);
}

char *
metadata_path(const struct volume_open *v, uint64_t ino)
{
	return path_of(v, ino, false);
}

char *
metadata_origin(const struct volume_open *v, uint64_t ino)
{
	return path_of(v, ino, true);
}

/* "HOUR/NAME" in the trash of the share. */
static int
find_trashed(const struct share_rec *share, const char *path, uint64_t *ino)
{
	struct meta_name hour = { path, (uint32_t)strcspn(path, "/") }, name = { .s = path + hour.len };
	char real[NAME_BYTES_MAX];
	struct trash_rec r;
	struct attr a;
	int err;

	name.s += strspn(name.s, "/");
	name.len = (uint32_t)strlen(name.s);
	*ino = trash_name_ino(&name);
	err = *ino ? metadata_attr(*ino, &a) : -ENOENT;
	if (err == 0 && (a.share != share->id || trash_folder(a.parent) != trash_place(share->id, trash_hour_second(&hour))))
		err = -ENOENT;
	if (err == 0)
		err = metadata_trashed(&a, &r);
	if (err == 0 && (trash_name(real, &r, *ino) != name.len || memcmp(real, name.s, name.len)))
		err = -ENOENT;
	return err;
}

static int
step_down(const struct volume_open *v, const char *name, size_t len, uint64_t *ino)
{
	uint8_t key[KV_KEY_MAX], val[DIRENT_BYTES];
	struct dirent_rec d;
	struct attr a;
	int got = metadata_attr(*ino, &a);

	if (got < 0)
		return got;
	if (a.type != FT_DIR)
		return -ENOTDIR;
	if (len > NAME_BYTES_MAX)
		return -ENOENT;
	got = kv_get_now(key, key_dirent(key, *ino, name_hash(v->vol.secret, name, len), name, len), val, sizeof(val));
	if (got >= 0)
		got = dirent_decode(&d, val, MIN((size_t)got, sizeof(val)));
	if (got >= 0)
		*ino = d.ino;
	return got;
}

int
metadata_find(const struct volume_open *v, const char *path, uint64_t *ino)
{
	const struct share_rec *share = NULL;
	int err = 0;

	for (int i = 0; i < v->nshares; i++) {
		size_t len = strlen(v->shares[i].name);

		if (!strncmp(path, v->shares[i].name, len) && (path[len] == '/' || path[len] == '\0'))
			share = &v->shares[i];
	}
	if (!share)
		return -ENOENT;
	*ino = share->root;
	path += strlen(share->name);
	if (trash_shows(share->id) && !strncmp(path, "/" TRASH_NAME "/", sizeof(TRASH_NAME) + 1))
		return find_trashed(share, path + sizeof(TRASH_NAME) + 1, ino);
	while (err >= 0 && *(path += strspn(path, "/")) != '\0') {
		size_t len = strcspn(path, "/");

		err = step_down(v, path, len, ino);
		path += len;
	}
	return MIN(err, 0);
}
