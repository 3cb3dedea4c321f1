/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random writes, reads, truncations, commits, drains and restarts, against a
 * model that is an array of bytes.  A failure prints its seed.
 */
#include "tests/fake/data_world.h"

TestSuite(file_oracle, .timeout = 600);

#define FILES 6
#define SPAN  (9 * MIB) /* of the model: over two blocks */

/* The model's byte x is the file's byte base + x: so that chunks' ends are crossed too. */
struct model {
	struct fref f;
	uint64_t base, size; /* size: of the model's part; 0: nothing written */
	uint8_t *bytes, *buf, *got;
	uint64_t rnd, seed;
	uint64_t writes, reads, truncs;
	bool any;
};

static struct model model[FILES];
static int steps;
static uint64_t run_seed;

static uint64_t
rnd(struct model *m, uint64_t below)
{
	m->rnd = m->rnd * 6364136223846793005u + 1442695040888963407u;
	return (m->rnd >> 33) % below;
}

/* Likes the edges of pages, frames and blocks. */
static uint64_t
edge(struct model *m, uint64_t below)
{
	static const uint64_t unit[] = { 1, 4096, 65536, MIB, 4 * MIB };
	uint64_t u = unit[rnd(m, ARRAY_LEN(unit))], x = rnd(m, below) / u * u + rnd(m, 3);

	return x > 0 && rnd(m, 2) ? MIN(x - 1, below - 1) : MIN(x, below - 1);
}

static void
do_write(struct model *m)
{
	uint64_t off = rnd(m, 3) ? edge(m, SPAN) : MIN(m->size, SPAN - 1), most = rnd(m, 4) ? 16384 : FILE_IO_MAX;
	uint32_t len = (uint32_t)(1 + edge(m, most));
	uint64_t x = rnd(m, 1u << 31) | 1;
	int res;

	len = (uint32_t)MIN(len, SPAN - off);
	for (uint32_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		m->buf[i] = (uint8_t)(x >> 56);
	}
	do
		res = data_write(m->f, m->base + off, m->buf, len, (enum stable)(rnd(m, 6) ? 0 : rnd(m, 3)));
	while (res == -E_JUKEBOX);
	cr_assert(res == 0, "seed %lu: write %d", run_seed, res);
	memcpy(m->bytes + off, m->buf, len);
	m->size = MAX(m->size, off + len);
	m->writes++;
}

static void
do_read(struct model *m, uint64_t off, uint32_t len)
{
	uint32_t want = off < m->size ? (uint32_t)MIN(len, m->size - off) : 0;
	int got = data_read(m->f, m->base + off, m->got, len);
	size_t i;

	cr_assert(got == (int)want, "seed %lu: read %d instead of %u at %lu of %lu", run_seed, got, want, off, m->size);
	i = rig_differs(m->got, m->bytes + off, want);
	cr_assert(i == want, "seed %lu: ino %lu byte %lu is %02x, not %02x (%lu writes, size %lu)",
	          run_seed, m->f.ino, m->base + off + i, m->got[i], m->bytes[off + i], m->writes, m->size);
	m->reads++;
}

static void
do_truncate(struct model *m)
{
	uint64_t size = rnd(m, 6) ? edge(m, SPAN) : 0;
	int res;

	do
		res = data_truncate(m->f, size ? m->base + size : m->base);
	while (res == -E_JUKEBOX);
	cr_assert(res == 0, "seed %lu: truncate %d", run_seed, res);
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
	m->truncs++;
}

static void
check_all(struct model *m)
{
	uint64_t size = data_attr(m->f).size;

	/* A file that nobody wrote to ends before its base. */
	if (size > 0)
		cr_assert(size == m->base + m->size, "seed %lu: size %lu, not %lu", run_seed, size, m->base + m->size);
	do_read(m, 0, (uint32_t)SPAN);
}

static void
work(int i)
{
	struct model *m = &model[i];

	for (int n = 0; n < steps; n++) {
		uint64_t what = rnd(m, 100);

		if (what < 55)
			do_write(m);
		else if (what < 90)
			do_read(m, edge(m, SPAN), (uint32_t)(1 + edge(m, 256 * KIB)));
		else if (what < 96)
			do_truncate(m);
		else
			cr_assert(eq(int, data_commit(m->f), 0));
	}
	check_all(m);
}

static void
start(uint64_t seed, int cores)
{
	run_seed = seed;
	data_start(cores);
	for (int i = 0; i < FILES; i++) {
		struct model *m = &model[i];
		char name[8];

		snprintf(name, sizeof(name), "f%d", i);
		m->f = data_create(name);
		m->base = i % 3 == 2 ? CHUNK_BYTES - 4 * MIB - 12345 : i % 3 == 1 ? 5 * GIB + 77 : 0;
		m->rnd = seed * 1000 + (uint64_t)i;
		m->size = 0;
		m->bytes = calloc(1, SPAN);
		m->buf = malloc(FILE_IO_MAX);
		m->got = malloc(SPAN);
		/* So that size is base + size from the start. */
		cr_assert(eq(int, data_truncate(m->f, m->base), 0));
	}
}

static void
stop(void)
{
	data_drain();
	for (int i = 0; i < FILES; i++) {
		struct attr a = data_attr(model[i].f);

		check_all(&model[i]);
		cr_assert(eq(u64, a.dirty, 0));
		free(model[i].bytes);
		free(model[i].buf);
		free(model[i].got);
	}
	data_check();
	data_stop();
}

static void
rounds(uint64_t seed, int cores, int n)
{
	start(seed, cores);
	for (int r = 0; r < n; r++) {
		rig_threads(FILES, work);
		if (r % 3 == 1) {
			data_drain();
			data_check();
		}
		/* Another number of cores: other owners, other journals. */
		data_close();
		data_open(1 + (r + cores) % 3);
		for (int i = 0; i < FILES; i++)
			check_all(&model[i]);
	}
	stop();
}

Test(file_oracle, one_core)
{
	steps = 150;
	rounds(1, 1, 4);
}

Test(file_oracle, two_cores)
{
	steps = 150;
	rounds(2, 2, 4);
}

/* Little memory, a small journal: everything waits for everything. */
Test(file_oracle, everything_is_short)
{
	data.buf_bytes = 8 * MIB;
	data.file.journal_bytes = 6 * MIB;
	data.file.segment_bytes = 512 * KIB;
	steps = 150;
	rounds(3, 2, 3);
}

/* Merging all that can be merged, at once, beside writers, truncations and restarts. */
static void
merge_all(uint64_t seed, int cores, int n)
{
	data.file.upload_delay_ns = 2000000;
	data.file.compact_merge = 2;
	data.file.compact_gathered = 4;
	data.file.compact_delay_ns = 1;
	data.file.compact_rate = 64 * GIB;
	steps = 100;
	start(seed, cores);
	for (int r = 0; r < n; r++) {
		rig_threads(FILES, work);
		data_drain();
		EVENTUALLY(data_stats().compact_pending == 0);
		for (int i = 0; i < FILES; i++)
			check_all(&model[i]);
		data_check();
		cr_assert(lt(u64, 0, data_stats().compactions));
		data_close();
		data_open(1 + (r + cores) % 3);
		for (int i = 0; i < FILES; i++)
			check_all(&model[i]);
	}
	stop();
}

Test(file_oracle, slices_are_merged)
{
	merge_all(5, 2, 3);
}

Test(file_oracle, slices_are_merged_while_everything_is_short)
{
	data.buf_bytes = 8 * MIB;
	data.file.journal_bytes = 6 * MIB;
	data.file.segment_bytes = 512 * KIB;
	merge_all(6, 2, 2);
}

/* Nothing is uploaded before it must be: long replays. */
Test(file_oracle, uploads_wait)
{
	data.file.upload_delay_ns = 1ull << 62;
	steps = 100;
	rounds(4, 3, 5);
}
