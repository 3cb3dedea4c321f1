/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One frame on its way into an object and out of it: compressed where that saves enough, then sealed (not yet), then
 * checksummed.  Each frame says in its frame_rec how it was made, so that frames of every kind stand side by side.
 * Any thread, with a workbench that is its own at that time: workers and reactors take one each, of those
 * that frame_start made.
 */
#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include "store/codec.h"

/* How the frames of a share are made from now on. */
struct frame_how {
	struct codec_choice choice;
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
 * They are `plain` itself where the frame is raw, else this thread's until its next call.
 */
const uint8_t *frame_encode(const struct frame_how *how, const uint8_t *plain, uint32_t len, struct frame_rec *rec);

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
int frame_check(const struct frame_rec *rec, uint32_t plain);
/* Are these rec->stored bytes those that were written? */
bool frame_is_whole(const struct frame_rec *rec, const uint8_t *stored);
/*
 * In place: `data` holds the frame as it is in the object, frame_check and frame_is_whole have passed it, then its
 * `plain` plain bytes.  -E_DAMAGED: it was written wrong; `data` holds anything then.
 */
int frame_decode(const struct frame_rec *rec, uint8_t data[FRAME_BYTES], uint32_t plain);

#endif
