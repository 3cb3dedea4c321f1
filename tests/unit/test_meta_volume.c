/* SPDX-License-Identifier: Apache-2.0 */
/* Formatting and loading, recorded replies, usage and FSSTAT. */
#include "meta/usage.h"
#include "tests/fake/meta_world.h"
#include "tests/fake/old_db.h"

static void
setup(void)
{
	world_start(2);
}

TestSuite(meta_volume, .init = setup, .fini = world_stop);

static void
open_db(void)
{
	struct kv_opts o = { .path = world.db, .cache_bytes = MIB, .memtable_bytes = 4 * MIB };
	char why[256];

	cr_assert(kv_open(&o, why) == 0, "%s", why);
}

static void
put_now(const void *key, size_t klen, const void *val, size_t vlen)
{
	struct kv_batch *b = kv_batch_new();

	kv_batch_put(b, key, klen, val, vlen);
	cr_assert(eq(int, kv_write_now(b), 0));
	kv_batch_free(b);
}

/* ---- what is opened is what was formatted, or a sentence says what is wrong ---- */

Test(meta_volume, format_and_load)
{
	struct volume vol;
	struct share_rec s[2];
	uint8_t key[80], val[SHARE_BYTES_MAX];
	char why[256] = "";
	struct attr a = attr_of(world.root);
	int n = 0;

	cr_assert(a.type == FT_DIR && a.nlink == 2 && a.size == 0 && a.parent == a.ino && a.gen != 0 && a.mode == 0755);
	world_close();
	open_db();
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), 0));
	cr_assert(n == 1 && strcmp(s[0].name, "/export") == 0 && s[0].id == 1 && s[0].root == world.root.ino);
	cr_assert(eq(int, memcmp(vol.secret, world.vol.secret, sizeof(vol.secret)), 0));

	world.vol.format_version = FORMAT_SEALED + 1;
	put_now(key, key_volume(key), val, volume_encode(val, &world.vol));
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), -E_FORMAT));
	cr_assert(strstr(why, "version 4") != NULL, "%s", why);
	world.vol.format_version = 1;
	put_now(key, key_volume(key), val, volume_encode(val, &world.vol));
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), 0));
	cr_assert(eq(int, meta_upgrade(&vol, why), 0));
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), 0));
	cr_assert(eq(int, vol.format_version, FORMAT_VERSION));
	val[0] = 2;
	put_now(key, key_volume(key), val, VOLUME_BYTES_MAX);
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), -E_FORMAT));
	cr_assert(strstr(why, "newer") != NULL, "%s", why);
	put_now(key, key_volume(key), "\1short", 6);
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), -E_DAMAGED));
	world.vol.format_version = FORMAT_VERSION;
	put_now(key, key_volume(key), val, volume_encode(val, &world.vol));
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), 0));
	kv_close();
	world_open(1);
}

static int
to_old(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	uint8_t v[VOLUME_BYTES_MAX];
	struct volume vol;
	char kind = *(const char *)key;

	(void)arg;
	if (kind == 'L') /* there was no log of our own */
		return 0;
	if (kind == 'V') {
		cr_assert(eq(int, volume_decode(&vol, val, vlen), 0));
		vol.format_version = 1;
		vlen = volume_encode(v, &vol);
		val = v;
	}
	old_db_put(key, klen, val, vlen, kind == 'U' || kind == 'P' || kind == 'C');
	return 0;
}

/* What the table files say, which is what a program that knows no log of ours sees. */
static uint32_t
version_without_the_log(const char *path)
{
	rocksdb_readoptions_t *ro = rocksdb_readoptions_create();
	uint8_t key[8];
	struct volume vol;
	char *msg = NULL, *val;
	size_t len;

	old.op = rocksdb_options_create();
	old.db = rocksdb_open_for_read_only(old.op, path, 0, &msg);
	cr_assert(old.db != NULL, "%s", msg);
	val = rocksdb_get(old.db, ro, (const char *)key, key_volume(key), &len, &msg);
	cr_assert(val && volume_decode(&vol, (const uint8_t *)val, len) == 0);
	rocksdb_free(val);
	rocksdb_readoptions_destroy(ro);
	rocksdb_close(old.db);
	rocksdb_options_destroy(old.op);
	return vol.format_version;
}

/* Killed when all that it has is in RocksDB's log; killed again when it has just been upgraded, and after changes. */
Test(meta_volume, an_old_volume_is_upgraded)
{
	struct kv_scan all = { .from_len = 1, .to = { 0xff }, .to_len = 1, .fn = to_old };
	struct share_rec s[2];
	struct volume vol;
	char path[160], why[256] = "";
	uint64_t inodes;
	int n = 0;

	for (int i = 0; i < 30; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		mkfile(mkdir_in(world.root, name), "file");
	}
	inodes = world_check();
	world_close();

	open_db();
	snprintf(path, sizeof(path), "%s/old", rig_dir());
	old_db_open(path);
	cr_assert(eq(int, kv_scan_now(&all), 0));
	old_db_sync();
	kv_close();
	snprintf(world.db, sizeof(world.db), "%s/oldcopy", rig_dir());
	rig_copy(path, world.db);
	old_db_close();

	open_db();
	cr_assert(eq(int, meta_load(&vol, s, 2, &n, why), 0));
	cr_assert(vol.format_version == 1 && n == 1);
	cr_assert(eq(int, meta_upgrade(&vol, why), 0));
	snprintf(path, sizeof(path), "%s/upgraded", rig_dir());
	rig_copy(world.db, path);
	kv_close();
	cr_assert(eq(int, version_without_the_log(path), FORMAT_VERSION));

	snprintf(world.db, sizeof(world.db), "%s", path);
	world_open(2);
	cr_assert(eq(int, world.vol.format_version, FORMAT_VERSION));
	cr_assert(eq(u64, world_check(), inodes));
	for (int i = 0; i < 10; i++) {
		char name[16];

		snprintf(name, sizeof(name), "new%d", i);
		mkfile(world.root, name);
	}
	snprintf(path, sizeof(path), "%s/killed", rig_dir());
	rig_copy(world.db, path);
	world_close();
	snprintf(world.db, sizeof(world.db), "%s", path);
	world_open(1);
	cr_assert(eq(u64, world_check(), inodes + 10));
	cr_assert(eq(int, do_lookup(&superuser, world.root, "new9", NULL), 0));
}

/* ---- recorded replies ---- */

static struct once_reply replies[8192];
static int nreplies;

static void
keep(void *arg, const struct once_reply *r)
{
	(void)arg;
	replies[nreplies++] = *r;
}

static const struct once_reply *
reply_of(uint32_t xid)
{
	for (int i = 0; i < nreplies; i++)
		if (replies[i].once.xid == xid)
			return &replies[i];
	return NULL;
}

static struct once
once(uint32_t xid)
{
	return (struct once){ .used = true, .client = 77, .args_hash = xid * 3, .xid = xid, .proc = 8 };
}

static void
load_replies(void)
{
	nreplies = 0;
	cr_assert(eq(int, meta_once_load(keep, NULL), 0));
}

Test(meta_volume, replies_are_recorded_with_the_change)
{
	struct meta_create c = { .req = { .f = world.root, .once = once(1) }, .name = name_of("f"), .type = FT_REG };
	struct meta_unlink u = { .req = { .f = world.root, .once = once(2) }, .name = name_of("none") };
	struct meta_link l = { .req.once = once(3), .dir = world.root, .name = name_of("g") };
	struct meta_rename r = { .req = { .f = world.root, .once = once(4) }, .from = name_of("g"), .to_dir = world.root,
		                 .to = name_of("h") };
	struct meta_setattr s = { .req.once = once(5), .sattr = { .set_mode = true } };

	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	cr_assert(eq(int, ON_OWNER(meta_unlink, &u), -ENOENT));
	l.req.f = s.req.f = c.child;
	cr_assert(eq(int, ON_OWNER(meta_link, &l), 0));
	cr_assert(eq(int, ON_OWNER(meta_rename, &r), 0));
	cr_assert(eq(int, ON_OWNER(meta_setattr, &s), 0));
	u.name = name_of("h");
	u.req.once = once(6);
	cr_assert(eq(int, ON_OWNER(meta_unlink, &u), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0)); /* not recorded */
	world_close();
	open_db();
	load_replies();
	cr_assert(eq(int, nreplies, 5));
	cr_assert(reply_of(2) == NULL);
	for (uint32_t xid = 1; xid <= 6; xid++) {
		const struct once_reply *x = reply_of(xid);

		if (!x)
			continue;
		cr_assert(x->once.used && x->once.client == 77 && x->once.args_hash == xid * 3 && x->once.proc == 8);
		cr_assert(x->res == 0 && x->child.ino == c.child.ino && x->child.gen == c.child.gen);
	}
	cr_assert(eq(u32, reply_of(1)->child.share, world.root.share));
	kv_close();
	world_open(2);
}

/* The newest are kept, newest last, over the ring's end and over restarts. */
Test(meta_volume, replies_are_a_ring)
{
	uint32_t xid = 0;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 500; i++) {
			struct meta_setattr s = { .req = { .f = world.root, .once = once(++xid) },
				                  .sattr = { .set_mode = true, .mode = 0755 } };

			cr_assert(eq(int, ON_OWNER(meta_setattr, &s), 0));
		}
		world_close();
		open_db();
		load_replies();
		cr_assert(eq(int, nreplies, MIN(1024, (int)xid)));
		for (int i = 0; i < nreplies; i++)
			cr_assert(eq(u32, replies[i].once.xid, xid - (uint32_t)nreplies + 1 + (uint32_t)i));
		kv_close();
		world_open(2);
	}
}

/* ---- FSSTAT ---- */

static struct meta_fsstat
fsstat(void)
{
	struct meta_fsstat m = { .req.f = world.root };

	cr_assert(eq(int, ON_OWNER(meta_fsstat, &m), 0));
	cr_assert(m.has_attr && m.attr.ino == world.root.ino);
	return m;
}

static void
reopen(uint64_t capacity_bytes, uint64_t capacity_inodes, const char *objects)
{
	struct meta_opts o = { .volume = &world.vol, .shares = world.share, .nshares = 1, .max_inodes = 1000, .max_names = 1000,
		               .capacity_bytes = capacity_bytes, .capacity_inodes = capacity_inodes,
		               .objects_path = objects };
	char why[256];

	world_close();
	open_db();
	cr_assert(eq(int, meta_open(&o, why), 0));
	rig_start(3, world_init, world_fini);
}

Test(meta_volume, fsstat_counts)
{
	struct meta_fsstat m = fsstat();

	cr_assert(m.used_inodes == 1 && m.used_bytes == 0 && m.total_bytes >= (uint64_t)1 << 50);
	for (int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		mkfile(world.root, name);
	}
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f3", false), 0));
	m = fsstat();
	cr_assert(eq(u64, m.used_inodes, 20));
	reopen(1000000, 100, NULL);
	m = fsstat();
	cr_assert(m.used_inodes == 20 && m.total_inodes == 100 && m.free_inodes == 80);
	cr_assert(m.total_bytes == 1000000 && m.free_bytes == 1000000);
	/* Without a limit of its own: the disk's. */
	reopen(0, 0, "/tmp");
	m = fsstat();
	cr_assert(m.total_bytes > 0 && m.free_bytes > 0 && m.free_bytes <= m.total_bytes);
	cr_assert(m.total_bytes < (uint64_t)1 << 60 && m.free_inodes > (uint64_t)1 << 30);
	reopen(0, 0, "/nonexistent");
	cr_assert(eq(int, ON_OWNER(meta_fsstat, &m), -EIO));
	m.req.f.gen++;
	cr_assert(eq(int, ON_OWNER(meta_fsstat, &m), -ESTALE));
}
