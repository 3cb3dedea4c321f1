/* SPDX-License-Identifier: Apache-2.0 */
/* Files over the disk cache: what a restart, a damaged disk and a removal make of it. */
#include "tests/fake/data_world.h"
#include "tests/fake/slow_store.h"
#include "store/blockio.h"

TestSuite(file_disk, .timeout = 600);

enum { FILE_MIB = 24 };
static uint8_t out[4 * MIB], in[4 * MIB];

static void
fill(void)
{
	uint64_t seed = 1;

	for (size_t i = 0; i < sizeof(out); i++) {
		if (i % 8 == 0)
			seed = mix64(seed + i + 1);
		out[i] = (uint8_t)(seed >> (i % 8 * 8));
	}
}

static void
check_file(struct fref f)
{
	for (uint64_t at = 0; at < FILE_MIB * MIB; at += MIB) {
		memset(in, 0xaa, MIB);
		cr_assert(eq(int, data_read(f, at, in, MIB), MIB));
		cr_assert(memcmp(in, out + at % sizeof(out), MIB) == 0, "wrong bytes at %lu", at);
	}
}

static struct diskcache_stats
disk_stats(void)
{
	struct diskcache_stats sum = { 0 };

	for (int i = 0; i < data.cores; i++) {
		const struct diskcache_stats *s = diskcache_stats(i);

		sum.hits += s->hits;
		sum.misses += s->misses;
		sum.inserts += s->inserts;
		sum.damaged += s->damaged;
		sum.frames += s->frames;
	}
	return sum;
}

/* Nothing is in memory after it; what is on disk is loaded. */
static void
restart(int cores)
{
	data_close();
	data_open(cores);
	slow_store_install(data.store);
	slow_store.gets = 0;
}

static struct fref
start(void)
{
	struct fref f;

	data.buf_bytes = 128 * MIB;
	snprintf(data.path, sizeof(data.path), "%s", rig_dir());
	data.disk.dir[0] = strdup(data_path("cache"));
	data.disk.ndirs = 1;
	data.disk.bytes = 512 * MIB;
	data.disk.verify = DISK_VERIFY_EXTEND;
	data_start(2);
	f = data_create("f");
	fill();
	for (uint64_t at = 0; at < FILE_MIB * MIB; at += MIB)
		cr_assert(eq(int, data_write(f, at, out + at % sizeof(out), MIB, STABLE_UNSTABLE), 0));
	data_drain();
	return f;
}

/* Every frame is on disk: uploads leave some out when the disk is busy, then readers bring them. */
static void
warm(struct fref f)
{
	for (int i = 0; i < 20; i++) {
		restart(2);
		EVENTUALLY(disk_stats().frames > 0);
		check_file(f);
		usleep(100000);
		if (slow_store.gets == 0)
			return;
	}
	cr_assert(false, "it never has all");
}

Test(file_disk, a_cold_restart_finds_what_was_uploaded_and_read)
{
	struct fref f = start();
	uint64_t frames;

	EVENTUALLY(disk_stats().inserts > FILE_MIB * 16 / 4);
	warm(f);
	frames = disk_stats().frames;
	cr_assert(eq(u64, frames, FILE_MIB * 16));
	restart(1); /* other cores own what they find */
	EVENTUALLY(disk_stats().frames == frames);
	check_file(f);
	cr_assert(eq(u64, slow_store.gets, 0));
	data_stop();
}

Test(file_disk, a_damaged_disk_costs_gets_and_no_bytes)
{
	struct fref f = start();
	char cmd[400];

	warm(f);
	data_close();
	/* A byte in each 300 KB of every file. */
	snprintf(cmd, sizeof(cmd), "for f in %s/*/*.cache; do i=1000; s=$(stat -c %%s $f); while [ $i -lt $s ]; do"
	         " printf Z | dd of=$f bs=1 seek=$i conv=notrunc 2>/dev/null; i=$((i + 300000)); done; done",
	         data.disk.dir[0]);
	cr_assert(eq(int, system(cmd), 0));
	data_open(2);
	slow_store_install(data.store);
	EVENTUALLY(disk_stats().frames > 0);
	check_file(f);
	cr_assert(lt(u64, 0, slow_store.gets));
	cr_assert(lt(u64, 0, disk_stats().damaged));
	data_stop();
}

Test(file_disk, what_is_deleted_is_forgotten)
{
	struct fref f = start();

	warm(f);
	cr_assert(eq(int, data_unlink("f"), 0));
	EVENTUALLY(disk_stats().frames == 0);
	data_stop();
}
