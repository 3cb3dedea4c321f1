/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does compression cost a core, and what does it save?  Frames of real files, and of random bytes, through
 * store/frame.h as uploads and reads do it.  The codecs take turns; medians of rounds.
 *
 *   codec [PATH [MIB [ROUNDS]]]     PATH: a file, or a directory of which files are read, /usr/include by default
 */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bench/lib/measure.h"
#include "store/frame.h"

#define ROUNDS_MAX 99

static const struct codec_choice choices[] = {
	{ CODEC_RAW, 0 }, { CODEC_LZ4, 0 }, { CODEC_ZSTD, 1 }, { CODEC_ZSTD, 2 }, { CODEC_ZSTD, 3 }, { CODEC_ZSTD, 6 }, { CODEC_ZSTD, 12 },
};
#define CHOICES (sizeof(choices) / sizeof(choices[0]))

static uint8_t *data, *stored;
static struct frame_rec *rec;
static size_t room, len; /* len: whole frames */

struct result {
	uint64_t stored, encoded;
	double in[ROUNDS_MAX], out[ROUNDS_MAX];
};

static int
read_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	FILE *f = type == FTW_F && st->st_size > 0 && len < room ? fopen(path, "rb") : NULL;

	(void)at;
	if (!f)
		return 0;
	len += fread(data + len, 1, room - len, f);
	fclose(f);
	return 0;
}

/* Every frame in, then every frame out, as they lie in an object. */
static void
run(const struct codec_choice *c, struct result *r, int round)
{
	static uint8_t back[FRAME_BYTES];
	struct frame_how how = { .choice = *c };
	size_t frames = len / FRAME_BYTES;
	uint64_t start = measure_now_ns(), at = 0;
	struct frame_luck luck = { 0 };

	r->encoded = 0;
	for (size_t i = 0; i < frames; i++) {
		if (i % FRAMES_PER_BLOCK == 0)
			luck = (struct frame_luck){ 0 };

		bool try = frame_try(&luck);

		how.choice = try ? *c : choices[0];

		const uint8_t *p = frame_encode(&how, NULL, data + i * FRAME_BYTES, FRAME_BYTES, &rec[i]);

		if (try)
			frame_tried(&luck, rec[i].codec != CODEC_RAW);
		memcpy(stored + at, p, rec[i].stored);
		at += rec[i].stored;
		r->encoded += rec[i].codec != CODEC_RAW;
	}
	r->stored = at;
	r->in[round] = (double)(measure_now_ns() - start) / 1e9;
	start = measure_now_ns();
	at = 0;
	for (size_t i = 0; i < frames; i++) {
		memcpy(back, stored + at, rec[i].stored); /* as the network does */
		if (!frame_is_whole(&rec[i], back, NULL) || frame_decode(&rec[i], NULL, back, NULL, FRAME_BYTES) < 0)
			measure_fail("a frame", EBADMSG);
		if (memcmp(back, data + i * FRAME_BYTES, 64) != 0)
			measure_fail("the bytes of a frame", EBADMSG);
		at += rec[i].stored;
	}
	r->out[round] = (double)(measure_now_ns() - start) / 1e9;
}

static void
measure(const char *what, int rounds)
{
	static struct result result[CHOICES];
	size_t frames = len / FRAME_BYTES;
	char word[CODEC_WORD_MAX];

	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < CHOICES; i++)
			run(&choices[i], &result[i], round);
	for (size_t i = 0; i < CHOICES; i++) {
		struct result *r = &result[i];
		double in = measure_median(r->in, rounds), out = measure_median(r->out, rounds);

		codec_word(&choices[i], word);
		json_begin();
		json_str("data", what);
		json_str("codec", word);
		json_num("stored_percent", 100.0 * (double)r->stored / (double)(frames * FRAME_BYTES), 1);
		json_num("frames_encoded_percent", 100.0 * (double)r->encoded / (double)frames, 1);
		json_num("in_mb_per_s", (double)(frames * FRAME_BYTES) / 1e6 / in, 0);
		json_num("out_mb_per_s", (double)(frames * FRAME_BYTES) / 1e6 / out, 0);
		json_num("in_us_a_frame", 1e6 * in / (double)frames, 1);
		json_num("out_us_a_frame", 1e6 * out / (double)frames, 1);
		json_end();
	}
}

int
main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : "/usr/include";
	int rounds = argc > 3 ? atoi(argv[3]) : 5;

	room = (size_t)(argc > 2 ? atoi(argv[2]) : 32) << 20;
	data = malloc(room);
	stored = malloc(room);
	rec = calloc(room / FRAME_BYTES + 1, sizeof(*rec));
	if (!data || !stored || !rec || rounds < 1 || rounds > ROUNDS_MAX || frame_start(1, CODEC_LEVEL_MAX) < 0)
		measure_fail("codec [PATH [MIB [ROUNDS]]]", EINVAL);
	memset(stored, 1, room);
	if (nftw(path, read_file, 16, FTW_PHYS) < 0 || len < FRAME_BYTES)
		measure_fail(path, errno ? errno : ENODATA);
	measure(path, rounds);
	for (len = 0; len < room;) {
		ssize_t n = getrandom(data + len, room - len, 0);

		if (n < 0)
			measure_fail("getrandom", errno);
		len += (size_t)n;
	}
	measure("random", rounds);
	frame_stop();
	free(data);
	free(stored);
	free(rec);
	return 0;
}
