/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything at once: threads create, link, rename, remove and change in a few
 * directories whose inodes lie on three cores; then names, links, parents, sizes and
 * usage must agree, in the database as it is, as a kill would have left it in the
 * middle, and after a restart.
 */
#include <time.h>

#include "tests/fake/meta_load.h"

#define THREADS 12
#define STEPS   600

static void
worker(int me)
{
	uint64_t seed = (uint64_t)me * 1000003 + 17;

	for (int i = 0; i < STEPS; i++)
		load_step(mix64(seed += 0x9e3779b97f4a7c15));
}

static void
copier_and_workers(int me)
{
	char path[160];

	if (me > 0) {
		worker(me);
		return;
	}
	for (int i = 0; i < 3; i++) {
		struct timespec t = { .tv_nsec = 80000000 };

		nanosleep(&t, NULL);
		snprintf(path, sizeof(path), "%s/crash%d", rig_dir(), i);
		rig_copy(world.db, path);
	}
}

static void
check_at(const char *path)
{
	struct kv_opts o = { .path = path, .cache_bytes = 8 * MIB, .memtable_bytes = 8 * MIB, .log_bytes = 16 * MIB };
	char why[256];

	cr_assert(kv_open(&o, why) == 0, "%s", why);
	world_check();
	kv_close();
}

static void
stress(int cores)
{
	world_start(cores);
	load_dirs();
	fake.later = true;
	rig_threads(THREADS + 1, copier_and_workers);
	for (size_t i = 0; i < ARRAY_LEN(done); i++)
		cr_assert(done[i] > 20, "operation %zu worked %lu times", i, done[i]);
	world_check();
	world_close();
	check_at(world.db);
	for (int i = 0; i < 3; i++) {
		char path[160];

		snprintf(path, sizeof(path), "%s/crash%d", rig_dir(), i);
		check_at(path);
	}
	rig_dir_remove();
}

TestSuite(meta_stress, .timeout = 600);

Test(meta_stress, one_core)    { stress(1); }
Test(meta_stress, two_cores)   { stress(2); }
Test(meta_stress, three_cores) { stress(3); }

Test(meta_stress, with_a_trash)
{
	world.retention_s[0] = 86400;
	stress(3);
	cr_assert(restored > 5 && purged > 1, "%lu restored, %lu removed for good", restored, purged);
}

/* More operations at once than there are transactions, and fewer inodes in memory than are in use. */
static void
crowd(int me)
{
	for (int i = 0; i < 12; i++) {
		char name[32];
		int res;

		snprintf(name, sizeof(name), "c%d.%d", me, i);
		do
			res = do_create(&superuser, dirs[me % DIRS], name, FT_REG, 0644, NULL);
		while (res == -E_JUKEBOX);
		cr_assert(res == 0, "%d", res);
		do
			res = do_chmod(&superuser, dirs[(me + i) % DIRS], 0755);
		while (res == -E_JUKEBOX);
		cr_assert(res == 0, "%d", res);
	}
}

Test(meta_stress, more_than_fits)
{
	world.max_inodes = 64;
	world_start(2);
	for (int i = 0; i < DIRS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "d%d", i);
		dirs[i] = mkdir_in(world.root, name);
	}
	rig_threads(700, crowd);
	cr_assert(eq(u64, world_check(), 1 + DIRS + 700 * 12));
	world_stop();
}
