/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/data_world.h"
#include "tests/fake/slow_store.h"
#include "store/blockio.h"

TestSuite(readahead, .timeout = 600);

static uint8_t out[4 * MIB], in[4 * MIB];

static void
check_bytes(struct fref f, uint64_t off, const uint8_t *want, uint32_t len)
{
	memset(in, 0xaa, len);
	cr_assert(eq(int, data_read(f, off, in, len), (int)len));
	cr_assert(memcmp(in, want, len) == 0, "wrong bytes in %lu to %lu", off, off + len);
}

/* A file of `bytes`, in the object store and nowhere else. */
static struct fref
cold_file(uint64_t bytes)
{
	struct fref f;

	data.buf_bytes = 256 * MIB;
	data.file.upload_delay_ns = 1ull << 62; /* a slice that its age cut would be one GET more */
	data_start(1);
	f = data_create("f");
	data_fill(out, 4 * MIB, 4);
	for (uint64_t at = 0; at < bytes; at += MIB)
		cr_assert(eq(int, data_write(f, at, out + at % (4 * MIB), MIB, STABLE_UNSTABLE), 0));
	data_drain();
	data_close();
	data_open(1);
	slow_store_install(data.store);
	return f;
}

/* A bucket that is far away: whole blocks, several at once, over the border of a chunk too. */
Test(readahead, fills_a_long_way)
{
	enum { FILE_MIB = 80 };
	struct fref f = cold_file(FILE_MIB * MIB);

	slow_store.get_delay_ms = 200;
	for (uint64_t at = 0; at < FILE_MIB * MIB; at += MIB)
		check_bytes(f, at, out + at % (4 * MIB), MIB);
	cr_assert(le(u64, slow_store.gets, FILE_MIB / 4 + 4));
	cr_assert(ge(int, slow_store.getting_max, 5));
	cr_assert(eq(u64, slow_store.get_bytes, FILE_MIB * MIB));
	data_stop();
}

/* Two readers in one file, each in order. */
Test(readahead, of_two_streams)
{
	struct fref f = cold_file(48 * MIB);

	slow_store.get_delay_ms = 100;
	for (uint64_t at = 0; at < 16 * MIB; at += MIB)
		for (uint64_t from = 0; from < 48 * MIB; from += 32 * MIB)
			check_bytes(f, from + at, out + at % (4 * MIB), MIB);
	cr_assert(le(u64, slow_store.gets, 8 + 8));
	cr_assert(ge(int, slow_store.getting_max, 3));
	data_stop();
}

/* Who reads here and there gets the frames that he asks for. */
Test(readahead, random_reads_fetch_single_frames)
{
	struct fref f = cold_file(64 * MIB);

	for (uint64_t i = 1; i <= 100; i++) {
		uint64_t at = i * 7919 % 1024 * 65536 + 4096 * (i % 16);

		check_bytes(f, at, out + at % (4 * MIB), 4096);
	}
	cr_assert(eq(u64, slow_store.gets, 100));
	cr_assert(eq(u64, slow_store.get_bytes, 100 * 65536));
	data_stop();
}
