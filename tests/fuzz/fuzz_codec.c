/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile frame that matches its checksum.  Input: codec (u8), plain length (u32, of which 17 bits count), then what is
 * in the object.  Whatever it is, decoding stays inside of so many bytes; what it accepts can be encoded and decoded again.
 */
#include <stdlib.h>

#include "store/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct codec_ctx *ctx;

static void
again(enum codec codec, const uint8_t *plain, uint32_t len)
{
	struct codec_choice c = { codec, codec == CODEC_ZSTD };
	uint32_t room = len + len / 8 + 64, n;
	uint8_t *coded = malloc(room), *back = malloc(len + 1);

	n = codec_encode(ctx, &c, plain, len, coded, room);
	if (codec != CODEC_RAW && (n == 0 || codec_decode(ctx, codec, coded, n, back, len) < 0 || memcmp(back, plain, len) != 0))
		abort();
	free(coded);
	free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint32_t plain;
	uint8_t *in, *out;
	enum codec codec;

	if (!ctx)
		ctx = codec_new(1);
	if (len < 5)
		return 0;
	codec = data[0] % 4;
	plain = get_le32(data + 1) % (2 * FRAME_BYTES);
	len -= 5;
	/* Memory of just that size: the sanitizer sees each step outside. */
	in = malloc(len + (len == 0));
	out = malloc(plain + (plain == 0));
	memcpy(in, data + 5, len);
	if (codec_decode(ctx, codec, in, (uint32_t)len, out, plain) == 0 && plain > 0 && plain <= FRAME_BYTES)
		again(codec, out, plain);
	free(in);
	free(out);
	return 0;
}
