/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/file_core.h"
#include "meta/flush.h"
#include "tests/fake/data_world.h"
#include "tests/fake/slow_store.h"

TestSuite(file_flush, .timeout = 600);

static uint8_t bytes[8 * MIB], back[8 * MIB];

static void
fill(uint8_t *p, size_t n, uint64_t x)
{
	for (size_t i = 0; i < n; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		p[i] = (uint8_t)(x >> 56);
	}
}

static void
write_all(struct fref f, uint64_t off, const uint8_t *p, size_t n)
{
	for (size_t at = 0; at < n; at += FILE_IO_MAX)
		cr_assert(eq(int, data_write(f, off + at, p + at, (uint32_t)MIN(n - at, FILE_IO_MAX), STABLE_UNSTABLE), 0));
}

static void
check_all(struct fref f, uint64_t off, const uint8_t *p, size_t n)
{
	memset(back, 0x55, n);
	cr_assert(eq(int, data_read(f, off, back, (uint32_t)n), (int)n));
	cr_assert(memcmp(back, p, n) == 0, "other bytes are read than were written");
}

Test(file_flush, small_files_share_packs)
{
	static struct fref f[300];
	uint64_t objects;

	data.file.upload_delay_ns = 1ull << 62;
	data_start(2);
	fill(bytes, sizeof(bytes), 1);
	for (int i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		f[i] = data_create(name);
		write_all(f[i], 0, bytes + i, (size_t)(3000 + i * 10));
	}
	data_drain();
	objects = data_stats().uploaded_objects;
	cr_assert(le(u64, objects, 8)); /* 128 files a pack, two cores */
	for (int i = 0; i < 300; i++) {
		cr_assert(eq(u64, data_attr(f[i]).used, (uint64_t)(3000 + i * 10)));
		check_all(f[i], 0, bytes + i, (size_t)(3000 + i * 10));
	}
	data_check();
	data_close();
	data_open(2);
	for (int i = 0; i < 300; i++)
		check_all(f[i], 0, bytes + i, (size_t)(3000 + i * 10));
	data_stop();
}

/* Whole blocks do not wait for their age; the rest does. */
Test(file_flush, whole_blocks_go_long_before_their_age)
{
	struct fref f;

	data.file.upload_delay_ns = 1ull << 62;
	data_start(1);
	fill(bytes, sizeof(bytes), 2);
	f = data_create("f");
	write_all(f, 0, bytes, 6 * MIB);
	EVENTUALLY(data_stats().dirty_bytes == 2 * MIB);
	cr_assert(eq(u64, data_stats().uploaded_objects, 1));
	usleep(100000);
	cr_assert(eq(u64, data_stats().uploaded_objects, 1));
	check_all(f, 0, bytes, 6 * MIB);
	data_drain();
	cr_assert(eq(u64, data_stats().dirty_bytes, 0));
	data_check();
	data_stop();
}

Test(file_flush, age_uploads)
{
	const uint64_t delay_ns = 200 * 1000000;
	uint64_t written_ns;
	struct fref f;

	data.file.upload_delay_ns = delay_ns;
	data_start(2);
	f = data_create("f");
	written_ns = data_now_ns();
	write_all(f, 100, bytes, 5000);
	EVENTUALLY(data_stats().dirty_bytes == 0);
	cr_assert(ge(u64, data_now_ns() - written_ns, delay_ns));
	cr_assert(eq(u64, data_attr(f).used, 5000));
	data_stop();
}

/* A store that fails now and then, and one that is away for a while: nothing is lost, nothing is uploaded half. */
Test(file_flush, errors_are_tried_again)
{
	struct fref f;

	data.file.upload_delay_ns = 1000000;
	data_start(2);
	fill(bytes, sizeof(bytes), 3);
	f = data_create("f");
	slow_store_install(data.store);
	slow_store.fail_every = 2;
	for (int i = 0; i < 20; i++) {
		write_all(f, (uint64_t)i * 300000, bytes + i * 300000, 300000);
		usleep(30000);
	}
	EVENTUALLY(data_stats().dirty_bytes == 0);
	cr_assert(lt(u64, 0, data_stats().upload_errors));
	check_all(f, 0, bytes, 6000000);
	slow_store.fail_every = 0;
	slow_store.fail_put = -ENOSPC;
	write_all(f, 0, bytes + 1, 100000);
	EVENTUALLY(slow_store.puts > 40 || data_stats().upload_errors > 3);
	check_all(f, 0, bytes + 1, 100000);
	slow_store.fail_put = 0;
	EVENTUALLY(data_stats().dirty_bytes == 0);
	check_all(f, 0, bytes + 1, 100000);
	check_all(f, 100000, bytes + 100000, 5900000);
	data_check();
	data_stop();
}

Test(file_flush, who_asks_hears_that_the_store_is_away)
{
	uint64_t now;
	struct fref f;

	data_start(1);
	f = data_create("f");
	slow_store_install(data.store);
	slow_store.fail_put = -EIO;
	write_all(f, 0, bytes, 1000);
	now = data_now_ns();
	EVENTUALLY(data_pending(now).away);
	cr_assert(eq(u64, data_pending(now).files, 1));
	cr_assert(eq(u64, data_pending(now).bytes, 1000));
	slow_store.fail_put = 0;
	EVENTUALLY(data_pending(now).files == 0);
	cr_assert(eq(u64, data_stats().dirty_bytes, 0));
	cr_assert(not(data_pending(now).away));
	data_stop();
}

/* What happens to a file while its bytes are on their way to the store wins. */
Test(file_flush, changes_during_the_upload_win)
{
	struct fref over, cut, cut_grown, gone;

	data.file.upload_delay_ns = 1000000;
	data_start(2);
	fill(bytes, sizeof(bytes), 4);
	over = data_create("over");
	cut = data_create("cut");
	cut_grown = data_create("cut_grown");
	gone = data_create("gone");
	slow_store_install(data.store);
	slow_store.put_delay_ms = 400;
	write_all(over, 0, bytes, 200000);
	write_all(cut, 0, bytes, 200000);
	write_all(cut_grown, 0, bytes, 200000);
	write_all(gone, 0, bytes, 200000);
	usleep(150000); /* the snapshot is taken, the PUT waits (on a machine that dawdles it may be done: that must be right too) */
	write_all(over, 50000, bytes + 1, 30000);
	cr_assert(eq(int, data_truncate(cut, 70000), 0));
	cr_assert(eq(int, data_truncate(cut_grown, 1000), 0));
	cr_assert(eq(int, data_truncate(cut_grown, 150000), 0));
	write_all(cut_grown, 140000, bytes + 7, 1000);
	cr_assert(eq(int, data_unlink("gone"), 0));
	data_drain();
	slow_store.put_delay_ms = 0;
	data_drain();
	for (int again = 0; again < 2; again++) {
		static uint8_t want[200000];

		memcpy(want, bytes, 200000);
		memcpy(want + 50000, bytes + 1, 30000);
		check_all(over, 0, want, 200000);
		check_all(cut, 0, bytes, 70000);
		cr_assert(eq(u64, data_attr(cut).size, 70000));
		memset(want, 0, 150000);
		memcpy(want, bytes, 1000);
		memcpy(want + 140000, bytes + 7, 1000);
		check_all(cut_grown, 0, want, 150000);
		cr_assert(eq(u64, data_attr(cut_grown).used, 2000));
		data_check();
		data_close();
		data_open(2);
	}
	data_stop();
}

static uint64_t
objects_there(void)
{
	char cmd[300];
	unsigned long n = 0;
	FILE *p;

	snprintf(cmd, sizeof(cmd), "find '%s/objects' -type f | wc -l", data.path);
	p = popen(cmd, "r");
	cr_assert(eq(int, fscanf(p, "%lu", &n), 1));
	pclose(p);
	return n;
}

/* Removed files, truncated ones and overwritten slices leave nothing behind, in the store and in the database. */
Test(file_flush, garbage_goes)
{
	static struct fref f[40];
	struct fref big;
	struct check c;

	data_start(2);
	fill(bytes, sizeof(bytes), 5);
	big = data_create("big");
	for (int round = 0; round < 3; round++) {
		write_all(big, 0, bytes + round, 6 * MIB);
		data_drain();
	}
	write_all(big, 60 * MIB, bytes, 6 * MIB); /* in two chunks */
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		f[i] = data_create(name);
		write_all(f[i], 0, bytes + i, 20000);
	}
	data_drain();
	/* The overwritten ones go by themselves. */
	EVENTUALLY(check_keys('G') == 0);
	c = data_check();
	cr_assert(eq(u64, c.used, 12 * MIB + 40 * 20000));
	check_all(big, 0, bytes + 2, 6 * MIB);
	/* Some of a pack's files are removed: the pack stays, for the others. */
	for (int i = 0; i < 39; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		cr_assert(eq(int, data_unlink(name), 0));
	}
	EVENTUALLY(check_keys('G') == 0);
	check_all(f[39], 0, bytes + 39, 20000);
	c = data_check();
	cr_assert(ge(u64, c.packs, 1));
	cr_assert(eq(int, data_truncate(big, 0), 0));
	cr_assert(eq(int, data_unlink("f39"), 0));
	EVENTUALLY(check_keys('G') == 0);
	c = data_check();
	cr_assert(eq(u64, c.used, 0));
	cr_assert(eq(u64, c.blocks, 0));
	cr_assert(eq(u64, c.packs, 0));
	cr_assert(eq(u64, check_keys('C'), 0));
	cr_assert(eq(u64, objects_there(), 0));
	cr_assert(lt(u64, 5, data_stats().deleted_objects));
	data_stop();
}

/* What never had data leaves nothing for the deleter; what did always does, even where none of it was uploaded. */
Test(file_flush, only_data_is_garbage)
{
	struct fref hole;

	data.file.upload_delay_ns = data.file.garbage_delay_ns = 1ull << 62;
	data_start(2);
	fill(bytes, 10000, 6);
	data_create("empty");
	hole = data_create("hole");
	cr_assert(eq(int, data_truncate(hole, 100 * CHUNK_BYTES), 0));
	write_all(data_create("uploaded"), 0, bytes, 10000);
	data_drain();
	write_all(data_create("dirty"), 0, bytes, 10000);
	cr_assert(eq(int, data_unlink("empty"), 0));
	cr_assert(eq(int, data_unlink("hole"), 0));
	cr_assert(eq(u64, check_keys('G'), 0));
	cr_assert(eq(int, data_unlink("dirty"), 0));
	cr_assert(eq(u64, check_keys('G'), 1));
	data_check();
	data_close();
	data_open(2); /* what was uploaded is known from RocksDB */
	cr_assert(eq(int, data_unlink("uploaded"), 0));
	cr_assert(eq(u64, check_keys('G'), 2));
	data_check();
	data_stop();
}

/* A file of more chunks than a batch takes: its truncation takes several, and leaves nothing. */
Test(file_flush, a_file_of_many_chunks_is_cut)
{
	const uint64_t chunks = 700;
	struct fref f;

	data_start(2);
	f = data_create("f");
	for (uint64_t i = 0; i < chunks; i++)
		write_all(f, i * CHUNK_BYTES + 17, bytes, 5000);
	data_drain();
	cr_assert(eq(u64, data_attr(f).used, chunks * 5000));
	cr_assert(eq(u64, check_keys('C'), chunks));
	cr_assert(eq(int, data_truncate(f, 3 * CHUNK_BYTES + 1000), 0));
	cr_assert(eq(u64, data_attr(f).used, 3 * 5000 + 983));
	cr_assert(eq(u64, check_keys('C'), 4));
	data_check();
	cr_assert(eq(int, data_truncate(f, chunks * CHUNK_BYTES), 0));
	memset(bytes, 0, 6000);
	check_all(f, 3 * CHUNK_BYTES + 1000, bytes, 6000);
	check_all(f, 600 * CHUNK_BYTES + 17, bytes, 5000);
	EVENTUALLY(check_keys('G') == 0);
	data_check();
	data_stop();
}

/* Thousands of small overwrites in one chunk: dead records are written off, and the bytes stay right. */
Test(file_flush, dead_records_are_written_off)
{
	struct fref f;
	uint8_t key[KV_KEY_MAX], none;
	int len;

	data.file.upload_delay_ns = 1ull << 62;
	data_start(1);
	fill(bytes, MIB, 6);
	f = data_create("f");
	write_all(f, 0, bytes, MIB);
	data_drain();
	for (uint64_t round = 0; round < 12; round++) {
		for (uint64_t i = 0; i < 100; i++) {
			uint64_t at = i * 8192 + round;

			bytes[at] ^= 0xff;
			cr_assert(eq(int, data_write(f, at, bytes + at, 1, STABLE_UNSTABLE), 0));
		}
		data_drain();
		if (round == 5) { /* all the small ones are dead now */
			write_all(f, 0, bytes, MIB);
			data_drain();
		}
	}
	len = kv_get_now(key, key_chunk(key, f.ino, 0), &none, 0);
	cr_assert(lt(int, len, 1500 * SLICE_REC_BYTES));
	check_all(f, 0, bytes, MIB);
	data_check();
	data_close();
	data_open(1);
	check_all(f, 0, bytes, MIB);
	data_stop();
}

/* As a timer does that was set before; and records have been retired since that nobody has noted. */
static enum op_state
kick(void *arg, struct op *op)
{
	(void)arg;
	file_core->retire.tail = 0;
	flush_kick();
	return op_done(op, 0);
}

static enum op_state
was_kicked(void *arg, struct op *op)
{
	(void)arg;
	return op_done(op, flush_quit());
}

/* What is written then is in the air when the reactors end, and kv_close would wait for it for ever. */
Test(file_flush, nothing_is_written_after_the_stop)
{
	struct kv_stats before, after;
	struct fref f;

	data_start(1);
	f = data_create("f");
	fill(bytes, 4096, 1);
	cr_assert(eq(int, data_write(f, 0, bytes, 4096, STABLE_FILE_SYNC), 0));
	data_drain();
	cr_assert(eq(int, rig_call(0, start_stop, NULL), 0));
	kv_stats(&before);
	cr_assert(eq(int, rig_call(0, kick, NULL), 0));
	EVENTUALLY(rig_call(0, was_kicked, NULL));
	kv_stats(&after);
	cr_assert(eq(u64, after.writes, before.writes));
	data_stop();
}
