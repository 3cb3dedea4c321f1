/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "store/block.h"

/* RFC 3720 B.4: the bytes on the wire are the CRC in little-endian order. */
Test(crc, rfc3720_vectors)
{
	static const uint8_t read10[48] = {
		0x01, 0xc0, [16] = 0x14, [20] = 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
		0x28, [40] = 0x02,
	};
	uint8_t b[32];

	memset(b, 0, sizeof(b));
	cr_assert(eq(u32, crc32c(0, b, 32), 0x8a9136aa));
	memset(b, 0xff, sizeof(b));
	cr_assert(eq(u32, crc32c(0, b, 32), 0x62a8ab43));
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	cr_assert(eq(u32, crc32c(0, b, 32), 0x46dd794e));
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)(31 - i);
	cr_assert(eq(u32, crc32c(0, b, 32), 0x113fdb5c));
	cr_assert(eq(u32, crc32c(0, read10, 48), 0xd9963a56));
	cr_assert(eq(u32, crc32c(0, "123456789", 9), 0xe3069283));
}

/* Wherever the bytes are cut, going on from the first part gives the same; none at all gives the start. */
Test(crc, goes_on)
{
	uint8_t b[300];
	uint32_t whole;

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 131 + (i >> 3));
	whole = crc32c(0, b, sizeof(b));
	for (size_t cut = 0; cut <= sizeof(b); cut++)
		cr_assert(eq(u32, crc32c(crc32c(0, b, cut), b + cut, sizeof(b) - cut), whole));
	cr_assert(eq(u32, crc32c(0, b, 0), 0));
	cr_assert(eq(u32, crc32c(whole, b, 0), whole));
}
