/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/meta_world.h"

#define DIRS    4
#define NAMES   64 /* a thread, in each directory */
#define THREADS 12

static struct fref dir[DIRS];

static void
setup(void)
{
	world.max_names = 512; /* much less than there are, so that they come and go */
	world_start(3);
	for (int i = 0; i < DIRS; i++) {
		char n[8];

		snprintf(n, sizeof(n), "d%d", i);
		dir[i] = mkdir_in(world.root, n);
	}
}

TestSuite(namecache, .init = setup, .fini = world_stop);

/*
 * Each thread changes names of its own in directories of all cores, and what it has been
 * answered is what it finds, while the others look its names up too.
 */
static struct mine {
	struct fref file[DIRS][NAMES]; /* ino 0: no such name */
} all[THREADS];

static void
look(int me, int d, int n)
{
	const struct fref *want = &all[me].file[d][n];
	struct fref got = { 0 };
	char name[32];
	int res;

	snprintf(name, sizeof(name), "%d.%d", me, n);
	res = do_lookup(&superuser, dir[d], name, &got);
	cr_assert(eq(int, res, want->ino ? 0 : -ENOENT));
	cr_assert(want->ino == 0 || (got.ino == want->ino && got.gen == want->gen));
}

static void
change(int me, uint64_t x)
{
	int d = (int)(x >> 33) % DIRS, n = (int)(x >> 40) % NAMES;
	int to_d = (int)(x >> 35) % DIRS, to_n = (int)(x >> 46) % NAMES;
	struct fref *f = &all[me].file[d][n], *to = &all[me].file[to_d][to_n];
	char name[32], to_name[32];

	snprintf(name, sizeof(name), "%d.%d", me, n);
	snprintf(to_name, sizeof(to_name), "%d.%d", me, to_n);
	if (f->ino == 0) {
		cr_assert(eq(int, do_create(&superuser, dir[d], name, FT_REG, 0644, f), 0));
	} else if (x >> 52 & 1) {
		cr_assert(eq(int, do_unlink(&superuser, dir[d], name, false), 0));
		f->ino = 0;
	} else if (x >> 53 & 1 && to->ino == 0) {
		cr_assert(eq(int, do_link(&superuser, *f, dir[to_d], to_name), 0));
		*to = *f;
	} else {
		cr_assert(eq(int, do_rename(&superuser, dir[d], name, dir[to_d], to_name), 0));
		if (to->ino != f->ino) { /* two names of one file stay both */
			*to = *f;
			f->ino = 0;
		}
	}
	look(me, d, n);
	look(me, to_d, to_n);
}

static void
worker(int me)
{
	uint64_t x = (uint64_t)me + 1;

	for (int i = 0; i < 600; i++) {
		char other[32];

		x = x * 6364136223846793005u + 1442695040888963407u;
		change(me, x);
		for (int k = 0; k < 4; k++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			look(me, (int)(x >> 33) % DIRS, (int)(x >> 40) % NAMES);
			snprintf(other, sizeof(other), "%d.%d", (int)(x >> 48) % THREADS, (int)(x >> 40) % NAMES);
			do_lookup(&superuser, dir[x >> 33 & (DIRS - 1)], other, NULL);
		}
	}
}

Test(namecache, follows_every_change)
{
	rig_threads(THREADS, worker);
	for (int me = 0; me < THREADS; me++)
		for (int d = 0; d < DIRS; d++)
			for (int n = 0; n < NAMES; n++)
				look(me, d, n);
	world_check();
	cr_assert(world.looked > 1000, "%u", world.looked);
	world_close();
	world_open(2);
	for (int me = 0; me < THREADS; me++)
		for (int n = 0; n < NAMES; n++)
			look(me, n % DIRS, n);
}

/* ---- by itself */

static enum op_state
table_start(void *arg, struct op *op)
{
	struct name_id a = { .tag = 5, .hash = 1 }, b = { .tag = 5, .hash = 2 };
	struct dirent_rec d = { .ino = ((uint64_t)1 << 56) - 1, .gen = 7, .type = FT_LNK }, got = { 0 };

	(void)arg;
	namecache_put(&a, &d);
	cr_assert(namecache_get(&a, &got) && got.ino == d.ino && got.gen == 7 && got.type == FT_LNK);
	cr_assert(eq(int, namecache_get(&b, &got), 0)); /* half of the hashes is not enough */
	d.ino = 0;
	namecache_put(&a, &d);
	cr_assert(namecache_get(&a, &got) && got.ino == 0);
	d.ino = (uint64_t)1 << 56; /* does not fit: not kept */
	namecache_put(&a, &d);
	cr_assert(eq(int, namecache_get(&a, &got), 0));
	return op_done(op, 0);
}

Test(namecache, keeps_what_it_is_told)
{
	rig_call(0, table_start, NULL);
}
