/* SPDX-License-Identifier: Apache-2.0 */
#include "store/journal_format.h"

#include <stdlib.h>

#include "store/block.h"

#define HEAD_MAGIC  "DTTJSEG"
#define GROUP_MAGIC "DTTJGRP"
#define CRC_AT      (PAGE - 4)
#define WINDOW      MIB
#define SEQ_MAX     ((uint64_t)1 << 62) /* nobody gets there; sums of what is below don't overflow */

static_assert(sizeof(HEAD_MAGIC) == 8 && sizeof(GROUP_MAGIC) == 8, "8 bytes with their zero");
static_assert(WINDOW >= JRECORD_BYTES_MAX, "a payload is checked in one view");

static void
seal(uint8_t page[PAGE])
{
	put_le32(page + CRC_AT, crc32c(0, page, CRC_AT));
}

static bool
is_sealed(const uint8_t page[PAGE])
{
	return get_le32(page + CRC_AT) == crc32c(0, page, CRC_AT);
}

void
jhead_encode(uint8_t page[PAGE], const struct jhead *h)
{
	memset(page, 0, PAGE);
	memcpy(page, HEAD_MAGIC, 8);
	put_le32(page + 8, JFORMAT_VERSION);
	put_le32(page + 12, h->core);
	memcpy(page + 16, h->uuid, 16);
	memcpy(page + 32, h->run, 16);
	put_le64(page + 48, h->epoch);
	put_le64(page + 56, h->number);
	put_le64(page + 64, h->first_seq);
	seal(page);
}

int
jhead_decode(struct jhead *h, const uint8_t page[PAGE])
{
	static const uint8_t zeros[PAGE];

	if (memcmp(page, zeros, PAGE) == 0)
		return -ENODATA;
	if (memcmp(page, HEAD_MAGIC, 8) != 0 || !is_sealed(page))
		return -E_DAMAGED;
	if (get_le32(page + 8) != JFORMAT_VERSION)
		return -E_FORMAT;
	h->core = get_le32(page + 12);
	memcpy(h->uuid, page + 16, 16);
	memcpy(h->run, page + 32, 16);
	h->epoch = get_le64(page + 48);
	h->number = get_le64(page + 56);
	h->first_seq = get_le64(page + 64);
	return h->first_seq > 0 && h->first_seq <= SEQ_MAX && h->epoch <= SEQ_MAX ? 0 : -E_DAMAGED;
}

void
jrec_encode(uint8_t page[PAGE], uint32_t i, const struct jrec *r)
{
	uint8_t *p = page + JGROUP_HEAD_BYTES + i * JREC_BYTES;

	assert(i < JGROUP_RECORDS);
	put_le64(p, r->ino);
	put_le64(p + 8, r->off);
	put_le64(p + 16, r->time_ns);
	put_le32(p + 24, r->len);
	put_le32(p + 28, r->crc);
	put_le32(p + 32, r->kind);
	put_le32(p + 36, 0);
}

static bool
jrec_decode(struct jrec *r, const uint8_t *p)
{
	r->ino = get_le64(p);
	r->off = get_le64(p + 8);
	r->time_ns = get_le64(p + 16);
	r->len = get_le32(p + 24);
	r->crc = get_le32(p + 28);
	r->kind = get_le32(p + 32);
	if (r->ino == 0 || get_le32(p + 36) != 0)
		return false;
	if (r->kind == J_TRUNC)
		return r->len == 0;
	return r->kind == J_WRITE && r->len > 0 && r->len <= JRECORD_BYTES_MAX &&
	       r->off <= UINT64_MAX - r->len;
}

void
jdesc_seal(uint8_t page[PAGE], const struct jdesc *d)
{
	size_t used = JGROUP_HEAD_BYTES + d->nrec * JREC_BYTES;

	assert(d->nrec > 0 && d->nrec <= JGROUP_RECORDS);
	memcpy(page, GROUP_MAGIC, 8);
	put_le32(page + 8, d->nrec);
	put_le32(page + 12, d->core);
	memcpy(page + 16, d->run, 16);
	put_le64(page + 32, d->epoch);
	put_le64(page + 40, d->first_seq);
	put_le64(page + 48, d->durable);
	put_le64(page + 56, 0);
	memset(page + used, 0, PAGE - used);
	seal(page);
}

int
jdesc_decode(struct jdesc *d, struct jrec rec[JGROUP_RECORDS], const uint8_t page[PAGE])
{
	if (memcmp(page, GROUP_MAGIC, 8) != 0 || !is_sealed(page))
		return -E_DAMAGED;
	d->nrec = get_le32(page + 8);
	d->core = get_le32(page + 12);
	memcpy(d->run, page + 16, 16);
	d->epoch = get_le64(page + 32);
	d->first_seq = get_le64(page + 40);
	d->durable = get_le64(page + 48);
	if (d->nrec == 0 || d->nrec > JGROUP_RECORDS || d->first_seq > SEQ_MAX ||
	    d->durable >= d->first_seq)
		return -E_DAMAGED;
	for (uint32_t i = 0; i < d->nrec; i++)
		if (!jrec_decode(&rec[i], page + JGROUP_HEAD_BYTES + i * JREC_BYTES))
			return -E_DAMAGED;
	return 0;
}

/*
 * *out: len bytes of the file at off, until the next view.  1, 0 when the file ends before,
 * -errno.
 */
static int
view(struct jparse *p, uint64_t off, size_t len, const uint8_t **out)
{
	if (off > p->size || len > p->size - off)
		return 0;
	if (off < p->window_off || off + len > p->window_off + p->window_len) {
		/* Whole blocks, as O_DIRECT wants them. */
		size_t want = (size_t)MIN(WINDOW, ROUND_UP(p->size - off, PAGE));
		ssize_t n = p->read(p->arg, p->window, want, off);

		p->window_off = off;
		p->window_len = n < 0 ? 0 : (size_t)n;
		if (n < 0)
			return (int)n;
		if ((size_t)n < len)
			return 0;
	}
	*out = p->window + (off - p->window_off);
	return 1;
}

int
jparse_init(struct jparse *p)
{
	const uint8_t *page;
	int r;

	p->window = aligned_alloc(PAGE, WINDOW);
	if (!p->window)
		return -ENOMEM;
	p->window_off = p->window_len = 0;
	r = view(p, 0, PAGE, &page);
	if (r == 1)
		r = jhead_decode(&p->head, page);
	else if (r == 0)
		r = -ENODATA;
	if (r < 0) {
		jparse_fini(p);
		return r;
	}
	p->off = PAGE;
	p->seq = p->head.first_seq;
	return 0;
}

void
jparse_fini(struct jparse *p)
{
	free(p->window);
	p->window = NULL;
}

static bool
is_of_run(const struct jparse *p, const struct jdesc *d)
{
	return memcmp(d->run, p->head.run, 16) == 0 && d->core == p->head.core &&
	       d->epoch == p->head.epoch;
}

int
jparse_next(struct jparse *p, struct jgroup_found *g)
{
	const uint8_t *b;
	uint64_t at = p->off + PAGE;
	int r = view(p, p->off, PAGE, &b);

	if (r <= 0)
		return r;
	/* A lower number is what the segment held before it was used again: the log ends here. */
	if (jdesc_decode(&g->desc, g->rec, b) < 0 || !is_of_run(p, &g->desc) ||
	    g->desc.first_seq != p->seq)
		return 0;
	for (uint32_t i = 0; i < g->desc.nrec; i++) {
		const struct jrec *rec = &g->rec[i];

		g->payload[i] = (uint32_t)at;
		at += ROUND_UP(rec->len, PAGE);
		if (at > UINT32_MAX)
			return -E_DAMAGED;
		if (p->seq + i < p->tail || rec->kind != J_WRITE)
			continue;
		r = view(p, g->payload[i], rec->len, &b);
		if (r < 0)
			return r;
		if (r == 0 || crc32c(0, b, rec->len) != rec->crc)
			return -E_DAMAGED;
	}
	g->end = at;
	p->off = at;
	p->seq += g->desc.nrec;
	return 1;
}

int
jparse_later(struct jparse *p, uint64_t *seq, uint64_t *durable)
{
	struct jrec rec[JGROUP_RECORDS];
	struct jdesc d;
	const uint8_t *b;
	int found = 0, r;

	for (uint64_t at = p->off + PAGE; (r = view(p, at, PAGE, &b)) > 0; at += PAGE) {
		if (jdesc_decode(&d, rec, b) < 0 || !is_of_run(p, &d) || d.first_seq <= *seq)
			continue;
		*seq = d.first_seq;
		*durable = MAX(*durable, d.durable);
		found = 1;
	}
	return r < 0 ? r : found;
}
