/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One frame on its way into an object and out of it: compressed where that saves enough, then sealed (crypto/seal.h) where
 * the volume has keys, then checksummed.  Each frame says in its frame_rec how it was made, and the block's record with which
 * key, so that frames of every kind stand side by side.
 * Any thread, with a workbench that is its own at that time: workers and reactors take one each, of those
 * that frame_start made.
 */
#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include "crypto/seal.h"
#include "store/codec.h"

/* How the frames of a share are made from now on. */
struct frame_how {
	struct codec_choice choice;
};

/* What a sealed frame is bound to; with epoch 0, or no such struct, it is not sealed. */
struct frame_place {
	uint32_t epoch;
	uint64_t slice;
	uint32_t index, block_plain; /* the block and its plain length */
	uint32_t frame;              /* in the block */
};

/* Before the reactors, once a process: for so many threads, and levels up to that one.  -ENOMEM. */
int  frame_start(int threads, uint32_t max_level);
/* When those threads are gone, or never come here again. */
void frame_stop(void);

/* How many bytes the frames of a block of `plain` bytes may come to; 0: all are stored as they are. */
uint32_t frame_room_bytes(const struct frame_how *how, uint32_t plain);
/* FRAME_BYTES of this thread, for a frame that does not lie in one piece; frame_encode takes it from there. */
uint8_t *frame_gather(void);
/*
 * `len` plain bytes, 1 to FRAME_BYTES: fills *rec, returns the rec->stored bytes that belong into the object.
 * They are `plain` itself where the frame is raw and not sealed, else this thread's until its next call.
 * NULL: no memory for a cipher's context, or no such epoch.
 */
const uint8_t *frame_encode(const struct frame_how *how, const struct frame_place *at, const uint8_t *plain, uint32_t len,
                            struct frame_rec *rec);

/*
 * Giving up on what does not get shorter, in a row of frames that are likely to be alike (a block's): half as many as
 * failed are not tried at all, so that little is lost where it gets better.  All zero to start.
 */
struct frame_luck { uint32_t failed, skip; };
/* Is the next frame to be tried? */
bool frame_try(struct frame_luck *l);
/* It was: has it become shorter? */
void frame_tried(struct frame_luck *l, bool shorter);

/* Can a frame of so many plain bytes have this record?  -E_DAMAGED, or -E_FORMAT: made by a newer version. */
int frame_check(const struct frame_rec *rec, bool sealed, uint32_t plain);
/*
 * Of a sealed frame the last bytes, its trailer, are kept apart: what is before them is FRAME_BYTES at most.  `trailer` NULL: the
 * frame is not sealed.
 */
uint32_t frame_body_bytes(const struct frame_rec *rec, bool sealed);
/* Are these rec->stored bytes those that were written? */
bool frame_is_whole(const struct frame_rec *rec, const uint8_t *body, const uint8_t *trailer);
/*
 * In place: `data` holds the frame's body as it is in the object, frame_check and frame_is_whole have passed it, then its
 * `plain` plain bytes.  -E_DAMAGED: it was written wrong, or is not what was sealed for this place; -ENOKEY, -ENOMEM; `data` holds
 * anything then, but nothing of what was sealed.
 */
int frame_decode(const struct frame_rec *rec, const struct frame_place *at, uint8_t data[FRAME_BYTES], const uint8_t *trailer,
                 uint32_t plain);

#endif
