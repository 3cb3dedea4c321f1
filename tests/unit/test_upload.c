/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/plan.h"

#include "store/upload.c"

static const uint8_t uuid[16] = "0123456789abcde";
static uint8_t object[5 * MIB]; /* what was put last */
static size_t object_len;
static char object_put[192];

static int
take_object(struct obj_req *r, unsigned how)
{
	if (how == 1)
		return -ENOSPC;
	object_len = 0;
	for (int i = 0; i < r->niov; i++) {
		memcpy(object + object_len, r->iov[i].iov_base, r->iov[i].iov_len);
		object_len += r->iov[i].iov_len;
	}
	cr_assert(eq(u64, object_len, r->len));
	cr_assert(not(r->exclusive)); /* a second try must replace the first */
	memcpy(object_put, r->name, sizeof(object_put));
	return 0;
}

static int answers, answer;

static void
answered(struct op *op)
{
	answers++;
	answer = op->res;
}

/* One upload with its blocks, and what its plain bytes are. */
struct made {
	struct upload u;
	struct op op;
	struct upload_block block[UPLOAD_BLOCKS_MAX];
	struct bufref part[UPLOAD_PARTS_MAX];
	int nparts;
	struct buf *buf;
	uint8_t plain[BLOCK_BYTES];
	size_t len;
};

static struct made *
made_new(uint64_t pack)
{
	struct made *m = calloc(1, sizeof(*m));

	m->u = (struct upload){ .store = &fake_store, .prefix = "export", .uuid = uuid, .pack = pack,
	                        .block = m->block };
	m->op.resume = answered;
	m->buf = buf_get(BUF_LARGE, BUF_DRAIN);
	for (uint32_t i = 0; i < BUF_LARGE_BYTES; i++)
		m->buf->data[i] = (uint8_t)(i * 2654435761u >> 13);
	return m;
}

static void
made_free(struct made *m)
{
	buf_put(m->buf);
	free(m);
}

static void
add_block(struct made *m, uint64_t slice, uint32_t index)
{
	m->block[m->u.nblocks++] =
		(struct upload_block){ .slice = slice, .index = index, .part = &m->part[m->nparts] };
}

/* A piece of the last block: from the buffer at `off`, or zeros where that is -1. */
static void
add_part(struct made *m, int off, uint32_t len)
{
	struct upload_block *b = &m->block[m->u.nblocks - 1];

	m->part[m->nparts++] = (struct bufref){ .buf = off < 0 ? NULL : m->buf,
	                                        .off = off < 0 ? 0 : (uint32_t)off, .len = len };
	b->nparts++;
	b->plain += len;
	if (off >= 0)
		memcpy(m->plain + m->len, m->buf->data + off, len);
	m->len += len;
}

static int
check_block(void *arg, const struct object_block *b)
{
	struct made *m = arg;
	const struct upload_block *want = &m->block[m->nparts++];
	struct block_rec rec = want->rec;
	uint64_t at = b->rec.off;

	cr_assert(eq(u64, b->slice, want->slice));
	cr_assert(eq(u32, b->index, want->index));
	cr_assert(eq(u64, rec.pack, m->u.pack));
	rec.pack = 0; /* the index does not say it, its object's name does */
	cr_assert(eq(int, memcmp(&rec, &b->rec, sizeof(rec)), 0));
	for (int i = 0; i < rec.nframes; at += rec.frame[i++].stored)
		cr_assert(eq(u32, crc32c(0, m->plain + at, rec.frame[i].stored), rec.frame[i].crc));
	return 0;
}

/* The object explains itself, and holds the bytes. */
static void
check_object(struct made *m)
{
	uint8_t id[16];
	uint64_t off;
	uint32_t len, crc, n;

	cr_assert(eq(u64, object_len, m->u.stored));
	cr_assert(eq(int, object_footer_decode(object + object_len - FOOTER_BYTES, object_len, id, &off,
	                                       &len, &crc, &n), 0));
	cr_assert(eq(int, memcmp(id, uuid, 16), 0));
	cr_assert(eq(u64, off, m->len));
	cr_assert(eq(int, (int)n, m->u.nblocks));
	m->nparts = 0;
	cr_assert(eq(int, object_index_decode(object + off, len, crc, n, off, check_block, m), 0));
	cr_assert(eq(int, memcmp(object, m->plain, m->len), 0));
}

static void
run_and_check(struct made *m)
{
	plan_reset();
	answers = 0;
	if (upload_run(&m->u, &m->op) == OP_DONE)
		answered(&m->op);
	fake_laps();
	cr_assert(eq(int, answers, 1));
	cr_assert(eq(int, answer, 0));
	check_object(m);
	made_free(m);
}

static void
setup(void)
{
	fake_do = take_object;
	upload_init(2);
}

static void
teardown(void)
{
	upload_fini();
	cr_assert(eq(int, fake_held, 0));
}

TestSuite(upload, .init = setup, .fini = teardown);

Test(upload, own_object)
{
	struct made *m = made_new(0);

	add_block(m, 12345678, 3);
	for (int i = 0; i < 64; i++)
		add_part(m, 0, 65536);
	run_and_check(m);
	cr_assert(eq(int, strcmp(object_put, "export/chunks/4E/12/12345678_3_4194304"), 0));
	cr_assert(eq(sz, object_len, BLOCK_BYTES + 32 + 64 * 9 + 64));
}

Test(upload, one_byte)
{
	struct made *m = made_new(0);

	add_block(m, 1, 0);
	add_part(m, 77, 1);
	run_and_check(m);
	cr_assert(eq(int, strcmp(object_put, "export/chunks/01/0/1_0_1"), 0));
}

/* Zeros of any length, between pieces that end anywhere. */
Test(upload, zeros)
{
	struct made *m = made_new(0);

	add_block(m, 1, 0);
	add_part(m, -1, 1);
	add_part(m, 5, 70);
	add_part(m, -1, 200000);
	add_part(m, 0, 65536);
	add_part(m, -1, 65536);
	add_part(m, -1, 0);
	add_part(m, -1, 65537);
	run_and_check(m);
	m = made_new(0);
	add_block(m, 1, 0);
	add_part(m, -1, BLOCK_BYTES);
	run_and_check(m);
}

/* As many pieces as there may be; neighbours in memory are joined. */
Test(upload, most_pieces)
{
	struct made *m = made_new(0);

	add_block(m, 1, 0);
	for (int i = 0; i < UPLOAD_PARTS_MAX; i++)
		add_part(m, i * 7 % 60000, 1 + i % 100);
	run_and_check(m);
	m = made_new(0);
	add_block(m, 1, 0);
	for (int i = 0; i < 1000; i++)
		add_part(m, i * 50, 50);
	m->u.nblocks = 1;
	run_and_check(m);
}

Test(upload, pieces_of_every_kind)
{
	unsigned seed = 1;

	for (int round = 0; round < 300; round++) {
		struct made *m = made_new(0);
		size_t left = 1 + (seed = seed * 1103515245 + 12345) % 400000;

		add_block(m, 1 + round, 0);
		while (left > 0 && m->nparts < UPLOAD_PARTS_MAX) {
			uint32_t r = (seed = seed * 1103515245 + 12345) >> 8;
			uint32_t len = MIN(left, 1 + r % (r & 64 ? 65536 : 3000));

			add_part(m, r % 5 == 0 ? -1 : (int)(r % (65537 - len)), len);
			left -= len;
		}
		run_and_check(m);
	}
}

/* The greatest pack: the tail has room for what a thousand blocks need. */
Test(upload, packs)
{
	static const int blocks[] = { 1, 2, UPLOAD_BLOCKS_MAX };

	for (size_t k = 0; k < ARRAY_LEN(blocks); k++) {
		struct made *m = made_new(1000255);

		for (int i = 0; i < blocks[k]; i++) {
			add_block(m, 5 + i, (uint32_t)i % 3);
			add_part(m, i, 3500);
			/* A few of several frames, so that there are as many as can be. */
			if (i % 200 == 0)
				add_part(m, -1, 65536);
		}
		run_and_check(m);
		cr_assert(eq(int, strcmp(object_put, "export/packs/3F/1/1000255"), 0));
	}
	cr_assert(eq(int, fake_puts, (int)ARRAY_LEN(blocks)));
}

/* Three at once with two contexts, on the spot and by a worker, now and later, well and ill: each is answered once. */
Test(upload, every_plan)
{
	int plans = 0;

	fake_hows = 2;
	do {
		struct made *m[3];
		int done = 0, bad = 0, put_before = fake_puts;

		answers = 0;
		for (int i = 0; i < 3; i++) {
			m[i] = made_new(i == 2 ? 9 : 0);
			add_block(m[i], 1 + i, 0);
			add_part(m[i], -1, i == 1 ? 300000 : 10);
		}
		for (int i = 0; i < 3; i++) {
			m[i]->op.res = 1;
			if (upload_run(&m[i]->u, &m[i]->op) == OP_DONE)
				done++;
			else
				cr_assert(eq(int, m[i]->op.res, 1));
		}
		fake_laps();
		cr_assert(eq(int, done + answers, 3));
		cr_assert(eq(int, fake_puts - put_before, 3));
		for (int i = 0; i < 3; i++) {
			bad += m[i]->op.res == -ENOSPC;
			cr_assert(m[i]->op.res == 0 || m[i]->op.res == -ENOSPC);
			made_free(m[i]);
		}
		int ill = 0;
		for (int i = 0; i < plan_len; i += 2)
			ill += plan[i].digit == 1;
		cr_assert(eq(int, bad, ill));
		plans++;
	} while (plan_again());
	cr_assert(eq(int, plans, 64));
}
