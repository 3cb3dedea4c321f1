/* SPDX-License-Identifier: Apache-2.0 */
/* Files whose frames are encoded on their way to the object store: nothing else about them is different. */
#include "tests/fake/data_world.h"
#include "tests/fake/slow_store.h"

TestSuite(file_codec, .timeout = 600);

#define SPAN (12 * MIB)

static uint8_t bytes[SPAN], back[SPAN];

static void
begin(int cores, enum codec codec, uint32_t level)
{
	data.file.how[1].choice = (struct codec_choice){ codec, level };
	data_start(cores);
	log_set_level(LOG_ERROR);
	/* Four of five frames get shorter. */
	data_fill(bytes, sizeof(bytes), 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		if (i / FRAME_BYTES % 5 != 3)
			bytes[i] = (uint8_t)(i / 700 + i % 3);
}

static void
write_all(struct fref f, uint64_t off, uint64_t from, uint64_t len)
{
	for (uint64_t at = 0, n; at < len; at += n) {
		int tries = 1000, res;

		n = MIN(len - at, FILE_IO_MAX);
		while ((res = data_write(f, off + at, bytes + from + at, (uint32_t)n, STABLE_UNSTABLE)) == -E_JUKEBOX && --tries > 0)
			;
		cr_assert(eq(int, res, 0));
	}
}

static void
check(struct fref f, uint64_t off, uint64_t from, uint64_t len)
{
	cr_assert(eq(int, data_read(f, off, back, (uint32_t)len), (int)len));
	cr_assert(memcmp(back, bytes + from, len) == 0, "%lu bytes at %lu read as something else", len, off);
}

/* A large file, one in pieces, small ones; read from the object store by the next run, which encodes otherwise or not at all. */
static void
files_of(enum codec codec, uint32_t level)
{
	struct fref large, pieces, small[40];
	struct file_stats s;

	begin(2, codec, level);
	large = data_create("large");
	pieces = data_create("pieces");
	write_all(large, 0, 0, SPAN - 12345);
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "small%d", i);
		small[i] = data_create(name);
		write_all(small[i], 0, (uint64_t)i * 777, (uint64_t)i * 613 + 1);
		write_all(pieces, (uint64_t)i * 50000, (uint64_t)i * 50000, 30000);
	}
	data_drain();
	s = data_stats();
	cr_assert(lt(u64, s.uploaded_bytes, s.uploaded_plain_bytes / 2));
	cr_assert(eq(u64, data_attr(large).used, SPAN - 12345)); /* as clients wrote it */
	data_close();
	data.file.how[1].choice = (struct codec_choice){ codec == CODEC_LZ4 ? CODEC_RAW : CODEC_LZ4, 0 };
	data_open(1);
	check(large, 0, 0, SPAN - 12345);
	for (int i = 0; i < 40; i++) {
		check(small[i], 0, (uint64_t)i * 777, (uint64_t)i * 613 + 1);
		check(pieces, (uint64_t)i * 50000, (uint64_t)i * 50000, 30000);
	}
	/* Some of it again, over frames of the other kind. */
	write_all(large, 100000, 3 * MIB, 2 * MIB + 7);
	data_drain();
	data_close();
	data_open(2);
	check(large, 0, 0, 100000);
	check(large, 100000, 3 * MIB, 2 * MIB + 7);
	check(large, 4 * MIB, 4 * MIB, SPAN - 4 * MIB - 12345);
	data_stop();
}

Test(file_codec, lz4)
{
	files_of(CODEC_LZ4, 0);
}

Test(file_codec, zstd)
{
	files_of(CODEC_ZSTD, 3);
}

/* Buffers for two blocks and what they come to: uploads take turns, and all of it arrives, also after the store was away. */
Test(file_codec, memory_is_short)
{
	struct fref f[6];

	data.buf_bytes = 16 * MIB;
	data.file.uploads = 8;
	begin(1, CODEC_LZ4, 0);
	slow_store_install(data.store);
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < 6; i++) {
			char name[16];

			snprintf(name, sizeof(name), "f%d.%d", turn, i);
			f[i] = data_create(name);
			slow_store.fail_put = turn == 1 && i == 0 ? -EIO : 0;
			write_all(f[i], 0, (uint64_t)i * 4096, 5 * MIB);
		}
		data_drain();
		for (int i = 0; i < 6; i++)
			check(f[i], 0, (uint64_t)i * 4096, 5 * MIB);
	}
	data_stop();
}
