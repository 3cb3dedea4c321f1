/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): a keyed hash that who does not know the
 * key can neither forge nor steer.  It names READDIR cookies and signs file
 * handles.  OpenSSL has it too, behind contexts that cost more than the hash of
 * a file name.  Pure, any thread.
 */
#ifndef CRYPTO_SIPHASH_H
#define CRYPTO_SIPHASH_H

#include "reactor/base.h"

uint64_t siphash24(const uint8_t key[16], const void *data, size_t len);

#endif
