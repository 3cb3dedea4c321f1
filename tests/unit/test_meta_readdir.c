/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "tests/fake/meta_world.h"

#define PAGE_MAX 1024

struct page {
	struct meta_readdir m;
	struct readdir_entry entry[PAGE_MAX];
	char names[PAGE_MAX * 64];
};

static void
setup(void)
{
	world_start(3);
}

TestSuite(meta_readdir, .init = setup, .fini = world_stop);

static int
page(struct page *p, struct fref dir, uint64_t cookie, uint32_t bytes, bool plus)
{
	p->m = (struct meta_readdir){
		.req.f = dir, .cookie = cookie, .plus = plus, .bytes_max = bytes, .entry_bytes = 24,
		.entry = p->entry, .max_entries = PAGE_MAX, .names = p->names, .names_cap = sizeof(p->names),
	};
	return ON_OWNER(meta_readdir, &p->m);
}

static bool
is(const struct page *p, uint32_t i, const char *name)
{
	return p->entry[i].name_len == strlen(name) &&
	       memcmp(p->names + p->entry[i].name_off, name, p->entry[i].name_len) == 0;
}

Test(meta_readdir, empty_and_dots)
{
	struct fref d = mkdir_in(world.root, "d");
	struct page p;

	cr_assert(eq(int, page(&p, d, 0, 4096, false), 0));
	cr_assert(p.m.n == 2 && p.m.eof && p.m.has_dir && p.m.dir.ino == d.ino);
	cr_assert(is(&p, 0, ".") && p.entry[0].ino == d.ino && p.entry[0].cookie == COOKIE_DOT);
	cr_assert(is(&p, 1, "..") && p.entry[1].ino == world.root.ino && p.entry[1].cookie == COOKIE_DOTDOT);
	cr_assert(eq(int, page(&p, d, COOKIE_DOT, 4096, false), 0));
	cr_assert(p.m.n == 1 && p.m.eof && is(&p, 0, ".."));
	cr_assert(eq(int, page(&p, d, COOKIE_DOTDOT, 4096, false), 0));
	cr_assert(p.m.n == 0 && p.m.eof);
	cr_assert(eq(int, page(&p, world.root, 0, 4096, false), 0));
	cr_assert(p.entry[1].ino == world.root.ino);
	cr_assert(eq(int, page(&p, mkfile(d, "f"), 0, 4096, false), -ENOTDIR));
	cr_assert(eq(int, page(&p, d, (uint64_t)1 << 63, 4096, false), -E_BADCOOKIE));
}

/* The caller's budget: entries that cost 24 bytes and their name. */
Test(meta_readdir, budget)
{
	struct fref d = mkdir_in(world.root, "d");
	struct page p;

	mkfile(d, "12345");
	cr_assert(eq(int, page(&p, d, 0, 27, false), -E_TOOSMALL));
	cr_assert(eq(int, page(&p, d, 0, 28, false), 0));
	cr_assert(p.m.n == 1 && !p.m.eof);
	cr_assert(eq(int, page(&p, d, 0, 28 + 28 + 31, false), 0));
	cr_assert(p.m.n == 2 && !p.m.eof);
	cr_assert(eq(int, page(&p, d, 0, 28 + 28 + 32, false), 0));
	cr_assert(p.m.n == 3 && p.m.eof);
	cr_assert(eq(int, page(&p, d, COOKIE_DOTDOT, 31, false), -E_TOOSMALL));
	/* So are entries and room for names. */
	p.m.max_entries = 1;
	p.m.bytes_max = 4096;
	p.m.cookie = 0;
	cr_assert(eq(int, ON_OWNER(meta_readdir, &p.m), 0));
	cr_assert(p.m.n == 1 && !p.m.eof);
	p.m.max_entries = PAGE_MAX;
	p.m.names_cap = 7;
	cr_assert(eq(int, ON_OWNER(meta_readdir, &p.m), 0));
	cr_assert(p.m.n == 2 && !p.m.eof);
}

/* ---- names that share a hash ---- */

/* Three hashes in all: of the name's first letter. */
static uint64_t
few_hashes(const uint8_t secret[16], const char *name, size_t len)
{
	(void)secret;
	(void)len;
	return 100 + (uint64_t)(name[0] - 'a');
}

Test(meta_readdir, names_with_one_hash_share_a_page)
{
	static const char *const names[] = { "a1", "b1", "b2", "b3", "c1", "c2" };
	struct fref d;
	struct page p;

	dir_set_hash(few_hashes);
	d = mkdir_in(world.root, "a");
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		mkfile(d, names[i]);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct fref f;

		cr_assert(eq(int, do_lookup(&superuser, d, names[i], &f), 0));
		cr_assert(eq(int, do_create(&superuser, d, names[i], FT_REG, 0, NULL), -EEXIST));
	}
	/* With room for 1 to 6 entries after the dots: pages end between a, b and c only. */
	static const uint32_t want[] = { 1, 1, 1, 4, 4, 6 };
	for (uint32_t room = 1; room <= 6; room++) {
		cr_assert(eq(int, page(&p, d, COOKIE_DOTDOT, room * 28, false), 0));
		cr_assert(p.m.n == want[room - 1], "room %u: %u", room, p.m.n);
		cr_assert(eq(int, p.m.eof, room == 6));
	}
	/* The b's do not fit: told, not lost. */
	cr_assert(eq(int, page(&p, d, 100, 2 * 28, false), -E_TOOSMALL));
	cr_assert(eq(int, page(&p, d, 100, 3 * 28, false), 0));
	cr_assert(p.m.n == 3 && p.entry[0].cookie == 101 && p.entry[2].cookie == 101);
	cr_assert(eq(int, page(&p, d, 101, 4096, false), 0));
	cr_assert(p.m.n == 2 && p.m.eof && is(&p, 0, "c1") && is(&p, 1, "c2"));
	/* Each goes alone. */
	cr_assert(eq(int, do_unlink(&superuser, d, "b2", false), 0));
	cr_assert(eq(int, do_lookup(&superuser, d, "b3", NULL), 0));
	cr_assert(eq(int, do_lookup(&superuser, d, "b2", NULL), -ENOENT));
	world_check();
}

/* ---- attributes ---- */

Test(meta_readdir, plus)
{
	struct fref d = mkdir_in(world.root, "d"), f[100];
	struct page p;
	int seen = 0;

	for (int i = 0; i < 100; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		f[i] = make(&superuser, d, name, i == 0 ? FT_LNK : FT_REG, 0600);
	}
	/* Half of them in memory and changed there, on all cores; the others in RocksDB alone. */
	for (int round = 0; round < 2; round++) {
		cr_assert(eq(int, page(&p, d, 0, 1 << 20, true), 0));
		cr_assert(p.m.n == 102 && p.m.eof);
		cr_assert(p.entry[1].has_attr && p.entry[1].gen == world.root.gen && p.entry[1].attr.ino == world.root.ino);
		for (uint32_t n = 0; n < p.m.n; n++) {
			struct attr a = attr_of((struct fref){ p.entry[n].ino, p.entry[n].gen, d.share });

			cr_assert(p.entry[n].has_attr && p.entry[n].attr.ino == p.entry[n].ino);
			cr_assert(p.entry[n].attr.ctime_ns == a.ctime_ns && p.entry[n].attr.mode == a.mode);
			cr_assert(p.entry[n].type == a.type);
		}
		world_close();
		world_open(2);
		for (int i = 0; i < 50; i++)
			cr_assert(eq(int, do_chmod(&superuser, f[i], (uint32_t)i), 0));
	}
	cr_assert(eq(int, page(&p, d, 0, 1 << 20, false), 0));
	for (uint32_t n = 0; n < p.m.n; n++)
		seen += p.entry[n].has_attr;
	cr_assert(eq(int, seen, 0));
}

/* ---- a big directory, listed while it changes ---- */

#define BIG     100000
#define THREADS 24

static struct fref big;
static _Atomic int next;
static uint8_t seen_count[BIG];
static _Atomic bool removing;

static void
filler(int me)
{
	int i;

	(void)me;
	while ((i = next++) < BIG) {
		char name[32];

		snprintf(name, sizeof(name), "%d", i);
		cr_assert(eq(int, do_create(&superuser, big, name, FT_REG, 0644, NULL), 0));
	}
}

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* One thread lists; the others remove every odd number and make others. */
static void
lister_and_removers(int me)
{
	static struct page p;
	uint64_t cookie = 0;

	if (me > 0) {
		for (int i = 2 * me - 1; i < BIG && removing; i += 2 * (THREADS - 1)) {
			char name[32];

			snprintf(name, sizeof(name), "%d", i);
			cr_assert(eq(int, do_unlink(&superuser, big, name, false), 0));
			snprintf(name, sizeof(name), "new%d", i);
			cr_assert(eq(int, do_create(&superuser, big, name, FT_REG, 0644, NULL), 0));
		}
		return;
	}
	do {
		cr_assert(eq(int, page(&p, big, cookie, 32768, false), 0));
		for (uint32_t n = 0; n < p.m.n; n++) {
			char name[32];

			cr_assert(p.entry[n].cookie > cookie);
			cookie = p.entry[n].cookie;
			snprintf(name, sizeof(name), "%.*s", p.entry[n].name_len, p.names + p.entry[n].name_off);
			if (name[0] >= '0' && name[0] <= '9')
				seen_count[atoi(name)]++;
		}
	} while (!p.m.eof);
	removing = false;
}

Test(meta_readdir, hundred_thousand_entries, .timeout = 600)
{
	static struct page p;
	uint64_t cookie = 0, first_us = 0, total = 0, t;
	int pages = 0;

	big = mkdir_in(world.root, "big");
	rig_threads(THREADS, filler);
	cr_assert(eq(u64, attr_of(big).size, (uint64_t)BIG * DIR_ENTRY_BYTES));
	/* All of it, each once; a page in the middle costs what the first costs. */
	do {
		t = now_us();
		cr_assert(eq(int, page(&p, big, cookie, 32768, false), 0));
		t = now_us() - t;
		if (pages++ == 0)
			first_us = t;
		for (uint32_t n = 0; n < p.m.n; n++)
			cookie = p.entry[n].cookie;
		total += p.m.n;
	} while (!p.m.eof);
	cr_assert(eq(u64, total, BIG + 2));
	fprintf(stderr, "readdir: %d pages, the first %lu us, the last %lu us\n", pages, first_us, t);

	/* What was there before and after is seen once, what came or went at most once. */
	removing = true;
	rig_threads(THREADS, lister_and_removers);
	for (int i = 0; i < BIG; i++)
		cr_assert(i % 2 ? seen_count[i] <= 1 : seen_count[i] == 1, "%d seen %d times", i, seen_count[i]);
	world_check();

	/* Also when it is read from the disk. */
	world_close();
	world_open(1);
	total = cookie = 0;
	do {
		cr_assert(eq(int, page(&p, big, cookie, 32768, true), 0));
		for (uint32_t n = 0; n < p.m.n; n++)
			cr_assert(p.entry[n].has_attr);
		cookie = p.entry[p.m.n - 1].cookie;
		total += p.m.n;
	} while (!p.m.eof);
	cr_assert(eq(u64, total, attr_of(big).size / DIR_ENTRY_BYTES + 2));
}
