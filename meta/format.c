/* SPDX-License-Identifier: Apache-2.0 */
/* Making a volume, and reading what it is. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/usage.h"
#include "meta/meta.h"
#include "store/codec.h"

/* Below are the roots. */
#define FIRST_INO 64
#define ROOT_MODE 0755

static void
put_u64(struct kv_batch *b, size_t (*key_fn)(uint8_t *k), uint64_t v)
{
	uint8_t key[8], val[8];

	put_le64(val, v);
	kv_batch_put(b, key, key_fn(key), val, sizeof(val));
}

static void
put_root(struct kv_batch *b, const struct share_rec *s, uint64_t now)
{
	struct attr a = {
		.ino = s->root, .gen = mix64(now ^ s->root << 40) | 1, .type = FT_DIR, .mode = ROOT_MODE,
		.nlink = 2, .share = s->id, .parent = s->root,
		.atime_ns = now, .mtime_ns = now, .ctime_ns = now,
	};
	uint8_t key[9], val[ATTR_BYTES_MAX];

	kv_batch_put(b, key, key_inode(key, a.ino), val, attr_encode(val, &a));
	usage_add(b, s->id, 0, 1);
}

int
meta_format(const struct volume *vol, struct share_rec *shares, int nshares, char why[256])
{
	uint8_t key[KV_KEY_MAX], val[MAX(VOLUME_BYTES_MAX, SHARE_BYTES_MAX)];
	struct timespec t;
	struct kv_batch *b;
	uint64_t now;
	int res;

	if (nshares < 1 || nshares >= SHARES_MAX) {
		snprintf(why, 256, "a volume has 1 to %d shares", SHARES_MAX - 1);
		return -EINVAL;
	}
	clock_gettime(CLOCK_REALTIME, &t);
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	b = kv_batch_new();
	kv_batch_put(b, key, key_volume(key), val, volume_encode(val, vol));
	put_u64(b, key_slice_next, 1);
	put_u64(b, key_ino_next, FIRST_INO);
	for (int i = 0; i < nshares; i++) {
		struct share_rec *s = &shares[i];

		s->id = (uint32_t)i + 1;
		s->root = s->id;
		kv_batch_put(b, key, key_share(key, s->name), val, share_encode(val, s));
		put_root(b, s, now);
	}
	crash_point("format.batch_built");
	res = kv_write_now(b);
	kv_batch_free(b);
	if (res < 0)
		snprintf(why, 256, "the new metadata cannot be written: %s", strerror(-res));
	return res;
}

struct share_list {
	struct share_rec *v;
	int n, max, err;
};

static int
share_seen(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct share_list *l = arg;

	(void)key;
	(void)klen;
	if (l->n == l->max)
		return -ENOSPC;
	l->err = share_decode(&l->v[l->n], val, vlen);
	if (!l->err && (l->v[l->n].id == 0 || l->v[l->n].id >= SHARES_MAX))
		l->err = -E_DAMAGED;
	if (!l->err && !codec_valid(&(struct codec_choice){ l->v[l->n].codec, l->v[l->n].level }))
		l->err = -E_FORMAT;
	l->n++;
	return l->err;
}

static int
why_record(int err, const char *what, char why[256])
{
	switch (err) {
	case -ENOENT:
		snprintf(why, 256, "this is no DittoFS volume: the %s record is missing", what);
		return -E_FORMAT;
	case -E_FORMAT:
		snprintf(why, 256, "the %s record is of a version that this program does not know: "
		         "the volume was made by a newer one", what);
		return err;
	default:
		snprintf(why, 256, "the %s record cannot be read: %s", what,
		         err == -E_DAMAGED ? "it is damaged" : strerror(err > -1000 ? -err : EIO));
		return err;
	}
}

int
meta_load(struct volume *vol, struct share_rec *shares, int max, int *nshares, char why[256])
{
	struct share_list l = { .v = shares, .max = max };
	struct kv_scan s = { .from = "X", .from_len = 1, .to = "Y", .to_len = 1, .fn = share_seen, .arg = &l };
	uint8_t key[8], val[VOLUME_BYTES_MAX];
	int res = kv_get_now(key, key_volume(key), val, sizeof(val));

	if (res >= 0)
		res = volume_decode(vol, val, (size_t)MIN(res, (int)sizeof(val)));
	if (res < 0)
		return why_record(res, "volume", why);
	if (vol->format_version < 1 || vol->format_version > FORMAT_SEALED) {
		snprintf(why, 256, "the volume has format version %u, this program knows up to version %d",
		         vol->format_version, FORMAT_SEALED);
		return -E_FORMAT;
	}
	res = kv_scan_now(&s);
	if (res == 0 && l.n == 0)
		res = -ENOENT;
	if (res < 0)
		return why_record(res, "share", why);
	*nshares = l.n;
	return 0;
}

int
meta_upgrade(struct volume *vol, char why[256])
{
	uint8_t key[8], val[VOLUME_BYTES_MAX];
	struct kv_batch *b;
	int res;

	if (vol->format_version >= FORMAT_VERSION)
		return 0;
	vol->format_version = FORMAT_VERSION;
	b = kv_batch_new();
	kv_batch_put(b, key, key_volume(key), val, volume_encode(val, vol));
	res = kv_write_now(b);
	kv_batch_free(b);
	/* Not only in the log, which an older program does not know. */
	if (res == 0)
		res = kv_flush_now();
	if (res < 0)
		snprintf(why, 256, "the volume cannot be brought to format version %d: %s", FORMAT_VERSION, strerror(-res));
	return res;
}
