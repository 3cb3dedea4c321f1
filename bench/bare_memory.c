/* SPDX-License-Identifier: Apache-2.0 */
/* How fast does one core copy memory: within the processor's cache, and cold? bare_memory [SECONDS] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/measure.h"

static void
copy(const char *what, uint8_t *to, const uint8_t *from, size_t span, size_t piece, double seconds)
{
	uint64_t start = measure_now_ns(), end = start + (uint64_t)(seconds * 1e9), bytes = 0, now;

	do {
		for (size_t at = 0; at < span; at += piece)
			memcpy(to + at, from + at, piece);
		__asm__ volatile("" ::"r"(to) : "memory");
		bytes += span;
		now = measure_now_ns();
	} while (now < end);
	json_begin();
	json_str("test", what);
	json_num("bytes", (double)piece, 0);
	json_num("mb_per_s", (double)bytes / 1e6 / ((double)(now - start) / 1e9), 1);
	json_end();
}

int
main(int argc, char **argv)
{
	enum { CACHED = 64 << 10, COLD = 256 << 20 };
	double seconds = argc > 1 ? atof(argv[1]) : 0.3;
	uint8_t *a = aligned_alloc(4096, COLD), *b = aligned_alloc(4096, COLD);

	if (!a || !b)
		measure_fail("memory", ENOMEM);
	memset(a, 1, COLD);
	memset(b, 2, COLD);
	copy("copy cached", a, b, CACHED, CACHED, seconds);
	copy("copy cold", a, b, COLD, 64 << 10, seconds);
	free(a);
	free(b);
	return 0;
}
