/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing of frames on their way to the object store: which key, which nonce, and what a frame is bound to.
 *
 *   epoch key   32 random bytes, wrapped by RSA (crypto/epochkey.h); a rotation makes the next, old ones stay readable
 *   block key   HKDF-SHA256 of the epoch key, with the volume's uuid, the cipher, slice and block number
 *   frame       ciphertext, as long as what went in, then its trailer: nonce (12 random bytes) | tag (16 bytes)
 *
 * The trailer comes last so that a frame is opened where it was received, and its last bytes may lie elsewhere.
 *
 * Bound to each frame as additional data: volume, epoch, slice, block, the block's plain length, frame number, the frame's
 * plain length and codec.  So no frame can be given out for another, moved within its block, to another block, file or
 * volume, and no block can lose its end: all of that is -E_DAMAGED.  What the place does not tell is an older frame of
 * the same place, were there one: `B` records hold the checksum of the sealed bytes, and who cannot make a
 * valid tag cannot steer it.  Not bound is the object that a frame lies in: a pack may be packed anew without opening it.
 *
 * Why no key ever sees a nonce twice: slice ids are never used again (store/claim.h), so a block key is for one
 * block, at most 64 frames.  But an upload may run again, perhaps with other bytes: after a PUT that failed, and whatever
 * restores of old metadata do to slice ids.  Hence nothing is derived for nonces: each sealing takes 96 fresh bits from
 * the kernel's generator, and even with a million uploads of one block two are equal with a chance of 2^-45
 * (SP 800-38D §8.3 allows 2^32 frames a key).  None is taken in advance: of a machine that goes on twice from one
 * snapshot both would use it, for the same blocks, where the kernel knows that it was copied and begins anew.
 *
 * Objects that are no blocks (backups) are sealed as one text each, with a key of their own (HKDF of the epoch key, the
 * cipher and the object's name) and bound to volume, epoch, name and length.
 *
 * One volume a process.  seal_start, seal_add and seal_stop: one thread at a time; seal_add may run beside all others.
 * seal_frame and seal_open: any thread, no locks, no allocation but for a thread's first contexts (crypto/aead.h) and where it
 * goes on to another block (crypto/hkdf.h).  Keys are in
 * memory of crypto/secret.h.  A thread keeps the key of the block that it worked on last, and its cipher contexts keep its
 * schedule: that is why the server forbids core dumps altogether (prctl(PR_SET_DUMPABLE)).
 */
#ifndef CRYPTO_SEAL_H
#define CRYPTO_SEAL_H

#include "crypto/aead.h"

#define SEAL_BYTES  (AEAD_NONCE + AEAD_TAG) /* that a sealed frame is longer */
#define SEAL_EPOCHS 1024                    /* of a volume, at most */

/* No epochs yet: nothing is sealed. */
int  seal_start(const uint8_t uuid[16]);
/* Wipes all keys.  No other thread may be at it. */
void seal_stop(void);
/* From now on new data is sealed in the highest epoch.  -EEXIST: there is such an epoch; -ENOSPC: SEAL_EPOCHS are there. */
int  seal_add(uint32_t epoch, enum aead cipher, const uint8_t key[AEAD_KEY]);

/* For new data; 0: it is not sealed. */
uint32_t  seal_epoch(void);
/* AEAD_NONE: there is no such epoch (or 0). */
enum aead seal_cipher(uint32_t epoch);

struct seal_place {
	uint64_t slice;
	uint32_t index, block_plain; /* the block and its length, not compressed */
	uint32_t frame, plain;       /* in the block, from 0, and its length, not compressed */
	uint8_t codec;
};
/*
 * `out`: as long as the pieces together; with one piece it may be that very place, otherwise it must not overlap any.
 * -ENOKEY: there is no such epoch; -ENOMEM.
 */
int seal_frame(uint32_t epoch, const struct seal_place *at, const struct iovec *in, int n, uint8_t *out,
               uint8_t trailer[SEAL_BYTES]);
/*
 * `len` bytes into `out`, which may be `sealed` itself.  -ENOKEY, -ENOMEM; -E_DAMAGED: it is not what was sealed for this place,
 * and `out` is zeros.
 */
int seal_open(uint32_t epoch, const struct seal_place *at, const uint8_t *sealed, size_t len,
              const uint8_t trailer[SEAL_BYTES], uint8_t *out);

/* `len` bytes in place.  `name`: the object's, at most SEAL_NAME bytes, which is for this text only.  Errors as above. */
#define SEAL_NAME 192
int seal_object(uint32_t epoch, const char *name, uint8_t *text, size_t len, uint8_t trailer[SEAL_BYTES]);
int seal_open_object(uint32_t epoch, const char *name, uint8_t *text, size_t len, const uint8_t trailer[SEAL_BYTES]);

#endif
