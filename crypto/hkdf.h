/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HKDF with SHA-256 (RFC 5869): keys from a key.  Pure, any thread; each makes its digest context when it first comes
 * here and keeps it.  OpenSSL takes its state of 100 bytes from the heap each time.
 */
#ifndef CRYPTO_HKDF_H
#define CRYPTO_HKDF_H

#include "reactor/base.h"

#define HKDF_KEY 32

/* HMAC-SHA256 (RFC 2104) of two pieces. */
void hmac_sha256(const void *key, size_t key_len, const void *a, size_t a_len, const void *b, size_t b_len, uint8_t out[32]);

void hkdf_extract(const void *salt, size_t salt_len, const void *ikm, size_t ikm_len, uint8_t prk[HKDF_KEY]);
/* At most 255 * 32 bytes. */
void hkdf_expand(const uint8_t prk[HKDF_KEY], const void *info, size_t info_len, uint8_t *out, size_t len);

#endif
