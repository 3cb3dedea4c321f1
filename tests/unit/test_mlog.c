/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log by itself: an index that is nothing but a count per stream takes RocksDB's place.
 * Power cuts at random instants: of the write that was under way any sectors may be on disk.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "meta/mlog_impl.h"
#include "reactor/log.h"
#include "tests/fake/rig.h"

#define STREAMS 5
#define SECTOR  512
#define LEN_MAX 20000

static char dir[160], before[160];
static uint64_t applied[STREAMS], flushed[STREAMS], acked[STREAMS];
static uint64_t back[STREAMS]; /* what came back */
static _Atomic int flushes;

/* The disk is the test's own, so its files may as well be in memory. */
static void
setup(void)
{
	log_set_level(LOG_ERROR);
	if (getenv("TMPDIR") == NULL && system("test -w /dev/shm") == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	snprintf(dir, sizeof(dir), "%s/log", rig_dir());
	snprintf(before, sizeof(before), "%s/before", rig_dir());
	memset(applied, 0, sizeof(applied));
	memset(flushed, 0, sizeof(flushed));
	memset(acked, 0, sizeof(acked));
}

static unsigned
dice(unsigned n)
{
	return (unsigned)random() % n;
}

/* On the log's thread, while the test may be in the middle of an append: what it sees is what was applied. */
static int
flush(void)
{
	flushes++;
	for (int i = 0; i < STREAMS; i++)
		__atomic_store_n(&flushed[i], __atomic_load_n(&applied[i], __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	return 0;
}

static void
must_open(void)
{
	struct mlog_opts o = { .dir = dir, .bytes = 1 * MIB, .flush = flush };
	char why[256];

	cr_assert(mlog_open(&o, why) == 0, "%s", why);
}

/* The length and the bytes of a record follow from its number. */
static uint32_t
content(uint8_t *p, uint32_t stream, uint64_t seq)
{
	uint64_t x = mix64(seq * STREAMS + stream + 1);
	uint32_t len = x % 50 == 0 ? (uint32_t)(x >> 20) % LEN_MAX : (uint32_t)(x >> 20) % 600;

	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(x >> i % 8 * 8 ^ i);
	return len;
}

static uint64_t
append(uint32_t stream)
{
	static uint8_t p[LEN_MAX];
	struct mlog_rec r = { .stream = stream, .seq = applied[stream] + 1, .data = p };

	r.len = content(p, stream, r.seq);
	while (mlog_reserve(r.len) == -EAGAIN)
		cr_assert(eq(int, mlog_wait_room(r.len), 0));
	__atomic_store_n(&applied[stream], r.seq, __ATOMIC_RELEASE);
	return mlog_append(&r);
}

static int
seen(void *arg, const struct mlog_rec *r)
{
	static uint8_t p[LEN_MAX];

	(void)arg;
	if (r->seq <= back[r->stream])
		return 0;
	cr_assert(eq(u64, r->seq, back[r->stream] + 1));
	cr_assert(eq(u32, r->len, content(p, r->stream, r->seq)));
	cr_assert(eq(int, memcmp(p, r->data, r->len), 0));
	back[r->stream]++;
	return 0;
}

/* Every sector is as it was before or as it is now. */
static void
mix_sectors(const char *old, const char *new)
{
	char path[2][600];

	for (uint32_t i = 0; i < MLOG_SEGMENTS; i++) {
		uint8_t a[SECTOR], b[SECTOR];
		FILE *f[2];

		mlog_seg_path(path[0], old, i);
		mlog_seg_path(path[1], new, i);
		f[0] = fopen(path[0], "r");
		f[1] = fopen(path[1], "r+");
		for (long at = 0; fread(a, SECTOR, 1, f[0]) == 1; at += SECTOR) {
			cr_assert(fseek(f[1], at, SEEK_SET) == 0 && fread(b, SECTOR, 1, f[1]) == 1);
			if (memcmp(a, b, SECTOR) == 0 || dice(2))
				continue;
			cr_assert(fseek(f[1], at, SEEK_SET) == 0 && fwrite(a, SECTOR, 1, f[1]) == 1);
		}
		fclose(f[0]);
		fclose(f[1]);
	}
}

static void
copy(const char *from, const char *to)
{
	char cmd[600];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s' && cp -a '%s' '%s'", to, from, to);
	cr_assert(eq(int, system(cmd), 0));
}

static void
run(void)
{
	int groups = (int)dice(300);

	while (groups-- > 0) {
		uint64_t ticket = 0;

		for (int n = (int)dice(20) + 1; n > 0; n--)
			ticket = append(dice(STREAMS));
		cr_assert(eq(int, mlog_sync_now(ticket), 0));
		memcpy(acked, applied, sizeof(acked));
	}
}

/* The index is what it was at its last flush, or at one that the cut came behind. */
static void
recover(void)
{
	char why[256] = "";

	memcpy(back, flushed, sizeof(back));
	cr_assert(eq(int, mlog_scan(dir, seen, NULL, why), 0), "%s", why);
	for (int i = 0; i < STREAMS; i++) {
		cr_assert(back[i] >= acked[i], "stream %d: %lu of %lu", i, back[i], acked[i]);
		cr_assert(back[i] <= applied[i]);
	}
	memcpy(applied, back, sizeof(applied));
	memcpy(flushed, back, sizeof(flushed));
	memcpy(acked, back, sizeof(acked));
}

Test(mlog, power_cuts, .init = setup, .fini = rig_dir_remove, .timeout = 600)
{
	for (int round = 0; round < 60; round++) {
		uint64_t ticket = 0;
		char next[160];
		int then;

		srandom((unsigned)round + 1);
		must_open();
		run();
		cr_assert(eq(int, mlog_flusher_wait(), 0)); /* so that it does not write just now */
		then = flushes;
		/* one more group is under way when the power goes */
		for (int n = (int)dice(20) + 1; n > 0; n--)
			ticket = append(dice(STREAMS));
		copy(dir, before);
		cr_assert(eq(int, mlog_sync_now(ticket), 0));
		snprintf(next, sizeof(next), "%s/next", rig_dir());
		copy(dir, next);
		if (flushes == then)
			mix_sectors(before, next);
		mlog_close(false);
		copy(next, dir);
		recover();
	}
}

/* Killed before the first change. */
Test(mlog, an_empty_log_says_nothing, .init = setup, .fini = rig_dir_remove)
{
	char why[256];

	must_open();
	rig_copy(dir, before);
	mlog_close(true);
	memset(back, 0, sizeof(back));
	cr_assert(mlog_scan(before, seen, NULL, why) == 0, "%s", why);
	for (int i = 0; i < STREAMS; i++)
		cr_assert(eq(u64, back[i], 0));
}

Test(mlog, a_clean_end_is_not_read, .init = setup, .fini = rig_dir_remove)
{
	char why[256];

	cr_assert(eq(int, mlog_scan(dir, seen, NULL, why), -ENOENT));
	must_open();
	run();
	mlog_close(true);
	memcpy(back, flushed, sizeof(back));
	cr_assert(eq(int, mlog_scan(dir, seen, NULL, why), 0));
	cr_assert(eq(int, memcmp(back, flushed, sizeof(back)), 0));
}

/* Another size: what was in it is void, and it works. */
Test(mlog, resized, .init = setup, .fini = rig_dir_remove)
{
	struct mlog_opts o = { .dir = dir, .bytes = 4 * MIB, .flush = flush };
	char why[256], path[600];
	struct stat st;

	must_open();
	run();
	mlog_close(false);
	recover();
	cr_assert(eq(int, mlog_open(&o, why), 0));
	run();
	mlog_close(false);
	mlog_seg_path(path, dir, MLOG_SEGMENTS - 1);
	cr_assert(stat(path, &st) == 0 && st.st_size == 1 * MIB);
	recover();
}

/* The head and groups are distrusted byte by byte. */
Test(mlog, format)
{
	struct mlog_head h = { .segments = 4, .segment_bytes = 1 * MIB, .clean = true, .run = "run" }, back_head;
	struct mlog_group g = { .number = 7, .durable = 5, .tail = 2, .bytes = MLOG_GROUP_BYTES + 30, .nrec = 1 }, back_group;
	uint8_t head[MLOG_HEAD_BYTES], group[PAGE] = { 0 };
	struct mlog_rec r = { .stream = 3, .len = 14, .seq = 9, .data = "fourteen bytes" }, back_rec;

	mlog_head_encode(head, &h);
	cr_assert(eq(int, mlog_head_decode(&back_head, head, sizeof(head)), 0));
	cr_assert(back_head.segment_bytes == h.segment_bytes && back_head.clean && memcmp(back_head.run, h.run, 16) == 0);
	cr_assert(eq(u64, mlog_rec_encode(group + MLOG_GROUP_BYTES, &r), 30));
	mlog_group_seal(group, &g, h.run);
	cr_assert(mlog_group_open(&back_group, group, PAGE, h.run));
	cr_assert(back_group.number == 7 && back_group.durable == 5 && back_group.tail == 2 && back_group.nrec == 1);
	cr_assert(eq(u64, mlog_rec_decode(&back_rec, group + MLOG_GROUP_BYTES, 30), 30));
	cr_assert(back_rec.stream == 3 && back_rec.seq == 9 && memcmp(back_rec.data, r.data, 14) == 0);
	cr_assert(eq(u64, mlog_rec_decode(&back_rec, group + MLOG_GROUP_BYTES, 29), 0));
	cr_assert(eq(int, mlog_group_open(&back_group, group, g.bytes - 1, h.run), false));
	cr_assert(eq(int, mlog_group_open(&back_group, group, PAGE, head), false));
	for (size_t i = 0; i < sizeof(head); i++) {
		head[i] ^= 0x20;
		cr_assert(lt(int, mlog_head_decode(&back_head, head, sizeof(head)), 0));
		head[i] ^= 0x20;
	}
	for (size_t i = 0; i < g.bytes; i++) {
		group[i] ^= 0x20;
		cr_assert(eq(int, mlog_group_open(&back_group, group, PAGE, h.run), false), "%zu", i);
		group[i] ^= 0x20;
	}
}
