/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authenticated encryption of bytes in pieces: AES-256-GCM (NIST SP 800-38D) and ChaCha20-Poly1305
 * (RFC 8439), by OpenSSL (bench/seal.c measures it).
 *
 * Any thread.  Each makes its contexts when it first comes here and keeps them until it ends, because worker threads
 * do not know beforehand what they will be given; after that nothing here allocates.
 *
 * The caller's word: no two different texts under the same key and nonce, ever.  crypto/seal.h keeps it.
 */
#ifndef CRYPTO_AEAD_H
#define CRYPTO_AEAD_H

#include <sys/uio.h>

#include "reactor/base.h"

/* These numbers stand in objects and records. */
enum aead { AEAD_NONE, AEAD_AES256GCM, AEAD_CHACHA20, AEAD_KINDS };

#define AEAD_KEY   32
#define AEAD_NONCE 12
#define AEAD_TAG   16

/* "aes256gcm", "chacha20". */
const char *aead_name(enum aead kind);
/* AEAD_NONE: no such cipher.  "aes256gcm-rsa" and "chacha20-rsa" are taken, too. */
enum aead aead_parse(const char *name);

struct aead_aad { const void *p; size_t len; };

/*
 * out: as long as the pieces together.  With one piece it may be that very place, otherwise it must not overlap any.
 * -ENOMEM: this thread has no contexts yet and gets none.
 */
int aead_seal(enum aead kind, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], struct aead_aad aad,
              const struct iovec *plain, int n, uint8_t *out, uint8_t tag[AEAD_TAG]);
/*
 * out: `len` bytes, and may be where the sealed ones are.  -E_DAMAGED: not what was sealed under this key, nonce and aad;
 * `out` is zeros then, so that nobody can use what was not authenticated.
 */
int aead_open(enum aead kind, const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE], struct aead_aad aad,
              const uint8_t *sealed, size_t len, const uint8_t tag[AEAD_TAG], uint8_t *out);

#endif
