/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does encrypting a frame cost one core?  Blocks of 64 frames through crypto/seal.h, each block under a key of its own,
 * beside what is done to frames anyway: a copy and a CRC32C.  In turn, medians of the rounds.
 *
 *   seal [SECONDS [ROUNDS]]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/measure.h"
#include "crypto/seal.h"
#include "store/block.h"

#define SPAN (FRAMES_PER_BLOCK * FRAME_BYTES)

enum { ROUNDS_MAX = 31, TESTS = 8 };

static uint8_t *in, *out, trailer[FRAMES_PER_BLOCK][SEAL_BYTES];
static uint64_t slice;
static volatile uint32_t sum;

static void
seal(uint32_t epoch)
{
	struct seal_place at = { .slice = ++slice, .block_plain = SPAN, .plain = FRAME_BYTES };

	for (; at.frame < FRAMES_PER_BLOCK; at.frame++) {
		const struct iovec iov = { in + at.frame * FRAME_BYTES, FRAME_BYTES };

		if (seal_frame(epoch, &at, &iov, 1, out + at.frame * FRAME_BYTES, trailer[at.frame]) < 0)
			measure_fail("seal_frame", EIO);
	}
}

static void
open_frames(uint32_t epoch)
{
	struct seal_place at = { .slice = slice, .block_plain = SPAN, .plain = FRAME_BYTES };

	for (; at.frame < FRAMES_PER_BLOCK; at.frame++) {
		uint8_t *p = out + at.frame * FRAME_BYTES;

		if (seal_open(epoch, &at, p, FRAME_BYTES, trailer[at.frame], in + at.frame * FRAME_BYTES) < 0)
			measure_fail("seal_open", EIO);
	}
}

static void
copy(uint32_t none)
{
	(void)none;
	for (uint32_t at = 0; at < SPAN; at += FRAME_BYTES)
		memcpy(out + at, in + at, FRAME_BYTES);
	__asm__ volatile("" ::"r"(out) : "memory");
}

static void
check(uint32_t none)
{
	(void)none;
	for (uint32_t at = 0; at < SPAN; at += FRAME_BYTES)
		sum = crc32c(0, in + at, FRAME_BYTES);
}

/* Opening follows its sealing: it needs what that has left. */
static const struct test {
	const char *name;
	void (*run)(uint32_t epoch);
	uint32_t epoch;
} tests[] = {
	{ "copy", copy, 0 }, { "crc32c", check, 0 }, { "seal aes256gcm", seal, AEAD_AES256GCM }, { "open aes256gcm", open_frames, AEAD_AES256GCM },
	{ "seal chacha20", seal, AEAD_CHACHA20 }, { "open chacha20", open_frames, AEAD_CHACHA20 },
};

static double
mb_per_s(const struct test *t, double seconds)
{
	uint64_t start = measure_now_ns(), end = start + (uint64_t)(seconds * 1e9), bytes = 0, now;

	do {
		t->run(t->epoch);
		bytes += SPAN;
		now = measure_now_ns();
	} while (now < end);
	return (double)bytes / 1e6 / ((double)(now - start) / 1e9);
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 0.2, got[TESTS][ROUNDS_MAX];
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	const uint8_t uuid[16] = { 1 }, key[AEAD_KEY] = { 2 };

	in = aligned_alloc(4096, SPAN);
	out = aligned_alloc(4096, SPAN);
	if (!in || !out || seal_start(uuid) < 0)
		measure_fail("memory", ENOMEM);
	memset(in, 3, SPAN);
	memset(out, 4, SPAN);
	rounds = MAX(1, MIN(rounds, ROUNDS_MAX));
	seal_add(AEAD_AES256GCM, AEAD_AES256GCM, key);
	seal_add(AEAD_CHACHA20, AEAD_CHACHA20, key);
	for (int r = 0; r < rounds; r++)
		for (size_t i = 0; i < ARRAY_LEN(tests); i++)
			got[i][r] = mb_per_s(&tests[i], seconds);
	for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
		json_begin();
		json_str("test", tests[i].name);
		json_num("mb_per_s", measure_median(got[i], rounds), 0);
		json_num("lowest", got[i][0], 0);
		json_num("highest", got[i][rounds - 1], 0);
		json_end();
	}
	seal_stop();
	free(in);
	free(out);
	return 0;
}
