/* SPDX-License-Identifier: Apache-2.0 */
/* What is removed, and what becomes of it: names, places, who may, restoring, and the end of it. */
#include <unistd.h>

#include "meta/trash_expire.h"
#include "meta/usage.h"
#include "tests/fake/meta_world.h"

#define DAY 86400u

/* In the middle of an hour by the trash's clock: no folder changes while a test runs. */
static void
mid_hour(void)
{
	trash_set_ahead(0);
	trash_set_ahead((TRASH_HOUR_S * 3 / 2 - trash_now_s() % TRASH_HOUR_S) % TRASH_HOUR_S);
}

static void
kept(void)
{
	mid_hour();
	world.retention_s[0] = DAY;
	world_start(3);
}

TestSuite(trash, .init = kept, .fini = world_stop);

/* ---- what a client does */

static struct fref
trash_top(void)
{
	struct fref f;

	cr_assert(eq(int, do_lookup(&superuser, world.root, ".trash", &f), 0));
	return f;
}

#define LIST_MAX 4000
static struct listed { char name[256]; uint64_t ino, gen, cookie; struct attr attr; bool has_attr; } list[LIST_MAX];

/* In pages of `page` entries; without the dots.  How many; an error. */
static int
ls(const struct cred *c, struct fref dir, uint32_t page)
{
	static struct readdir_entry e[READDIR_ENTRIES_MAX];
	static char names[READDIR_ENTRIES_MAX * 256];
	uint64_t cookie = 0;
	int n = 0;

	for (bool eof = false; !eof;) {
		struct meta_readdir m = {
			.req = { .cred = *c, .f = dir }, .cookie = cookie, .plus = true, .bytes_max = 1 << 20, .entry_bytes = 100,
			.entry = e, .max_entries = page, .names = names, .names_cap = sizeof(names),
		};
		int res = ON_OWNER(meta_readdir, &m);

		if (res < 0)
			return res;
		for (uint32_t i = 0; i < m.n; i++) {
			struct listed *to = &list[n];

			cookie = e[i].cookie;
			if (names[e[i].name_off] == '.' && e[i].name_len <= 2)
				continue;
			cr_assert(n < LIST_MAX);
			memcpy(to->name, names + e[i].name_off, e[i].name_len);
			to->name[e[i].name_len] = '\0';
			to->ino = e[i].ino;
			to->gen = e[i].gen;
			to->cookie = cookie;
			to->has_attr = e[i].has_attr;
			to->attr = e[i].attr;
			n++;
		}
		eof = m.eof;
	}
	return n;
}

/* The folder of the hour; there is one. */
static struct fref
hour(void)
{
	struct fref top = trash_top(), f;

	cr_assert(eq(int, ls(&superuser, top, 100), 1));
	cr_assert(list[0].has_attr && list[0].attr.type == FT_DIR);
	cr_assert(eq(int, do_lookup(&superuser, top, list[0].name, &f), 0));
	cr_assert(f.ino == list[0].ino && f.gen == list[0].gen);
	return f;
}

/* Its name in the trash, by how it ends; "" when it is not there. */
static const char *
trashed(const char *name)
{
	static char found[256];
	struct fref h = hour();
	int n = ls(&superuser, h, 100);

	found[0] = '\0';
	for (int i = 0; i < n; i++) {
		size_t len = strlen(list[i].name);

		if (len > strlen(name) && !strcmp(list[i].name + len - strlen(name), name) && list[i].name[len - strlen(name) - 1] == '-')
			memcpy(found, list[i].name, sizeof(found));
	}
	return found;
}

static void
same(struct fref a, struct fref b)
{
	cr_assert(a.ino == b.ino && a.gen == b.gen && a.share == b.share);
}

/* ---- REMOVE */

Test(trash, a_removed_file_is_in_the_trash_and_comes_back)
{
	struct fref d = mkdir_in(world.root, "d"), f = mkfile(d, "f"), g;
	struct attr before = attr_of(f), a;
	char name[256];

	cr_assert(eq(int, do_unlink(&superuser, d, "f", false), 0));
	cr_assert(eq(int, do_lookup(&superuser, d, "f", NULL), -ENOENT));
	a = attr_of(f);
	cr_assert(a.nlink == 1 && a.ctime_ns > before.ctime_ns && a.mtime_ns == before.mtime_ns);
	cr_assert(eq(u64, world_check(), 3));
	cr_assert(eq(u64, world_trash, 1));
	snprintf(name, sizeof(name), "%lu-%lu-f", d.ino, f.ino);
	cr_assert(strcmp(trashed("f"), name) == 0, "%s", trashed("f"));
	cr_assert(eq(int, do_lookup(&superuser, hour(), name, &g), 0));
	same(f, g);
	cr_assert(eq(int, do_unlink(&superuser, world.root, "d", true), 0)); /* it was empty */
	cr_assert(eq(int, do_rename(&superuser, hour(), name, world.root, "back"), 0));
	cr_assert(eq(int, do_lookup(&superuser, world.root, "back", &g), 0));
	same(f, g);
	cr_assert(eq(u64, attr_of(f).parent, world.root.ino));
	cr_assert(eq(int, do_lookup(&superuser, hour(), name, NULL), -ENOENT));
	cr_assert(eq(int, do_rename(&superuser, hour(), name, world.root, "again"), -ENOENT));
	world_check();
	cr_assert(eq(u64, world_trash, 1)); /* d */
}

Test(trash, what_rename_replaces_is_kept)
{
	struct fref old = mkfile(world.root, "to"), now = mkfile(world.root, "from"), dir = mkdir_in(world.root, "dir"), f;

	mkdir_in(world.root, "other");
	cr_assert(eq(int, do_rename(&superuser, world.root, "from", world.root, "to"), 0));
	cr_assert(eq(int, do_rename(&superuser, world.root, "other", world.root, "dir"), 0));
	world_check();
	cr_assert(eq(u64, world_trash, 2));
	cr_assert(eq(int, do_lookup(&superuser, hour(), trashed("to"), &f), 0));
	same(old, f);
	cr_assert(eq(int, do_lookup(&superuser, hour(), trashed("dir"), &f), 0));
	same(dir, f);
	/* Restored over what replaced it: that takes its place. */
	cr_assert(eq(int, do_rename(&superuser, hour(), trashed("to"), world.root, "to"), 0));
	cr_assert(eq(int, do_lookup(&superuser, world.root, "to", &f), 0));
	same(old, f);
	cr_assert(eq(int, do_lookup(&superuser, hour(), trashed("to"), &f), 0));
	same(now, f);
	world_check();
	cr_assert(eq(u64, world_trash, 2));
}

Test(trash, only_the_last_name_brings_it_there)
{
	struct fref f = mkfile(world.root, "a"), g;

	cr_assert(eq(int, do_link(&superuser, f, world.root, "b"), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "a", false), 0));
	world_check();
	cr_assert(eq(u64, world_trash, 0));
	mkfile(world.root, "c");
	cr_assert(eq(int, do_rename(&superuser, world.root, "c", world.root, "b"), 0));
	world_check();
	cr_assert(eq(u64, world_trash, 1));
	cr_assert(eq(int, do_lookup(&superuser, hour(), trashed("b"), &g), 0));
	same(f, g);
	cr_assert(eq(int, do_link(&superuser, f, world.root, "x"), -EROFS)); /* RENAME restores, nothing else */
}

Test(trash, every_kind_of_file)
{
	static const uint32_t type[] = { FT_REG, FT_LNK, FT_FIFO, FT_SOCK, FT_CHR, FT_BLK };
	char target[SYMLINK_BYTES_MAX + 1];
	struct meta_readlink rl = { .out = target };

	for (size_t i = 0; i < ARRAY_LEN(type); i++) {
		char name[8] = { (char)('a' + i) }, in[256];
		struct fref f = make(&superuser, world.root, name, type[i], 0644);
		struct attr before = attr_of(f), a;

		cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
		strcpy(in, trashed(name));
		cr_assert(eq(int, do_rename(&superuser, hour(), in, world.root, name), 0));
		a = attr_of(f);
		cr_assert(a.type == before.type && a.mode == before.mode && a.nlink == 1 && a.size == before.size);
		rl.req.f = f;
		cr_assert(eq(int, ON_OWNER(meta_readlink, &rl), type[i] == FT_LNK ? 0 : -EINVAL));
		cr_assert(type[i] != FT_LNK || !strcmp(target, "target"));
		cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
	}
	world_check();
	cr_assert(eq(u64, world_trash, ARRAY_LEN(type)));
}

/* ---- the folders */

Test(trash, it_is_hidden_and_its_name_is_taken)
{
	struct fref top = trash_top(), f = mkfile(world.root, "f"), d = mkdir_in(world.root, "d"), up;
	struct attr root = attr_of(world.root), a = attr_of(top);

	cr_assert(a.type == FT_DIR && a.mode == 0555 && a.nlink == 2 && root.size == 2 * DIR_ENTRY_BYTES && root.nlink == 3);
	cr_assert(eq(int, ls(&superuser, world.root, 100), 2)); /* not .trash */
	cr_assert(eq(int, ls(&superuser, top, 100), 0));
	cr_assert(eq(int, do_create(&superuser, world.root, ".trash", FT_DIR, 0755, NULL), -EEXIST));
	cr_assert(eq(int, do_create(&superuser, world.root, ".trash", FT_REG, 0755, NULL), -EEXIST));
	cr_assert(eq(int, do_link(&superuser, f, world.root, ".trash"), -EEXIST));
	cr_assert(eq(int, do_rename(&superuser, world.root, "f", world.root, ".trash"), -EEXIST));
	cr_assert(eq(int, do_rename(&superuser, world.root, ".trash", world.root, "x"), -EROFS));
	cr_assert(eq(int, do_unlink(&superuser, world.root, ".trash", true), -EROFS));
	cr_assert(eq(int, do_unlink(&superuser, world.root, ".trash", false), -EROFS));
	mkdir_in(d, ".trash"); /* elsewhere it is a name as any other */
	cr_assert(eq(int, do_unlink(&superuser, d, ".trash", true), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	cr_assert(eq(int, do_lookup(&superuser, hour(), "..", &up), 0));
	same(up, top);
	cr_assert(eq(int, do_lookup(&superuser, top, "..", &up), 0));
	same(up, world.root);
	cr_assert(eq(int, do_lookup(&superuser, top, ".", &up), 0));
	same(up, top);
	cr_assert(eq(int, do_lookup(&superuser, top, "2001-01-01-01", NULL), -ENOENT));
	cr_assert(eq(int, do_lookup(&superuser, top, "2026-13-41-99", NULL), -ENOENT));
	cr_assert(eq(int, do_lookup(&superuser, hour(), "nothing", NULL), -ENOENT));
	cr_assert(eq(int, do_lookup(&superuser, hour(), "1-1-x", NULL), -ENOENT));
	world_check();
}

Test(trash, in_the_trash_nothing_changes)
{
	struct fref d = mkdir_in(world.root, "d"), f = mkfile(world.root, "f"), top = trash_top(), h;
	struct meta_setattr s = { .req.f = f, .sattr = { .set_size = true, .size = 5 } };

	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "d", true), 0));
	h = hour();
	for (int i = 0; i < 2; i++) {
		struct fref in = i ? h : top;

		cr_assert(eq(int, do_create(&superuser, in, "x", FT_REG, 0644, NULL), -EROFS));
		cr_assert(eq(int, do_create(&superuser, in, "x", FT_DIR, 0755, NULL), -EROFS));
		cr_assert(eq(int, do_chmod(&superuser, in, 0700), -EROFS));
		cr_assert(eq(int, do_link(&superuser, world.root, in, "x"), -EROFS));
		cr_assert(eq(int, do_rename(&superuser, world.root, "x", in, "x"), -EROFS));
	}
	cr_assert(eq(int, do_unlink(&superuser, top, list[0].name, true), -EROFS));
	cr_assert(eq(int, do_rename(&superuser, h, trashed("f"), h, "x"), -EROFS));
	cr_assert(eq(int, ON_OWNER(meta_setattr, &s), -EROFS));
	cr_assert(eq(int, do_chmod(&superuser, f, 0700), -EROFS));
	/* A directory that was removed takes nothing, though its handle lives. */
	cr_assert(eq(int, do_create(&superuser, d, "x", FT_REG, 0644, NULL), -ESTALE));
	cr_assert(eq(int, do_rename(&superuser, h, trashed("f"), d, "x"), -ESTALE));
	f = mkfile(world.root, "g");
	cr_assert(eq(int, do_rename(&superuser, world.root, "g", d, "x"), -ESTALE));
	cr_assert(eq(int, do_link(&superuser, f, d, "x"), -ESTALE));
	cr_assert(eq(int, do_lookup(&superuser, d, "x", NULL), -ENOENT));
	cr_assert(eq(int, do_lookup(&superuser, d, "..", &f), 0));
	same(f, h);
	world_check();
}

Test(trash, handles_of_folders_that_are_none_are_stale)
{
	struct fref bad = trash_top();
	struct attr a;

	bad.gen++;
	cr_assert(eq(int, do_getattr(bad, &a), -ESTALE));
	bad = trash_top();
	bad.share++;
	cr_assert(eq(int, do_getattr(bad, &a), -ESTALE));
	cr_assert(eq(int, do_lookup(&superuser, bad, "x", NULL), -ESTALE));
	bad = trash_top();
	bad.ino += 7; /* no hour */
	cr_assert(eq(int, do_getattr(bad, &a), -ESTALE));
	cr_assert(eq(int, ls(&superuser, bad, 10), -ESTALE));
	cr_assert(eq(int, do_unlink(&superuser, bad, "x", false), -ESTALE));
	cr_assert(eq(int, do_rename(&superuser, bad, "x", world.root, "x"), -ESTALE));
}

/* ---- names */

Test(trash, the_longest_names_are_cut_between_characters)
{
	char name[NAME_BYTES_MAX + 1] = "", in[256];
	struct fref f, g;

	for (int i = 0; i + 3 <= NAME_BYTES_MAX; i += 3)
		strcat(name, "\xe2\x82\xac"); /* a euro sign */
	f = mkfile(world.root, name);
	cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
	cr_assert(eq(int, ls(&superuser, hour(), 10), 1));
	strcpy(in, list[0].name);
	cr_assert(strlen(in) <= NAME_BYTES_MAX && strlen(in) > NAME_BYTES_MAX - 3);
	cr_assert(strcmp(in + strlen(in) - 3, "\xe2\x82\xac") == 0);
	cr_assert(eq(int, do_lookup(&superuser, hour(), in, &g), 0));
	same(f, g);
	cr_assert(eq(int, do_rename(&superuser, hour(), in, world.root, name), 0));
	/* Of bytes that are no UTF-8 no more than fit. */
	memset(name, 0xff, NAME_BYTES_MAX);
	f = mkfile(world.root, name);
	cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
	cr_assert(eq(int, ls(&superuser, hour(), 10), 1));
	cr_assert(eq(sz, strlen(list[0].name), NAME_BYTES_MAX));
	memset(name, 0x80, NAME_BYTES_MAX);
	f = mkfile(world.root, name);
	cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
	cr_assert(eq(int, ls(&superuser, hour(), 10), 2));
	cr_assert(eq(sz, strlen(list[1].name), NAME_BYTES_MAX));
}

Test(trash, hours_have_names_that_lead_back)
{
	char name[TRASH_HOUR_BYTES + 1];

	for (uint64_t s = TRASH_HOUR_S; s < 4000000000; s += 977 * TRASH_HOUR_S) {
		trash_hour_name(name, s + 1234);
		struct meta_name n = name_of(name);

		cr_assert(eq(u64, trash_hour_second(&n), s / TRASH_HOUR_S * TRASH_HOUR_S));
	}
	static const char *const bad[] = { "2026-11-26-2", "2026-11-26-24", "2026-02-30-00", "2026-1--26-20", "+026-11-26-20", "x" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct meta_name n = name_of(bad[i]);

		cr_assert(eq(u64, trash_hour_second(&n), 0), "%s", bad[i]);
	}
}

/* A machine without a clock of its own begins in 1970, and knows better some minutes later. */
Test(trash, in_the_first_hour_of_1970)
{
	struct fref f;

	trash_set_ahead(0);
	trash_set_ahead(100 - trash_now_s());
	cr_assert(eq(int, do_create(&superuser, world.root, "early", FT_REG, 0644, &f), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "early", false), 0));
	cr_assert(strcmp(trashed("early"), "") != 0);
	cr_assert(ls(&superuser, trash_top(), 100) == 1 && strcmp(list[0].name, "1970-01-01-01") == 0);
	cr_assert(eq(int, do_rename(&superuser, hour(), trashed("early"), world.root, "early"), 0));
	cr_assert(eq(u64, attr_of(f).parent, world.root.ino));
	mid_hour();
}

Test(trash, pages_of_any_size_list_each_once_also_after_a_restart)
{
	static struct listed first[LIST_MAX];
	char name[16];
	int n;

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		mkfile(world.root, name);
		cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
	}
	n = ls(&superuser, hour(), 1000);
	cr_assert(eq(int, n, 300));
	memcpy(first, list, sizeof(list));
	for (uint32_t page = 1; page < 300; page = page * 3 + 1) {
		cr_assert(eq(int, ls(&superuser, hour(), page), 300));
		for (int i = 0; i < n; i++) {
			cr_assert(strcmp(list[i].name, first[i].name) == 0 && list[i].cookie == first[i].cookie && list[i].has_attr);
			cr_assert(i == 0 || list[i].cookie > list[i - 1].cookie);
		}
	}
	struct fref before = hour();

	world_close();
	world_open(2);
	same(before, hour());
	cr_assert(eq(int, ls(&superuser, before, 7), 300));
	for (int i = 0; i < n; i++)
		cr_assert(list[i].ino == first[i].ino && list[i].gen == first[i].gen && list[i].cookie == first[i].cookie);
	world_check();
}

/* ---- who may */

Test(trash, everybody_sees_his_own)
{
	struct fref home, secret, open_to_all;
	struct meta_access acc = { .mask = 0x3f };
	char his[256], hers[256];

	cr_assert(eq(int, do_chmod(&superuser, world.root, 0777), 0));
	home = make(&alice, world.root, "home", FT_DIR, 0700);
	secret = make(&alice, home, "secret", FT_REG, 0644); /* its directory hides it */
	open_to_all = make(&bob, world.root, "bobs", FT_REG, 0666);
	cr_assert(eq(int, do_unlink(&alice, home, "secret", false), 0));
	cr_assert(eq(int, do_unlink(&bob, world.root, "bobs", false), 0));
	cr_assert(eq(int, ls(&superuser, hour(), 10), 2));
	strcpy(hers, trashed("secret"));
	strcpy(his, trashed("bobs"));
	cr_assert(eq(int, ls(&alice, hour(), 10), 1));
	cr_assert(strcmp(list[0].name, hers) == 0);
	cr_assert(eq(int, ls(&bob, hour(), 10), 1));
	cr_assert(strcmp(list[0].name, his) == 0);
	cr_assert(eq(int, ls(&carol, hour(), 10), 0));
	/* What one of them has listed is of no use to the client for another. */
	struct meta_getattr ga = { .req = { .cred = alice, .f = hour() } }, gb = { .req = { .cred = bob, .f = ga.req.f } };
	cr_assert(ON_OWNER(meta_getattr, &ga) == 0 && ON_OWNER(meta_getattr, &gb) == 0 && ga.attr.mtime_ns % 1000 != gb.attr.mtime_ns % 1000);

	cr_assert(eq(int, do_lookup(&bob, hour(), hers, NULL), -EACCES));
	cr_assert(eq(int, do_rename(&bob, hour(), hers, world.root, "x"), -EACCES));
	cr_assert(eq(int, do_unlink(&bob, hour(), hers, false), -EACCES));
	acc.req = (struct meta_req){ .cred = bob, .f = secret };
	cr_assert(eq(int, ANYWHERE(meta_access, &acc), 0));
	cr_assert(eq(u32, acc.mask, 0));
	acc = (struct meta_access){ .mask = 0x3f, .req = { .cred = alice, .f = secret } };
	cr_assert(eq(int, ANYWHERE(meta_access, &acc), 0));
	cr_assert(acc.mask & ACC_READ);
	acc = (struct meta_access){ .mask = 0x3f, .req = { .cred = alice, .f = hour() } };
	cr_assert(eq(int, ON_OWNER(meta_access, &acc), 0));
	cr_assert(eq(u32, acc.mask, 0x1f)); /* so that her client lets her try */
	/* She may put hers where she may write, and nowhere else. */
	struct fref bobs_dir = make(&bob, world.root, "bobsdir", FT_DIR, 0755);
	cr_assert(eq(int, do_rename(&alice, hour(), hers, bobs_dir, "x"), -EACCES));
	cr_assert(eq(int, do_rename(&alice, hour(), hers, home, "secret"), 0));
	cr_assert(eq(int, do_unlink(&bob, hour(), his, true), -ENOTDIR));
	cr_assert(eq(int, do_unlink(&bob, hour(), his, false), 0));
	cr_assert(eq(int, do_getattr(open_to_all, &(struct attr){ 0 }), -ESTALE));
	world_check();
	cr_assert(eq(u64, world_trash, 0));
	cr_assert(eq(int, ls(&superuser, trash_top(), 10), 0)); /* the hour's folder has gone with the last */
}

/* ---- restoring */

Test(trash, restoring_onto_what_is_there)
{
	struct fref d = mkdir_in(world.root, "d"), full = mkdir_in(world.root, "full");
	struct meta_rename keep = { .req = { .cred = superuser }, .to = name_of("f"), .to_dir = world.root, .no_replace = true };
	char in[256], dir[256];

	mkfile(full, "x");
	mkfile(world.root, "f");
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "d", true), 0));
	mkfile(world.root, "f");
	strcpy(in, trashed("f"));
	strcpy(dir, trashed("d"));
	keep.req.f = hour();
	keep.from = name_of(in);
	cr_assert(eq(int, ON_OWNER(meta_rename, &keep), -EEXIST));
	cr_assert(keep.from_wcc.has_post && keep.to_wcc.has_post);
	cr_assert(eq(int, do_rename(&superuser, hour(), in, world.root, "full"), -EISDIR));
	cr_assert(eq(int, do_rename(&superuser, hour(), dir, world.root, "f"), -ENOTDIR));
	cr_assert(eq(int, do_rename(&superuser, hour(), dir, world.root, "full"), -ENOTEMPTY));
	cr_assert(eq(int, do_rename(&superuser, hour(), in, world.root, ".trash"), -EEXIST));
	cr_assert(eq(int, do_rename(&superuser, hour(), in, world.root, ".."), -EINVAL));
	cr_assert(eq(int, do_rename(&superuser, hour(), dir, world.root, "d"), 0));
	cr_assert(eq(u64, attr_of(d).parent, world.root.ino));
	keep.to = name_of("g");
	cr_assert(eq(int, ON_OWNER(meta_rename, &keep), 0));
	world_check();
	cr_assert(eq(u64, world_trash, 0));
}

Test(trash, a_tree_comes_back_with_its_directories)
{
	struct fref top = mkdir_in(world.root, "tree"), sub = mkdir_in(top, "sub"), f = mkfile(sub, "f"), g;

	cr_assert(eq(int, do_unlink(&superuser, sub, "f", false), 0));
	cr_assert(eq(int, do_unlink(&superuser, top, "sub", true), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "tree", true), 0));
	cr_assert(eq(int, do_rename(&superuser, hour(), trashed("tree"), world.root, "tree"), 0));
	cr_assert(eq(int, do_rename(&superuser, hour(), trashed("sub"), top, "sub"), 0));
	cr_assert(eq(int, do_rename(&superuser, hour(), trashed("f"), sub, "f"), 0));
	cr_assert(eq(int, do_lookup(&superuser, sub, "f", &g), 0));
	same(f, g);
	cr_assert(eq(u64, world_check(), 4));
}

/* ---- the end */

static enum op_state
start_purge(void *arg, struct op *op)
{
	return trash_purge(arg, op);
}

Test(trash, gone_for_good_once)
{
	struct fref f = mkfile(world.root, "f");
	struct trash_purge p;
	struct attr a;

	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	a = attr_of(f);
	p = (struct trash_purge){ .share = 1, .second = trash_second(a.parent) - 1, .ino = f.ino, .gen = f.gen };
	cr_assert(eq(int, world_res(0, start_purge, &p), -ENOENT)); /* it lies elsewhere: restored and removed again, say */
	world_check();
	cr_assert(eq(u64, world_trash, 1));
	p = (struct trash_purge){ .share = 1, .second = trash_second(a.parent), .ino = f.ino, .gen = f.gen };
	cr_assert(eq(int, world_res(0, start_purge, &p), 0));
	cr_assert(eq(int, do_getattr(f, &a), -ESTALE));
	cr_assert(eq(u64, world_check(), 1));
	cr_assert(eq(u64, world_trash, 0));
	p = (struct trash_purge){ .share = 1, .second = trash_second(a.parent), .ino = f.ino, .gen = f.gen };
	cr_assert(eq(int, world_res(0, start_purge, &p), -ENOENT));
	world_check();
}

/* With what removes in the background. */
static void
expiring(uint64_t retention_s)
{
	mid_hour();
	world.retention_s[0] = retention_s;
	world.more_init = trash_expire_init;
	world.more_fini = trash_expire_fini;
	world_start(2);
}

static void
expiring_for_a_day(void)
{
	expiring(DAY);
}

static enum op_state
start_quit(void *arg, struct op *op)
{
	(void)arg;
	return op_done(op, trash_expire_quit());
}

static void
quit(void)
{
	EVENTUALLY(rig_call(0, start_quit, NULL) == 1);
}

static void
expired(void)
{
	quit();
	world_stop();
}

/* By what the trash's clock says. */
static uint64_t ahead_s;

static void
wait_s(uint64_t s)
{
	uint64_t now = trash_now_s();

	trash_set_ahead(0);
	ahead_s = now + s - trash_now_s();
	trash_set_ahead(ahead_s);
}

static struct usage
usage(void)
{
	struct usage u;

	usage_get(1, &u);
	return u;
}

TestSuite(trash_expire, .init = expiring_for_a_day, .fini = expired);

Test(trash_expire, when_its_time_has_come_and_not_before)
{
	struct fref f = mkfile(world.root, "f"), g = mkfile(world.root, "g");
	struct attr a;

	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	wait_s(DAY / 2);
	cr_assert(eq(int, do_unlink(&superuser, world.root, "g", false), 0));
	wait_s(DAY / 2 - 60);
	trash_empty(1, 1); /* of so long ago is nothing: but it has looked at all then */
	EVENTUALLY(trash_emptying() == false);
	cr_assert(eq(u64, usage().trash_inodes, 2));
	wait_s(120);
	EVENTUALLY(usage().trash_inodes == 1);
	cr_assert(eq(int, do_getattr(f, &a), -ESTALE));
	cr_assert(eq(int, do_getattr(g, &a), 0));
	wait_s(DAY);
	EVENTUALLY(usage().trash_inodes == 0);
	cr_assert(eq(u64, world_check(), 1));
	cr_assert(eq(int, ls(&superuser, trash_top(), 10), 0));
}

Test(trash_expire, many_at_once_and_what_came_back_stays)
{
	char name[16], in[256];

	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		mkfile(world.root, name);
		cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
	}
	strcpy(in, trashed("f499"));
	cr_assert(eq(int, do_rename(&superuser, hour(), in, world.root, "back"), 0));
	wait_s(DAY + 10);
	EVENTUALLY(usage().trash_inodes == 0);
	cr_assert(eq(u64, world_check(), 2));
	cr_assert(trash_expired() >= 499);
}

Test(trash_expire, emptied_up_to_a_second)
{
	mkfile(world.root, "old");
	mkfile(world.root, "new");
	cr_assert(eq(int, do_unlink(&superuser, world.root, "old", false), 0));
	wait_s(20);
	cr_assert(eq(int, do_unlink(&superuser, world.root, "new", false), 0));
	trash_empty(1, trash_now_s() - 10);
	EVENTUALLY(trash_emptying() == false);
	cr_assert(eq(u64, usage().trash_inodes, 1));
	cr_assert(strcmp(trashed("new"), "") != 0 && strcmp(trashed("old"), "") == 0);
	wait_s(1);
	trash_empty(0, trash_now_s());
	EVENTUALLY(trash_emptying() == false);
	cr_assert(eq(u64, usage().trash_inodes, 0));
	world_check();
}

/* Switched off: what is there stays as long as was promised, and nothing new comes. */
Test(trash_expire, switched_off)
{
	struct fref f = mkfile(world.root, "f"), g;
	struct attr a;

	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	quit();
	world_close();
	world.retention_s[0] = 0;
	world_open(1);
	mkfile(world.root, "g");
	cr_assert(eq(int, do_lookup(&superuser, world.root, "g", &g), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "g", false), 0));
	cr_assert(eq(int, do_getattr(g, &a), -ESTALE));
	cr_assert(eq(u64, usage().trash_inodes, 1));
	cr_assert(eq(int, do_rename(&superuser, hour(), trashed("f"), world.root, "f"), 0));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	cr_assert(eq(int, do_getattr(f, &a), -ESTALE));
	quit();
	world_close();
	/* Nothing is left, so the name is free. */
	world_open(1);
	cr_assert(eq(int, do_lookup(&superuser, world.root, ".trash", NULL), -ENOENT));
	mkdir_in(world.root, ".trash");
	world_check();
	quit();
	world_close();
	/* And where it is taken, a trash would hide it. */
	struct kv_opts o = { .path = world.db, .cache_bytes = 16 * MIB, .memtable_bytes = 32 * MIB, .log_bytes = 16 * MIB };
	struct meta_opts m = { .volume = &world.vol, .shares = world.share, .nshares = 1, .max_inodes = 64, .max_names = 64,
		               .retention_s = (uint64_t[]){ DAY } };
	char why[256] = "";

	cr_assert(eq(int, kv_open(&o, why), 0));
	cr_assert(eq(int, meta_open(&m, why), -EEXIST));
	cr_assert(strstr(why, ".trash") && strstr(why, "/export"));
	kv_close();
	world_open(1);
}

Test(trash_expire, after_a_crash_each_is_there_or_gone_as_a_whole)
{
	char name[16], copy[160];
	struct fref f[60];
	struct attr a;

	for (int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		f[i] = mkfile(world.root, name);
		cr_assert(eq(int, do_unlink(&superuser, world.root, name, false), 0));
	}
	wait_s(DAY + 10);
	EVENTUALLY(usage().trash_inodes < 60);
	snprintf(copy, sizeof(copy), "%s/copy", rig_dir());
	rig_copy(world.db, copy);
	quit();
	world_close();
	strcpy(world.db, copy);
	world_open(2);
	world_check();
	EVENTUALLY(usage().trash_inodes == 0);
	for (int i = 0; i < 60; i++)
		cr_assert(eq(int, do_getattr(f[i], &a), -ESTALE));
	cr_assert(eq(u64, world_check(), 1));
}
