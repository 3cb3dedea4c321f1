/* SPDX-License-Identifier: Apache-2.0 */
/* Merging of slices beside all that may happen to them meanwhile. */
#include <dirent.h>

#include "meta/compact.h"
#include "tests/fake/data_world.h"
#include "tests/fake/gate_store.h"

TestSuite(file_compact, .timeout = 600);

#define SPAN (8 * MIB)

static uint8_t bytes[SPAN], back[SPAN];

static void
begin(int cores)
{
	data.file.compact_merge = 5;
	data.file.compact_gathered = 100;
	data.file.compact_delay_ns = 20000000;
	data.file.compact_rate = GIB;
	data.file.upload_delay_ns = 1ull << 62; /* when the test says so */
	data_start(cores);
	data_fill(bytes, sizeof(bytes), 1);
}

static void
write_some(struct fref f, uint64_t off, uint32_t len, uint64_t seed)
{
	data_fill(bytes + off, len, seed);
	for (uint32_t at = 0; at < len; at += FILE_IO_MAX)
		cr_assert(eq(int, data_write(f, off + at, bytes + off + at, (uint32_t)MIN(len - at, FILE_IO_MAX),
		                             STABLE_UNSTABLE), 0));
}

/* Every other page of [from, to), each a slice of its own. */
static void
fragment(struct fref f, uint64_t from, uint64_t to, uint64_t seed)
{
	for (uint64_t off = from; off < to; off += 8192)
		write_some(f, off, 4096, seed + off);
	data_drain();
}

static void
check_bytes(struct fref f, uint64_t size)
{
	memset(back, 0x55, sizeof(back));
	cr_assert(eq(int, data_read(f, 0, back, SPAN), (int)size));
	cr_assert(memcmp(back, bytes, size) == 0, "other bytes are read than were written");
}

/* Pieces that the file's first chunk shows. */
static uint32_t
pieces(struct fref f)
{
	static uint8_t val[1 << 20];
	uint8_t key[KV_KEY_MAX];
	struct pieces p = { 0 };
	int len = kv_get_now(key, key_chunk(key, f.ino, 0), val, sizeof(val));
	uint32_t n;

	cr_assert(len >= 0 && (size_t)len <= sizeof(val));
	cr_assert(eq(int, chunk_decode(val, (size_t)len, &p), 0));
	n = p.n;
	pieces_fini(&p);
	return n;
}

static void
quiet(void)
{
	EVENTUALLY(data_stats().compact_pending == 0);
}

Test(file_compact, many_small_pieces_become_few)
{
	struct fref f;
	struct check c;

	begin(2);
	f = data_create("f");
	write_some(f, 0, SPAN, 1);
	data_drain();
	fragment(f, 0, SPAN / 2, 7);
	cr_assert(lt(u32, 2, pieces(f)));
	EVENTUALLY(pieces(f) <= 3);
	check_bytes(f, SPAN);
	quiet();
	cr_assert(ge(u64, data_stats().compacted_bytes, SPAN / 2));
	cr_assert(lt(u64, 1000, data_stats().compacted_pieces));
	/* What was merged goes: objects, packs, records. */
	EVENTUALLY(check_keys('G') == 0);
	c = data_check();
	cr_assert(eq(u64, c.packs, 0));
	cr_assert(le(u64, c.blocks, 4));
	data_close();
	data_open(1);
	check_bytes(f, SPAN);
	data_stop();
}

/* A file in pieces of a run in which nothing is merged, which goes on. */
static struct fref
begin_with_pieces(void)
{
	struct fref f;

	begin(1);
	f = data_create("f");
	data_close();
	data.file.compact_merge = 0;
	data_open(1);
	write_some(f, 0, SPAN, 1);
	data_drain();
	fragment(f, 0, MIB, 3);
	return f;
}

/* A file that was written by an earlier run is merged when it is read. */
Test(file_compact, a_reader_shows_it)
{
	struct fref f;

	f = begin_with_pieces();
	cr_assert(lt(u32, 200, pieces(f)));
	data_close();
	data.file.compact_merge = 5;
	data_open(2);
	cr_assert(eq(u64, data_stats().compact_pending, 0));
	check_bytes(f, SPAN);
	EVENTUALLY(pieces(f) <= 2);
	check_bytes(f, SPAN);
	data_check();
	data_stop();
}

struct ask {
	struct fref f;
	uint32_t asked;
};

static enum op_state
start_ask(void *arg, struct op *op)
{
	struct ask *a = arg;
	int res = compact_ask(a->f.ino, a->f.gen, 0) ? 0 : -EAGAIN;

	a->asked = compact_asked();
	return op_done(op, res);
}

static enum op_state
start_asked(void *arg, struct op *op)
{
	(void)arg;
	return op_done(op, (int)compact_asked());
}

/* Nobody reads it, and the time that it is to rest is not over: it is merged because somebody asks. */
Test(file_compact, what_is_asked_for_is_merged_at_once)
{
	struct ask a = { 0 };

	a.f = begin_with_pieces();
	data_close();
	data.file.compact_merge = 5;
	data.file.compact_delay_ns = 1ull << 60;
	data_open(2);
	cr_assert(eq(int, rig_call(shard_owner(a.f.ino), start_ask, &a), 0));
	cr_assert(eq(u32, a.asked, 1));
	EVENTUALLY(rig_call(shard_owner(a.f.ino), start_asked, NULL) == 0);
	cr_assert(le(u32, pieces(a.f), 2));
	check_bytes(a.f, SPAN);
	/* Again, and what is not there: done, with nothing merged. */
	uint64_t merges = data_stats().compactions;

	a.f.gen++;
	cr_assert(eq(int, rig_call(shard_owner(a.f.ino), start_ask, &a), 0));
	EVENTUALLY(rig_call(shard_owner(a.f.ino), start_asked, NULL) == 0);
	a.f.gen--;
	cr_assert(eq(int, rig_call(shard_owner(a.f.ino), start_ask, &a), 0));
	EVENTUALLY(rig_call(shard_owner(a.f.ino), start_asked, NULL) == 0);
	cr_assert(eq(u64, data_stats().compactions, merges));
	data_check();
	data_stop();
}

Test(file_compact, holes_stay_holes)
{
	struct fref f;
	uint64_t used;

	begin(1);
	f = data_create("f");
	memset(bytes, 0, sizeof(bytes));
	for (uint64_t off = 0; off < MIB; off += 16384) {
		write_some(f, off, 4096, off + 1);
		data_drain(); /* a slice each */
		write_some(f, off + 4096, 4096, off + 2);
		data_drain();
	}
	used = data_attr(f).used;
	EVENTUALLY(data_stats().compactions > 0);
	quiet();
	check_bytes(f, MIB - 16384 + 8192);
	cr_assert(eq(u64, data_attr(f).used, used));
	data_check();
	data_stop();
}

static void
hold_a_merge(struct fref *f)
{
	begin(1);
	gate_install(data.store);
	*f = data_create("f");
	write_some(*f, 0, SPAN, 1);
	data_drain();
	gate.put_part = "/chunks/"; /* blocks that are objects of their own, as a merge's is */
	gate.put_closed = true;
	fragment(*f, 0, SPAN / 2, 5);
	EVENTUALLY(gate.held);
}

Test(file_compact, what_is_written_meanwhile_wins)
{
	struct fref f;

	hold_a_merge(&f);
	for (uint64_t off = 12288; off < SPAN / 2; off += 512 * KIB)
		write_some(f, off, 1000, off + 9);
	data_drain();
	write_some(f, 70000, 5000, 99); /* dirty when the merge is committed */
	gate.put_closed = false;
	EVENTUALLY(data_stats().compactions > 0);
	check_bytes(f, SPAN);
	data_drain();
	quiet();
	check_bytes(f, SPAN);
	data_check();
	data_close();
	data_open(2);
	check_bytes(f, SPAN);
	data_stop();
}

Test(file_compact, what_is_cut_meanwhile_stays_cut)
{
	struct fref f;

	hold_a_merge(&f);
	cr_assert(eq(int, data_truncate(f, MIB + 100), 0));
	cr_assert(eq(int, data_truncate(f, SPAN), 0));
	memset(bytes + MIB + 100, 0, SPAN - MIB - 100);
	gate.put_closed = false;
	EVENTUALLY(data_stats().compactions > 0);
	quiet();
	check_bytes(f, SPAN);
	cr_assert(eq(u64, data_attr(f).used, MIB + 100));
	EVENTUALLY(check_keys('G') == 0);
	data_check();
	data_stop();
}

Test(file_compact, of_a_file_that_is_cut_to_nothing_nothing_is_left)
{
	struct fref f;

	hold_a_merge(&f);
	cr_assert(eq(int, data_truncate(f, 0), 0));
	gate.put_closed = false;
	quiet();
	EVENTUALLY(check_keys('G') == 0);
	cr_assert(eq(u64, check_keys('B'), 0));
	cr_assert(eq(u64, data_stats().compactions, 0));
	data_check();
	data_stop();
}

Test(file_compact, of_a_file_that_is_removed_nothing_is_left)
{
	struct fref f;

	hold_a_merge(&f);
	cr_assert(eq(int, data_unlink("f"), 0));
	gate.put_closed = false;
	quiet();
	EVENTUALLY(check_keys('G') == 0);
	cr_assert(eq(u64, check_keys('B'), 0));
	cr_assert(eq(u64, check_keys('C'), 0));
	data_check();
	data_stop();
}

/* It stops in the middle, and the next run does it. */
Test(file_compact, a_stop_waits_for_the_one_under_way)
{
	struct fref f;

	hold_a_merge(&f);
	gate.put_closed = false;
	data_close();
	data_open(2);
	check_bytes(f, SPAN);
	EVENTUALLY(pieces(f) <= 3);
	check_bytes(f, SPAN);
	data_check();
	data_stop();
}

static int
remove_packs(const char *dir, int depth)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	for (; d && (e = readdir(d)) != NULL;) {
		char path[1024];

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		n += depth > 0 && remove_packs(path, depth - 1) > 0;
		if (strstr(path, "/packs/") && unlink(path) == 0)
			n++;
	}
	if (d)
		closedir(d);
	return n;
}

/* Bytes that are gone stay an error; they do not become zeros, and the rest of the file stays readable. */
Test(file_compact, what_cannot_be_read_is_left_as_it_is)
{
	struct fref f;
	uint32_t before;

	f = begin_with_pieces();
	before = pieces(f);
	data_close();
	cr_assert(lt(int, 0, remove_packs(data_path("objects"), 5)));
	data.file.compact_merge = 5;
	data_open(1);
	cr_assert(eq(int, data_read(f, 2 * MIB, back, MIB), (int)MIB)); /* loads the chunk */
	EVENTUALLY(data_stats().compact_errors > 0);
	quiet();
	cr_assert(eq(u32, pieces(f), before));
	cr_assert(eq(int, data_read(f, 0, back, 4096), -EIO));
	cr_assert(eq(int, data_read(f, 2 * MIB, back, MIB), (int)MIB));
	cr_assert(memcmp(back, bytes + 2 * MIB, MIB) == 0);
	data_stop();
}
