/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How file data lies in an object: blocks of at most 4 MiB, each a run of
 * frames of 64 KiB (the last may be shorter), then an index, then a footer, so
 * that a volume can be checked and rebuilt from the bucket alone.  An own
 * object holds one block, a pack many small ones; the format is the same.
 * Pure functions, any thread.
 *
 *   frames of block 0 | frames of block 1 | ... | index | footer
 *   index:  per block: slice u64, number u32, plain u32, offset u64, nframes u16, 0 u16, key epoch u32;
 *           then per frame: stored u32, crc u32, codec u8
 *   footer: 64 bytes: magic "DTTOBJ1\0", version, cipher, key id, block count, index offset and length,
 *           index CRC32C, volume uuid, CRC32C of the footer
 */
#ifndef STORE_BLOCK_H
#define STORE_BLOCK_H

#include "reactor/base.h"

#define BLOCK_BYTES      (4 * MIB)
#define FRAME_BYTES      65536u
#define FRAMES_PER_BLOCK 64
#define PACK_BELOW_BYTES (1 * MIB) /* smaller blocks share a pack */

/* How a frame is stored: as it is, as one lz4 block, as one zstd frame; shorter than its plain bytes, but for the first. */
enum codec { CODEC_RAW, CODEC_LZ4, CODEC_ZSTD };

struct frame_rec {
	uint32_t stored; /* length in the object */
	uint32_t crc;    /* CRC32C of the stored bytes */
	uint8_t codec;
};

/* Where a block is; meta/record.h keeps it under 'B' slice index. */
struct block_rec {
	uint64_t pack;       /* 0: own object, named by slice, index and plain length */
	uint64_t off;        /* of the first frame in the object */
	uint32_t plain, stored;
	uint32_t key_epoch;
	uint16_t nframes;
	struct frame_rec frame[FRAMES_PER_BLOCK];
};

#define OBJECT_NAME_MAX 192
/* <prefix>/chunks/<id % 256 as %02X>/<id / 1000000>/<id>_<index>_<plain>, or <prefix>/packs/<id % 256 as %02X>/<id / 1000000>/<id>. */
size_t object_name(char out[OBJECT_NAME_MAX], const char *prefix, uint64_t slice, uint32_t index,
                   const struct block_rec *rec);
/* What such a name says; false: it is none, to the letter. */
struct object_id {
	uint64_t pack;          /* or 0, and: */
	uint64_t slice;
	uint32_t index, plain;
};
bool object_name_parse(const char *name, const char *prefix, struct object_id *id);

/* One block as the index of its object tells it. */
struct object_block {
	uint64_t slice;
	uint32_t index;
	struct block_rec rec;
};

#define FOOTER_BYTES 64
#define INDEX_BLOCK_BYTES 32
#define INDEX_FRAME_BYTES 9
/* Writes index and footer for n blocks whose frames end at `end`; returns the bytes written.  `cap` must hold
 * object_tail_bytes(). */
size_t object_tail_bytes(const struct object_block *b, int n);
size_t object_tail_encode(uint8_t *out, size_t cap, const uint8_t uuid[16], const struct object_block *b,
                          int n, uint64_t end);
/* How an object's frames are sealed: an enum aead, and the epoch of the key (crypto/seal.h); 0 and 0: not at all. */
struct object_seal {
	uint16_t cipher;
	uint32_t key_id;
};
/* The same for who has the blocks one by one: start, add each in the order of its frames, finish: the bytes written. */
struct object_tail {
	uint8_t *out;
	size_t len, cap;
	uint32_t nblocks;
	struct object_seal seal; /* the caller's, before finish */
};
void object_tail_start(struct object_tail *t, uint8_t *out, size_t cap);
void object_tail_add(struct object_tail *t, uint64_t slice, uint32_t index, const struct block_rec *rec);
size_t object_tail_finish(struct object_tail *t, const uint8_t uuid[16], uint64_t end);
/* From the last 64 bytes: where the index is.  -E_DAMAGED, -E_FORMAT. */
int object_footer_decode(const uint8_t footer[FOOTER_BYTES], uint64_t object_bytes, uint8_t uuid[16], struct object_seal *seal,
                         uint64_t *index_off, uint32_t *index_len, uint32_t *index_crc, uint32_t *nblocks);
/* Calls fn for each block of the index; non-zero ends it and is returned. */
int object_index_decode(const uint8_t *index, uint32_t len, uint32_t crc, uint32_t nblocks, uint64_t index_off,
                        int (*fn)(void *arg, const struct object_block *b), void *arg);

/* CRC32C (Castagnoli) as RFC 3720 has it; crc 0 to start, the previous result to go on. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);

#endif
