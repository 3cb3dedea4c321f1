/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile tails of a cache segment.  Input: a byte of flags, then summary and trailer: the last PAGE is the
 * trailer, which (SEALED) gets right checksums.  What is accepted must lie in the file and say the same when it is
 * encoded again.
 */
#include <stdlib.h>

#include "store/diskcache_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SEALED 1

static const uint8_t uuid[16] = "volume";

static void
need(bool ok)
{
	if (!ok)
		abort();
}

static void
check_again(const struct segment_tail *t, const struct cframe *f, const uint8_t *summary, const uint8_t *page)
{
	uint8_t *again = malloc(SEGMENT_TAIL_MAX);
	struct segment_tail mine = *t;
	uint32_t n = segment_summary_bytes(t->nframes);

	for (uint32_t i = 0; i < t->nframes; i++) {
		need(f[i].plain > 0 && f[i].plain <= FRAME_BYTES);
		need((uint64_t)f[i].page * PAGE + f[i].plain <= (uint64_t)t->page * PAGE);
		need(i == 0 || f[i].page > f[i - 1].page);
		cframe_encode(again + i * CFRAME_BYTES, &f[i]);
	}
	need(segment_tail_encode(again, &mine, uuid) == n + PAGE);
	need(memcmp(again, summary, t->nframes * CFRAME_BYTES) == 0);
	if (mine.crc == t->crc)
		need(memcmp(again + n, page, 52) == 0);
	free(again);
}

static void
seal(uint8_t *bytes, size_t len)
{
	uint8_t *page = bytes + len - PAGE;

	put_le32(page + 48, crc32c(0, bytes, len - PAGE));
	put_le32(page + PAGE - 4, crc32c(0, page, PAGE - 4));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct segment_tail t;
	struct cframe *f;
	uint8_t *bytes;

	if (len < 1 + PAGE || len > 1 + SEGMENT_TAIL_MAX)
		return 0;
	bytes = malloc(len - 1);
	memcpy(bytes, data + 1, --len);
	if (data[0] & SEALED)
		seal(bytes, len);
	/* The file is as long as the trailer wants it, or the input. */
	uint64_t size = (uint64_t)get_le32(bytes + len - PAGE + 44) * PAGE + len;
	int res = segment_tail_decode(&t, bytes + len - PAGE, data[0] & 2 ? len : size, uuid);

	need(res == 0 || res == -ENODATA || res == -E_DAMAGED || res == -E_FORMAT || res == -EXDEV);
	if (res == 0 && segment_summary_bytes(t.nframes) + PAGE == len) {
		f = malloc(t.nframes * sizeof(*f));
		res = segment_summary_decode(f, bytes, &t);
		need(res == 0 || res == -E_DAMAGED);
		if (res == 0)
			check_again(&t, f, bytes, bytes + len - PAGE);
		free(f);
	}
	free(bytes);
	return 0;
}
