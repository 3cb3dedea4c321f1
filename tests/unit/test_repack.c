/* SPDX-License-Identifier: Apache-2.0 */
/* Packs that are thinned out, beside all that may happen to them meanwhile. */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "tests/fake/data_world.h"
#include "tests/fake/gate_store.h"

TestSuite(repack, .timeout = 600);

#define FILES 100 /* of a pack: all of a flush, of one core */
#define BYTES 8192 /* of each */

static uint8_t bytes[BYTES], back[BYTES];
static struct fref file[4][FILES]; /* of packs */

static void
begin(int cores)
{
	data.file.repack_below = 0.5;
	data.file.compact_delay_ns = 1000000;
	data.file.compact_rate = GIB;
	data.file.upload_delay_ns = 1ull << 62; /* when the test says so */
	data_start(cores);
}

static uint64_t
seed(int pack, int i)
{
	return (uint64_t)(pack * FILES + i + 1);
}

static void
name_of(char name[32], int pack, int i)
{
	snprintf(name, 32, "f%d.%d", pack, i);
}

/* The files of one pack. */
static void
fill(int pack)
{
	char name[32];

	for (int i = 0; i < FILES; i++) {
		name_of(name, pack, i);
		file[pack][i] = data_create(name);
		data_fill(bytes, BYTES, seed(pack, i));
		cr_assert(eq(int, data_write(file[pack][i], 0, bytes, BYTES, STABLE_UNSTABLE), 0));
	}
	data_drain();
}

/* All but each n-th file of the pack go. */
static void
thin_out(int pack, int n)
{
	char name[32];

	for (int i = 0; i < FILES; i++) {
		name_of(name, pack, i);
		if (i % n != 0)
			cr_assert(eq(int, data_unlink(name), 0));
	}
}

static void
check_file(int pack, int i)
{
	data_fill(bytes, BYTES, seed(pack, i));
	cr_assert(eq(int, data_read(file[pack][i], 0, back, BYTES), BYTES));
	cr_assert(memcmp(back, bytes, BYTES) == 0, "file %d of pack %d has other bytes", i, pack);
}

static void
check_files(int pack, int n)
{
	for (int i = 0; i < FILES; i += n)
		check_file(pack, i);
}

/* A new run, so that what is read comes from the objects. */
static void
restart(int cores)
{
	data_close();
	data_open(cores);
}

static struct block_rec
block_of(struct fref f)
{
	uint8_t key[KV_KEY_MAX], val[1024];
	struct block_rec rec = { 0 };
	struct pieces p = { 0 };
	int len = kv_get_now(key, key_chunk(key, f.ino, 0), val, sizeof(val));

	cr_assert(lt(int, 0, len));
	cr_assert(eq(int, chunk_decode(val, (size_t)len, &p), 0));
	len = kv_get_now(key, key_block(key, p.v[0].slice, 0), val, sizeof(val));
	cr_assert(eq(int, block_decode(&rec, val, (size_t)len), 0));
	pieces_fini(&p);
	return rec;
}

static int
see_pack(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	const uint8_t *v = val;

	(void)key;
	(void)klen;
	cr_assert(eq(sz, vlen, 24));
	*(uint64_t *)arg += get_le64(v + 8) + 128 * KIB < get_le64(v + 16) / 2;
	return 0;
}

/* Nothing is to be deleted or written anew any more.  The deleter goes step by step, so a pack may be thin more than once. */
static bool
has_settled(uint64_t thin)
{
	uint64_t n = 0;
	struct kv_scan s = { .from = "P", .to = "Q", .from_len = 1, .to_len = 1, .fn = see_pack, .arg = &n };

	cr_assert(eq(int, kv_scan_now(&s), 0));
	return data_stats().repacked > 0 && n == thin && check_keys('G') == 0;
}

Test(repack, thin_packs_become_one)
{
	begin(1);
	for (int p = 0; p < 3; p++)
		fill(p);
	cr_assert(eq(u64, check_keys('P'), 3));
	for (int p = 0; p < 3; p++)
		thin_out(p, 4 + p);
	EVENTUALLY(has_settled(0));
	cr_assert(le(u64, 3, data_stats().repacked));
	data_check();
	restart(2);
	for (int p = 0; p < 3; p++)
		check_files(p, 4 + p);
	data_check();
	/* And these go as any pack does. */
	for (int p = 0; p < 3; p++) {
		char name[32];

		for (int i = 0; i < FILES; i += 4 + p) {
			name_of(name, p, i);
			cr_assert(eq(int, data_unlink(name), 0));
		}
	}
	EVENTUALLY(check_keys('G') == 0);
	cr_assert(eq(u64, check_keys('P'), 0));
	cr_assert(eq(u64, check_keys('B'), 0));
	data_stop();
}

/* What lives is a hundredth of its bytes as it is stored; still no pack has more plain ones than an upload has. */
Test(repack, compressed_packs)
{
	enum { PACKS = 6, EACH = 5, LONG = 700 * KIB };
	static uint8_t text[LONG], noise[LONG], got[LONG];
	static struct fref f[PACKS][EACH];
	uint64_t plain[PACKS * EACH] = { 0 }, packs[PACKS * EACH];
	char name[32];
	int n = 0;

	data.file.how[1].choice = (struct codec_choice){ CODEC_LZ4, 0 };
	begin(1);
	for (uint32_t i = 0; i < LONG; i++)
		text[i] = (uint8_t)(i / 900 + i % 3);
	data_fill(noise, LONG, 1);
	for (int p = 0; p < PACKS; p++) {
		for (int i = 0; i < EACH; i++) {
			name_of(name, p, i);
			f[p][i] = data_create(name);
			cr_assert(eq(int, data_write(f[p][i], 0, i % 3 == 1 ? text : noise, LONG, STABLE_UNSTABLE), 0));
		}
		data_drain();
	}
	for (int p = 0; p < PACKS; p++)
		for (int i = 0; i < EACH; i++) {
			name_of(name, p, i);
			if (i % 3 != 1)
				cr_assert(eq(int, data_unlink(name), 0));
		}
	EVENTUALLY(check_keys('G') == 0 && data_stats().repacked >= PACKS - 1);
	for (int p = 0; p < PACKS; p++)
		for (int i = 1; i < EACH; i += 3) {
			struct block_rec rec = block_of(f[p][i]);
			int k = 0;

			while (k < n && packs[k] != rec.pack)
				k++;
			packs[k] = rec.pack;
			plain[k] += rec.plain;
			n += k == n;
			cr_assert(le(u64, plain[k], BLOCK_BYTES));
		}
	restart(2);
	for (int p = 0; p < PACKS; p++)
		for (int i = 1; i < EACH; i += 3) {
			cr_assert(eq(int, data_read(f[p][i], 0, got, LONG), (int)LONG));
			cr_assert(memcmp(got, text, LONG) == 0);
		}
	data_check();
	data_stop();
}

/* What a run thinned out the next one finds. */
Test(repack, a_start_looks_for_them)
{
	begin(1);
	data_close();
	data.file.repack_below = 0;
	data_open(1);
	fill(0);
	fill(1);
	thin_out(0, 5);
	EVENTUALLY(check_keys('G') == 0);
	cr_assert(eq(u64, data_stats().repacked, 0));
	uint64_t whole = block_of(file[1][0]).pack, thin = block_of(file[0][0]).pack;

	data_close();
	data.file.repack_below = 0.5;
	data_open(2);
	EVENTUALLY(data_stats().repacked == 1 && check_keys('G') == 0);
	cr_assert(ne(u64, block_of(file[0][0]).pack, thin));
	cr_assert(eq(u64, block_of(file[1][0]).pack, whole), "a pack that is needed is left alone");
	restart(1);
	check_files(0, 5);
	check_files(1, 1);
	data_check();
	data_stop();
}

static void *
read_one(void *arg)
{
	(void)arg;
	check_file(0, 0);
	return NULL;
}

/* It knew where the block was, and found it gone. */
Test(repack, a_reader_follows)
{
	begin(1);
	fill(0);
	restart(2);
	gate_install(data.store);
	struct block_rec rec = block_of(file[0][0]);

	object_name(gate.get_name, data.share[0].prefix, 0, 0, &rec);
	/* The reader is held behind its look at the record; what repacks reads by the same name, so that is let through. */
	gate.get_closed = true;
	pthread_t reader;

	cr_assert(eq(int, pthread_create(&reader, NULL, read_one, NULL), 0));
	EVENTUALLY(gate.held);
	gate.get_name[0] = '\0';
	thin_out(0, 5);
	EVENTUALLY(has_settled(0));
	cr_assert(ne(u64, block_of(file[0][0]).pack, rec.pack));
	gate.get_closed = false;
	pthread_join(reader, NULL);
	data_check();
	data_stop();
}

static void
damage(const struct block_rec *rec)
{
	char name[OBJ_NAME], path[512];
	uint8_t byte;
	int fd;

	object_name(name, data.share[0].prefix, 0, 0, rec);
	snprintf(path, sizeof(path), "%s/objects/%s", data.path, name);
	fd = open(path, O_RDWR);
	cr_assert(ge(int, fd, 0));
	cr_assert(eq(i64, pread(fd, &byte, 1, (off_t)rec->off), 1));
	byte ^= 1;
	cr_assert(eq(i64, pwrite(fd, &byte, 1, (off_t)rec->off), 1));
	close(fd);
}

/* What is damaged stays where it is, and stays an error; it is not written anew with a checksum that fits. */
Test(repack, a_damaged_pack_is_left_as_it_is)
{
	begin(1);
	data_close();
	data.file.repack_below = 0;
	data_open(1);
	fill(0);
	fill(1);
	thin_out(0, 5);
	thin_out(1, 5);
	EVENTUALLY(check_keys('G') == 0);
	struct block_rec rec = block_of(file[0][10]);

	damage(&rec);
	data_close();
	data.file.repack_below = 0.5;
	data_open(1);
	EVENTUALLY(has_settled(1));
	cr_assert(eq(u64, block_of(file[0][10]).pack, rec.pack));
	cr_assert(lt(int, data_read(file[0][10], 0, back, BYTES), 0));
	check_file(0, 0);
	check_files(1, 5);
	data_check();
	data_stop();
}

/* The file is removed between the look at its record and the new pack's: it goes from there. */
Test(repack, what_is_removed_meanwhile_goes)
{
	begin(1);
	gate_install(data.store);
	fill(0);
	gate.put_part = "/packs/";
	gate.put_closed = true;
	thin_out(0, 5);
	EVENTUALLY(gate.held);
	cr_assert(eq(int, data_unlink("f0.0"), 0));
	gate.put_closed = false;
	EVENTUALLY(has_settled(0));
	cr_assert(eq(u64, check_keys('B'), FILES / 5 - 1));
	for (int i = 5; i < FILES; i += 5)
		check_file(0, i);
	data_check();
	data_stop();
}

Test(repack, a_stop_waits_for_the_turn_under_way)
{
	begin(1);
	gate_install(data.store);
	fill(0);
	gate.put_part = "/packs/";
	gate.put_closed = true;
	thin_out(0, 5);
	EVENTUALLY(gate.held);
	gate.put_closed = false;
	restart(2);
	check_files(0, 5);
	EVENTUALLY(check_keys('G') == 0);
	data_check();
	data_stop();
}
