/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoch's key as it is kept: 32 random bytes, wrapped for a volume's RSA key, and signed by it.  The same text is a
 * record in RocksDB and an object in the bucket, so the bucket and the RSA key are enough to read a volume.
 *
 * Wrapping alone (OAEP) needs the public half only: whoever knows it and may write to the bucket could plant an epoch
 * whose key is his.  Hence the signature over all of the text; what it does not match is refused.
 *
 *   dittofs epoch key 1
 *   volume UUID
 *   epoch NUMBER
 *   cipher aes256gcm
 *   made SECONDS
 *   rsa ID
 *   wrapped HEX
 *   signed HEX
 *
 * Blocking (some milliseconds each), as crypto/rsakey.h.
 */
#ifndef CRYPTO_EPOCHKEY_H
#define CRYPTO_EPOCHKEY_H

#include "crypto/aead.h"
#include "crypto/rsakey.h"

#define EPOCHKEY_TEXT 2560 /* with its final zero, at most */

struct epochkey {
	uint8_t uuid[16];    /* of the volume */
	uint32_t epoch;      /* from 1 */
	enum aead cipher;
	uint64_t made_s;     /* CLOCK_REALTIME */
	uint8_t rsa[RSAKEY_ID];
};

/* The text of `e` (e->rsa is set) with this key in it.  Its length, or -EIO. */
int epochkey_wrap(struct epochkey *e, struct rsakey *rsa, const uint8_t key[AEAD_KEY], char text[EPOCHKEY_TEXT]);
/* What it says, with no key at hand and nothing proven.  -E_FORMAT: none, or a newer one's; -E_DAMAGED. */
int epochkey_read(struct epochkey *e, const char *text, size_t len);
/*
 * The key.  -EACCES: it is wrapped for another RSA key; -E_DAMAGED: changed since it was signed; or as epochkey_read.
 * `key` is the caller's to wipe.
 */
int epochkey_unwrap(struct epochkey *e, struct rsakey *rsa, const char *text, size_t len, uint8_t key[AEAD_KEY]);

#endif
