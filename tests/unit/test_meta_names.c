/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP, CREATE, MKDIR, SYMLINK, MKNOD, REMOVE, RMDIR, LINK: what they do and what they refuse. */
#include "tests/fake/meta_world.h"

static void
three(void)
{
	world_start(3);
}

TestSuite(meta_names, .init = three, .fini = world_stop);

Test(meta_names, a_file_comes_and_goes)
{
	struct meta_create c = {
		.req.f = world.root, .name = name_of("f"), .type = FT_REG, .how = CREATE_GUARDED,
		.req.cred = alice, .sattr = { .set_mode = true, .mode = 0640 },
	};
	struct meta_lookup l = { .req.f = world.root, .name = name_of("f") };
	struct meta_unlink u = { .req.f = world.root, .name = name_of("f") };
	struct attr root = attr_of(world.root), a;

	cr_assert(eq(int, do_chmod(&superuser, world.root, 01777), 0));
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	cr_assert(c.attr.uid == 1001 && c.attr.gid == 100 && c.attr.mode == 0640 && c.attr.nlink == 1);
	cr_assert(c.attr.type == FT_REG && c.attr.size == 0 && c.attr.share == world.root.share);
	cr_assert(c.child.ino == c.attr.ino && c.child.gen == c.attr.gen && c.child.gen != 0);
	/* Before and after, of this very change. */
	cr_assert(c.dir.has_pre && c.dir.has_post);
	cr_assert(c.dir.pre_size == root.size && c.dir.post.size == root.size + DIR_ENTRY_BYTES);
	cr_assert(c.dir.post.mtime_ns > c.dir.pre_mtime_ns && c.dir.post.ctime_ns > c.dir.pre_ctime_ns);

	cr_assert(eq(int, ON_OWNER(meta_lookup, &l), 0));
	cr_assert(l.child.ino == c.child.ino && l.child.gen == c.child.gen && l.attr.mode == 0640);
	cr_assert(l.has_dir && l.dir.ctime_ns == c.dir.post.ctime_ns);
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EEXIST));
	cr_assert(c.dir.has_pre && c.dir.pre_ctime_ns == c.dir.post.ctime_ns);

	cr_assert(eq(int, ON_OWNER(meta_unlink, &u), 0));
	cr_assert(eq(u64, u.dir.post.size, root.size));
	cr_assert(eq(u64, u.dir.pre_ctime_ns, c.dir.post.ctime_ns));
	cr_assert(eq(int, ON_OWNER(meta_unlink, &u), -ENOENT));
	cr_assert(u.dir.has_post);
	cr_assert(eq(int, ON_OWNER(meta_lookup, &l), -ENOENT));
	cr_assert(l.has_dir);
	cr_assert(eq(int, do_getattr(c.child, &a), -ESTALE));
	cr_assert(eq(u64, world_check(), 1));
	cr_assert(eq(u64, world_garbage, 0)); /* it had no data: nothing for the background deleter */
}

Test(meta_names, handles_of_another_share_generation_or_nothing_are_stale)
{
	struct fref f = mkfile(world.root, "f"), bad = f;
	struct attr a;

	bad.gen++;
	cr_assert(eq(int, do_getattr(bad, &a), -ESTALE));
	cr_assert(eq(int, do_chmod(&superuser, bad, 0), -ESTALE));
	bad = f;
	bad.share++;
	cr_assert(eq(int, do_getattr(bad, &a), -ESTALE));
	cr_assert(eq(int, do_chmod(&superuser, bad, 0), -ESTALE));
	bad = f;
	bad.ino += 1000000;
	cr_assert(eq(int, do_getattr(bad, &a), -ESTALE));
	cr_assert(eq(int, do_unlink(&superuser, bad, "x", false), -ESTALE));
	bad = world.root;
	bad.share++;
	cr_assert(eq(int, do_lookup(&superuser, bad, "f", NULL), -ESTALE));
	cr_assert(eq(int, do_create(&superuser, bad, "g", FT_REG, 0, NULL), -ESTALE));
	cr_assert(eq(int, do_unlink(&superuser, bad, "f", false), -ESTALE));
	cr_assert(eq(int, do_rename(&superuser, bad, "f", bad, "g"), -ESTALE));
	cr_assert(eq(int, do_link(&superuser, f, bad, "g"), -ESTALE));
}

Test(meta_names, names)
{
	struct meta_create c = { .req.f = world.root, .type = FT_REG, .how = CREATE_GUARDED };
	char longest[NAME_BYTES_MAX + 1];

	memset(longest, 'x', sizeof(longest));
	c.name = (struct meta_name){ longest, NAME_BYTES_MAX };
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	c.name.len++;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -ENAMETOOLONG));
	c.name = (struct meta_name){ "a/b", 3 };
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EINVAL));
	c.name = (struct meta_name){ "a\0b", 3 };
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EINVAL));
	c.name = (struct meta_name){ "", 0 };
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EINVAL));
	/* Bytes are bytes. */
	c.name = (struct meta_name){ "\xff\x01\n", 3 };
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	cr_assert(eq(int, do_lookup(&superuser, world.root, "\xff\x01\n", NULL), 0));
	cr_assert(eq(int, do_lookup(&superuser, world.root, "a/b", NULL), -EACCES));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "a/b", false), -EACCES));

	static const char *const dots[] = { ".", ".." };
	for (int i = 0; i < 2; i++) {
		struct fref d = mkdir_in(world.root, i ? "d1" : "d0"), f = mkfile(d, "f");

		cr_assert(eq(int, do_create(&superuser, d, dots[i], FT_REG, 0, NULL), -EEXIST));
		cr_assert(eq(int, do_create(&superuser, d, dots[i], FT_DIR, 0, NULL), -EEXIST));
		cr_assert(eq(int, do_unlink(&superuser, d, dots[i], false), -EISDIR));
		cr_assert(eq(int, do_unlink(&superuser, d, dots[i], true), i ? -EEXIST : -EINVAL));
		cr_assert(eq(int, do_rename(&superuser, d, dots[i], d, "x"), -EINVAL));
		cr_assert(eq(int, do_rename(&superuser, d, "f", d, dots[i]), -EINVAL));
		cr_assert(eq(int, do_link(&superuser, f, d, dots[i]), -EEXIST));
	}
}

Test(meta_names, dot_and_dotdot_are_looked_up)
{
	struct fref d = mkdir_in(world.root, "d"), e = mkdir_in(d, "e"), f;

	cr_assert(eq(int, do_lookup(&superuser, e, ".", &f), 0));
	cr_assert(f.ino == e.ino && f.gen == e.gen);
	cr_assert(eq(int, do_lookup(&superuser, e, "..", &f), 0));
	cr_assert(f.ino == d.ino && f.gen == d.gen && f.share == d.share);
	cr_assert(eq(int, do_lookup(&superuser, world.root, "..", &f), 0));
	cr_assert(f.ino == world.root.ino && f.gen == world.root.gen);
	cr_assert(eq(int, do_lookup(&superuser, mkfile(d, "f"), "x", NULL), -ENOTDIR));
}

Test(meta_names, directories)
{
	struct fref d = mkdir_in(world.root, "d");
	struct attr a = attr_of(d), root = attr_of(world.root);

	cr_assert(a.nlink == 2 && a.size == 0 && a.parent == world.root.ino && root.nlink == 3);
	mkdir_in(d, "e");
	mkfile(d, "f");
	a = attr_of(d);
	cr_assert(a.nlink == 3 && a.size == 2 * DIR_ENTRY_BYTES);
	cr_assert(eq(int, do_unlink(&superuser, world.root, "d", true), -ENOTEMPTY));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "d", false), -EISDIR));
	cr_assert(eq(int, do_unlink(&superuser, d, "f", true), -ENOTDIR));
	cr_assert(eq(int, do_unlink(&superuser, d, "f", false), 0));
	cr_assert(eq(int, do_unlink(&superuser, d, "e", true), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "d", true), 0));
	cr_assert(eq(int, do_create(&superuser, d, "late", FT_REG, 0, NULL), -ESTALE));
	root = attr_of(world.root);
	cr_assert(root.nlink == 2 && root.size == 0);
	cr_assert(eq(u64, world_check(), 1));
}

/* A younger directory that gets an older file: then the child sorts before its directory. */
Test(meta_names, remove_where_the_child_is_older)
{
	struct fref f = mkfile(world.root, "f"), d = mkdir_in(world.root, "d");

	cr_assert(lt(u64, f.ino, d.ino));
	cr_assert(eq(int, do_link(&superuser, f, d, "g"), 0));
	cr_assert(eq(u32, attr_of(f).nlink, 2));
	cr_assert(eq(int, do_unlink(&superuser, d, "g", false), 0));
	cr_assert(eq(u32, attr_of(f).nlink, 1));
	cr_assert(eq(int, do_link(&superuser, f, d, "g"), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	cr_assert(eq(int, do_unlink(&superuser, d, "g", false), 0));
	cr_assert(eq(u64, world_check(), 2));
}

Test(meta_names, links)
{
	struct fref f = mkfile(world.root, "f"), d = mkdir_in(world.root, "d");
	struct attr before = attr_of(f);
	struct meta_link m = { .req.f = f, .dir = d, .name = name_of("g") };

	cr_assert(eq(int, ON_OWNER(meta_link, &m), 0));
	cr_assert(m.has_attr && m.attr.nlink == 2 && m.attr.ctime_ns > before.ctime_ns);
	cr_assert(m.attr.mtime_ns == before.mtime_ns);
	cr_assert(m.dir_wcc.has_pre && m.dir_wcc.post.size == DIR_ENTRY_BYTES);
	cr_assert(eq(int, ON_OWNER(meta_link, &m), -EEXIST));
	cr_assert(eq(int, do_link(&superuser, d, world.root, "h"), -EPERM));
	cr_assert(eq(int, do_link(&superuser, d, d, "h"), -EPERM));
	cr_assert(eq(int, do_link(&superuser, f, f, "h"), -ENOTDIR));
	world_check();
}

Test(meta_names, link_max)
{
	struct fref f = mkfile(world.root, "f"), d = mkdir_in(world.root, "d");
	struct kv_opts o = { .path = world.db, .cache_bytes = MIB, .memtable_bytes = 4 * MIB };
	struct kv_batch *b = kv_batch_new();
	uint8_t key[9], val[ATTR_BYTES_MAX];
	char why[256];
	struct attr a;

	/* As if there were as many as there may be. */
	world_close();
	cr_assert(eq(int, kv_open(&o, why), 0));
	for (int i = 0; i < 2; i++) {
		struct fref x = i ? d : f;
		int len = kv_get_now(key, key_inode(key, x.ino), val, sizeof(val));

		cr_assert(eq(int, attr_decode(&a, val, (size_t)len, NULL), 0));
		a.nlink = LINK_MAX_DITTO;
		kv_batch_put(b, key, key_inode(key, x.ino), val, attr_encode(val, &a));
	}
	cr_assert(eq(int, kv_write_now(b), 0));
	kv_batch_free(b);
	kv_close();
	world_open(2);
	cr_assert(eq(int, do_link(&superuser, f, world.root, "g"), -EMLINK));
	cr_assert(eq(int, do_create(&superuser, d, "sub", FT_DIR, 0755, NULL), -EMLINK));
	cr_assert(eq(int, do_create(&superuser, d, "file", FT_REG, 0755, NULL), 0));
	mkdir_in(world.root, "e");
	cr_assert(eq(int, do_rename(&superuser, world.root, "e", d, "e"), -EMLINK));
}

Test(meta_names, symlinks)
{
	static char target[SYMLINK_BYTES_MAX + 1], out[SYMLINK_BYTES_MAX + 1];
	struct meta_create c = { .req.f = world.root, .name = name_of("s"), .type = FT_LNK, .target = target,
		                 .sattr = { .set_mode = true, .mode = 0600 } };
	struct meta_readlink r = { .out = out };

	memset(target, 't', sizeof(target));
	c.target_len = 0;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EINVAL));
	c.target_len = SYMLINK_BYTES_MAX + 1;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -ENAMETOOLONG));
	c.target_len = SYMLINK_BYTES_MAX;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	cr_assert(c.attr.size == SYMLINK_BYTES_MAX && c.attr.mode == 0777 && c.attr.type == FT_LNK);
	/* Its attributes change, its target does not, over a restart too. */
	cr_assert(eq(int, do_link(&superuser, c.child, world.root, "hard"), 0));
	cr_assert(eq(int, do_setattr(&superuser, c.child, (struct sattr){ .set_uid = true, .uid = 7 }), 0));
	cr_assert(eq(int, do_rename(&superuser, world.root, "s", world.root, "t"), 0));
	for (int i = 0; i < 2; i++) {
		r.req.f = c.child;
		cr_assert(eq(int, ON_OWNER(meta_readlink, &r), 0));
		cr_assert(r.len == SYMLINK_BYTES_MAX && memcmp(out, target, r.len) == 0 && out[r.len] == 0);
		cr_assert(r.has_attr && r.attr.uid == 7 && r.attr.nlink == 2);
		world_close();
		world_open(2);
	}
	r.req.f = world.root;
	cr_assert(eq(int, ON_OWNER(meta_readlink, &r), -EINVAL));
	cr_assert(r.has_attr);
	world_check();
}

Test(meta_names, special_files)
{
	struct meta_create c = { .req.f = world.root, .name = name_of("dev"), .type = FT_CHR, .rdev_major = 1, .rdev_minor = 3 };

	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	cr_assert(c.attr.type == FT_CHR && c.attr.rdev_major == 1 && c.attr.rdev_minor == 3);
	cr_assert(eq(int, do_chmod(&superuser, world.root, 0777), 0));
	c.req.cred = alice;
	c.name = name_of("dev2");
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EPERM));
	c.type = FT_FIFO;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	cr_assert(c.attr.rdev_major == 0);
	c.type = FT_SOCK;
	c.name = name_of("sock");
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	c.type = FT_FIFO + 1;
	c.name = name_of("what");
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -E_BADTYPE));
	world_check();
}

/* ---- CREATE's three ways ---- */

Test(meta_names, unchecked_create_takes_what_is_there)
{
	struct meta_create c = { .req.f = world.root, .name = name_of("f"), .type = FT_REG, .how = CREATE_UNCHECKED,
		                 .sattr = { .set_mode = true, .mode = 0600 } };
	struct fref first;
	char name[32];

	/* Whichever core owns the file. */
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		c.name = name_of(name);
		c.sattr = (struct sattr){ .set_mode = true, .mode = 0600, .set_size = true, .size = 10 };
		cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
		cr_assert(eq(u64, c.attr.size, 10));
		first = c.child;
		/* Nothing but the size is set, and only where it is given. */
		c.sattr = (struct sattr){ .set_mode = true, .mode = 0777 };
		cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
		cr_assert(c.child.ino == first.ino && c.attr.mode == 0600 && c.attr.size == 10);
		cr_assert(eq(int, fake.prepared, i));
		c.sattr.set_size = true;
		c.sattr.size = 0;
		cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
		cr_assert(c.child.ino == first.ino && c.attr.mode == 0600 && c.attr.size == 0);
		cr_assert(fake.prepared == i + 1 && fake.truncated == i + 1);
	}
	/* Who may not write it may not truncate it; the name needs no permission then. */
	c.req.cred = alice;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EACCES));
	c.sattr.set_size = false;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	c.name = name_of("other");
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EACCES));
	mkdir_in(world.root, "d");
	c.name = name_of("d");
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EEXIST));
	world_check();
}

Test(meta_names, exclusive_create_knows_its_own)
{
	struct meta_create c = { .req.f = world.root, .name = name_of("f"), .type = FT_REG, .how = CREATE_EXCLUSIVE,
		                 .verf = 0x1234 };
	struct fref first;

	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	first = c.child;
	/* The retransmission, after a restart too. */
	for (int i = 0; i < 2; i++) {
		cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
		cr_assert(c.child.ino == first.ino && c.child.gen == first.gen);
		world_close();
		world_open(1);
	}
	c.verf++;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EEXIST));
	c.verf--;
	cr_assert(eq(int, do_chmod(&superuser, first, 0644), 0));
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EEXIST));
	/* A verifier of zeros is one too. */
	c.verf = 0;
	c.name = name_of("g");
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	cr_assert(eq(int, ON_OWNER(meta_create, &c), 0));
	c.verf = 1;
	cr_assert(eq(int, ON_OWNER(meta_create, &c), -EEXIST));
	cr_assert(eq(u64, world_check(), 3));
}

/* No inode number comes twice, whatever happened to the server. */
Test(meta_names, inode_numbers_are_new)
{
	uint64_t last = 0;

	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 50; i++) {
			char name[32];
			struct fref f;

			snprintf(name, sizeof(name), "%d.%d", round, i);
			f = mkfile(world.root, name);
			cr_assert(lt(u64, last, f.ino));
			last = f.ino;
			cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
		}
		world_close();
		world_open(1);
	}
}
