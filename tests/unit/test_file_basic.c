/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/data_world.h"

TestSuite(file, .timeout = 60);

static uint8_t out[4 * MIB], in[4 * MIB];

static void
fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++) {
		if (i % 8 == 0)
			seed = mix64(seed + i + 1);
		p[i] = (uint8_t)(seed >> (i % 8 * 8));
	}
}

static void
check_bytes(struct fref f, uint64_t off, const uint8_t *want, uint32_t len)
{
	memset(in, 0xaa, len);
	cr_assert(eq(int, data_read(f, off, in, len), (int)len));
	for (uint32_t i = 0; i < len; i++)
		cr_assert(in[i] == want[i], "byte %lu is %02x, not %02x", off + i, in[i], want[i]);
}

Test(file, written_bytes_are_read_before_and_after_the_upload)
{
	struct fref f;
	struct attr a;

	data_start(2);
	f = data_create("a");
	fill(out, 3 * MIB, 1);
	for (uint32_t at = 0; at < 3 * MIB; at += FILE_IO_MAX)
		cr_assert(eq(int, data_write(f, at, out + at, FILE_IO_MAX, STABLE_UNSTABLE), 0));
	check_bytes(f, 0, out, 3 * MIB);
	check_bytes(f, 12345, out + 12345, 777777);
	a = data_attr(f);
	cr_assert(eq(u64, a.size, 3 * MIB));
	cr_assert(eq(u64, a.used + a.dirty, 3 * MIB));
	cr_assert(eq(int, data_commit(f), 0));
	data_drain();
	a = data_attr(f);
	cr_assert(eq(u64, a.used, 3 * MIB));
	cr_assert(eq(u64, a.dirty, 0));
	cr_assert(gt(u64, data_stats().uploaded_objects, 0));
	check_bytes(f, 0, out, 3 * MIB);
	data_check();
	data_close();
	data_open(1);
	check_bytes(f, 0, out, 3 * MIB);
	check_bytes(f, 4097, out + 4097, 100000);
	data_stop();
}
