/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume with one share in a temporary directory and the real reactors, for
 * tests of the metadata: each operation as one blocking call from a test thread.
 * world_check reads the database as a whole and says whether it is consistent.
 */
#ifndef TESTS_META_WORLD_H
#define TESTS_META_WORLD_H

#include "meta/dir.h"
#include "meta/perm.h"
#include "meta/trash.h"
#include "reactor/log.h"
#include "tests/fake/file_fake.h"
#include "tests/fake/plain.h"
#include "tests/fake/rig.h"

#define HELPER __attribute__((unused)) static

/* What a *_look says where the owner has to be asked. */
#define NOT_SHOWN 1

static struct {
	char db[128];
	struct volume vol;
	struct share_rec share[2];
	int nshares;
	uint32_t max_inodes, max_names;
	uint64_t retention_s[2];
	int (*more_init)(void);     /* on each core, beside the metadata itself; NULL: nothing */
	void (*more_fini)(void);
	struct fref root;
	_Atomic unsigned turn, looked; /* answers that needed no owner */
} world = { .nshares = 1, .max_inodes = 4096, .max_names = 4096 };

static const struct cred superuser = { 0 };
static const struct cred alice = { .uid = 1001, .gid = 100, .ngids = 1, .gids = { 200 } };
static const struct cred bob = { .uid = 1002, .gid = 100 };
static const struct cred carol = { .uid = 1003, .gid = 300 };

HELPER int
world_init(int core, void *arg)
{
	int err = meta_init(core);

	(void)arg;
	return !err && world.more_init ? world.more_init() : err;
}

HELPER void
world_fini(int core, void *arg)
{
	(void)arg;
	if (world.more_fini)
		world.more_fini();
	meta_fini(core);
}

static int world_res(int core, enum op_state (*start)(void *, struct op *), void *arg)
{
	return rig_call(core, start, arg);
}

#define CALL(type)                                                  \
	HELPER enum op_state start_##type(void *arg, struct op *op) \
	{                                                           \
		return type(arg, op);                               \
	}
CALL(meta_getattr) CALL(meta_setattr) CALL(meta_access) CALL(meta_lookup) CALL(meta_readlink)
CALL(meta_create) CALL(meta_unlink) CALL(meta_rename) CALL(meta_link) CALL(meta_readdir) CALL(meta_fsstat)
#undef CALL
#define ON_OWNER(type, m) world_res(shard_owner((m)->req.f.ino), start_##type, m)

#define LOOK(type)                                                         \
	HELPER enum op_state look_##type(void *arg, struct op *op)         \
	{                                                                  \
		int res = 0;                                               \
                                                                           \
		return op_done(op, type##_look(arg, &res) ? res : NOT_SHOWN); \
	}
LOOK(meta_getattr) LOOK(meta_access) LOOK(meta_lookup)
#undef LOOK

/* As the protocol does: every other time from another core, which looks first and asks where that says nothing. */
HELPER int
world_look(uint64_t ino, enum op_state (*look)(void *, struct op *), enum op_state (*ask)(void *, struct op *), void *arg)
{
	int owner = shard_owner(ino), res = NOT_SHOWN;

	if (reactor_cores() > 1 && world.turn++ & 1)
		res = world_res((owner + 1) % reactor_cores(), look, arg);
	world.looked += res != NOT_SHOWN;
	return res != NOT_SHOWN ? res : world_res(owner, ask, arg);
}
#define ANYWHERE(type, m) world_look((m)->req.f.ino, look_##type, start_##type, m)

HELPER int
do_getattr(struct fref f, struct attr *a)
{
	struct meta_getattr m = { .req.f = f };
	int res = ANYWHERE(meta_getattr, &m);

	*a = m.attr;
	return res;
}

HELPER struct attr
attr_of(struct fref f)
{
	struct attr a;

	cr_assert(eq(int, do_getattr(f, &a), 0));
	return a;
}

/* Opens what is at world.db and starts the cores. */
HELPER void
world_open(int cores)
{
	struct kv_opts o = { .path = world.db, .cache_bytes = 16 * MIB, .memtable_bytes = 32 * MIB, .log_bytes = 16 * MIB };
	struct meta_opts m = { .volume = &world.vol, .shares = world.share, .max_inodes = world.max_inodes,
	                       .max_names = world.max_names, .retention_s = world.retention_s };
	struct attr root;
	char why[256] = "";

	cr_assert(kv_open(&o, why) == 0, "%s", why);
	cr_assert(meta_load(&world.vol, world.share, 2, &m.nshares, why) == 0, "%s", why);
	cr_assert(eq(int, m.nshares, world.nshares));
	cr_assert(meta_open(&m, why) == 0, "%s", why);
	rig_start(cores, world_init, world_fini);
	world.root = (struct fref){ .ino = world.share[0].root, .share = world.share[0].id };
	cr_assert(eq(int, do_getattr(world.root, &root), 0));
	world.root.gen = root.gen;
}

HELPER void
world_close(void)
{
	rig_stop();
	kv_close();
}

HELPER void
world_start(int cores)
{
	struct kv_opts o = { .path = world.db, .create = true, .cache_bytes = 16 * MIB, .memtable_bytes = 32 * MIB, .log_bytes = 16 * MIB };
	char why[256] = "";

	log_set_level(LOG_ERROR);
	snprintf(world.db, sizeof(world.db), "%s/db", rig_dir());
	world.vol = (struct volume){ .uuid = "test", .format_version = FORMAT_VERSION, .secret = "secret" };
	snprintf(world.share[0].name, sizeof(world.share[0].name), "/export");
	snprintf(world.share[1].name, sizeof(world.share[1].name), "/other");
	cr_assert(kv_open(&o, why) == 0, "%s", why);
	cr_assert(meta_format(&world.vol, world.share, world.nshares, why) == 0, "%s", why);
	kv_close();
	world_open(cores);
}

HELPER void
world_stop(void)
{
	world_close();
	rig_dir_remove();
}

HELPER struct meta_name
name_of(const char *s)
{
	return (struct meta_name){ .s = s, .len = (uint32_t)strlen(s) };
}

HELPER int
do_create(const struct cred *c, struct fref dir, const char *name, uint32_t type, uint32_t mode, struct fref *out)
{
	struct meta_create m = {
		.req = { .cred = *c, .f = dir },
		.name = name_of(name),
		.type = type,
		.how = CREATE_GUARDED,
		.sattr = { .set_mode = true, .mode = mode },
		.target = "target", .target_len = 6,
	};
	int res = ON_OWNER(meta_create, &m);

	if (out)
		*out = m.child;
	return res;
}

HELPER struct fref
make(const struct cred *c, struct fref dir, const char *name, uint32_t type, uint32_t mode)
{
	struct fref f;
	int res = do_create(c, dir, name, type, mode, &f);

	cr_assert(res == 0, "%s: %d", name, res);
	return f;
}

HELPER struct fref mkfile(struct fref dir, const char *name) { return make(&superuser, dir, name, FT_REG, 0644); }
HELPER struct fref mkdir_in(struct fref dir, const char *name) { return make(&superuser, dir, name, FT_DIR, 0755); }

HELPER int
do_lookup(const struct cred *c, struct fref dir, const char *name, struct fref *out)
{
	struct meta_lookup m = { .req = { .cred = *c, .f = dir }, .name = name_of(name) };
	int res = ANYWHERE(meta_lookup, &m);

	if (out)
		*out = m.child;
	return res;
}

HELPER int
do_unlink(const struct cred *c, struct fref dir, const char *name, bool rmdir)
{
	struct meta_unlink m = { .req = { .cred = *c, .f = dir }, .name = name_of(name), .rmdir = rmdir };

	return ON_OWNER(meta_unlink, &m);
}

HELPER int
do_rename(const struct cred *c, struct fref from, const char *name, struct fref to, const char *new_name)
{
	struct meta_rename m = {
		.req = { .cred = *c, .f = from }, .from = name_of(name), .to_dir = to, .to = name_of(new_name),
	};

	return ON_OWNER(meta_rename, &m);
}

HELPER int
do_link(const struct cred *c, struct fref file, struct fref dir, const char *name)
{
	struct meta_link m = { .req = { .cred = *c, .f = file }, .dir = dir, .name = name_of(name) };

	return ON_OWNER(meta_link, &m);
}

HELPER int
do_setattr(const struct cred *c, struct fref f, struct sattr s)
{
	struct meta_setattr m = { .req = { .cred = *c, .f = f }, .sattr = s };

	return ON_OWNER(meta_setattr, &m);
}

HELPER int
do_chmod(const struct cred *c, struct fref f, uint32_t mode)
{
	return do_setattr(c, f, (struct sattr){ .set_mode = true, .mode = mode });
}

/* ---- the whole database ---- */

struct check_inode { struct attr a; uint64_t names, subdirs, entries, named_in; bool trashed; };
struct check {
	struct check_inode *v;
	size_t n, cap;
	uint64_t garbage, trash, trash_used;
};

static uint64_t world_garbage, world_trash; /* of the last check */

HELPER struct check_inode *
check_find(struct check *c, uint64_t ino)
{
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->v[mid].a.ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < c->n && c->v[lo].a.ino == ino ? &c->v[lo] : NULL;
}

HELPER int
check_inode(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct check *c = arg;

	if (c->n == c->cap)
		c->v = realloc(c->v, (c->cap = 2 * c->cap + 64) * sizeof(*c->v));
	c->v[c->n] = (struct check_inode){ 0 };
	cr_assert(klen == 9 && attr_decode(&c->v[c->n].a, val, vlen, NULL) == 0);
	cr_assert(eq(u64, c->v[c->n].a.ino, get_be64((const uint8_t *)key + 1)));
	c->n++;
	return 0;
}

HELPER int
check_entry(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct check *c = arg;
	struct check_inode *dir = check_find(c, get_be64((const uint8_t *)key + 1)), *child;
	struct dirent_rec d;

	cr_assert(klen > 17 && dirent_decode(&d, val, vlen) == 0);
	cr_assert(dir && dir->a.type == FT_DIR, "an entry in no directory: %.*s", (int)klen - 17, (const char *)key + 17);
	child = check_find(c, d.ino);
	cr_assert(child && child->a.gen == d.gen && child->a.type == d.type, "a dangling name: %.*s", (int)klen - 17,
	          (const char *)key + 17);
	dir->entries++;
	child->names++;
	child->named_in = dir->a.ino;
	dir->subdirs += d.type == FT_DIR;
	return 0;
}

HELPER int
check_trash(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct check *c = arg;
	const uint8_t *k = key;
	struct check_inode *x = check_find(c, get_be64(k + 13));
	struct trash_rec r;

	cr_assert(klen == 21 && trash_decode(&r, val, vlen) == 0);
	cr_assert(x && !x->trashed && x->a.gen == r.gen && x->a.type == r.type && x->a.uid == r.uid && x->a.share == get_be32(k + 1));
	cr_assert(eq(u64, x->a.parent, trash_place(x->a.share, get_be64(k + 5))));
	x->trashed = true;
	c->trash++;
	c->trash_used += x->a.used;
	return 0;
}

HELPER int
check_garbage(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct check *c = arg;

	cr_assert(klen == 18 && ((const uint8_t *)key)[9] == GARBAGE_INODE);
	cr_assert(vlen == GARBAGE_BYTES && get_le32((const uint8_t *)val + 1) == 1);
	cr_assert(check_find(c, get_be64((const uint8_t *)key + 10)) == NULL, "garbage that lives");
	c->garbage++;
	return 0;
}

HELPER void
check_scan(struct check *c, char kind, int (*fn)(void *, const void *, size_t, const void *, size_t))
{
	struct kv_scan s = { .from = { (uint8_t)kind }, .from_len = 1, .to = { (uint8_t)(kind + 1) }, .to_len = 1,
		             .fn = fn, .arg = c };

	cr_assert(eq(int, kv_scan_now(&s), 0));
}

/* With no operation under way.  Names, links, parents, sizes, usage: everything agrees.  Returns how many inodes there are. */
HELPER uint64_t
world_check(void)
{
	struct check c = { 0 };
	uint64_t inodes, used = 0, n;
	uint8_t key[8], val[32] = { 0 };
	int len;

	check_scan(&c, 'I', check_inode);
	check_scan(&c, 'D', check_entry);
	check_scan(&c, 'G', check_garbage);
	check_scan(&c, 'T', check_trash);
	for (size_t i = 0; i < c.n; i++) {
		struct check_inode *x = &c.v[i];
		bool root = x->a.ino == x->a.parent;
		size_t steps = 0;

		used += x->a.used;
		cr_assert(x->trashed == trash_is(x->a.parent), "inode %lu: %s the trash by its parent only", x->a.ino,
		          x->trashed ? "not in" : "in");
		if (x->trashed) {
			cr_assert(x->names == 0 && x->entries == 0, "inode %lu is in the trash, and has names", x->a.ino);
			cr_assert(x->a.type == FT_DIR ? x->a.nlink == 2 && x->a.size == 0 : x->a.nlink == 1);
			continue;
		}
		if (x->a.type != FT_DIR) {
			cr_assert(x->names == x->a.nlink && x->names > 0, "inode %lu: nlink %u, names %lu", x->a.ino,
			          x->a.nlink, x->names);
			continue;
		}
		cr_assert(x->names == !root, "directory %lu has %lu names", x->a.ino, x->names);
		cr_assert(root || x->named_in == x->a.parent, "directory %lu: parent %lu, named in %lu", x->a.ino,
		          x->a.parent, x->named_in);
		cr_assert(x->a.nlink == 2 + x->subdirs, "directory %lu: nlink %u, subdirectories %lu", x->a.ino,
		          x->a.nlink, x->subdirs);
		cr_assert(x->a.size == x->entries * DIR_ENTRY_BYTES, "directory %lu: size %lu, entries %lu", x->a.ino,
		          x->a.size, x->entries);
		/* Up to the root, in fewer steps than there are inodes. */
		for (struct check_inode *up = x; up->a.parent != up->a.ino; up = check_find(&c, up->a.parent))
			cr_assert(steps++ < c.n, "a loop above %lu", x->a.ino);
	}
	len = kv_get_now(key, key_usage(key, 1), val, sizeof(val));
	cr_assert(len == 16 || len == 32);
	inodes = get_le64(val + 8);
	cr_assert(world.nshares > 1 || inodes == c.n, "usage counts %lu inodes, there are %lu", inodes, c.n);
	cr_assert(eq(u64, get_le64(val), used));
	cr_assert(world.nshares > 1 || (get_le64(val + 16) == c.trash_used && get_le64(val + 24) == c.trash));
	n = c.n;
	world_garbage = c.garbage;
	world_trash = c.trash;
	free(c.v);
	return n;
}

#endif
