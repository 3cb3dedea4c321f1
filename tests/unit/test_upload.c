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
	size_t len, checked;
};

/* Frames of the last object that was checked, by codec. */
static int kinds[CODEC_ZSTD + 1];

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
	for (int i = 0; i < rec.nframes; at += rec.frame[i++].stored) {
		uint32_t plain = MIN(FRAME_BYTES, rec.plain - i * FRAME_BYTES);
		bool sealed = rec.key_epoch != 0;
		uint32_t body = frame_body_bytes(&rec.frame[i], sealed);
		const uint8_t *trailer = sealed ? object + at + body : NULL;
		const struct frame_place place = { .epoch = rec.key_epoch, .slice = b->slice, .index = b->index,
		                                   .block_plain = rec.plain, .frame = (uint32_t)i };
		uint8_t frame[FRAME_BYTES];

		cr_assert(eq(int, frame_check(&rec.frame[i], sealed, plain), 0));
		cr_assert(frame_is_whole(&rec.frame[i], object + at, trailer));
		memcpy(frame, object + at, body);
		cr_assert(eq(int, frame_decode(&rec.frame[i], &place, frame, trailer, plain), 0));
		cr_assert(eq(int, memcmp(frame, m->plain + m->checked, plain), 0));
		m->checked += plain;
		kinds[rec.frame[i].codec]++;
	}
	return 0;
}

/* The object explains itself, and holds the bytes. */
static void
check_object(struct made *m)
{
	struct object_seal seal;
	uint8_t id[16];
	uint64_t off;
	uint32_t len, crc, n;

	cr_assert(eq(u64, object_len, m->u.stored));
	cr_assert(eq(int, object_footer_decode(object + object_len - FOOTER_BYTES, object_len, id, &seal, &off,
	                                       &len, &crc, &n), 0));
	cr_assert(eq(int, memcmp(id, uuid, 16), 0));
	cr_assert(m->u.how.choice.codec != CODEC_RAW || seal_epoch() || off == m->len);
	cr_assert(seal.key_id == seal_epoch() && seal.cipher == seal_cipher(seal_epoch()));
	cr_assert(eq(int, (int)n, m->u.nblocks));
	m->nparts = 0;
	m->checked = 0;
	memset(kinds, 0, sizeof(kinds));
	cr_assert(eq(int, object_index_decode(object + off, len, crc, n, off, check_block, m), 0));
	cr_assert(eq(u64, m->checked, m->len));
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
	frame_start(1, 3);
}

static void
teardown(void)
{
	upload_fini();
	frame_stop();
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

/* ---- encoded */

static const struct frame_how lz4 = { .choice = { CODEC_LZ4, 0 } }, zstd = { .choice = { CODEC_ZSTD, 3 } };

/* From now on made_new's buffer is something that a codec can make shorter. */
static struct made *
encoded_new(uint64_t pack, const struct frame_how *how)
{
	struct made *m = made_new(pack);

	m->u.how = *how;
	for (uint32_t i = 0; i < BUF_LARGE_BYTES; i++)
		m->buf->data[i] = (uint8_t)(i / 300 * 77 + i % 5);
	return m;
}

/* What no codec makes shorter. */
static void
add_random(struct made *m, uint32_t len)
{
	static uint64_t seed = 1;
	struct buf *b = fake_buf_new();

	for (uint32_t i = 0; i < len; i++)
		b->data[i] = (uint8_t)((seed = mix64(seed + i)) >> 9);
	add_part(m, 0, len);
	m->part[m->nparts - 1].buf = b;
	memcpy(m->plain + m->len - len, b->data, len);
}

static void
run_and_check_kinds(struct made *m, int raw, int encoded)
{
	struct buf *extra[64];
	int n = 0, nparts = m->nparts;
	enum codec codec = m->u.how.choice.codec;
	uint64_t stored;

	for (int i = 0; i < nparts; i++)
		if (m->part[i].buf && m->part[i].buf != m->buf)
			extra[n++] = m->part[i].buf;
	run_and_check(m);
	stored = object_len;
	cr_assert(eq(int, kinds[CODEC_RAW], raw));
	cr_assert(eq(int, kinds[codec], encoded));
	cr_assert(gt(u64, stored, 0));
	while (n > 0)
		buf_put(extra[--n]);
	cr_assert(eq(int, fake_held, 0)); /* its own are back */
}

Test(upload, encoded_object)
{
	const struct frame_how *hows[] = { &lz4, &zstd };

	for (size_t h = 0; h < ARRAY_LEN(hows); h++) {
		struct made *m = encoded_new(0, hows[h]);

		add_block(m, 12345678, 3);
		for (int i = 0; i < 64; i++)
			add_part(m, 0, 65536);
		run_and_check_kinds(m, 0, 64);
		cr_assert(lt(sz, object_len, BLOCK_BYTES / 4));
		cr_assert(eq(int, strcmp(object_put, "export/chunks/4E/12/12345678_3_4194304"), 0)); /* the plain length */
	}
}

/* Frames of each kind before and behind the others, the last one short; pieces that end anywhere. */
Test(upload, encoded_and_raw)
{
	struct made *m = encoded_new(0, &lz4);

	add_block(m, 1, 0);
	add_random(m, 65536);
	add_part(m, 0, 65536);
	add_random(m, 65536);
	add_part(m, -1, 65536);
	add_part(m, 17, 40);
	run_and_check_kinds(m, 3, 2);

	m = encoded_new(0, &zstd);
	add_block(m, 1, 0);
	add_part(m, 5, 1);
	add_part(m, -1, 200000);
	add_part(m, 7, 65000);
	add_part(m, -1, 0);
	add_random(m, 65536);
	add_random(m, 65536);
	add_random(m, 333);
	run_and_check_kinds(m, 3, 4);

	/* Nothing gets shorter: all goes out from where it lies, and there are no buffers of our own in it. */
	m = encoded_new(0, &lz4);
	add_block(m, 1, 0);
	add_random(m, 30000);
	for (int i = 0; i < 20; i++)
		add_random(m, 65536);
	run_and_check_kinds(m, 21, 0);
	cr_assert(eq(sz, object_len, 30000 + 20 * 65536 + 32 + 21 * 9 + 64));
}

Test(upload, encoded_pieces_of_every_kind)
{
	unsigned seed = 1;

	for (int round = 0; round < 60; round++) {
		struct made *m = encoded_new(0, round % 2 ? &lz4 : &zstd);
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

/* The greatest pack, and blocks of it that are too small for any codec. */
Test(upload, encoded_packs)
{
	struct made *m = encoded_new(1000255, &lz4);

	for (int i = 0; i < UPLOAD_BLOCKS_MAX; i++) {
		add_block(m, 5 + i, (uint32_t)i % 3);
		add_part(m, i, i % 7 == 0 ? 20 : 4090);
		if (i % 200 == 0)
			add_part(m, -1, 65536);
	}
	run_and_check(m);
	cr_assert(gt(int, kinds[CODEC_RAW], 100));
	cr_assert(gt(int, kinds[CODEC_LZ4], 800));
	cr_assert(lt(sz, object_len, 2 * MIB));
}

/* As every_plan, with buffers that are enough for one at a time, and come now or later. */
static void
encoded_every_plan(void)
{
	int plans = 0;

	fake_hows = 2;
	fake_bufs_plan = true;
	do {
		struct made *m[3];
		int done = 0, bad = 0, put_before = fake_puts;

		answers = 0;
		fake_bufs = 3 + 5;
		for (int i = 0; i < 3; i++) {
			m[i] = encoded_new(i == 2 ? 9 : 0, i == 1 ? &zstd : &lz4);
			add_block(m[i], 1 + i, 0);
			add_part(m[i], -1, i == 1 ? 300000 : 10);
			m[i]->op.res = 1;
		}
		for (int i = 0; i < 3; i++)
			done += upload_run(&m[i]->u, &m[i]->op) == OP_DONE;
		do
			fake_laps();
		while (fake_serve());
		cr_assert(eq(int, done + answers, 3));
		cr_assert(eq(int, fake_puts - put_before, 3));
		for (int i = 0; i < 3; i++) {
			bad += m[i]->op.res == -ENOSPC;
			cr_assert(m[i]->op.res == 0 || m[i]->op.res == -ENOSPC);
			made_free(m[i]);
		}
		cr_assert(eq(int, fake_held, 0));
		plans++;
	} while (plan_again());
	cr_assert(eq(int, plans, 8 * 64));
	fake_bufs = 1 << 20;
	fake_bufs_plan = false;
}

Test(upload, encoded_every_plan)
{
	encoded_every_plan();
}

/* It failed, and is run again: the same object. */
Test(upload, encoded_again)
{
	struct made *m = encoded_new(0, &lz4);
	uint64_t stored;

	fake_hows = 2;
	plan_reset();
	plan[0].digit = 1;
	plan[0].base = 2;
	plan_len = 1;
	add_block(m, 7, 0);
	for (int i = 0; i < 5; i++)
		add_part(m, i, 60000);
	cr_assert(eq(int, upload_run(&m->u, &m->op), OP_PENDING));
	fake_laps();
	cr_assert(eq(int, answer, -ENOSPC));
	stored = m->u.stored;
	fake_hows = 1;
	run_and_check(m);
	cr_assert(eq(u64, object_len, stored));
	cr_assert(eq(int, kinds[CODEC_LZ4], 5));
}

/* ---- sealed */

static void
setup_sealed(void)
{
	setup();
	seal_start(uuid);
	seal_add(6, AEAD_CHACHA20, (const uint8_t *)"another of as many bytes, it is!");
	seal_add(7, AEAD_AES256GCM, (const uint8_t *)"a key of thirty-two bytes, it is");
}

static void
teardown_sealed(void)
{
	teardown();
	seal_stop();
}

TestSuite(upload_sealed, .init = setup_sealed, .fini = teardown_sealed);

static const struct frame_how plainly = { .choice = { CODEC_RAW, 0 } };

/* No 16 bytes of what clients wrote are in the object, wherever they may stand. */
static void
check_hidden(const uint8_t *plain, size_t len)
{
	for (size_t i = 0; i + 16 <= len; i += 501)
		cr_assert(memmem(object, object_len, plain + i, 16) == NULL, "byte %zu", i);
}

Test(upload_sealed, own_object)
{
	const struct frame_how *hows[] = { &plainly, &lz4, &zstd };

	for (size_t h = 0; h < ARRAY_LEN(hows); h++) {
		struct made *m = encoded_new(0, hows[h]);
		static uint8_t plain[BUF_LARGE_BYTES];

		memcpy(plain, m->buf->data, sizeof(plain));
		add_block(m, 12345678, 3);
		for (int i = 0; i < 64; i++)
			add_part(m, 0, 65536);
		run_and_check_kinds(m, h == 0 ? 64 : 0, 64);
		check_hidden(plain, sizeof(plain));
		if (h == 0)
			cr_assert(eq(sz, object_len, BLOCK_BYTES + 64 * SEAL_BYTES + 32 + 64 * 9 + 64));
		cr_assert(eq(int, strcmp(object_put, "export/chunks/4E/12/12345678_3_4194304"), 0));
	}
}

Test(upload_sealed, pieces_of_every_kind)
{
	const struct frame_how *hows[] = { &plainly, &lz4, &zstd };
	unsigned seed = 1;

	for (int round = 0; round < 90; round++) {
		struct made *m = encoded_new(0, hows[round % 3]);
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

/* The greatest pack, of which each frame is longer than its bytes; all of its blocks as short as they may be, too. */
Test(upload_sealed, packs)
{
	struct made *m = made_new(1000255);

	for (int i = 0; i < UPLOAD_BLOCKS_MAX; i++) {
		add_block(m, 5 + i, (uint32_t)i % 3);
		add_part(m, i, 3500);
		if (i % 17 == 0)
			add_part(m, -1, 9000);
	}
	cr_assert(gt(sz, m->len, BLOCK_BYTES - 70000));
	run_and_check(m);
	m = made_new(1000255);
	for (int i = 0; i < UPLOAD_BLOCKS_MAX; i++) {
		add_block(m, 5 + i, (uint32_t)i % 3);
		add_part(m, i, 1);
	}
	run_and_check(m);
}

Test(upload_sealed, every_plan)
{
	encoded_every_plan();
}

/* It failed, and is run again, with other bytes: nothing of what was sealed is sealed under the same nonce. */
Test(upload_sealed, again)
{
	static uint8_t nonce[200][AEAD_NONCE];
	int n = 0;

	for (int times = 0; times < 40; times++) {
		struct made *m = made_new(0);
		uint64_t at = 0;

		add_block(m, 7, 0);
		for (int i = 0; i < 5; i++)
			add_part(m, times, 65536 - 40);
		plan_reset();
		cr_assert(eq(int, upload_run(&m->u, &m->op), OP_PENDING));
		fake_laps();
		for (int i = 0; i < m->block[0].rec.nframes; i++) {
			at += m->block[0].rec.frame[i].stored;
			memcpy(nonce[n], object + at - SEAL_BYTES, AEAD_NONCE);
			for (int k = 0; k < n; k++)
				cr_assert(memcmp(nonce[k], nonce[n], AEAD_NONCE) != 0);
			n++;
		}
		made_free(m);
	}
	cr_assert(eq(int, n, 200));
}
