/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of bytes in pieces, by OpenSSL: SHA-256 (1.4 GB/s a core) and MD5 (0.6 GB/s),
 * which S3 wants as payload hash, Content-MD5 and ETag.  Pure, any thread; long
 * ones belong on a worker.
 */
#ifndef CRYPTO_DIGEST_H
#define CRYPTO_DIGEST_H

#include <sys/uio.h>

#include "reactor/base.h"

#define DIGEST_SHA256 32
#define DIGEST_MD5    16

void digest_sha256(const struct iovec *iov, int niov, uint8_t out[DIGEST_SHA256]);
void digest_md5(const struct iovec *iov, int niov, uint8_t out[DIGEST_MD5]);

/* 2 * n + 1 bytes, small letters. */
void digest_hex(const uint8_t *in, size_t n, char *out);
/* 4 * ceil(n / 3) + 1 bytes (RFC 4648 §4). */
void digest_base64(const uint8_t *in, size_t n, char *out);

#endif
