/* SPDX-License-Identifier: Apache-2.0 */
/* Permissions and SETATTR through the operations. */
#include "tests/fake/meta_world.h"

static void
setup(void)
{
	world_start(2);
	cr_assert(eq(int, do_chmod(&superuser, world.root, 0777), 0));
}

TestSuite(meta_perm, .init = setup, .fini = world_stop);

/* Search to reach a name, write to change names, read to list: one missing each time. */
Test(meta_perm, directories)
{
	struct fref d = make(&alice, world.root, "d", FT_DIR, 0777), f = make(&alice, d, "f", FT_REG, 0666);
	struct fref e = make(&alice, world.root, "e", FT_DIR, 0777);
	struct readdir_entry entry[8];
	char names[256];
	struct meta_readdir r = { .req = { .f = d, .cred = bob }, .entry = entry, .max_entries = 8, .names = names,
		                  .names_cap = sizeof(names), .bytes_max = 4096, .entry_bytes = 24 };

	cr_assert(eq(int, do_chmod(&alice, d, 0766), 0)); /* no search */
	cr_assert(eq(int, do_lookup(&bob, d, "f", NULL), -EACCES));
	cr_assert(eq(int, do_lookup(&bob, d, "none", NULL), -EACCES));
	cr_assert(eq(int, do_create(&bob, d, "g", FT_REG, 0, NULL), -EACCES));
	cr_assert(eq(int, do_create(&bob, d, "f", FT_REG, 0, NULL), -EACCES));
	cr_assert(eq(int, do_unlink(&bob, d, "f", false), -EACCES));
	cr_assert(eq(int, do_rename(&bob, d, "f", e, "f"), -EACCES));
	cr_assert(eq(int, do_rename(&bob, e, "x", d, "x"), -EACCES));
	cr_assert(eq(int, do_link(&bob, f, d, "g"), -EACCES));
	cr_assert(eq(int, ON_OWNER(meta_readdir, &r), 0));

	cr_assert(eq(int, do_chmod(&alice, d, 0755), 0)); /* no write */
	cr_assert(eq(int, do_lookup(&bob, d, "f", NULL), 0));
	cr_assert(eq(int, do_create(&bob, d, "g", FT_REG, 0, NULL), -EACCES));
	cr_assert(eq(int, do_create(&bob, d, "f", FT_DIR, 0, NULL), -EEXIST));
	cr_assert(eq(int, do_unlink(&bob, d, "f", false), -EACCES));
	cr_assert(eq(int, do_unlink(&bob, d, "none", false), -ENOENT));
	cr_assert(eq(int, do_rename(&bob, d, "f", e, "f"), -EACCES));
	make(&bob, e, "x", FT_REG, 0);
	cr_assert(eq(int, do_rename(&bob, e, "x", d, "x"), -EACCES));
	cr_assert(eq(int, do_link(&bob, f, d, "g"), -EACCES));

	cr_assert(eq(int, do_chmod(&alice, d, 0733), 0)); /* no read */
	cr_assert(eq(int, ON_OWNER(meta_readdir, &r), -EACCES));
	cr_assert(r.has_dir);
	cr_assert(eq(int, do_link(&bob, f, d, "g"), 0));
	cr_assert(eq(int, do_unlink(&bob, d, "g", false), 0));
	world_check();
}

/* Each of superuser, directory's owner, file's owner and a third against REMOVE, RMDIR and RENAME from and onto. */
Test(meta_perm, sticky_matrix)
{
	static const struct { const struct cred *c; bool may; } who[] = {
		{ &superuser, true }, { &alice, true }, { &bob, true }, { &carol, false },
	};

	for (int sticky = 0; sticky < 2; sticky++)
		for (size_t i = 0; i < ARRAY_LEN(who); i++) {
			int want = sticky && !who[i].may ? -EPERM : 0;
			const struct cred *c = who[i].c;
			char name[32];
			struct fref d, open;

			snprintf(name, sizeof(name), "d%d%zu", sticky, i);
			d = make(&alice, world.root, name, FT_DIR, 0777);
			cr_assert(eq(int, do_chmod(&alice, d, sticky ? 01777 : 0777), 0));
			open = make(&alice, d, "open", FT_DIR, 0777);
			for (int dir = 0; dir < 2; dir++) {
				uint32_t type = dir ? FT_DIR : FT_REG;

				make(&bob, d, "x", type, 0777);
				cr_assert(eq(int, do_unlink(c, d, "x", dir), want));
				if (want == 0)
					make(&bob, d, "x", type, 0777);
				cr_assert(eq(int, do_rename(c, d, "x", d, "y"), want));
				if (want)
					cr_assert(eq(int, do_rename(&bob, d, "x", d, "y"), 0));
				/* Onto it. */
				make(c, open, "mine", type, 0777);
				cr_assert(eq(int, do_rename(c, open, "mine", d, "y"), want));
				if (want) {
					cr_assert(eq(int, do_unlink(&superuser, d, "y", dir), 0));
					cr_assert(eq(int, do_unlink(&superuser, open, "mine", dir), 0));
				} else {
					cr_assert(eq(int, do_unlink(&superuser, d, "y", dir), 0));
				}
			}
		}
	world_check();
}

Test(meta_perm, setgid_directories)
{
	struct fref d = make(&alice, world.root, "d", FT_DIR, 0777);
	struct fref f, sub;

	cr_assert(eq(int, do_setattr(&alice, d, (struct sattr){ .set_gid = true, .gid = 200 }), 0));
	cr_assert(eq(int, do_chmod(&alice, d, 02777), 0));
	cr_assert(eq(u32, attr_of(d).mode, 02777));
	f = make(&bob, d, "f", FT_REG, 02755);
	sub = make(&bob, d, "sub", FT_DIR, 0755);
	cr_assert(attr_of(f).gid == 200 && attr_of(f).mode == 0755); /* bob is not in 200 */
	cr_assert(attr_of(sub).gid == 200 && attr_of(sub).mode == 02755);
	cr_assert(eq(u32, attr_of(make(&alice, d, "g", FT_REG, 02755)).mode, 02755));
}

Test(meta_perm, setattr)
{
	struct fref f = make(&alice, world.root, "f", FT_REG, 0644);
	struct attr was = attr_of(f), is;
	struct meta_setattr m = { .req = { .f = f, .cred = alice }, .sattr = { .set_mode = true, .mode = 04755 } };

	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	cr_assert(m.wcc.has_pre && m.wcc.pre_ctime_ns == was.ctime_ns && m.wcc.post.mode == 04755);
	cr_assert(m.wcc.post.ctime_ns > was.ctime_ns && m.wcc.post.mtime_ns == was.mtime_ns);
	is = attr_of(f);
	cr_assert(is.mode == 04755 && is.ctime_ns == m.wcc.post.ctime_ns);

	/* Nothing asked: nothing changed. */
	m.sattr = (struct sattr){ 0 };
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	cr_assert(eq(u64, attr_of(f).ctime_ns, is.ctime_ns));

	/* The guard. */
	m.sattr = (struct sattr){ .set_mode = true, .mode = 0600 };
	m.has_guard = true;
	m.guard_ctime_ns = is.ctime_ns - 1;
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -E_NOTSYNC));
	cr_assert(m.wcc.has_post && m.wcc.post.mode == 04755);
	m.guard_ctime_ns++;
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -E_NOTSYNC));
	m.has_guard = false;

	/* Times. */
	m.sattr = (struct sattr){ .set_atime = TIME_CLIENT, .atime_ns = 5, .set_mtime = TIME_CLIENT, .mtime_ns = 6 };
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	is = attr_of(f);
	cr_assert(is.atime_ns == 5 && is.mtime_ns == 6 && is.ctime_ns > was.ctime_ns);
	m.sattr = (struct sattr){ .set_mtime = TIME_SERVER };
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	is = attr_of(f);
	cr_assert(is.atime_ns == 5 && is.mtime_ns == is.ctime_ns);

	m.req.cred = bob;
	m.sattr = (struct sattr){ .set_mtime = TIME_SERVER };
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -EACCES));
	m.sattr = (struct sattr){ .set_mtime = TIME_CLIENT };
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -EPERM));
	m.sattr = (struct sattr){ .set_mode = true };
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -EPERM));

	/* It outlives a restart. */
	is = attr_of(f);
	world_close();
	world_open(1);
	was = attr_of(f);
	cr_assert(was.mode == is.mode && was.ctime_ns == is.ctime_ns && was.atime_ns == 5 && was.uid == 1001);
}

Test(meta_perm, size)
{
	struct fref f = make(&alice, world.root, "f", FT_REG, 06755), d = mkdir_in(world.root, "d");
	struct meta_setattr m = { .req = { .f = f, .cred = alice }, .sattr = { .set_size = true, .size = 1000 } };
	struct attr was = attr_of(f);

	for (int i = 0; i < 2; i++) {
		fake.later = i;
		m.sattr.size = i ? 10 : 1000;
		cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
		cr_assert(m.wcc.post.size == m.sattr.size && m.wcc.post.mtime_ns == m.wcc.post.ctime_ns);
		cr_assert(m.wcc.post.ctime_ns > was.ctime_ns && m.wcc.post.mode == 0755);
		cr_assert(fake.prepared == i + 1 && fake.truncated == i + 1);
	}
	fake.trunc_err = -EIO;
	m.sattr.size = 0;
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -EIO));
	cr_assert(attr_of(f).size == 10 && fake.truncated == 2);
	fake.trunc_err = 0;
	m.sattr.size = FILE_SIZE_MAX + 1;
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -EFBIG));
	m.req.f = d;
	m.req.cred = superuser;
	m.sattr.size = 0;
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), -EISDIR));
	world_check();
}

Test(meta_perm, access)
{
	struct fref f = make(&alice, world.root, "f", FT_REG, 0640);
	struct meta_access m = { .req = { .f = f, .cred = bob }, .mask = ACC_READ | ACC_MODIFY };

	cr_assert(eq(int, ON_OWNER(meta_access, &m), 0));
	cr_assert(m.mask == ACC_READ && m.attr.uid == 1001);
	m.req.f.gen++;
	cr_assert(eq(int, ON_OWNER(meta_access, &m), -ESTALE));
}

/* The same reading of a clock twice must not make two changes look like none. */
Test(meta_perm, every_change_has_its_own_time)
{
	struct fref d = mkdir_in(world.root, "d");
	uint64_t last = 0;

	for (int i = 0; i < 200; i++) {
		struct attr a;

		cr_assert(eq(int, do_chmod(&superuser, d, 0700 + (uint32_t)i % 8), 0));
		a = attr_of(d);
		cr_assert(lt(u64, last, a.ctime_ns));
		last = a.ctime_ns;
	}
}
