/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/meta_world.h"

static void
setup(void)
{
	world_start(3);
}

TestSuite(meta_rename, .init = setup, .fini = world_stop);

enum what { NOTHING, FILE_, OTHER_FILE, EMPTY, FULL, SAME, WHATS };

static struct fref
place(enum what w, struct fref dir, const char *name)
{
	struct fref f = { 0 };

	if (w == FILE_ || w == OTHER_FILE)
		f = make(&superuser, dir, name, w == FILE_ ? FT_REG : FT_LNK, 0644);
	if (w == EMPTY || w == FULL)
		f = mkdir_in(dir, name);
	if (w == FULL)
		mkfile(f, "inside");
	return f;
}

static int
expected(enum what src, enum what dst)
{
	bool src_dir = src == EMPTY || src == FULL, dst_dir = dst == EMPTY || dst == FULL;

	if (src == NOTHING)
		return -ENOENT;
	if (dst == NOTHING || dst == SAME)
		return 0;
	if (src_dir && !dst_dir)
		return -ENOTDIR;
	if (!src_dir && dst_dir)
		return -EISDIR;
	return dst == FULL ? -ENOTEMPTY : 0;
}

/* Everything onto everything, within a directory and into another, older and younger than what moves. */
Test(meta_rename, matrix, .timeout = 600)
{
	int n = 0;

	for (enum what s = NOTHING; s < SAME; s++)
		for (enum what d = NOTHING; d < WHATS; d++)
			for (int across = 0; across < 3; across++) {
				char name[32];
				struct fref a, b, src, dst, got;
				struct attr was_a, was_b, was;
				int want = expected(s, d);

				if (d == SAME && s != FILE_ && s != OTHER_FILE)
					continue;
				snprintf(name, sizeof(name), "a%d", n);
				a = mkdir_in(world.root, name);
				snprintf(name, sizeof(name), "b%d", n++);
				b = across ? mkdir_in(world.root, name) : a;
				if (across == 2) { /* the target's directory is the older one */
					struct fref t = a;

					a = b;
					b = t;
				}
				src = place(s, a, "src");
				dst = place(d, b, "dst");
				if (d == SAME)
					cr_assert(eq(int, do_link(&superuser, src, b, "dst"), 0));
				was_a = attr_of(a);
				was_b = attr_of(b);
				if (src.ino)
					was = attr_of(src);

				cr_assert(do_rename(&superuser, a, "src", b, "dst") == want, "%d onto %d, across %d", s, d, across);
				if (want || d == SAME) {
					/* Nothing has changed. */
					cr_assert(eq(u64, attr_of(a).ctime_ns, was_a.ctime_ns));
					cr_assert(eq(u64, attr_of(b).ctime_ns, was_b.ctime_ns));
					if (src.ino) {
						cr_assert(eq(int, do_lookup(&superuser, a, "src", &got), 0));
						cr_assert(got.ino == src.ino && attr_of(src).ctime_ns == was.ctime_ns);
					}
					continue;
				}
				cr_assert(eq(int, do_lookup(&superuser, a, "src", NULL), -ENOENT));
				cr_assert(eq(int, do_lookup(&superuser, b, "dst", &got), 0));
				cr_assert(got.ino == src.ino && got.gen == src.gen);
				cr_assert(attr_of(src).ctime_ns > was.ctime_ns && attr_of(src).mtime_ns == was.mtime_ns);
				cr_assert(attr_of(a).mtime_ns > was_a.mtime_ns && attr_of(b).ctime_ns > was_b.ctime_ns);
				cr_assert(d == NOTHING || do_getattr(dst, &was) == -ESTALE);
			}
	world_check();
}

Test(meta_rename, wcc_of_both_directories)
{
	struct fref a = mkdir_in(world.root, "a"), b = mkdir_in(world.root, "b");
	struct meta_rename m = { .req.f = a, .from = name_of("x"), .to_dir = b, .to = name_of("y") };
	struct attr was_a, was_b;

	mkdir_in(a, "x");
	was_a = attr_of(a);
	was_b = attr_of(b);
	cr_assert(eq(int, ON_OWNER(meta_rename, &m), 0));
	cr_assert(m.from_wcc.has_pre && m.from_wcc.pre_ctime_ns == was_a.ctime_ns);
	cr_assert(m.to_wcc.has_pre && m.to_wcc.pre_ctime_ns == was_b.ctime_ns);
	cr_assert(m.from_wcc.post.nlink == 2 && m.to_wcc.post.nlink == 3);
	cr_assert(eq(int, ON_OWNER(meta_rename, &m), -ENOENT));
	cr_assert(m.from_wcc.has_post && m.to_wcc.has_post && m.to_wcc.post.nlink == 3);
}

/* A link to the replaced file lives on. */
Test(meta_rename, replaced_file_with_another_link)
{
	struct fref a = mkfile(world.root, "a"), b = mkfile(world.root, "b"), d = mkdir_in(world.root, "d");

	cr_assert(eq(int, do_link(&superuser, b, d, "b2"), 0));
	cr_assert(eq(int, do_rename(&superuser, world.root, "a", world.root, "b"), 0));
	cr_assert(eq(u32, attr_of(b).nlink, 1));
	cr_assert(eq(u32, attr_of(a).nlink, 1));
	world_check();
}

Test(meta_rename, a_directory_never_comes_below_itself)
{
	struct fref a = mkdir_in(world.root, "a"), b = mkdir_in(a, "b"), c = mkdir_in(b, "c"), up;

	cr_assert(eq(int, do_rename(&superuser, world.root, "a", a, "x"), -EINVAL));
	cr_assert(eq(int, do_rename(&superuser, world.root, "a", b, "x"), -EINVAL));
	cr_assert(eq(int, do_rename(&superuser, world.root, "a", c, "x"), -EINVAL));
	cr_assert(eq(int, do_rename(&superuser, a, "b", c, "x"), -EINVAL));
	cr_assert(eq(int, do_rename(&superuser, b, "c", world.root, "a"), -ENOTEMPTY));
	cr_assert(eq(int, do_rename(&superuser, b, "c", a, "b"), -ENOTEMPTY));
	/* Upwards is fine; ".." follows. */
	cr_assert(eq(int, do_rename(&superuser, b, "c", world.root, "c"), 0));
	cr_assert(eq(int, do_lookup(&superuser, c, "..", &up), 0));
	cr_assert(eq(u64, up.ino, world.root.ino));
	cr_assert(eq(int, do_rename(&superuser, world.root, "a", c, "a"), 0));
	cr_assert(eq(int, do_lookup(&superuser, a, "..", &up), 0));
	cr_assert(eq(u64, up.ino, c.ino));
	world_check();
}

/* The walk up is as deep as the tree. */
Test(meta_rename, deep)
{
	struct fref d = world.root, top = mkdir_in(world.root, "top"), other = mkdir_in(world.root, "other");

	d = top;
	for (int i = 0; i < 300; i++)
		d = mkdir_in(d, "d");
	cr_assert(eq(int, do_rename(&superuser, world.root, "top", d, "x"), -EINVAL));
	cr_assert(eq(int, do_rename(&superuser, world.root, "other", d, "x"), 0));
	cr_assert(eq(u64, attr_of(other).parent, d.ino));
	world_check();
}

Test(meta_rename, permissions)
{
	struct fref a = make(&alice, (do_chmod(&superuser, world.root, 0777), world.root), "a", FT_DIR, 0777);
	struct fref b = make(&alice, world.root, "b", FT_DIR, 0777), sub = make(&alice, a, "sub", FT_DIR, 0555);

	/* Its ".." is written, when it gets another parent. */
	cr_assert(eq(int, do_rename(&bob, a, "sub", b, "sub"), -EACCES));
	cr_assert(eq(int, do_rename(&bob, a, "sub", a, "sub2"), 0));
	cr_assert(eq(int, do_chmod(&alice, sub, 0777), 0));
	cr_assert(eq(int, do_rename(&bob, a, "sub2", b, "sub"), 0));
	cr_assert(eq(int, do_chmod(&alice, b, 0755), 0));
	cr_assert(eq(int, do_rename(&bob, b, "sub", a, "sub"), -EACCES));
	cr_assert(eq(int, do_rename(&bob, b, "sub", b, "sub3"), -EACCES));
	make(&bob, a, "f", FT_REG, 0644);
	cr_assert(eq(int, do_rename(&bob, a, "f", b, "f"), -EACCES));
	world_check();
}

Test(meta_rename, not_a_directory_or_another_share)
{
	struct fref f = mkfile(world.root, "f");

	cr_assert(eq(int, do_rename(&superuser, f, "x", world.root, "y"), -ENOTDIR));
	cr_assert(eq(int, do_rename(&superuser, world.root, "f", f, "y"), -ENOTDIR));
}

TestSuite(meta_shares, .fini = world_stop);

Test(meta_shares, nothing_goes_from_one_share_to_another)
{
	struct fref other, f;

	world.nshares = 2;
	world_start(2);
	other = (struct fref){ .ino = world.share[1].root, .share = world.share[1].id };
	other.gen = attr_of(other).gen;
	cr_assert(other.share != world.root.share && other.ino != world.root.ino);
	f = mkfile(world.root, "f");
	cr_assert(eq(int, do_rename(&superuser, world.root, "f", other, "f"), -EXDEV));
	cr_assert(eq(int, do_link(&superuser, f, other, "f"), -EXDEV));
	cr_assert(eq(int, do_lookup(&superuser, other, "f", NULL), -ENOENT));
	mkfile(other, "f");
	world_check();
}

/* ---- loops and deadlocks under load ---- */

#define DIRS 6
static struct fref tree[DIRS];
static _Atomic int moved, refused;

/* Moves directories below one another, against two others that do the same. */
static void
mover(int me)
{
	uint64_t seed = (uint64_t)me + 1;

	for (int i = 0; i < 150; i++) {
		uint64_t r = mix64(seed += 0x9e3779b97f4a7c15);
		size_t from = r % DIRS, to = r / DIRS % DIRS, what = r / 64 % DIRS;
		char name[32];
		int res;

		snprintf(name, sizeof(name), "d%zu", what);
		res = do_rename(&superuser, tree[from], name, tree[to], name);
		cr_assert(res == 0 || res == -ENOENT || res == -EINVAL || res == -ENOTEMPTY, "%d", res);
		if (res == 0 && from != to)
			moved++;
		if (res == -EINVAL)
			refused++;
	}
}

Test(meta_rename, no_loops_under_load, .timeout = 600)
{
	/* d0 is the top, the others start in it. */
	tree[0] = mkdir_in(world.root, "d0");
	for (int i = 1; i < DIRS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "d%d", i);
		tree[i] = mkdir_in(tree[0], name);
	}
	rig_threads(6, mover);
	cr_assert(lt(int, 10, moved));
	cr_assert(lt(int, 10, refused));
	cr_assert(eq(u64, world_check(), DIRS + 1));
}
