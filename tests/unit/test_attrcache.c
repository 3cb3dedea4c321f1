/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/meta_world.h"

#include "meta/attrcache.h"

#define FILES 600
#define PAGE_MAX 1024

static struct fref dir, file[FILES];
static uint32_t mode[FILES];
static bool removed[FILES];

static void
setup(void)
{
	world.max_inodes = 64; /* a core: most of them are in short form */
	world.max_names = 2048;
	world_start(3);
	dir = mkdir_in(world.root, "d");
}

TestSuite(attrcache, .init = setup, .fini = world_stop);

static void
name(char out[32], int i)
{
	snprintf(out, 32, "f%d", i);
}

static void
new_file(int i)
{
	char n[32];

	name(n, i);
	file[i] = mkfile(dir, n);
	mode[i] = attr_of(file[i]).mode;
	removed[i] = false;
}

static void
check(int i)
{
	struct attr a;
	int res = do_getattr(file[i], &a);

	cr_assert(eq(int, res, removed[i] ? -ESTALE : 0));
	if (!removed[i])
		cr_assert(a.ino == file[i].ino && a.mode == mode[i] && a.nlink == 1 && a.type == FT_REG);
}

/* All pages of the directory: each file that there is once, with the attributes that it has. */
static void
list(void)
{
	static struct readdir_entry entry[PAGE_MAX];
	static char names[PAGE_MAX * 16];
	struct meta_readdir m;
	uint64_t cookie = 0;
	int n = 0, want = 0;

	do {
		m = (struct meta_readdir){
			.req.f = dir, .cookie = cookie, .plus = true, .bytes_max = 2000, .entry_bytes = 24,
			.entry = entry, .max_entries = PAGE_MAX, .names = names, .names_cap = sizeof(names),
		};
		cr_assert(eq(int, ON_OWNER(meta_readdir, &m), 0));
		for (uint32_t k = 0; k < m.n; k++) {
			const struct readdir_entry *e = &entry[k];
			char text[32];
			int i;

			cookie = e->cookie;
			snprintf(text, sizeof(text), "%.*s", e->name_len, names + e->name_off);
			if (sscanf(text, "f%d", &i) != 1)
				continue;
			n++;
			cr_assert(eq(int, removed[i], 0));
			cr_assert(e->ino == file[i].ino && e->has_attr);
			cr_assert(e->attr.ino == e->ino && e->attr.gen == file[i].gen && e->attr.mode == mode[i]);
		}
	} while (!m.eof);
	for (int i = 0; i < FILES; i++)
		want += !removed[i];
	cr_assert(eq(int, n, want));
}

/* In memory, in short form, in RocksDB: always the attributes of now. */
Test(attrcache, follows_every_change)
{
	uint64_t x = 1;

	for (int i = 0; i < FILES; i++)
		new_file(i);
	list();
	for (int round = 0; round < 6000; round++) {
		int i = (int)((x = x * 6364136223846793005u + 1442695040888963407u) >> 33) % FILES;
		char n[32];

		name(n, i);
		switch (x >> 20 & 7) {
		case 0:
			if (removed[i]) {
				new_file(i);
				break;
			}
			cr_assert(eq(int, do_unlink(&superuser, dir, n, false), 0));
			removed[i] = true;
			break;
		case 1:
		case 2:
			if (!removed[i])
				cr_assert(eq(int, do_chmod(&superuser, file[i], mode[i] = (uint32_t)(x >> 40 & 0777)), 0));
			break;
		default:
			break;
		}
		check(i);
		if (round % 250 == 0)
			list();
	}
	list();
	world_check();
	cr_assert(world.looked > 500, "%u", world.looked);
}

/* ---- one core's, by itself */

struct ask {
	uint64_t ino;
	bool near, known, cached;
	struct attr attr, truth; /* in short form; in memory */
};

static enum op_state
near_start(void *arg, struct op *op)
{
	struct ask *q = arg;

	if (q->near)
		attrcache_bring(q->ino);
	q->known = inode_known(q->ino);
	q->cached = attrcache_get(q->ino, &q->attr);
	if (q->known && inode_find(q->ino))
		q->truth = inode_find(q->ino)->attr;
	return op_done(op, 0);
}

static struct ask
ask(uint64_t ino, bool near)
{
	struct ask q = { .ino = ino, .near = near };

	rig_call(shard_owner(ino), near_start, &q);
	return q;
}

static int
seen(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	(void)arg, (void)key, (void)klen, (void)val, (void)vlen;
	return 0;
}

/* What is in memory and in short form is the same in both; a range brings those that are in neither. */
Test(attrcache, agrees_with_memory)
{
	int cached = 0, ranges = 0;

	for (int i = 0; i < FILES; i++)
		new_file(i); /* looks at each, so that many are evicted again */
	for (int i = 0; i < FILES; i++) {
		struct ask q = ask(file[i].ino, false);

		if (q.known && q.cached)
			cr_assert(eq(int, memcmp(&q.attr, &q.truth, sizeof(q.attr)), 0));
		cached += q.cached;
	}
	cr_assert(cached > FILES / 2, "%d", cached);
	world_close();
	world_open(3);
	cr_assert(kv_scan_now(&(struct kv_scan){ .from = "I", .to = "J", .from_len = 1, .to_len = 1, .fn = seen }) == 0);
	for (int i = 0; i < FILES; i++) {
		bool there = ask(file[i].ino, false).cached;
		struct ask q = ask(file[i].ino, !there);

		ranges += !there;
		cr_assert(q.known || q.cached);
		cr_assert(q.known || (q.attr.ino == file[i].ino && q.attr.gen == file[i].gen && q.attr.mode == mode[i]));
	}
	cr_assert(ranges < FILES / 2, "%d", ranges);
}
