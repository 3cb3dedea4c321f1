/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/frame.h"

static const struct codec_choice choices[] = {
	{ CODEC_LZ4, 0 }, { CODEC_ZSTD, 1 }, { CODEC_ZSTD, 3 }, { CODEC_ZSTD, 9 }, { CODEC_ZSTD, 19 },
};

static struct codec_ctx *ctx;
static uint8_t plain[FRAME_BYTES], coded[FRAME_BYTES], back[FRAME_BYTES + 64];

static uint32_t seed;

static uint32_t
rnd(void)
{
	seed = seed * 1103515245 + 12345;
	return seed >> 8;
}

/* Like source text: words that come again. */
static void
fill_text(void)
{
	static const char *const words[] = { "return ", "static ", "int ", "if (", "for (", ");\n\t", "x->", "uint32_t " };

	seed = 7;
	for (size_t at = 0; at < sizeof(plain);) {
		const char *w = words[rnd() % ARRAY_LEN(words)];
		size_t n = MIN(strlen(w), sizeof(plain) - at);

		memcpy(plain + at, w, n);
		at += n;
		if (at < sizeof(plain) && rnd() % 3 == 0)
			plain[at++] = (uint8_t)rnd();
	}
}

static void
fill_random(void)
{
	seed = 9;
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(rnd() >> 5);
}

static void
setup(void)
{
	ctx = codec_new(CODEC_LEVEL_MAX);
	fill_text();
}

static void
teardown(void)
{
	codec_free(ctx);
}

TestSuite(codec, .init = setup, .fini = teardown);

/* Decoded from memory that ends with the input, into memory that ends with the output: ASan sees each step outside. */
static int
decode_exactly(enum codec codec, const uint8_t *in, uint32_t len, uint32_t want)
{
	uint8_t *from = malloc(len ? len : 1), *to = malloc(want ? want : 1);
	int res;

	memcpy(from, in, len);
	res = codec_decode(ctx, codec, from, len, to, want);
	if (res == 0)
		memcpy(back, to, want);
	free(from);
	free(to);
	return res;
}

Test(codec, words)
{
	struct codec_choice c;
	char word[CODEC_WORD_MAX];
	static const struct { const char *word; enum codec codec; uint32_t level; const char *again; } good[] = {
		{ "none", CODEC_RAW, 0, "none" }, { "lz4", CODEC_LZ4, 0, "lz4" }, { "zstd:1", CODEC_ZSTD, 1, "zstd:1" },
		{ "zstd", CODEC_ZSTD, CODEC_LEVEL_DEFAULT, NULL }, { "zstd:19", CODEC_ZSTD, 19, "zstd:19" },
		{ "zstd:03", CODEC_ZSTD, 3, "zstd:3" },
	};
	static const char *const bad[] = { "", "zst", "LZ4", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd: 3", "zstd:3 ",
	                                   "zstd:003", "zstd:4294967297", "lz4:1", "none:0", "gzip" };

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		cr_assert(eq(int, codec_parse(good[i].word, &c), 0), "%s", good[i].word);
		cr_assert(eq(int, c.codec, good[i].codec));
		cr_assert(eq(u32, c.level, good[i].level));
		cr_assert(codec_valid(&c));
		codec_word(&c, word);
		if (good[i].again)
			cr_assert(eq(int, strcmp(word, good[i].again), 0));
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(eq(int, codec_parse(bad[i], &c), -EINVAL), "%s", bad[i]);
	c = (struct codec_choice){ (enum codec)3, 0 };
	cr_assert(not(codec_valid(&c)));
	c = (struct codec_choice){ CODEC_ZSTD, 20 };
	cr_assert(not(codec_valid(&c)));
	c = (struct codec_choice){ CODEC_LZ4, 1 };
	cr_assert(not(codec_valid(&c)));
}

static void
round_trip(const struct codec_choice *c, uint32_t at, uint32_t len, uint32_t room)
{
	uint32_t n = codec_encode(ctx, c, plain + at, len, coded, room);

	cr_assert(le(u32, n, room));
	if (n == 0)
		return;
	cr_assert(eq(int, decode_exactly(c->codec, coded, n, len), 0), "codec %d level %u length %u", c->codec, c->level, len);
	cr_assert(eq(int, memcmp(back, plain + at, len), 0));
}

/* Every length with the fast ones; of the slow ones, some. */
Test(codec, every_length)
{
	for (size_t i = 700; i < sizeof(plain); i++) /* what is quick to encode */
		plain[i] = plain[i - 700];
	for (uint32_t len = 1; len <= FRAME_BYTES; len++)
		for (size_t i = 0; i < ARRAY_LEN(choices); i++)
			if (i < 2 || len % (1009 + i) == 0 || len < 100)
				round_trip(&choices[i], 0, len, FRAME_BYTES);
}

/* Static memory is enough for all of them, whatever was done before. */
Test(codec, every_level)
{
	static const uint32_t lens[] = { 1, 200, 4096, 16384, 16385, 32769, FRAME_BYTES };

	for (int turn = 0; turn < 2; turn++)
		for (uint32_t level = 1; level <= CODEC_LEVEL_MAX; level++)
			for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
				struct codec_choice c = { CODEC_ZSTD, turn ? CODEC_LEVEL_MAX + 1 - level : level };

				cr_assert(gt(u32, codec_encode(ctx, &c, plain, lens[i], coded, FRAME_BYTES), 0));
				round_trip(&c, 0, lens[i], FRAME_BYTES);
			}
	for (uint32_t max = 1; max <= CODEC_LEVEL_MAX; max++) {
		struct codec_ctx *x = codec_new(max);
		struct codec_choice c = { CODEC_ZSTD, max };

		for (size_t i = 0; i < ARRAY_LEN(lens); i++)
			cr_assert(gt(u32, codec_encode(x, &c, plain, lens[i], coded, FRAME_BYTES), 0));
		codec_free(x);
	}
}

Test(codec, what_does_not_fit)
{
	fill_random();
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		cr_assert(eq(u32, codec_encode(ctx, &choices[i], plain, FRAME_BYTES, coded, FRAME_BYTES / 8 * 7), 0));
		for (uint32_t room = 0; room < 40; room++)
			cr_assert(eq(u32, codec_encode(ctx, &choices[i], plain, 4096, coded, room), 0));
	}
	fill_text();
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		uint32_t n = codec_encode(ctx, &choices[i], plain, 4096, coded, FRAME_BYTES);

		memset(coded, 0x5a, sizeof(coded));
		cr_assert(eq(u32, codec_encode(ctx, &choices[i], plain, 4096, coded, n / 2), 0));
		cr_assert(eq(int, coded[n / 2], 0x5a)); /* nothing behind the room */
		round_trip(&choices[i], 0, 4096, n); /* and what follows is as if nothing had been */
	}
}

/* Every byte damaged, one after the other: an error or so many bytes, and nothing outside. */
Test(codec, damaged)
{
	for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
		const uint32_t len = 3000;
		uint32_t n = codec_encode(ctx, &choices[i], plain, len, coded, FRAME_BYTES);

		for (uint32_t at = 0; at < n; at++)
			for (unsigned flip = 1; flip < 256; flip = flip * 2 + 1) {
				coded[at] ^= (uint8_t)flip;
				int res = decode_exactly(choices[i].codec, coded, n, len);

				cr_assert(res == 0 || res == -E_DAMAGED);
				coded[at] ^= (uint8_t)flip;
			}
		for (uint32_t cut = 0; cut < n; cut++)
			cr_assert(eq(int, decode_exactly(choices[i].codec, coded, cut, len), -E_DAMAGED));
		/* Claims of more or fewer plain bytes than there are. */
		for (uint32_t claim = 0; claim <= 2 * len; claim++)
			cr_assert(eq(int, decode_exactly(choices[i].codec, coded, n, claim), claim == len ? 0 : -E_DAMAGED));
		memset(coded + n, 0, 100);
		cr_assert(eq(int, decode_exactly(choices[i].codec, coded, n + 100, len), -E_DAMAGED));
		cr_assert(eq(int, decode_exactly(choices[i].codec, coded, n, len), 0)); /* it goes on as if nothing had been */
	}
	cr_assert(eq(int, decode_exactly(CODEC_RAW, plain, 100, 101), -E_DAMAGED));
	cr_assert(eq(int, decode_exactly((enum codec)3, plain, 100, 100), -E_FORMAT));
	cr_assert(eq(int, codec_decode(ctx, CODEC_LZ4, plain, UINT32_MAX, back, 100), -E_DAMAGED));
}

/* ---- frames */

static void
setup_frames(void)
{
	frame_start(1, CODEC_LEVEL_MAX);
	fill_text();
}

TestSuite(frame, .init = setup_frames, .fini = frame_stop);

static void
frame_round(const struct frame_how *how, uint32_t len)
{
	struct frame_rec rec;
	const uint8_t *stored = frame_encode(how, NULL, plain, len, &rec);

	cr_assert(eq(int, frame_check(&rec, false, len), 0));
	cr_assert(stored != plain || rec.codec == CODEC_RAW);
	memset(back, 0xee, sizeof(back));
	memcpy(back, stored, rec.stored);
	cr_assert(frame_is_whole(&rec, back, NULL));
	cr_assert(eq(int, frame_decode(&rec, NULL, back, NULL, len), 0));
	cr_assert(eq(int, memcmp(back, plain, len), 0));
	for (int i = 0; i < 64; i++)
		cr_assert(eq(int, back[FRAME_BYTES + i], 0xee));
}

Test(frame, every_kind)
{
	static const uint32_t lens[] = { 1, 2, 63, 64, 65, 1000, 40000, FRAME_BYTES - 1, FRAME_BYTES };
	struct frame_how how = { 0 };

	for (int turn = 0; turn < 2; turn++) {
		for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
			how.choice = (struct codec_choice){ 0 };
			frame_round(&how, lens[k]);
			for (size_t i = 0; i < ARRAY_LEN(choices); i++) {
				how.choice = choices[i];
				frame_round(&how, lens[k]);
			}
		}
		fill_random();
	}
}

/* An eighth is saved, or nothing is done. */
Test(frame, raw_where_it_does_not_pay)
{
	struct frame_how how = { .choice = { CODEC_LZ4, 0 } };
	struct frame_rec rec;

	frame_encode(&how, NULL, plain, FRAME_BYTES, &rec);
	cr_assert(eq(int, rec.codec, CODEC_LZ4));
	cr_assert(eq(int, frame_encode(&how, NULL, plain, 63, &rec) == plain, true));
	cr_assert(eq(int, rec.codec, CODEC_RAW));
	fill_random();
	memset(plain, 0, FRAME_BYTES / 9); /* would save a ninth */
	cr_assert(eq(int, frame_encode(&how, NULL, plain, FRAME_BYTES, &rec) == plain, true));
	cr_assert(eq(u32, rec.stored, FRAME_BYTES));
	memset(plain, 0, FRAME_BYTES / 7);
	cr_assert(eq(int, frame_encode(&how, NULL, plain, FRAME_BYTES, &rec) == plain, false));
	cr_assert(le(u32, rec.stored, FRAME_BYTES / 8 * 7));
}

/* Of a block that does not get shorter few frames are tried; of one that does all; after a turn for the better soon all again. */
Test(frame, luck)
{
	struct frame_luck l = { 0 };
	int tried = 0, lost = 0;

	for (int i = 0; i < 64; i++)
		if (frame_try(&l)) {
			tried++;
			frame_tried(&l, false);
		}
	cr_assert(le(int, tried, 11));
	l = (struct frame_luck){ 0 };
	for (int i = 0; i < 64; i++) {
		cr_assert(frame_try(&l));
		frame_tried(&l, true);
	}
	for (int bad = 0; bad < 50; bad++) {
		l = (struct frame_luck){ 0 };
		for (int i = 0; i < bad; i++)
			if (frame_try(&l))
				frame_tried(&l, false);
		for (lost = 0; !frame_try(&l); lost++)
			;
		frame_tried(&l, true);
		cr_assert(le(int, lost, bad / 2));
		cr_assert(frame_try(&l));
	}
}

/* What a record may say of a frame. */
Test(frame, check)
{
	for (int codec = 0; codec < 5; codec++)
		for (uint32_t len = 99; len <= 101; len++) {
			struct frame_rec rec = { .stored = len, .codec = (uint8_t)codec };
			int want = codec == CODEC_RAW ? (len == 100 ? 0 : -E_DAMAGED) :
			           codec > CODEC_ZSTD ? -E_FORMAT : len < 100 ? 0 : -E_DAMAGED;

			cr_assert(eq(int, frame_check(&rec, false, 100), want));
			rec.stored = 0;
			cr_assert(eq(int, frame_check(&rec, false, 100), codec > CODEC_ZSTD ? -E_FORMAT : -E_DAMAGED));
		}
}

/* The bytes match their checksum, and are nonsense. */
Test(frame, written_wrong)
{
	struct frame_rec rec = { .stored = 5000 };

	fill_random();
	for (int codec = CODEC_LZ4; codec <= CODEC_ZSTD; codec++) {
		memcpy(back, plain, rec.stored);
		rec.codec = (uint8_t)codec;
		rec.crc = crc32c(0, back, rec.stored);
		cr_assert(frame_is_whole(&rec, back, NULL));
		cr_assert(eq(int, frame_decode(&rec, NULL, back, NULL, FRAME_BYTES), -E_DAMAGED));
	}
}
