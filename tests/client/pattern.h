/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File contents that tell whose they are: byte p of pattern id is a function of both.
 * Pattern 0 is zeros.  No state, any thread.
 */
#ifndef TESTS_CLIENT_PATTERN_H
#define TESTS_CLIENT_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* dst gets bytes off .. off + len of pattern id. */
void pattern_fill(uint8_t *dst, uint32_t id, uint64_t off, size_t len);
/* How many bytes from data on are those of pattern id from off on, at most len. */
size_t pattern_match(const uint8_t *data, uint32_t id, uint64_t off, size_t len);

#endif
