/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The RSA private key that a volume's epoch keys are wrapped with: a PEM file (PKCS#1 or PKCS#8) that nobody else may
 * read, possibly under a passphrase.  It is needed when a volume is opened and when keys are made, never for data.
 *
 * Blocking, main thread and those of the admin plane.  The private parts are in memory from load to free; OpenSSL
 * wipes them then.  Nothing of them is ever logged: why[] holds paths and what to do.
 */
#ifndef CRYPTO_RSAKEY_H
#define CRYPTO_RSAKEY_H

#include "reactor/base.h"

#define RSAKEY_BITS_MIN 2048
#define RSAKEY_BYTES    512 /* of what is wrapped or signed: 4096 bits at most */
#define RSAKEY_ID       32   /* SHA-256 of the public half (DER, SubjectPublicKeyInfo), as `openssl rsa -pubout -outform DER | sha256sum` */

struct rsakey;

/*
 * `passphrase` NULL: none is known.  The sentence in why[] says what to do.
 * -ENOENT and the like: as the file has it; -EPERM: others may read it; -EACCES: the passphrase is missing or wrong;
 * -EINVAL: no RSA private key of 2048 to 4096 bits.
 */
int  rsakey_load(struct rsakey **out, const char *file, const char *passphrase, char why[256]);
void rsakey_free(struct rsakey *k); /* NULL: nothing */
const uint8_t *rsakey_id(const struct rsakey *k);

/* RSAES-OAEP with SHA-256 (RFC 8017 §7.1).  *len: bytes written, at most RSAKEY_BYTES. */
int rsakey_wrap(struct rsakey *k, const void *secret, size_t secret_len, uint8_t out[RSAKEY_BYTES], size_t *len);
/* Exactly secret_len bytes come out, or -E_DAMAGED: wrapped for another key, or changed. */
int rsakey_unwrap(struct rsakey *k, const uint8_t *wrapped, size_t len, void *secret, size_t secret_len);

/* RSASSA-PSS with SHA-256 (RFC 8017 §8.1).  OAEP tells nobody who wrapped: this does. */
int rsakey_sign(struct rsakey *k, const void *text, size_t text_len, uint8_t out[RSAKEY_BYTES], size_t *len);
/* 0, or -E_DAMAGED. */
int rsakey_verify(struct rsakey *k, const void *text, size_t text_len, const uint8_t *sig, size_t len);

/*
 * A passphrase: the first line of `file` (of mode 0600, as a key) where that is not "", else the value of the environment
 * variable `env`, which is overwritten there, so that /proc/PID/environ does not show it.  Allocated, and kept out of core
 * dumps; *out NULL: there is none.
 */
int  passphrase_load(char **out, const char *env, const char *file, char why[256]);
void passphrase_free(char *p); /* NULL: nothing */

#endif
