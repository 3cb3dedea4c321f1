/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "meta/record.h"

static struct attr
some_attr(void)
{
	return (struct attr){
		.ino = 0x1122334455667788, .gen = 7, .type = FT_REG, .mode = 06755, .uid = 1000,
		.gid = 1001, .nlink = 3, .rdev_major = 8, .rdev_minor = 17, .share = 2,
		.size = (uint64_t)5 << 40, .used = 4096, .atime_ns = 1, .mtime_ns = 2, .ctime_ns = 3,
		.parent = 99, .jseq = 12345, .verf = ~(uint64_t)0,
	};
}

Test(record, name_hash_is_a_cookie)
{
	uint8_t secret[16] = "0123456789abcdef", other[16] = "0123456789abcdeF";
	uint64_t h = name_hash(secret, "file", 4);

	cr_assert(ne(u64, h, name_hash(other, "file", 4)));
	cr_assert(ne(u64, h, name_hash(secret, "filf", 4)));
	for (int i = 0; i < 10000; i++) {
		uint64_t c = name_hash(secret, (char *)&i, sizeof(i));

		cr_assert(c > COOKIE_DOTDOT && c < (uint64_t)1 << 63);
	}
}

Test(record, attr_round_trip)
{
	struct attr a = some_attr(), b;
	uint8_t v[ATTR_BYTES_MAX + SYMLINK_BYTES_MAX + 1];
	size_t used = 0, len = attr_encode(v, &a);

	memset(&b, 0xff, sizeof(b));
	cr_assert(eq(int, attr_decode(&b, v, len, &used), 0));
	cr_assert(eq(sz, used, len));
	cr_assert(eq(u64, b.ino, a.ino));
	cr_assert(eq(u64, b.gen, a.gen));
	cr_assert(eq(u32, b.mode, a.mode));
	cr_assert(eq(u32, b.nlink, a.nlink));
	cr_assert(eq(u32, b.rdev_minor, a.rdev_minor));
	cr_assert(eq(u32, b.share, a.share));
	cr_assert(eq(u64, b.size, a.size));
	cr_assert(eq(u64, b.ctime_ns, a.ctime_ns));
	cr_assert(eq(u64, b.jseq, a.jseq));
	cr_assert(eq(u64, b.verf, a.verf));

	/* No other length, no other version, no nonsense. */
	for (size_t n = 0; n < len; n++)
		cr_assert(eq(int, attr_decode(&b, v, n, NULL), -E_DAMAGED));
	cr_assert(eq(int, attr_decode(&b, v, len + 1, NULL), -E_DAMAGED));
	v[0]++;
	cr_assert(eq(int, attr_decode(&b, v, len, NULL), -E_FORMAT));
	a.type = FT_FIFO + 1;
	attr_encode(v, &a);
	cr_assert(eq(int, attr_decode(&b, v, len, NULL), -E_DAMAGED));

	/* A symlink's target follows. */
	a.type = FT_LNK;
	attr_encode(v, &a);
	cr_assert(eq(int, attr_decode(&b, v, len + SYMLINK_BYTES_MAX, &used), 0));
	cr_assert(eq(sz, used, len));
	cr_assert(eq(int, attr_decode(&b, v, len + SYMLINK_BYTES_MAX + 1, &used), -E_DAMAGED));
}

Test(record, dirent_and_slice)
{
	struct dirent_rec d = { .ino = 1, .gen = 2, .type = FT_DIR }, e;
	struct slice_rec s = { .pos = 1, .len = 2, .off = 3, .slice = 4 }, t;
	uint8_t v[DIRENT_BYTES + 1] = { 0 }, w[SLICE_REC_BYTES];
	size_t len = dirent_encode(v, &d);

	cr_assert(eq(int, dirent_decode(&e, v, len), 0));
	cr_assert(e.ino == 1 && e.gen == 2 && e.type == FT_DIR);
	for (size_t n = 0; n < len; n++)
		cr_assert(eq(int, dirent_decode(&e, v, n), -E_DAMAGED));
	cr_assert(eq(int, dirent_decode(&e, v, len + 1), -E_DAMAGED));
	v[0] = 9;
	cr_assert(eq(int, dirent_decode(&e, v, len), -E_FORMAT));

	slice_encode(w, &s);
	cr_assert(eq(int, slice_decode(&t, w), 0));
	cr_assert(t.pos == 1 && t.len == 2 && t.off == 3 && t.slice == 4);
	w[0]++;
	cr_assert(eq(int, slice_decode(&t, w), -E_FORMAT));
	s.pos = (uint32_t)CHUNK_BYTES - 1; /* beyond its chunk */
	slice_encode(w, &s);
	cr_assert(eq(int, slice_decode(&t, w), -E_DAMAGED));
}

Test(record, block_round_trip)
{
	struct block_rec b = { .pack = 5, .off = 6, .plain = 7, .stored = 8, .key_epoch = 9,
		               .nframes = FRAMES_PER_BLOCK }, c;
	uint8_t v[BLOCK_REC_BYTES_MAX + 1];
	size_t len;

	for (uint32_t i = 0; i < FRAMES_PER_BLOCK; i++)
		b.frame[i] = (struct frame_rec){ .stored = i, .crc = ~i, .codec = (uint8_t)(i % 3) };
	len = block_encode(v, &b);
	cr_assert(eq(int, block_decode(&c, v, len), 0));
	cr_assert(c.pack == 5 && c.off == 6 && c.plain == 7 && c.stored == 8 && c.key_epoch == 9);
	for (uint32_t i = 0; i < FRAMES_PER_BLOCK; i++)
		cr_assert(c.frame[i].stored == i && c.frame[i].crc == ~i && c.frame[i].codec == i % 3);
	for (size_t n = 0; n < len; n++)
		cr_assert(eq(int, block_decode(&c, v, n), -E_DAMAGED));
	v[30] = 0xff; /* the count of frames */
	cr_assert(eq(int, block_decode(&c, v, len), -E_DAMAGED));
}

Test(record, volume_and_share)
{
	struct volume v = { .uuid = "uuid", .format_version = 1, .formatted_ns = 3, .block_bytes = 4,
		            .frame_bytes = 5, .secret = "secret" }, w;
	struct share_rec s = { .name = "/export", .id = 1, .root = 2, .codec = 3, .level = 4,
		               .prefix = "p" }, t;
	uint8_t b[SHARE_BYTES_MAX];
	size_t len = volume_encode(b, &v);

	cr_assert(eq(int, volume_decode(&w, b, len), 0));
	cr_assert(memcmp(v.uuid, w.uuid, sizeof(v.uuid)) == 0 && memcmp(v.secret, w.secret, sizeof(v.secret)) == 0);
	cr_assert(w.format_version == 1 && w.formatted_ns == 3 && w.block_bytes == 4 && w.frame_bytes == 5);
	cr_assert(eq(int, volume_decode(&w, b, len - 1), -E_DAMAGED));
	len = share_encode(b, &s);
	cr_assert(eq(int, share_decode(&t, b, len), 0));
	cr_assert(zero(int, strcmp(t.name, "/export")));
	cr_assert(zero(int, strcmp(t.prefix, "p")));
	cr_assert(t.id == 1 && t.root == 2 && t.codec == 3 && t.level == 4);
	for (size_t n = 0; n < len; n++)
		cr_assert(eq(int, share_decode(&t, b, n), -E_DAMAGED));
	b[1] = 64; /* a name that does not fit */
	cr_assert(eq(int, share_decode(&t, b, len), -E_DAMAGED));
}

Test(record, keys_are_read_as_they_were_made)
{
	uint8_t k[32] = { 0 };
	struct garbage_key g;
	struct trash_key t;
	size_t len = key_garbage(k, 0x1122334455667788, 's', 0x99aabbccddeeff01);

	cr_assert(key_read_garbage(&g, k, len));
	cr_assert(eq(u64, g.due_s, 0x1122334455667788));
	cr_assert(eq(chr, g.kind, 's'));
	cr_assert(eq(u64, g.id, 0x99aabbccddeeff01));
	for (size_t n = 0; n < 32; n++)
		cr_assert(eq(int, key_read_garbage(&g, k, n), n == len));
	cr_assert(not(key_read_trash(&t, k, len)));
	len = key_trash(k, 0x01020304, 0x1122334455667788, 0x99aabbccddeeff01);
	cr_assert(key_read_trash(&t, k, len));
	cr_assert(eq(u32, t.share, 0x01020304));
	cr_assert(eq(u64, t.deleted_s, 0x1122334455667788));
	cr_assert(eq(u64, t.ino, 0x99aabbccddeeff01));
	for (size_t n = 0; n < 32; n++)
		cr_assert(eq(int, key_read_trash(&t, k, n), n == len));
	k[0] = 'G';
	cr_assert(not(key_read_trash(&t, k, len)));
}

/* What scans rely on: keys of one directory are together and in cookie order. */
Test(record, keys_sort)
{
	uint8_t a[320], b[320];
	size_t la, lb;

	la = key_dirent(a, 1, 255, "z", 1);
	lb = key_dirent(b, 1, 256, "a", 1);
	cr_assert(memcmp(a, b, MIN(la, lb)) < 0);
	lb = key_dirent_from(b, 1, 255);
	cr_assert(lb < la && memcmp(a, b, lb) == 0);
	la = key_garbage(a, 255, 's', 9);
	lb = key_garbage(b, 256, 'i', 1);
	cr_assert(eq(sz, la, lb));
	cr_assert(memcmp(a, b, la) < 0);
	la = key_chunk(a, 1, 0xffffffff);
	lb = key_chunk(b, 1, 0x100000000);
	cr_assert(memcmp(a, b, la) < 0 && la == lb);
	cr_assert(eq(sz, key_dirent(a, 1, 1, "x", 1), 18));
	char name[NAME_BYTES_MAX];
	memset(name, 'n', sizeof(name));
	cr_assert(le(sz, key_dirent(a, 1, 1, name, sizeof(name)), 320));
}
