/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespace under load, for the thread sanitizer:
 *
 *	meta_stress [SECONDS [CORES]]
 *
 * Threads create, link, rename, remove and change the same few names on all
 * cores, with a trash, while others list and look, and one has all read ahead again and again; at the end
 * the database must be consistent.
 */
#define WORLD_PLAIN
#include <time.h>
#include <unistd.h>

#include "meta/preload.h"
#include "tests/fake/meta_load.h"
#include "tests/fake/rig.c"

#define THREADS 11

static time_t until;

static void
lister(uint64_t seed)
{
	struct readdir_entry entry[64];
	char names[64 * 32];

	while (time(NULL) < until) {
		uint64_t r = mix64(++seed);
		struct meta_readdir m = {
			.req.f = dirs[r % DIRS], .plus = r & 64, .bytes_max = 4096, .entry_bytes = 24, .entry = entry,
			.max_entries = 64, .names = names, .names_cap = sizeof(names),
		};
		struct meta_fsstat s = { .req.f = world.root };
		struct attr a;
		int res;

		/* The deeper ones may be gone by now. */
		res = ON_OWNER(meta_readdir, &m);
		cr_assert(res == 0 || res == -ESTALE);
		res = do_getattr(dirs[r / 8 % DIRS], &a);
		cr_assert(res == 0 || res == -ESTALE);
		cr_assert(ON_OWNER(meta_fsstat, &s) == 0);
	}
}

static void
thread(int me)
{
	uint64_t seed = (uint64_t)me * 7919;

	if (me < 2) {
		lister(seed);
		return;
	}
	while (me == 2 && time(NULL) < until) {
		cr_assert(rig_call(0, preload_start, NULL) == 0);
		usleep((useconds_t)mix64(++seed) % 10000);
		cr_assert(rig_call(0, preload_stop, NULL) == 0);
	}
	while (time(NULL) < until)
		load_step(mix64(seed += 0x9e3779b97f4a7c15));
}

int
main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 5, cores = argc > 2 ? atoi(argv[2]) : 3;
	uint64_t n = 0;

	world.retention_s[0] = 86400;
	world_start(cores);
	load_dirs();
	fake.later = true;
	until = time(NULL) + seconds;
	rig_threads(THREADS, thread);
	for (size_t i = 0; i < ARRAY_LEN(done); i++)
		n += done[i];
	printf("meta_stress: %lu changes, %lu inodes, consistent\n", n, world_check());
	world_stop();
	return 0;
}
