/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "store/block.h"

static const uint8_t uuid[16] = "0123456789abcde";

/* A block as the uploader would describe it: raw frames, one after the other from `off`. */
static struct object_block
block(uint64_t slice, uint32_t index, uint64_t off, uint32_t plain)
{
	struct object_block b = { .slice = slice, .index = index };

	b.rec.off = off;
	b.rec.plain = b.rec.stored = plain;
	b.rec.key_epoch = 7;
	for (; plain > 0; b.rec.nframes++) {
		uint32_t n = MIN(plain, FRAME_BYTES);

		b.rec.frame[b.rec.nframes] = (struct frame_rec){ n, plain * 2654435761u, CODEC_RAW };
		plain -= n;
	}
	return b;
}

struct object {
	uint8_t tail[65536];
	size_t len;
	uint64_t end;       /* of the frames */
	uint8_t uuid[16];
	struct object_seal seal;
	uint64_t index_off;
	uint32_t index_len, index_crc, nblocks;
	struct object_block got[8];
	int ngot;
};

static int
collect(void *arg, const struct object_block *b)
{
	struct object *o = arg;

	if (o->ngot == (int)ARRAY_LEN(o->got))
		return -ENOSPC;
	o->got[o->ngot++] = *b;
	return 0;
}

static void
encode(struct object *o, const struct object_block *b, int n)
{
	memset(o, 0, sizeof(*o));
	o->end = b[n - 1].rec.off + b[n - 1].rec.stored;
	o->len = object_tail_encode(o->tail, sizeof(o->tail), uuid, b, n, o->end);
	cr_assert(eq(sz, o->len, object_tail_bytes(b, n)));
}

static int
footer(struct object *o)
{
	return object_footer_decode(o->tail + o->len - FOOTER_BYTES, o->end + o->len, o->uuid, &o->seal,
	                            &o->index_off, &o->index_len, &o->index_crc, &o->nblocks);
}

/* The index as it stands in the tail, with a checksum that is right. */
static int
walk(struct object *o, uint32_t len)
{
	o->ngot = 0;
	return object_index_decode(o->tail, len, crc32c(0, o->tail, len), o->nblocks, o->index_off,
	                           collect, o);
}

static int
decode(struct object *o)
{
	int err = footer(o);

	if (err)
		return err;
	return object_index_decode(o->tail, o->index_len, o->index_crc, o->nblocks, o->index_off,
	                           collect, o);
}

static void
expect_name(const char *name, const char *want)
{
	cr_assert(strcmp(name, want) == 0, "%s, not %s", name, want);
}

Test(block, names)
{
	struct block_rec rec = { .plain = 4194304 };
	char name[OBJECT_NAME_MAX];
	size_t n = object_name(name, "export", 12345678, 3, &rec);

	expect_name(name, "export/chunks/4E/12/12345678_3_4194304");
	cr_assert(eq(sz, n, strlen(name)));
	rec.pack = 1000255;
	object_name(name, "export", 12345678, 3, &rec);
	expect_name(name, "export/packs/3F/1/1000255");
	object_name(name, "", 1, 0, &rec);
	expect_name(name, "packs/3F/1/1000255");
	rec = (struct block_rec){ .plain = UINT32_MAX };
	n = object_name(name, "a/b", UINT64_MAX, UINT32_MAX, &rec);
	expect_name(name, "a/b/chunks/FF/18446744073709/"
	                  "18446744073709551615_4294967295_4294967295");
	cr_assert(eq(sz, n, strlen(name)));
}

Test(block, round_trip)
{
	static const uint32_t plains[] = { 1, 65535, 65536, 65537, 1000000, (uint32_t)BLOCK_BYTES };
	static struct object o;

	for (size_t i = 0; i < ARRAY_LEN(plains); i++) {
		struct object_block b = block(77, 15, 0, plains[i]);

		encode(&o, &b, 1);
		cr_assert(eq(int, decode(&o), 0));
		cr_assert(eq(int, o.ngot, 1));
		cr_assert(eq(int, memcmp(&o.got[0], &b, sizeof(b)), 0));
		cr_assert(eq(int, memcmp(o.uuid, uuid, 16), 0));
		cr_assert(eq(u64, o.index_off, plains[i]));
	}
}

Test(block, round_trip_of_a_pack)
{
	static struct object o;
	struct object_block b[3] = { block(5, 0, 0, 100), block(9, 2, 100, 70000),
	                             block(5, 1, 70100, 1) };

	b[1].rec.frame[1].codec = CODEC_ZSTD;
	encode(&o, b, 3);
	cr_assert(eq(int, decode(&o), 0));
	cr_assert(eq(int, o.ngot, 3));
	cr_assert(eq(int, memcmp(o.got, b, sizeof(b)), 0));
}

/* Formats outlive programs: these bytes must never change. */
Test(block, golden_bytes)
{
	static struct object o;
	struct object_block b = block(0x0102030405060708, 9, 0x0a0b, 5);
	static const uint8_t want[] = {
		8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 5, 0, 0, 0, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 7, 0, 0, 0,
		5, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 0,
		'D', 'T', 'T', 'O', 'B', 'J', '1', 0, 1, 0, 0, 0, 1, 0, 0, 0,
		0x10, 0x0a, 0, 0, 0, 0, 0, 0, 41, 0, 0, 0,
	};

	b.rec.frame[0].crc = 0xdeadbeef;
	encode(&o, &b, 1);
	cr_assert(eq(sz, o.len, INDEX_BLOCK_BYTES + INDEX_FRAME_BYTES + FOOTER_BYTES));
	cr_assert(eq(int, memcmp(o.tail, want, sizeof(want)), 0));
	cr_assert(eq(u32, get_le32(o.tail + sizeof(want)), crc32c(0, o.tail, 41)));
}

/* Any byte of the tail changed: never accepted, whatever it was. */
Test(block, every_byte_counts)
{
	static struct object o;
	struct object_block b[2] = { block(5, 0, 0, 100), block(9, 2, 100, 70000) };

	encode(&o, b, 2);
	for (size_t at = 0; at < o.len; at++) {
		o.tail[at] ^= 0x40;
		o.ngot = 0;
		cr_assert(lt(int, decode(&o), 0), "byte %zu", at);
		cr_assert(eq(int, o.ngot, 0));
		o.tail[at] ^= 0x40;
	}
	cr_assert(eq(int, decode(&o), 0));
}

static void
seal_footer(struct object *o)
{
	uint8_t *f = o->tail + o->len - FOOTER_BYTES;

	put_le32(f + FOOTER_BYTES - 4, crc32c(0, f, FOOTER_BYTES - 4));
}

/* Which cipher and key: they stand in the footer where it had zeros. */
Test(block, sealed)
{
	static const uint8_t want[] = { 'D', 'T', 'T', 'O', 'B', 'J', '1', 0, 1, 0, 2, 0, 1, 0, 0, 0 };
	static struct object o;
	struct object_block b = block(5, 0, 0, 100);
	struct object_tail t;

	b.rec.frame[0].stored = b.rec.stored = 128;
	object_tail_start(&t, o.tail, sizeof(o.tail));
	object_tail_add(&t, 5, 0, &b.rec);
	t.seal = (struct object_seal){ 2, 7 };
	o.end = 128;
	o.len = object_tail_finish(&t, uuid, o.end);
	cr_assert(eq(int, decode(&o), 0));
	cr_assert(o.seal.cipher == 2 && o.seal.key_id == 7 && o.got[0].rec.key_epoch == 7);
	cr_assert(eq(int, memcmp(o.got, &b, sizeof(b)), 0));

	uint8_t *f = o.tail + o.len - FOOTER_BYTES;

	cr_assert(eq(int, memcmp(f, want, sizeof(want)), 0));
	cr_assert(eq(u64, get_le64(f + 32), 7));
	static const struct { uint16_t cipher; uint64_t key; } lie[] = { { 0, 7 }, { 2, 0 }, { 3, 7 }, { 2, 1ull << 32 }, { UINT16_MAX, 7 } };
	for (size_t i = 0; i < ARRAY_LEN(lie); i++) {
		put_le16(f + 10, lie[i].cipher);
		put_le64(f + 32, lie[i].key);
		seal_footer(&o);
		cr_assert(eq(int, footer(&o), -E_FORMAT), "lie %zu", i);
	}
}

/* An index that ends anywhere too early, or goes on too long, with a good checksum. */
Test(block, truncated_index)
{
	static struct object o;
	struct object_block b[2] = { block(5, 0, 0, 100), block(9, 2, 100, 70000) };

	encode(&o, b, 2);
	cr_assert(eq(int, footer(&o), 0));
	for (uint32_t len = 0; len < o.index_len; len++) {
		/* Its own allocation, so that ASan sees a read beyond the end. */
		uint8_t *cut = malloc(MAX(len, 1));

		memcpy(cut, o.tail, len);
		o.ngot = 0;
		cr_assert(eq(int, object_index_decode(cut, len, crc32c(0, cut, len), o.nblocks,
		                                      o.index_off, collect, &o), -E_DAMAGED));
		cr_assert(eq(int, o.ngot, 0));
		free(cut);
	}
	cr_assert(eq(int, walk(&o, o.index_len + 1), -E_DAMAGED));
	cr_assert(eq(int, walk(&o, o.index_len), 0));
}

/* Numbers in the footer that lie, with a checksum that is right. */
Test(block, hostile_footer)
{
	static struct object o;
	struct object_block b = block(5, 0, 0, 100);
	static const struct { int at, bytes; uint64_t v; int err; } lie[] = {
		{ 8, 2, 0, -E_FORMAT },  { 8, 2, 2, -E_FORMAT },  { 10, 2, 1, -E_FORMAT },
		{ 12, 4, 0, -E_DAMAGED }, { 12, 4, 2, -E_DAMAGED }, { 12, 4, UINT32_MAX, -E_DAMAGED },
		{ 16, 8, 99, -E_DAMAGED }, { 16, 8, 101, -E_DAMAGED }, { 16, 8, UINT64_MAX, -E_DAMAGED },
		{ 16, 8, UINT64_MAX - 40, -E_DAMAGED }, { 16, 8, UINT64_MAX - 104, -E_DAMAGED },
		{ 24, 4, 0, -E_DAMAGED }, { 24, 4, 40, -E_DAMAGED }, { 24, 4, 42, -E_DAMAGED },
		{ 24, 4, UINT32_MAX, -E_DAMAGED }, { 32, 8, 1, -E_FORMAT }, { 56, 4, 1, -E_FORMAT },
	};

	for (size_t i = 0; i < ARRAY_LEN(lie); i++) {
		uint64_t v = htole64(lie[i].v);

		encode(&o, &b, 1);
		memcpy(o.tail + o.len - FOOTER_BYTES + lie[i].at, &v, (size_t)lie[i].bytes);
		seal_footer(&o);
		cr_assert(eq(int, footer(&o), lie[i].err), "lie %zu", i);
	}
	/* An object shorter than its footer says, down to nothing. */
	encode(&o, &b, 1);
	o.end = 0 - (uint64_t)o.len;
	for (uint64_t bytes = 0; bytes < 100 + o.len; bytes++, o.end++)
		cr_assert(eq(int, footer(&o), -E_DAMAGED));
	cr_assert(eq(int, footer(&o), 0));
}

/* The same for the index: every field at the values next to what it may be. */
Test(block, hostile_index)
{
	static struct object o;
	struct object_block b[2] = { block(5, 0, 0, 100), block(9, 2, 100, 70000) };
	enum { SECOND = INDEX_BLOCK_BYTES + INDEX_FRAME_BYTES, FRAME = SECOND + INDEX_BLOCK_BYTES };
	static const struct { int at, bytes; uint64_t v; int err; } lie[] = {
		{ SECOND, 8, 0, -E_DAMAGED }, { SECOND + 8, 4, 16, -E_DAMAGED },
		{ SECOND + 8, 4, UINT32_MAX, -E_DAMAGED }, { SECOND + 12, 4, 0, -E_DAMAGED },
		{ SECOND + 12, 4, 65536, -E_DAMAGED }, { SECOND + 12, 4, 131073, -E_DAMAGED },
		{ SECOND + 12, 4, BLOCK_BYTES + 1, -E_DAMAGED },
		{ SECOND + 12, 4, UINT32_MAX, -E_DAMAGED }, { SECOND + 16, 8, 99, -E_DAMAGED },
		{ SECOND + 16, 8, 101, -E_DAMAGED }, { SECOND + 16, 8, UINT64_MAX, -E_DAMAGED },
		{ SECOND + 16, 8, UINT64_MAX - 69999, -E_DAMAGED }, { SECOND + 24, 2, 0, -E_DAMAGED },
		{ SECOND + 24, 2, 1, -E_DAMAGED }, { SECOND + 24, 2, 3, -E_DAMAGED },
		{ SECOND + 24, 2, UINT16_MAX, -E_DAMAGED }, { SECOND + 26, 2, 1, -E_FORMAT },
		{ FRAME, 4, 0, -E_DAMAGED }, { FRAME, 4, 65537, -E_DAMAGED },
		{ FRAME, 4, UINT32_MAX, -E_DAMAGED }, { FRAME + 8, 1, 3, -E_FORMAT },
		{ FRAME + 8, 1, 255, -E_FORMAT },
	};

	for (size_t i = 0; i < ARRAY_LEN(lie); i++) {
		uint64_t v = htole64(lie[i].v);

		encode(&o, b, 2);
		cr_assert(eq(int, footer(&o), 0));
		memcpy(o.tail + lie[i].at, &v, (size_t)lie[i].bytes);
		cr_assert(eq(int, walk(&o, o.index_len), lie[i].err), "lie %zu", i);
		cr_assert(eq(int, o.ngot, 0));
	}
}

static int
stop(void *arg, const struct object_block *b)
{
	(void)b;
	return ++*(int *)arg == 2 ? 42 : 0;
}

Test(block, caller_may_stop)
{
	static struct object o;
	struct object_block b[3] = { block(5, 0, 0, 100), block(9, 2, 100, 70000),
	                             block(5, 1, 70100, 1) };
	int calls = 0;

	encode(&o, b, 3);
	cr_assert(eq(int, footer(&o), 0));
	cr_assert(eq(int, object_index_decode(o.tail, o.index_len, o.index_crc, o.nblocks,
	                                      o.index_off, stop, &calls), 42));
	cr_assert(eq(int, calls, 2));
}

Test(block, names_say_what_they_hold)
{
	static const char *const others[] = {
		"", "x", "p/chunks/", "p/chunks/01/0/1", "p/packs/01/0/1_0_5", "p/chunks/01/0/1_0", "p/chunks/01/0/1_0_5x",
		"p/chunks/01/0/01_0_5", "p/chunks/02/0/1_0_5", "p/chunks/01/1/1_0_5", "q/chunks/01/0/1_0_5", "p/chunks/01/0/1_-1_5",
		"p/chunks/00/0/0_0_5", "p/dittofs.json", "p/owners/7", "p/keys/1-0123456789abcdef", "p/keys/1",
	};
	char name[OBJECT_NAME_MAX];
	struct object_id id;

	for (uint64_t n = 1; n < (uint64_t)1 << 60; n *= 7) {
		struct block_rec own = { .plain = (uint32_t)n % BLOCK_BYTES + 1 }, pack = { .pack = n };

		object_name(name, n % 2 ? "p" : "", n, (uint32_t)n % 16, &own);
		cr_assert(object_name_parse(name, n % 2 ? "p" : "", &id), "%s", name);
		cr_assert(id.pack == 0 && id.slice == n && id.index == (uint32_t)n % 16 && id.plain == own.plain, "%s", name);
		object_name(name, "p", 99, 0, &pack);
		cr_assert(object_name_parse(name, "p", &id), "%s", name);
		cr_assert(id.pack == n && id.slice == 0, "%s", name);
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		cr_assert(not(object_name_parse(others[i], "p", &id)), "%s", others[i]);
}
