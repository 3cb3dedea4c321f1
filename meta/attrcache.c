/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/attrcache.h"

#include "meta/assoc.h"
#include "meta/inode.h"
#include "meta/usage.h"

/* Numbers that are read together: half a block of RocksDB. */
#define NEAR_INOS 32u

struct brief {
	uint64_t gen, size, used, atime_ns, mtime_ns, ctime_ns, parent, jseq;
	uint32_t uid, gid;
	uint16_t nlink, mode;
	uint8_t share, type;
};
static_assert(LINK_MAX_DITTO <= UINT16_MAX && SHARES_MAX <= UINT8_MAX + 1, "they fit");

static struct assoc cache[REACTOR_MAX_CORES];

static struct assoc *
own(void)
{
	return &cache[reactor_core()];
}

int
attrcache_init(uint32_t max)
{
	return assoc_init(own(), "attributes", max, sizeof(struct brief));
}

void
attrcache_fini(void)
{
	assoc_fini(own());
}

uint64_t
attrcache_max(void)
{
	return (uint64_t)own()->max * (uint64_t)reactor_cores();
}

static void
expand(struct attr *a, uint64_t ino, const struct brief *b)
{
	*a = (struct attr){
		.ino = ino, .gen = b->gen, .type = b->type, .mode = b->mode, .uid = b->uid, .gid = b->gid,
		.nlink = b->nlink, .share = b->share, .size = b->size, .used = b->used, .atime_ns = b->atime_ns,
		.mtime_ns = b->mtime_ns, .ctime_ns = b->ctime_ns, .parent = b->parent, .jseq = b->jseq,
	};
}

bool
attrcache_get(uint64_t ino, struct attr *out)
{
	struct brief b;

	if (!assoc_get(own(), ino, &b))
		return false;
	expand(out, ino, &b);
	return true;
}

bool
attrcache_has(uint64_t ino)
{
	return assoc_has(own(), ino);
}

bool
attrcache_look(uint64_t ino, struct attr *out)
{
	struct brief b;

	if (!assoc_look(&cache[shard_owner(ino)], ino, &b))
		return false;
	expand(out, ino, &b);
	return true;
}

void
attrcache_near(uint64_t ino, int step)
{
	assoc_near(&cache[shard_owner(ino)], ino, step);
}

bool
attrcache_put(const struct attr *a)
{
	struct brief b;

	assert(shard_owns(a->ino));
	if (a->rdev_major || a->rdev_minor || a->verf || a->dirty) { /* rare, and not worth the room */
		attrcache_drop(a->ino);
		return false;
	}
	b = (struct brief){
		.gen = a->gen, .size = a->size, .used = a->used, .atime_ns = a->atime_ns, .mtime_ns = a->mtime_ns,
		.ctime_ns = a->ctime_ns, .parent = a->parent, .jseq = a->jseq, .uid = a->uid, .gid = a->gid,
		.nlink = (uint16_t)a->nlink, .mode = (uint16_t)a->mode, .share = (uint8_t)a->share,
		.type = (uint8_t)a->type,
	};
	assoc_put(own(), a->ino, &b);
	return true;
}

void
attrcache_drop(uint64_t ino)
{
	assert(shard_owns(ino));
	assoc_drop(own(), ino);
}

bool
attrcache_has_room(void)
{
	return assoc_has_room(own());
}

static int
near_seen(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	uint64_t ino = klen == 9 ? get_be64((const uint8_t *)key + 1) : 0;
	struct attr a;

	(void)arg;
	if (ino && shard_owns(ino) && !inode_known(ino) && attr_decode(&a, val, vlen, NULL) == 0 && a.ino == ino)
		attrcache_put(&a);
	return 0;
}

int
attrcache_bring(uint64_t ino)
{
	uint64_t first = ino & ~(uint64_t)(NEAR_INOS - 1);
	struct kv_scan s;

	s.from_len = (uint16_t)key_inode(s.from, first);
	s.to_len = (uint16_t)key_inode(s.to, first + NEAR_INOS);
	s.fn = near_seen;
	s.arg = NULL;
	return kv_scan_try(&s);
}
