/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lz4 and zstd, for frames: each is compressed by itself, in the formats that `lz4` blocks and `zstd -d` know, so
 * that one frame is enough to read its bytes.  A context is one thread's; all its memory is there from codec_new on.
 */
#ifndef STORE_CODEC_H
#define STORE_CODEC_H

#include "store/block.h"

#define CODEC_LEVEL_MAX     19 /* of zstd; what is above needs more memory and wins nothing in 64 KiB */
#define CODEC_LEVEL_DEFAULT 3

/* How new frames are made.  level: of zstd, 1 to CODEC_LEVEL_MAX; 0 with the others. */
struct codec_choice {
	enum codec codec;
	uint32_t level;
};

/* "none", "lz4", "zstd" or "zstd:LEVEL"; -EINVAL: CODEC_WORDS says what is possible. */
#define CODEC_WORDS "none, lz4, zstd or zstd:LEVEL with a level from 1 to 19"
int codec_parse(const char *word, struct codec_choice *c);
/* The other way. */
#define CODEC_WORD_MAX 16
void codec_word(const struct codec_choice *c, char out[CODEC_WORD_MAX]);
/* Is it one that this program knows? */
bool codec_valid(const struct codec_choice *c);

struct codec_ctx;
/* For levels up to that one; 0: for decoding, and lz4. */
struct codec_ctx *codec_new(uint32_t max_level);
void codec_free(struct codec_ctx *x);

/* The bytes written, at most `room`; 0: they do not fit, or c is CODEC_RAW. */
uint32_t codec_encode(struct codec_ctx *x, const struct codec_choice *c, const uint8_t *in, uint32_t len, uint8_t *out,
                      uint32_t room);
/*
 * Writes exactly `plain` bytes, from any `len` bytes: never reads or writes outside of them.  -E_DAMAGED: they are not
 * what codec_encode writes for so many; `out` holds anything then.  -E_FORMAT: no codec of ours.
 */
int codec_decode(struct codec_ctx *x, enum codec codec, const uint8_t *in, uint32_t len, uint8_t *out, uint32_t plain);

#endif
