/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile journal segment.  Input: a byte of flags, a byte of tail, then the file: as
 * it is (RAW), or in pages, each a length (u16; with its top bit the block's checksum is
 * made right) and so many bytes, the rest of the page being zeros.  With PAYLOADS the
 * checksums of payloads are made right too: no mutation would find them, and behind them
 * is what is to be tested. What is accepted must lie in the file, be in sequence, and say
 * the same when it is encoded again.
 */
#include <stdlib.h>

#include "store/block.h"
#include "store/journal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define FILE_MAX (64 * PAGE)
#define RAW      1
#define PAYLOADS 2

struct file {
	uint8_t *bytes;
	size_t len;
};

static void
need(bool ok)
{
	if (!ok)
		abort();
}

/* Of a copy of its own, so that ASan sees where the file ends. */
static ssize_t
read_file(void *arg, void *p, size_t len, uint64_t off)
{
	const struct file *f = arg;

	need(off % PAGE == 0 && off <= f->len);
	len = MIN(len, f->len - off);
	if (len > 0)
		memcpy(p, f->bytes + off, len);
	return (ssize_t)len;
}

static void
seal_payloads(struct file *f, size_t page)
{
	uint32_t n = get_le32(f->bytes + page + 8);
	size_t at = page + PAGE;

	for (uint32_t i = 0; i < n && i < JGROUP_RECORDS; i++) {
		uint8_t *rec = f->bytes + page + JGROUP_HEAD_BYTES + i * JREC_BYTES;
		uint32_t bytes = get_le32(rec + 24);

		if (bytes > f->len || at > f->len - bytes)
			return;
		put_le32(rec + 28, crc32c(0, f->bytes + at, bytes));
		at += ROUND_UP(bytes, PAGE);
	}
}

static void
build(struct file *f, const uint8_t *data, size_t len, uint8_t flags)
{
	uint64_t sealed = 0;
	size_t n;

	for (n = 0; n < FILE_MAX / PAGE && len >= 2; n++) {
		uint32_t head = get_le16(data), bytes = MIN(head & 0xfff, len - 2);

		memcpy(f->bytes + n * PAGE, data + 2, bytes);
		sealed |= (uint64_t)(head >> 15) << n;
		data += 2 + bytes;
		len -= 2 + bytes;
	}
	f->len = n * PAGE;
	for (size_t i = n; i-- > 0; ) {
		uint8_t *page = f->bytes + i * PAGE;

		if (!(sealed >> i & 1))
			continue;
		if (flags & PAYLOADS)
			seal_payloads(f, i * PAGE);
		put_le32(page + PAGE - 4, crc32c(0, page, PAGE - 4));
	}
}

static void
check_group(const struct jparse *p, const struct jgroup_found *g, uint64_t from, uint64_t seq)
{
	struct jgroup_found again;
	uint8_t page[PAGE];
	uint64_t at = from + PAGE;

	need(g->desc.nrec > 0 && g->desc.nrec <= JGROUP_RECORDS && g->desc.first_seq == seq);
	need(p->seq == seq + g->desc.nrec && p->off == g->end && g->end > from);
	for (uint32_t i = 0; i < g->desc.nrec; i++) {
		need(g->payload[i] == at && g->rec[i].len <= JRECORD_BYTES_MAX && g->rec[i].ino != 0);
		if (seq + i >= p->tail)
			need(at + g->rec[i].len <= p->size);
		at += ROUND_UP(g->rec[i].len, PAGE);
		jrec_encode(page, i, &g->rec[i]);
	}
	need(at == g->end);
	jdesc_seal(page, &g->desc);
	need(jdesc_decode(&again.desc, again.rec, page) == 0);
	need(memcmp(&again.desc, &g->desc, sizeof(g->desc)) == 0);
	for (uint32_t i = 0; i < g->desc.nrec; i++)
		need(again.rec[i].ino == g->rec[i].ino && again.rec[i].off == g->rec[i].off &&
		     again.rec[i].len == g->rec[i].len && again.rec[i].crc == g->rec[i].crc &&
		     again.rec[i].kind == g->rec[i].kind && again.rec[i].time_ns == g->rec[i].time_ns);
}

static void
parse(struct file *f, uint64_t tail)
{
	struct jparse p = { .read = read_file, .arg = f, .size = f->len, .tail = tail };
	uint64_t from, first, seq, seen, durable = 0;
	struct jgroup_found g;
	int r = jparse_init(&p);

	if (r < 0) {
		need(r == -ENODATA || r == -E_DAMAGED || r == -E_FORMAT);
		return;
	}
	for (from = p.off, seq = p.seq; (r = jparse_next(&p, &g)) == 1; from = p.off, seq = p.seq)
		check_group(&p, &g, from, seq);
	need((r == 0 || r == -E_DAMAGED) && p.off == from && p.seq == seq);
	first = seen = p.seq;
	r = jparse_later(&p, &seen, &durable);
	need(r == (seen > first));
	jparse_fini(&p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct file f = { 0 };
	uint8_t flags;

	if (len < 2 || len > FILE_MAX)
		return 0;
	flags = data[0];
	if (flags & RAW) {
		f.len = len - 2;
		f.bytes = malloc(f.len + 1);
		memcpy(f.bytes, data + 2, f.len);
	} else {
		f.bytes = calloc(1, FILE_MAX);
		build(&f, data + 2, len - 2, flags);
		f.bytes = realloc(f.bytes, f.len + 1);
	}
	parse(&f, data[1]);
	free(f.bytes);
	return 0;
}
