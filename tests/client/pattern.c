/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/client/pattern.h"

#include <string.h>

static uint64_t
word(uint32_t id, uint64_t i)
{
	uint64_t x;

	/* Each fourth is something that a codec makes shorter: a word eight times. */
	if (id % 4 == 0)
		i /= 8;
	x = (id + 1) * 0x9e3779b97f4a7c15ULL ^ i * 0xc2b2ae3d27d4eb4fULL;
	x ^= x >> 29;
	x *= 0xbf58476d1ce4e5b9ULL;
	return id ? x ^ x >> 32 : 0;
}

void
pattern_fill(uint8_t *dst, uint32_t id, uint64_t off, size_t len)
{
	size_t n = 0;

	while (n < len) {
		uint64_t w = word(id, (off + n) / 8);
		size_t skip = (off + n) % 8, take = 8 - skip;

		if (take > len - n)
			take = len - n;
		memcpy(dst + n, (uint8_t *)&w + skip, take);
		n += take;
	}
}

size_t
pattern_match(const uint8_t *data, uint32_t id, uint64_t off, size_t len)
{
	size_t n = 0;

	while (n < len) {
		uint64_t w = word(id, (off + n) / 8);
		size_t skip = (off + n) % 8, take = 8 - skip;

		if (take > len - n)
			take = len - n;
		if (take == 8 && memcmp(data + n, &w, 8) == 0) {
			n += 8;
			continue;
		}
		for (size_t i = 0; i < take; i++)
			if (data[n + i] != ((uint8_t *)&w)[skip + i])
				return n + i;
		n += take;
	}
	return len;
}
