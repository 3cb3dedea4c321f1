/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "crypto/siphash.h"

Test(siphash, vectors_of_the_paper)
{
	/* Reference implementation, vectors_sip64: key 00..0f, input 00, 01, 02 ... of rising length. */
	static const struct { size_t len; uint64_t want; } v[] = {
		{ 0, 0x726fdb47dd0e0e31 }, { 1, 0x74f839c593dc67fd }, { 7, 0xab0200f58b01d137 },
		{ 8, 0x93f5f5799a932462 }, { 15, 0xa129ca6149be45e5 },
	};
	uint8_t key[16], in[64];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 64; i++)
		in[i] = i;
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		cr_assert(eq(u64, siphash24(key, in, v[i].len), v[i].want));
}
