/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/dir.h"

#include "reactor/log.h"

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

static size_t
entry_key(uint8_t *key, uint64_t dir, const struct meta_name *n)
{
	return key_dirent(key, dir, hash_fn(secret, n->s, n->len), n->s, n->len);
}

enum op_state
dir_find(struct kv_get *g, uint64_t dir, const struct meta_name *n, uint8_t val[DIRENT_BYTES], struct op *op)
{
	uint8_t key[KV_KEY_MAX];

	return kv_get(g, key, entry_key(key, dir, n), val, DIRENT_BYTES, op);
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

void
dir_put(struct kv_batch *b, uint64_t dir, const struct meta_name *n, const struct dirent_rec *d)
{
	uint8_t key[KV_KEY_MAX], val[DIRENT_BYTES];

	kv_batch_put(b, key, entry_key(key, dir, n), val, dirent_encode(val, d));
}

void
dir_del(struct kv_batch *b, uint64_t dir, const struct meta_name *n)
{
	uint8_t key[KV_KEY_MAX];

	kv_batch_del(b, key, entry_key(key, dir, n));
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
