/* SPDX-License-Identifier: Apache-2.0 */
#include "store/frame.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Below this, what a codec saves is less than what a block record and an index cost. */
#define ENCODE_LEAST_BYTES 64

/* Of one thread. */
struct workbench {
	struct codec_ctx *codec;
	uint8_t gather[FRAME_BYTES]; /* plain bytes on their way in, stored ones on their way out */
	uint8_t encoded[FRAME_BYTES];
	uint8_t sealed[FRAME_BYTES + SEAL_BYTES];
};

static struct {
	struct workbench *v;
	int count;
	uint32_t run;                /* which frame_start this is */
	_Atomic int taken;
} benches;

static __thread struct workbench *mine;
static __thread uint32_t mine_of_run;

int
frame_start(int threads, uint32_t max_level)
{
	assert(!benches.v && threads > 0);
	benches.v = calloc((size_t)threads, sizeof(*benches.v));
	if (!benches.v)
		return -ENOMEM;
	benches.run++;
	benches.taken = 0;
	for (benches.count = 0; benches.count < threads; benches.count++) {
		struct codec_ctx *x = codec_new(max_level);

		if (!x) {
			frame_stop();
			return -ENOMEM;
		}
		benches.v[benches.count].codec = x;
	}
	return 0;
}

void
frame_stop(void)
{
	for (int i = 0; i < benches.count; i++)
		codec_free(benches.v[i].codec);
	free(benches.v);
	benches.v = NULL;
	benches.count = 0;
}

static struct workbench *
workbench(void)
{
	if (mine_of_run != benches.run) {
		int i = atomic_fetch_add_explicit(&benches.taken, 1, memory_order_relaxed);

		assert(i < benches.count); /* more threads than frame_start was told of */
		mine = &benches.v[i];
		mine_of_run = benches.run;
	}
	assert(mine);
	return mine;
}

uint32_t
frame_room_bytes(const struct frame_how *how, uint32_t plain)
{
	uint32_t frames = (plain + FRAME_BYTES - 1) / FRAME_BYTES;

	if (seal_epoch())
		return plain + frames * SEAL_BYTES;
	return how->choice.codec == CODEC_RAW ? 0 : plain; /* what does not get shorter is raw */
}

uint8_t *
frame_gather(void)
{
	return workbench()->gather;
}

/* An eighth is to be saved: reading what saves less costs more time than it saves the store and the network. */
static uint32_t
worth_it(uint32_t len)
{
	return len - len / 8;
}

static struct seal_place
seal_place(const struct frame_place *at, uint32_t plain, uint8_t codec)
{
	return (struct seal_place){ .slice = at->slice, .index = at->index, .block_plain = at->block_plain, .frame = at->frame,
	                            .plain = plain, .codec = codec };
}

/* rec->stored bytes become as many more as a trailer has.  NULL: it cannot be. */
static const uint8_t *
seal(const struct frame_place *at, const uint8_t *stored, uint32_t plain, struct frame_rec *rec)
{
	const struct seal_place place = seal_place(at, plain, rec->codec);
	const struct iovec in = { (uint8_t *)stored, rec->stored };
	uint8_t *out = workbench()->sealed;

	if (seal_frame(at->epoch, &place, &in, 1, out, out + rec->stored) < 0)
		return NULL;
	rec->stored += SEAL_BYTES;
	return out;
}

const uint8_t *
frame_encode(const struct frame_how *how, const struct frame_place *at, const uint8_t *plain, uint32_t len, struct frame_rec *rec)
{
	const uint8_t *stored = plain;
	uint32_t n = 0;

	assert(len > 0 && len <= FRAME_BYTES);
	if (how->choice.codec != CODEC_RAW && len >= ENCODE_LEAST_BYTES) {
		n = codec_encode(workbench()->codec, &how->choice, plain, len, workbench()->encoded, worth_it(len));
		stored = n ? workbench()->encoded : plain;
	}
	*rec = (struct frame_rec){ .stored = n ? n : len, .codec = n ? (uint8_t)how->choice.codec : CODEC_RAW };
	if (at && at->epoch && !(stored = seal(at, stored, len, rec)))
		return NULL;
	rec->crc = crc32c(0, stored, rec->stored);
	return stored;
}

bool
frame_try(struct frame_luck *l)
{
	if (l->skip == 0)
		return true;
	l->skip--;
	l->failed++;
	return false;
}

void
frame_tried(struct frame_luck *l, bool shorter)
{
	l->failed = shorter ? 0 : l->failed + 1;
	l->skip = l->failed / 2;
}

int
frame_check(const struct frame_rec *rec, bool sealed, uint32_t plain)
{
	uint32_t body = frame_body_bytes(rec, sealed);

	switch (rec->codec) {
	case CODEC_RAW:
		return body == plain ? 0 : -E_DAMAGED;
	case CODEC_LZ4:
	case CODEC_ZSTD:
		return body > 0 && body < plain ? 0 : -E_DAMAGED;
	default:
		return -E_FORMAT;
	}
}

uint32_t
frame_body_bytes(const struct frame_rec *rec, bool sealed)
{
	if (!sealed)
		return rec->stored;
	return rec->stored > SEAL_BYTES ? rec->stored - SEAL_BYTES : 0;
}

bool
frame_is_whole(const struct frame_rec *rec, const uint8_t *body, const uint8_t *trailer)
{
	uint32_t crc = crc32c(0, body, frame_body_bytes(rec, trailer != NULL));

	return (trailer ? crc32c(crc, trailer, SEAL_BYTES) : crc) == rec->crc;
}

int
frame_decode(const struct frame_rec *rec, const struct frame_place *at, uint8_t data[FRAME_BYTES], const uint8_t *trailer,
             uint32_t plain)
{
	uint32_t body = frame_body_bytes(rec, trailer != NULL);
	uint8_t *to = rec->codec == CODEC_RAW ? data : workbench()->gather;
	int err;

	assert(plain <= FRAME_BYTES && (rec->codec == CODEC_RAW ? body == plain : body < plain));
	if (trailer) {
		const struct seal_place place = seal_place(at, plain, rec->codec);

		err = seal_open(at->epoch, &place, data, body, trailer, to);
		if (err < 0)
			return err;
	} else if (to != data) {
		memcpy(to, data, body); /* a sixth of what decoding takes, and no second buffer in flight */
	}
	return rec->codec == CODEC_RAW ? 0 : codec_decode(workbench()->codec, rec->codec, to, body, data, plain);
}
