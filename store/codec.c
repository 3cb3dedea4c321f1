/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts of zstd live in memory of ours (ZSTD_initStatic...), so that it never allocates any of its own. */
#define ZSTD_STATIC_LINKING_ONLY
#include "store/codec.h"

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

struct codec_ctx {
	ZSTD_CCtx *in;  /* NULL: decoding only */
	ZSTD_DCtx *out;
	uint32_t max_level;
	LZ4_stream_t lz4;
	void *in_memory, *out_memory;
};

int
codec_parse(const char *word, struct codec_choice *c)
{
	static const struct { const char *word; struct codec_choice choice; } words[] = {
		{ "none", { CODEC_RAW, 0 } }, { "lz4", { CODEC_LZ4, 0 } }, { "zstd", { CODEC_ZSTD, CODEC_LEVEL_DEFAULT } },
	};
	uint32_t level = 0;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i].word) == 0) {
			*c = words[i].choice;
			return 0;
		}
	if (strncmp(word, "zstd:", 5) != 0)
		return -EINVAL;
	word += 5;
	/* By hand: strtoul takes signs, blanks and what is too great. */
	for (int digits = 0; *word >= '0' && *word <= '9' && digits < 2; digits++)
		level = level * 10 + (uint32_t)(*word++ - '0');
	if (*word || level == 0 || level > CODEC_LEVEL_MAX)
		return -EINVAL;
	*c = (struct codec_choice){ CODEC_ZSTD, level };
	return 0;
}

void
codec_word(const struct codec_choice *c, char out[CODEC_WORD_MAX])
{
	if (c->codec == CODEC_ZSTD)
		snprintf(out, CODEC_WORD_MAX, "zstd:%u", c->level % 100);
	else
		snprintf(out, CODEC_WORD_MAX, "%s", c->codec == CODEC_LZ4 ? "lz4" : "none");
}

bool
codec_valid(const struct codec_choice *c)
{
	switch (c->codec) {
	case CODEC_RAW:
	case CODEC_LZ4:
		return c->level == 0;
	case CODEC_ZSTD:
		return c->level >= 1 && c->level <= CODEC_LEVEL_MAX;
	}
	return false; /* from a database of a newer version */
}

struct codec_ctx *
codec_new(uint32_t max_level)
{
	struct codec_ctx *x = calloc(1, sizeof(*x));
	size_t in_bytes = 0, out_bytes = ZSTD_estimateDCtxSize();

	if (!x)
		return NULL;
	/* zstd chooses by length, too: the most that any choice takes. */
	for (int level = 1; level <= (int)max_level; level++)
		for (uint64_t len = FRAME_BYTES; len > 0; len /= 2) {
			size_t bytes = ZSTD_estimateCCtxSize_usingCParams(ZSTD_getCParams(level, len, 0));

			in_bytes = MAX(in_bytes, bytes);
		}
	x->max_level = max_level;
	x->out_memory = malloc(out_bytes);
	x->in_memory = in_bytes ? malloc(in_bytes) : NULL;
	x->out = x->out_memory ? ZSTD_initStaticDCtx(x->out_memory, out_bytes) : NULL;
	x->in = x->in_memory ? ZSTD_initStaticCCtx(x->in_memory, in_bytes) : NULL;
	if (!x->out || (in_bytes && !x->in)) {
		codec_free(x);
		return NULL;
	}
	return x;
}

void
codec_free(struct codec_ctx *x)
{
	free(x->in_memory);
	free(x->out_memory);
	free(x);
}

static uint32_t
zstd_encode(struct codec_ctx *x, uint32_t level, const uint8_t *in, uint32_t len, uint8_t *out, uint32_t room)
{
	size_t n;

	assert(x->in && level <= x->max_level);
	n = ZSTD_compressCCtx(x->in, out, room, in, len, (int)level);
	if (!ZSTD_isError(n))
		return (uint32_t)n;
	assert(ZSTD_getErrorCode(n) == ZSTD_error_dstSize_tooSmall);
	return 0;
}

uint32_t
codec_encode(struct codec_ctx *x, const struct codec_choice *c, const uint8_t *in, uint32_t len, uint8_t *out,
             uint32_t room)
{
	assert(len <= FRAME_BYTES);
	switch (c->codec) {
	case CODEC_RAW:
		return 0;
	case CODEC_LZ4:
		return (uint32_t)LZ4_compress_fast_extState(&x->lz4, (const char *)in, (char *)out, (int)len, (int)room, 1);
	case CODEC_ZSTD:
		return zstd_encode(x, c->level, in, len, out, room);
	}
	assert(!"a codec of ours");
	return 0;
}

int
codec_decode(struct codec_ctx *x, enum codec codec, const uint8_t *in, uint32_t len, uint8_t *out, uint32_t plain)
{
	size_t n;

	if (len > INT32_MAX || plain > INT32_MAX)
		return -E_DAMAGED;
	switch (codec) {
	case CODEC_RAW:
		if (len != plain)
			return -E_DAMAGED;
		memcpy(out, in, plain);
		return 0;
	case CODEC_LZ4:
		return LZ4_decompress_safe((const char *)in, (char *)out, (int)len, (int)plain) == (int)plain ? 0 : -E_DAMAGED;
	case CODEC_ZSTD:
		n = ZSTD_decompressDCtx(x->out, out, plain, in, len);
		return !ZSTD_isError(n) && n == plain ? 0 : -E_DAMAGED;
	}
	return -E_FORMAT;
}
