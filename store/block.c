/* SPDX-License-Identifier: Apache-2.0 */
#include "store/block.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crypto/aead.h"

static const uint8_t magic[8] = "DTTOBJ1";

#define OBJECT_VERSION 1
/* A sealed frame is longer than its plain bytes by a nonce and a tag; nothing we write exceeds this. */
#define FRAME_STORED_MAX (FRAME_BYTES + 64)
static_assert(AEAD_NONCE + AEAD_TAG <= 64, "a sealed frame is none too long");

#define BLOCKS_PER_SLICE (64 * MIB / BLOCK_BYTES) /* a slice is at most a chunk */

size_t
object_name(char out[OBJECT_NAME_MAX], const char *prefix, uint64_t slice, uint32_t index,
            const struct block_rec *rec)
{
	const char *slash = *prefix ? "/" : "";
	uint64_t id = rec->pack ? rec->pack : slice;
	int n;

	if (rec->pack)
		n = snprintf(out, OBJECT_NAME_MAX, "%s%spacks/%02X/%" PRIu64 "/%" PRIu64, prefix,
		             slash, (unsigned)(id % 256), id / 1000000, id);
	else
		n = snprintf(out, OBJECT_NAME_MAX,
		             "%s%schunks/%02X/%" PRIu64 "/%" PRIu64 "_%" PRIu32 "_%" PRIu32, prefix,
		             slash, (unsigned)(id % 256), id / 1000000, id, index, rec->plain);
	/* A prefix that leaves no room is refused with the config: a cut name would be another block's. */
	assert(n > 0 && n < OBJECT_NAME_MAX);
	return (size_t)n;
}

bool
object_name_parse(const char *name, const char *prefix, struct object_id *id)
{
	const char *last = strrchr(name, '/');
	struct block_rec rec = { 0 };
	char again[OBJECT_NAME_MAX];
	int n;

	if (!last)
		return false;
	*id = (struct object_id){ 0 };
	n = sscanf(last, "/%" SCNu64 "_%" SCNu32 "_%" SCNu32, &id->slice, &id->index, &id->plain);
	if (n == 1) {
		id->pack = id->slice;
		id->slice = 0;
	}
	if ((n != 1 && n != 3) || id->slice + id->pack == 0)
		return false;
	/* Signs, zeros in front, the wrong folder: what makes another name is none of ours. */
	rec.pack = id->pack;
	rec.plain = id->plain;
	object_name(again, prefix, id->slice, id->index, &rec);
	return strcmp(again, name) == 0;
}

/* ---- encoding: sizes are known beforehand, so it cannot fail ---- */

struct writer { uint8_t *p; };

static void w8(struct writer *w, uint8_t v)   { *w->p++ = v; }
static void w16(struct writer *w, uint16_t v) { put_le16(w->p, v); w->p += 2; }
static void w32(struct writer *w, uint32_t v) { put_le32(w->p, v); w->p += 4; }
static void w64(struct writer *w, uint64_t v) { put_le64(w->p, v); w->p += 8; }

static void
wbytes(struct writer *w, const void *p, size_t len)
{
	memcpy(w->p, p, len);
	w->p += len;
}

size_t
object_tail_bytes(const struct object_block *b, int n)
{
	size_t bytes = FOOTER_BYTES;

	for (int i = 0; i < n; i++)
		bytes += INDEX_BLOCK_BYTES + (size_t)b[i].rec.nframes * INDEX_FRAME_BYTES;
	return bytes;
}

void
object_tail_start(struct object_tail *t, uint8_t *out, size_t cap)
{
	*t = (struct object_tail){ .out = out, .cap = cap };
}

void
object_tail_add(struct object_tail *t, uint64_t slice, uint32_t index, const struct block_rec *rec)
{
	struct writer w = { .p = t->out + t->len };

	assert(INDEX_BLOCK_BYTES + (size_t)rec->nframes * INDEX_FRAME_BYTES <= t->cap - t->len);
	w64(&w, slice);
	w32(&w, index);
	w32(&w, rec->plain);
	w64(&w, rec->off);
	w16(&w, rec->nframes);
	w16(&w, 0);
	w32(&w, rec->key_epoch);
	for (int i = 0; i < rec->nframes; i++) {
		w32(&w, rec->frame[i].stored);
		w32(&w, rec->frame[i].crc);
		w8(&w, rec->frame[i].codec);
	}
	t->len = (size_t)(w.p - t->out);
	t->nblocks++;
}

size_t
object_tail_finish(struct object_tail *t, const uint8_t uuid[16], uint64_t end)
{
	uint8_t *footer = t->out + t->len;
	struct writer w = { .p = footer };

	assert(t->nblocks > 0 && FOOTER_BYTES <= t->cap - t->len);
	wbytes(&w, magic, sizeof(magic));
	w16(&w, OBJECT_VERSION);
	w16(&w, t->seal.cipher);
	w32(&w, t->nblocks);
	w64(&w, end);
	w32(&w, (uint32_t)t->len);
	w32(&w, crc32c(0, t->out, t->len));
	w64(&w, t->seal.key_id);
	wbytes(&w, uuid, 16);
	w32(&w, 0);
	w32(&w, crc32c(0, footer, FOOTER_BYTES - 4));
	assert(w.p - footer == FOOTER_BYTES);
	return t->len + FOOTER_BYTES;
}

size_t
object_tail_encode(uint8_t *out, size_t cap, const uint8_t uuid[16], const struct object_block *b,
                   int n, uint64_t end)
{
	struct object_tail t;

	object_tail_start(&t, out, cap);
	for (int i = 0; i < n; i++)
		object_tail_add(&t, b[i].slice, b[i].index, &b[i].rec);
	return object_tail_finish(&t, uuid, end);
}

/* ---- decoding: a short input reads as zeros and is reported once, at the end ---- */

struct reader { const uint8_t *p; size_t left; bool bad; };

static const uint8_t *
take(struct reader *r, size_t len)
{
	static const uint8_t zeros[16];
	const uint8_t *p = r->p;

	assert(len <= sizeof(zeros));
	if (r->bad || r->left < len) {
		r->bad = true;
		return zeros;
	}
	r->p += len;
	r->left -= len;
	return p;
}

static uint8_t  r8(struct reader *r)  { return *take(r, 1); }
static uint16_t r16(struct reader *r) { return get_le16(take(r, 2)); }
static uint32_t r32(struct reader *r) { return get_le32(take(r, 4)); }
static uint64_t r64(struct reader *r) { return get_le64(take(r, 8)); }

int
object_footer_decode(const uint8_t footer[FOOTER_BYTES], uint64_t object_bytes, uint8_t uuid[16], struct object_seal *seal,
                     uint64_t *index_off, uint32_t *index_len, uint32_t *index_crc, uint32_t *nblocks)
{
	struct reader r = { .p = footer, .left = FOOTER_BYTES };
	uint16_t version;
	uint64_t key_id;
	uint32_t zero;

	/* The checksum first: what follows can then tell a newer format from junk. */
	if (memcmp(take(&r, sizeof(magic)), magic, sizeof(magic)) != 0 ||
	    get_le32(footer + FOOTER_BYTES - 4) != crc32c(0, footer, FOOTER_BYTES - 4))
		return -E_DAMAGED;
	version = r16(&r);
	seal->cipher = r16(&r);
	if (version != OBJECT_VERSION || seal->cipher >= AEAD_KINDS)
		return -E_FORMAT;
	*nblocks = r32(&r);
	*index_off = r64(&r);
	*index_len = r32(&r);
	*index_crc = r32(&r);
	key_id = r64(&r);
	memcpy(uuid, take(&r, 16), 16);
	zero = r32(&r);
	if (key_id > UINT32_MAX || (key_id == 0) != (seal->cipher == AEAD_NONE) || zero != 0)
		return -E_FORMAT;
	seal->key_id = (uint32_t)key_id;
	/* Subtracting from what is known to be greater: no sum of hostile numbers can wrap. */
	if (object_bytes < FOOTER_BYTES || *index_off > object_bytes - FOOTER_BYTES ||
	    object_bytes - FOOTER_BYTES - *index_off != *index_len)
		return -E_DAMAGED;
	if (*nblocks == 0 || *nblocks > *index_len / (INDEX_BLOCK_BYTES + INDEX_FRAME_BYTES))
		return -E_DAMAGED;
	return 0;
}

/* The next block; its frames must lie in [*from, index_off) of the object, and move *from behind them. */
static int
index_decode(struct reader *r, uint64_t *from, uint64_t index_off, struct object_block *b)
{
	struct block_rec *rec = &b->rec;
	uint16_t zero;

	memset(b, 0, sizeof(*b));
	b->slice = r64(r);
	b->index = r32(r);
	rec->plain = r32(r);
	rec->off = r64(r);
	rec->nframes = r16(r);
	zero = r16(r);
	rec->key_epoch = r32(r);
	if (r->bad)
		return -E_DAMAGED;
	if (zero != 0)
		return -E_FORMAT;
	if (b->slice == 0 || b->index >= BLOCKS_PER_SLICE || rec->plain == 0 || rec->plain > BLOCK_BYTES ||
	    rec->nframes != (rec->plain + FRAME_BYTES - 1) / FRAME_BYTES ||
	    rec->off < *from || rec->off > index_off)
		return -E_DAMAGED;
	for (int i = 0; i < rec->nframes; i++) {
		struct frame_rec *f = &rec->frame[i];

		f->stored = r32(r);
		f->crc = r32(r);
		f->codec = r8(r);
		if (r->bad || f->stored == 0 || f->stored > FRAME_STORED_MAX)
			return -E_DAMAGED;
		if (f->codec > CODEC_ZSTD)
			return -E_FORMAT;
		rec->stored += f->stored; /* 64 times FRAME_STORED_MAX at most */
	}
	if (rec->stored > index_off - rec->off)
		return -E_DAMAGED;
	*from = rec->off + rec->stored;
	return 0;
}

static int
index_walk(const uint8_t *index, uint32_t len, uint32_t nblocks, uint64_t index_off,
           int (*fn)(void *arg, const struct object_block *b), void *arg)
{
	struct reader r = { .p = index, .left = len };
	uint64_t from = 0;

	for (uint32_t i = 0; i < nblocks; i++) {
		struct object_block b;
		int err = index_decode(&r, &from, index_off, &b);

		if (!err && fn)
			err = fn(arg, &b);
		if (err)
			return err;
	}
	return r.left == 0 ? 0 : -E_DAMAGED;
}

int
object_index_decode(const uint8_t *index, uint32_t len, uint32_t crc, uint32_t nblocks,
                    uint64_t index_off, int (*fn)(void *arg, const struct object_block *b), void *arg)
{
	int err;

	if (crc32c(0, index, len) != crc)
		return -E_DAMAGED;
	/* Twice, so that nobody acts on the first half of an index whose second half is nonsense. */
	err = index_walk(index, len, nblocks, index_off, NULL, NULL);
	return err ? err : index_walk(index, len, nblocks, index_off, fn, arg);
}
