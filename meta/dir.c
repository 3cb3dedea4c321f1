/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/dir.h"

#include "crypto/siphash.h"
#include "reactor/log.h"

/* That are learned with one that is asked for: half a block of RocksDB. */
#define LESSON_NAMES 32

static uint8_t secret[16];
static uint64_t (*hash_fn)(const uint8_t key[16], const char *name, size_t len) = name_hash;

void
dir_set_secret(const uint8_t s[16])
{
	memcpy(secret, s, sizeof(secret));
}

void
dir_set_hash(uint64_t (*hash)(const uint8_t key[16], const char *name, size_t len))
{
	hash_fn = hash;
}

int
dir_name_check(const struct meta_name *n)
{
	if (n->len == 0 || memchr(n->s, '/', n->len) || memchr(n->s, 0, n->len))
		return -EINVAL;
	return n->len > NAME_BYTES_MAX ? -ENAMETOOLONG : 0;
}

bool
dir_name_is_dot(const struct meta_name *n)
{
	return n->len == 1 && n->s[0] == '.';
}

bool
dir_name_is_dotdot(const struct meta_name *n)
{
	return n->len == 2 && n->s[0] == '.' && n->s[1] == '.';
}

struct name_id
dir_name_id(uint64_t dir, const struct meta_name *n)
{
	uint8_t both[8 + NAME_BYTES_MAX];
	uint64_t tag;

	assert(n->len <= NAME_BYTES_MAX);
	put_be64(both, dir);
	memcpy(both + 8, n->s, n->len);
	tag = siphash24(secret, both, 8 + n->len);
	return (struct name_id){ .tag = tag ? tag : 1, .hash = hash_fn(secret, n->s, n->len) };
}

/* What RocksDB has told right now. */
static void
remember(const struct name_id *id, int res, const uint8_t val[DIRENT_BYTES])
{
	struct dirent_rec d = { 0 };

	if (res == -ENOENT || (res >= 0 && dirent_decode(&d, val, (size_t)res) == 0))
		namecache_put(id, &d);
}

enum op_state
dir_find(struct kv_get *g, uint64_t dir, const struct meta_name *n, uint8_t val[DIRENT_BYTES], struct op *op)
{
	struct name_id id = dir_name_id(dir, n);
	uint8_t key[KV_KEY_MAX];
	bool owns = shard_owns(dir);
	struct dirent_rec d;

	if (owns && namecache_get(&id, &d))
		return op_done(op, d.ino ? (int)dirent_encode(val, &d) : -ENOENT);
	if (kv_get(g, key, key_dirent(key, dir, id.hash, n->s, n->len), val, DIRENT_BYTES, op) == OP_PENDING)
		return OP_PENDING; /* what a worker brings may have changed until it is here */
	if (owns)
		remember(&id, op->res, val);
	return OP_DONE;
}

bool
dir_knows(uint64_t dir, const struct meta_name *n)
{
	struct name_id id = dir_name_id(dir, n);
	struct dirent_rec d;

	return namecache_get(&id, &d);
}

struct lesson {
	struct kv_scan scan;
	uint64_t dir;
	int names;
};

static int
learn_one(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct lesson *l = arg;
	struct meta_name n = { .s = (const char *)key + KEY_DIRENT_NAME, .len = (uint32_t)(klen - KEY_DIRENT_NAME) };
	struct name_id id;

	if (klen <= KEY_DIRENT_NAME || klen > KEY_DIRENT_NAME + NAME_BYTES_MAX)
		return -E_DAMAGED;
	id = dir_name_id(l->dir, &n);
	remember(&id, (int)vlen, val);
	return ++l->names == LESSON_NAMES;
}

/* By their hashes they follow each other as chance will have it: where all are looked up, each block is read but twice. */
void
dir_learn(uint64_t dir, const struct meta_name *n)
{
	struct lesson l = { .dir = dir };

	assert(shard_owns(dir));
	if (!namecache_has_room())
		return;
	l.scan.from_len = (uint16_t)key_dirent(l.scan.from, dir, hash_fn(secret, n->s, n->len), n->s, n->len);
	l.scan.to_len = (uint16_t)key_dirent_from(l.scan.to, dir + 1, 0);
	l.scan.fn = learn_one;
	l.scan.arg = &l;
	kv_scan_try(&l.scan); /* what is not in memory stays unknown */
}

void
dir_forget(uint64_t dir, const struct meta_name *n)
{
	struct name_id id = dir_name_id(dir, n);

	assert(shard_owns(dir));
	namecache_drop(&id);
}

int
dir_found(int res, const uint8_t val[DIRENT_BYTES], struct dirent_rec *d)
{
	int err;

	if (res < 0)
		return res;
	err = dirent_decode(d, val, (size_t)res);
	if (!err)
		return 0;
	log_error("metadata: a directory entry is %s", err == -E_FORMAT ? "of an unknown version" : "damaged");
	return -EIO;
}

static size_t
change_key(uint8_t *key, struct inode_lock *dir, const struct meta_name *n, const struct dirent_rec *d)
{
	struct name_change c = { .id = dir_name_id(dir->ino, n), .d = *d };

	assert(dir->nnames < ARRAY_LEN(dir->name));
	dir->name[dir->nnames++] = c;
	return key_dirent(key, dir->ino, c.id.hash, n->s, n->len);
}

void
dir_put(struct kv_batch *b, struct inode_lock *dir, const struct meta_name *n, const struct dirent_rec *d)
{
	uint8_t key[KV_KEY_MAX], val[DIRENT_BYTES];
	size_t klen = change_key(key, dir, n, d);

	kv_batch_put(b, key, klen, val, dirent_encode(val, d));
}

void
dir_del(struct kv_batch *b, struct inode_lock *dir, const struct meta_name *n)
{
	uint8_t key[KV_KEY_MAX];

	kv_batch_del(b, key, change_key(key, dir, n, &(struct dirent_rec){ 0 }));
}

uint64_t
attr_change_ns(const struct attr *a)
{
	return MAX(reactor_wall_ns(), a->ctime_ns + 1);
}

void
dir_changed(struct attr *dir, int by, int subdirs)
{
	dir->size += (uint64_t)((int64_t)by * DIR_ENTRY_BYTES);
	dir->nlink += (uint32_t)subdirs;
	dir->ctime_ns = dir->mtime_ns = attr_change_ns(dir);
}
