/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/metadata.h"

#include <stdio.h>
#include <stdlib.h>

#include "meta/kv.h"

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
	char name[NAME_BYTES_MAX + 1];
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

char *
metadata_path(const struct volume_open *v, uint64_t ino)
{
	char path[4096] = "", longer[sizeof(path) + 300];
	struct search s = { .ino = ino };
	struct attr a;

	for (int i = 0; i < DEEP && metadata_attr(s.ino, &a) == 0; i++) {
		const struct share_rec *share = metadata_share(v, &a);

		if (share && share->root == s.ino) {
			snprintf(longer, sizeof(longer), "%s%s", share->name, path);
			return strdup(longer);
		}
		find_name(a.parent, &s);
		snprintf(longer, sizeof(longer), "/%s%s", s.name, path);
		snprintf(path, sizeof(path), "%.4095s", longer);
		s.ino = a.parent;
	}
	snprintf(longer, sizeof(longer), "...%s (inode %lu)", path, ino);
	return strdup(longer);
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
	while (err >= 0 && *(path += strspn(path, "/")) != '\0') {
		size_t len = strcspn(path, "/");

		err = step_down(v, path, len, ino);
		path += len;
	}
	return MIN(err, 0);
}
