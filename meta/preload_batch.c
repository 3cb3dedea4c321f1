/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/preload_batch.h"

#include "meta/attrcache.h"
#include "meta/changed.h"
#include "meta/dir.h"

/*
 * Iterating backwards costs RocksDB twice as much, so this goes forward through a window, and then to the one below.
 * Where inodes have gone windows are empty, and cost a seek.
 */
#define WINDOW  65536u
#define WINDOWS 64 /* in a batch */

int
preload_read_begin(struct preload_batch *b, enum preload_kind kind)
{
	uint8_t key[8], val[8];
	int res = kv_get_now(key, key_ino_next(key), val, sizeof(val));

	if (res != sizeof(val))
		return res < 0 ? res : -E_DAMAGED;
	b->kind = kind;
	b->hi = get_le64(val);
	b->lo = b->hi - MIN(b->hi, WINDOW);
	b->key_len = 0;
	return 0;
}

static void
take_attr(struct preload_batch *b, const void *val, size_t vlen)
{
	if (attr_decode(&b->attr[b->n], val, vlen, NULL) == 0)
		b->n++;
}

static void
take_name(struct preload_batch *b, const uint8_t *key, size_t klen, const void *val, size_t vlen)
{
	struct meta_name name = { .s = (const char *)key + KEY_DIRENT_NAME, .len = (uint32_t)(klen - KEY_DIRENT_NAME) };
	struct preload_name *n = &b->name[b->n];

	if (klen <= KEY_DIRENT_NAME || name.len > NAME_BYTES_MAX || dirent_decode(&n->d, val, vlen) < 0)
		return;
	n->dir = get_be64(key + 1);
	n->id = dir_name_id(n->dir, &name);
	b->n++;
}

/* 1: the batch is full, and goes on with this one. */
static int
take(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct preload_batch *b = arg;

	if (b->n == PRELOAD_ENTRIES) {
		memcpy(b->key, key, MIN(klen, sizeof(b->key)));
		b->key_len = (uint16_t)MIN(klen, sizeof(b->key));
		return 1;
	}
	if (b->kind == PRELOAD_ATTRS)
		take_attr(b, val, vlen);
	else
		take_name(b, key, klen, val, vlen);
	return 0;
}

static size_t
key_first(const struct preload_batch *b, uint8_t *key, uint64_t ino)
{
	return b->kind == PRELOAD_ATTRS ? key_inode(key, ino) : key_dirent_from(key, ino, 0);
}

int
preload_read(struct preload_batch *b)
{
	struct kv_scan s = { .fn = take, .arg = b };

	b->n = 0;
	for (int i = 0; i < WINDOWS && b->hi > 0; i++) {
		int res;

		s.from_len = b->key_len ? b->key_len : (uint16_t)key_first(b, s.from, b->lo);
		if (b->key_len)
			memcpy(s.from, b->key, b->key_len);
		s.to_len = (uint16_t)key_first(b, s.to, b->hi);
		res = kv_scan_applied(&s);
		if (res)
			return res;
		b->hi = b->lo;
		b->lo -= MIN(b->lo, WINDOW);
		b->key_len = 0;
	}
	return b->hi > 0;
}

/* ---- on each core */

static bool
keep_attr(const struct attr *a)
{
	if (!shard_owns(a->ino) || inode_known(a->ino) || attrcache_has(a->ino) || changed_maybe(a->ino))
		return true;
	if (!attrcache_has_room())
		return false;
	attrcache_put(a);
	return true;
}

static bool
keep_name(const struct preload_name *n)
{
	struct dirent_rec d;

	if (!shard_owns(n->dir) || inode_changes(n->dir) || namecache_get(&n->id, &d) || changed_maybe(n->id.tag))
		return true;
	if (!namecache_has_room())
		return false;
	namecache_put(&n->id, &n->d);
	return true;
}

/* The waits for memory overlap. */
static void
come_near(const struct preload_batch *b, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		if (b->kind == PRELOAD_ATTRS && shard_owns(b->attr[i].ino))
			attrcache_near(b->attr[i].ino, 0);
		else if (b->kind == PRELOAD_NAMES && shard_owns(b->name[i].dir))
			namecache_near(reactor_core(), &b->name[i].id, 0);
}

bool
preload_keep(const struct preload_batch *b, uint32_t from, uint32_t to)
{
	bool room = true;

	come_near(b, from, to);
	for (uint32_t i = from; i < to && room; i++)
		room = b->kind == PRELOAD_ATTRS ? keep_attr(&b->attr[i]) : keep_name(&b->name[i]);
	return room;
}
