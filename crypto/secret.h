/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for keys and passphrases: pages of its own that no core dump has, that stay out of swap as far as the limit on
 * locked memory (RLIMIT_MEMLOCK) allows, and that are wiped when they are given back.  A system call or three each: for
 * start-up, not for data.  Any thread.
 */
#ifndef CRYPTO_SECRET_H
#define CRYPTO_SECRET_H

#include "reactor/base.h"

/* Zeros; NULL: no memory. */
void *secret_alloc(size_t len);
void secret_free(void *p, size_t len); /* NULL: nothing; `len` as allocated */
/* Overwritten, whatever the compiler thinks of it. */
void secret_wipe(void *p, size_t len);
/* Bytes from the kernel's generator.  It cannot fail once the machine has started: getrandom(2). */
void secret_random(void *p, size_t len);

#endif
