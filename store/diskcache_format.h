/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment file of the disk cache: written once from front to back, sealed with a
 * summary, read, deleted.  Without a trailer that is whole it is nothing, so a
 * crash costs the segments that were open, and a start reads some
 * kilobytes of each.  Pure functions, any thread.
 *
 *   frames    each from a multiple of PAGE on
 *   summary   per frame 32 bytes: slice u64, ino u64, frame u32, plain u32, crc u32, page u32
 *   trailer   the last PAGE: magic "DTTCACH1", version u32, core u32, volume uuid, serial u64, frames u32,
 *             page of the summary u32, CRC32C of the summary u32, zeros, CRC32C of the page before it u32
 *
 * A frame's CRC32C is taken over volume, slice, frame and length too: bytes of
 * another place, file or volume never pass for it.
 */
#ifndef STORE_DISKCACHE_FORMAT_H
#define STORE_DISKCACHE_FORMAT_H

#include "store/block.h"

#define CFRAME_BYTES       32
#define SEGMENT_FRAMES_MAX 2048
#define SEGMENT_TAIL_MAX   (SEGMENT_FRAMES_MAX * CFRAME_BYTES + PAGE)
#define SEGMENT_BYTES_MAX  (32 * MIB)

/* Slices and frames that fit one number: ids beyond are not cached. */
#define CFRAME_SLICES ((uint64_t)1 << 54)

struct cframe {
	uint64_t slice, ino; /* ino 0: not known */
	uint32_t frame;      /* of the slice, below 1024 */
	uint32_t plain;      /* 1..FRAME_BYTES */
	uint32_t crc;
	uint32_t page;       /* where it begins */
};

struct segment_tail {
	uint64_t serial;
	uint32_t core;       /* that wrote it */
	uint32_t nframes, page, crc;
};

uint32_t cframe_crc(const uint8_t uuid[16], uint64_t slice, uint32_t frame, const void *p, uint32_t plain);
void cframe_encode(uint8_t out[CFRAME_BYTES], const struct cframe *f);

/*
 * Behind t->nframes encoded frames at `summary`, in which t->crc is computed: zeros up to the page, and the
 * trailer.  Returns the length of both; `summary` has room for SEGMENT_TAIL_MAX.
 */
uint32_t segment_tail_encode(uint8_t *summary, struct segment_tail *t, const uint8_t uuid[16]);
/* Bytes of the summary, padded. */
static inline uint32_t
segment_summary_bytes(uint32_t nframes)
{
	return ROUND_UP(nframes * CFRAME_BYTES, PAGE);
}

/* -ENODATA when it is all zeros (never sealed), -E_DAMAGED, -E_FORMAT, -EXDEV of another volume. */
int segment_tail_decode(struct segment_tail *t, const uint8_t page[PAGE], uint64_t file_bytes,
                        const uint8_t uuid[16]);
/* t->nframes of them; -E_DAMAGED unless each lies in the file, behind the one before. */
int segment_summary_decode(struct cframe *out, const uint8_t *summary, const struct segment_tail *t);

#endif
