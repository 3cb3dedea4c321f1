/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile object's tail.  Input: how many bytes of frames there are (u64), then
 * index and footer.  Once as it is, and once with checksums that are right,
 * which no mutation would find.  What is accepted must be what it says: encoded
 * again it gives the same bytes.
 */
#include <stdlib.h>

#include "store/block.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct seen {
	struct object_tail tail;
	uint64_t end, limit;
};

static int
block(void *arg, const struct object_block *b)
{
	struct seen *s = arg;
	uint64_t stored = 0;

	if (b->rec.nframes == 0 || b->rec.nframes > FRAMES_PER_BLOCK || b->rec.plain > BLOCK_BYTES)
		abort();
	for (int i = 0; i < b->rec.nframes; i++)
		stored += b->rec.frame[i].stored;
	if (stored != b->rec.stored || b->rec.off < s->end || b->rec.off > s->limit ||
	    stored > s->limit - b->rec.off)
		abort(); /* it reaches over a neighbour or into the index */
	s->end = b->rec.off + stored;
	object_tail_add(&s->tail, b->slice, b->index, &b->rec);
	return 0;
}

static int
decode(const uint8_t *tail, size_t len, uint64_t frames)
{
	const uint8_t *footer = tail + len - FOOTER_BYTES;
	uint32_t index_len, crc, n;
	struct seen s = { 0 };
	uint8_t uuid[16];
	int err;

	struct object_seal seal;

	err = object_footer_decode(footer, frames + len, uuid, &seal, &s.limit, &index_len, &crc, &n);
	if (err || index_len > len - FOOTER_BYTES)
		return err; /* whoever reads an object would have had to read more of it */
	object_tail_start(&s.tail, malloc(len), len);
	s.tail.seal = seal;
	err = object_index_decode(footer - index_len, index_len, crc, n, s.limit, block, &s);
	if (err == 0 && (object_tail_finish(&s.tail, uuid, s.limit) != index_len + FOOTER_BYTES ||
	                 memcmp(s.tail.out, footer - index_len, index_len + FOOTER_BYTES) != 0))
		abort();
	free(s.tail.out);
	return err;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *tail, *footer;
	uint64_t frames;
	uint32_t index_len;

	if (len < 8 + FOOTER_BYTES || len > 65536)
		return 0;
	frames = get_le64(data);
	if (frames > UINT64_MAX - len)
		return 0; /* no object is so long that its length wraps */
	len -= 8;
	tail = malloc(len);
	memcpy(tail, data + 8, len);
	decode(tail, len, frames);

	footer = tail + len - FOOTER_BYTES;
	index_len = get_le32(footer + 24);
	if (index_len <= len - FOOTER_BYTES)
		put_le32(footer + 28, crc32c(0, footer - index_len, index_len));
	put_le32(footer + FOOTER_BYTES - 4, crc32c(0, footer, FOOTER_BYTES - 4));
	decode(tail, len, frames);
	free(tail);
	return 0;
}
