/* SPDX-License-Identifier: Apache-2.0 */
#include "store/diskcache_format.h"

static const uint8_t magic[8] = "DTTCACH1";
#define VERSION_NOW 1
#define PAGE_CRC_AT (PAGE - 4)

uint32_t
cframe_crc(const uint8_t uuid[16], uint64_t slice, uint32_t frame, const void *p, uint32_t plain)
{
	uint8_t id[32];

	memcpy(id, uuid, 16);
	put_le64(id + 16, slice);
	put_le32(id + 24, frame);
	put_le32(id + 28, plain);
	return crc32c(crc32c(0, id, sizeof(id)), p, plain);
}

void
cframe_encode(uint8_t out[CFRAME_BYTES], const struct cframe *f)
{
	put_le64(out, f->slice);
	put_le64(out + 8, f->ino);
	put_le32(out + 16, f->frame);
	put_le32(out + 20, f->plain);
	put_le32(out + 24, f->crc);
	put_le32(out + 28, f->page);
}

uint32_t
segment_tail_encode(uint8_t *summary, struct segment_tail *t, const uint8_t uuid[16])
{
	uint32_t len = t->nframes * CFRAME_BYTES, padded = segment_summary_bytes(t->nframes);
	uint8_t *page = summary + padded;

	memset(summary + len, 0, padded - len);
	t->crc = crc32c(0, summary, padded);
	memset(page, 0, PAGE);
	memcpy(page, magic, sizeof(magic));
	put_le32(page + 8, VERSION_NOW);
	put_le32(page + 12, t->core);
	memcpy(page + 16, uuid, 16);
	put_le64(page + 32, t->serial);
	put_le32(page + 40, t->nframes);
	put_le32(page + 44, t->page);
	put_le32(page + 48, t->crc);
	put_le32(page + PAGE_CRC_AT, crc32c(0, page, PAGE_CRC_AT));
	return padded + PAGE;
}

static bool
is_zero(const uint8_t page[PAGE])
{
	for (uint32_t i = 0; i < PAGE; i++)
		if (page[i])
			return false;
	return true;
}

int
segment_tail_decode(struct segment_tail *t, const uint8_t page[PAGE], uint64_t file_bytes, const uint8_t uuid[16])
{
	if (is_zero(page))
		return -ENODATA;
	if (memcmp(page, magic, sizeof(magic)) || get_le32(page + PAGE_CRC_AT) != crc32c(0, page, PAGE_CRC_AT))
		return -E_DAMAGED;
	if (get_le32(page + 8) != VERSION_NOW)
		return -E_FORMAT;
	if (memcmp(page + 16, uuid, 16))
		return -EXDEV;
	*t = (struct segment_tail){ .core = get_le32(page + 12), .serial = get_le64(page + 32),
		                    .nframes = get_le32(page + 40), .page = get_le32(page + 44),
		                    .crc = get_le32(page + 48) };
	if (t->nframes == 0 || t->nframes > SEGMENT_FRAMES_MAX || t->page > SEGMENT_BYTES_MAX / PAGE ||
	    (uint64_t)t->page * PAGE + segment_summary_bytes(t->nframes) + PAGE != file_bytes)
		return -E_DAMAGED; /* cut, for instance */
	return 0;
}

int
segment_summary_decode(struct cframe *out, const uint8_t *summary, const struct segment_tail *t)
{
	uint32_t free_page = 0;

	if (crc32c(0, summary, segment_summary_bytes(t->nframes)) != t->crc)
		return -E_DAMAGED;
	for (uint32_t i = 0; i < t->nframes; i++, summary += CFRAME_BYTES) {
		struct cframe f = {
			.slice = get_le64(summary), .ino = get_le64(summary + 8),
			.frame = get_le32(summary + 16), .plain = get_le32(summary + 20),
			.crc = get_le32(summary + 24), .page = get_le32(summary + 28),
		};

		if (f.slice == 0 || f.slice >= CFRAME_SLICES || f.frame >= 1024 || f.plain == 0 ||
		    f.plain > FRAME_BYTES || f.page < free_page || f.page >= t->page)
			return -E_DAMAGED;
		free_page = f.page + (f.plain + PAGE - 1) / PAGE;
		out[i] = f;
	}
	return free_page <= t->page ? 0 : -E_DAMAGED;
}
