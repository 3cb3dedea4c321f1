/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/changed.h"

#include <errno.h>
#include <stdlib.h>

#include "reactor/base.h"

#define BITS (16u * CHANGED_MANY)

static __thread struct {
	uint64_t *bits; /* NULL: nobody wants to know */
	uint32_t count;
} t;

int
changed_begin(void)
{
	if (!t.bits)
		t.bits = malloc(BITS / 8);
	if (!t.bits)
		return -ENOMEM;
	memset(t.bits, 0, BITS / 8);
	t.count = 0;
	return 0;
}

void
changed_end(void)
{
	free(t.bits);
	t.bits = NULL;
}

static uint32_t
bit_of(uint64_t key)
{
	return (uint32_t)(mix64(key) >> 32) % BITS; /* the low bits say which core */
}

void
changed_note(uint64_t key)
{
	uint32_t bit = bit_of(key);

	if (!t.bits)
		return;
	t.bits[bit / 64] |= (uint64_t)1 << bit % 64;
	t.count++;
}

bool
changed_maybe(uint64_t key)
{
	uint32_t bit = bit_of(key);

	assert(t.bits);
	return t.bits[bit / 64] >> bit % 64 & 1;
}

uint32_t
changed_count(void)
{
	return t.count;
}
