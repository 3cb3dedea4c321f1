/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/trash.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/dir.h"
#include "meta/usage.h"

#define NS 1000000000u
/* Who lists a folder while a removal is not yet to be seen has to list it again: for so long its times go on. */
#define SETTLE_NS (10 * (uint64_t)NS)
#define FOLDER_GEN 1

static_assert(SHARES_MAX <= 1 << 12, "a place has 12 bits for the share");

static struct {
	uint64_t opened_ns, ahead_s;
	struct { uint64_t root, retention_s; bool shows; } share[SHARES_MAX];
} trash;

/* ---- what is kept */

/* By id, for who has none of that name yet. */
static int
check_name_is_free(const struct share_rec *s, char why[256])
{
	const struct meta_name n = { TRASH_NAME, sizeof(TRASH_NAME) - 1 };
	uint8_t key[KV_KEY_MAX], val[DIRENT_BYTES];
	int res = kv_get_now(key, key_dirent(key, s->root, dir_name_id(s->root, &n).hash, n.s, n.len), val, sizeof(val));

	if (res == -ENOENT)
		return 0;
	if (res >= 0)
		snprintf(why, 256, "%s has a " TRASH_NAME " of its own in its root, which the trash would hide: serve it once without a "
			"trash (shares: retention), and rename that", s->name);
	else
		snprintf(why, 256, "the metadata cannot be read: %s", res > -1000 ? strerror(-res) : "it is damaged");
	return res >= 0 ? -EEXIST : res;
}

int
trash_open(const struct share_rec *shares, const uint64_t *retention_s, int n, char why[256])
{
	struct usage u;
	int err = 0;

	memset(&trash.share, 0, sizeof(trash.share));
	trash.opened_ns = reactor_wall_ns();
	for (int i = 0; i < n && err == 0; i++) {
		const struct share_rec *s = &shares[i];

		usage_get(s->id, &u);
		trash.share[s->id].root = s->root;
		trash.share[s->id].retention_s = retention_s ? retention_s[i] : 0;
		trash.share[s->id].shows = trash_keeps(s->id) || u.trash_inodes > 0;
		if (trash_shows(s->id))
			err = check_name_is_free(s, why);
	}
	return err;
}

uint64_t
trash_now_s(void)
{
	uint64_t now = reactor_wall_ns() / NS + __atomic_load_n(&trash.ahead_s, __ATOMIC_RELAXED);

	return MAX(now, TRASH_HOUR_S); /* the first hour's folder would be .trash itself: a machine without a clock begins there */
}

void
trash_set_ahead(uint64_t seconds)
{
	__atomic_store_n(&trash.ahead_s, seconds, __ATOMIC_RELAXED);
}

uint64_t
trash_retention_s(uint32_t share)
{
	return share < SHARES_MAX ? __atomic_load_n(&trash.share[share].retention_s, __ATOMIC_RELAXED) : 0;
}

int
trash_set_retention(uint32_t share, uint64_t seconds)
{
	if (!trash_shows(share) && seconds > 0)
		return -EBUSY;
	__atomic_store_n(&trash.share[share].retention_s, seconds, __ATOMIC_RELAXED);
	return 0;
}

bool
trash_keeps(uint32_t share)
{
	return trash_retention_s(share) > 0;
}

bool
trash_shows(uint32_t share)
{
	return share < SHARES_MAX && trash.share[share].shows;
}

bool
trash_is_name(uint32_t share, uint64_t dir, const struct meta_name *n)
{
	return n->len == sizeof(TRASH_NAME) - 1 && !memcmp(n->s, TRASH_NAME, n->len) && trash_shows(share) &&
	       trash.share[share].root == dir;
}

/* ---- folders */

struct fref
trash_folder_ref(uint64_t folder)
{
	return (struct fref){ .ino = folder, .gen = FOLDER_GEN, .share = trash_share(folder) };
}

int
trash_folder_check(const struct fref *f)
{
	bool good = trash_shows(f->share) && f->share == trash_share(f->ino) && f->gen == FOLDER_GEN;

	return good && trash_folder(f->ino) == f->ino ? 0 : -ESTALE;
}

/* Of all folders of the share; each user's is another nanosecond. */
static uint64_t
changed_ns(uint32_t share, const struct cred *c)
{
	uint64_t now = reactor_wall_ns();
	struct usage u;

	usage_get(share, &u);
	u.trash_ns = MAX(u.trash_ns, trash.opened_ns) + SETTLE_NS;
	return MIN(now, u.trash_ns) / 1000 * 1000 + (c->uid ? 1 + mix64(c->uid) % 999 : 0);
}

void
trash_folder_attr(struct attr *a, uint64_t folder, const struct cred *c)
{
	uint32_t share = trash_share(folder);
	bool top = trash_second(folder) == 0;

	*a = (struct attr){
		.ino = folder, .gen = FOLDER_GEN, .type = FT_DIR, .nlink = 2, .share = share, .size = DIR_ENTRY_BYTES,
		/* Everybody his own, as in /tmp: so a client lets him try to restore and to remove. */
		.mode = top ? 0555 : 01777,
		.parent = top ? trash.share[share].root : trash_place(share, 0),
	};
	a->atime_ns = a->mtime_ns = a->ctime_ns = changed_ns(share, c);
}

void
trash_hour_name(char out[TRASH_HOUR_BYTES + 1], uint64_t second)
{
	time_t t = (time_t)second;
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(out, TRASH_HOUR_BYTES + 1, "%Y-%m-%d-%H", &tm) != TRASH_HOUR_BYTES)
		memcpy(out, "0000-00-00-00", TRASH_HOUR_BYTES + 1); /* a clock far beyond: no name that leads back */
}

uint64_t
trash_hour_second(const struct meta_name *n)
{
	char text[TRASH_HOUR_BYTES + 1], again[TRASH_HOUR_BYTES + 1];
	struct tm tm = { 0 };
	time_t t;

	if (n->len != TRASH_HOUR_BYTES)
		return 0;
	memcpy(text, n->s, TRASH_HOUR_BYTES);
	text[TRASH_HOUR_BYTES] = '\0';
	if (sscanf(text, "%4d-%2d-%2d-%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour) != 4)
		return 0;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	t = timegm(&tm);
	if (t < TRASH_HOUR_S)
		return 0;
	trash_hour_name(again, (uint64_t)t);
	return memcmp(text, again, TRASH_HOUR_BYTES) ? 0 : (uint64_t)t;
}

/* ---- names */

/* No further than `max`, and not within a character of UTF-8; bytes that are none are cut anywhere. */
static uint32_t
cut(const char *s, uint32_t len, uint32_t max)
{
	uint32_t at = MIN(len, max);

	for (uint32_t back = 0; at < len && back < 3 && at > back; back++)
		if (((uint8_t)s[at - back] & 0xc0) != 0x80)
			return at - back;
	return at;
}

uint32_t
trash_name(char out[NAME_BYTES_MAX], const struct trash_rec *r, uint64_t ino)
{
	char head[48];
	uint32_t n = (uint32_t)snprintf(head, sizeof(head), "%lu-%lu-", r->parent, ino);
	uint32_t len = cut(r->name, r->name_len, NAME_BYTES_MAX - n);

	memcpy(out, head, n);
	memcpy(out + n, r->name, len);
	return n + len;
}

uint64_t
trash_name_ino(const struct meta_name *n)
{
	const char *p = memchr(n->s, '-', n->len);
	uint64_t ino = 0;

	if (!p)
		return 0;
	for (p++; p < n->s + n->len && *p >= '0' && *p <= '9' && ino < TRASH_INO_MAX; p++)
		ino = 10 * ino + (uint64_t)(*p - '0');
	return p < n->s + n->len && *p == '-' && ino < TRASH_INO_MAX ? ino : 0;
}

/* ---- coming and going */

void
trash_or_remove(struct meta_txn *t, struct inode_lock *l, uint64_t dir, const struct meta_name *name)
{
	uint64_t second = trash_now_s();
	uint8_t key[KV_KEY_MAX], val[TRASH_BYTES_MAX];
	struct attr *a = &l->attr;
	struct trash_rec r;

	if (!trash_keeps(a->share)) {
		txn_remove(t, l);
		return;
	}
	assert(a->ino < TRASH_INO_MAX && !trash_is(a->parent));
	r = (struct trash_rec){ .gen = a->gen, .parent = dir, .until_s = second + trash_retention_s(a->share), .uid = a->uid,
		                .type = a->type, .name_len = name->len };
	memcpy(r.name, name->s, name->len);
	kv_batch_put(t->batch, key, key_trash(key, a->share, second, a->ino), val, trash_encode(val, &r));
	usage_add_trash(t->batch, a->share, (int64_t)a->used, 1);
	a->parent = trash_place(a->share, second);
	a->ctime_ns = attr_change_ns(a);
	l->changed = true;
}

void
trash_leave(struct meta_txn *t, struct inode_lock *l)
{
	struct attr *a = &l->attr;
	uint8_t key[KV_KEY_MAX];

	assert(trash_holds(a));
	kv_batch_del(t->batch, key, key_trash(key, a->share, trash_second(a->parent), a->ino));
	usage_add_trash(t->batch, a->share, -(int64_t)a->used, -1);
}
