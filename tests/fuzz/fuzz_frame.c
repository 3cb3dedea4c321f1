/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile frame of an object, through all that a READ does with it.  Input: how (u8), codec (u8), plain length less 1 (u32, of which 16
 * bits count; also which bit is changed), then its bytes as they lie in the object.  how & 3:
 *   0  they are not sealed and match their checksum: decoding stays inside of its memory
 *   1  they are said to be sealed: nobody made such a tag, so they must be refused
 *   2  they are sealed, by who had the key: as 0; and with any one bit changed, or at another place, they must be refused
 */
#include <stdlib.h>

#include "store/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct frame_place here = { .epoch = 1, .slice = 7, .index = 3, .block_plain = 5 * FRAME_BYTES, .frame = 2 };

struct frame {
	struct frame_rec rec;
	uint8_t *body, trailer[SEAL_BYTES]; /* body: FRAME_BYTES, which the sanitizer watches */
	uint32_t plain;
};

static void
start(void)
{
	static const uint8_t uuid[16] = "fuzz", key[AEAD_KEY] = "no secret";
	static bool is_started;

	if (is_started)
		return;
	is_started = true;
	if (frame_start(1, 0) < 0 || seal_start(uuid) < 0 || seal_add(1, AEAD_AES256GCM, key) < 0)
		abort();
}

static int
decode(struct frame *f, const struct frame_place *at)
{
	const uint8_t *trailer = at ? f->trailer : NULL;
	int err = frame_check(&f->rec, at != NULL, f->plain);

	if (err < 0)
		return err;
	f->rec.crc = crc32c(0, f->body, frame_body_bytes(&f->rec, at != NULL));
	if (trailer)
		f->rec.crc = crc32c(f->rec.crc, trailer, SEAL_BYTES);
	if (!frame_is_whole(&f->rec, f->body, trailer))
		abort();
	return frame_decode(&f->rec, at, f->body, trailer, f->plain);
}

static void
must_be_refused(struct frame *f, const struct frame_place *at)
{
	if (decode(f, at) >= 0)
		abort();
}

static void
sealed_by_us(struct frame *f, uint32_t len, uint32_t bit)
{
	struct seal_place place = { .slice = here.slice, .index = here.index, .block_plain = here.block_plain, .frame = here.frame,
		                    .plain = f->plain, .codec = f->rec.codec };
	struct frame_place other = here;
	uint8_t *sealed = malloc(len);

	f->rec.stored = len + SEAL_BYTES;
	if (seal_frame(1, &place, &(struct iovec){ f->body, len }, 1, sealed, f->trailer) < 0)
		abort();
	memcpy(f->body, sealed, len);
	decode(f, &here);
	memcpy(f->body, sealed, len);
	other.frame++;
	must_be_refused(f, &other);
	memcpy(f->body, sealed, len);
	bit %= 8 * (len + SEAL_BYTES);
	*(bit / 8 < len ? &f->body[bit / 8] : &f->trailer[bit / 8 - len]) ^= (uint8_t)(1 << bit % 8);
	must_be_refused(f, &here);
	free(sealed);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct frame f = { .body = malloc(FRAME_BYTES) };

	start();
	if (len > 6 && len - 6 <= FRAME_BYTES) {
		uint32_t n = (uint32_t)len - 6;

		f.rec = (struct frame_rec){ .stored = n, .codec = data[1] % 4 };
		f.plain = f.rec.codec == CODEC_RAW ? n : 1 + get_le32(data + 2) % FRAME_BYTES;
		memcpy(f.body, data + 6, n);
		if ((data[0] & 3) == 0) {
			decode(&f, NULL);
		} else if ((data[0] & 3) == 1 && n > SEAL_BYTES) {
			f.plain = f.rec.codec == CODEC_RAW ? n - SEAL_BYTES : f.plain;
			memcpy(f.trailer, data + len - SEAL_BYTES, SEAL_BYTES);
			must_be_refused(&f, &here);
		} else if ((data[0] & 3) == 2) {
			sealed_by_us(&f, n, get_le32(data + 2));
		}
	}
	free(f.body);
	return 0;
}
