/* SPDX-License-Identifier: Apache-2.0 */
#include <isa-l/crc.h>

#include "store/block.h"

uint32_t
crc32c(uint32_t crc, const void *p, size_t len)
{
	const uint8_t *b = p;

	/* crc32_iscsi takes and gives the bare register: RFC 3720 inverts it at both ends. */
	crc = ~crc;
	while (len > 0) {
		size_t n = MIN(len, GIB); /* its length is an int */

		/* The prototype lacks the const; it only reads. */
		crc = crc32_iscsi((unsigned char *)(uintptr_t)b, (int)n, crc);
		b += n;
		len -= n;
	}
	return ~crc;
}
