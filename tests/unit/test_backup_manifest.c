/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/backup_manifest.h"

static struct backup_manifest m;

static void
piece(uint64_t number, uint32_t bytes)
{
	struct backup_piece p = { .id = { 7, number }, .bytes = bytes };

	memset(p.digest, (int)number, sizeof(p.digest));
	cr_assert(eq(int, backup_manifest_piece(&m, &p), 0));
}

/* Two shares; a file of two pieces, one that is empty, one of a piece that another has too. */
static void
start(void)
{
	m = (struct backup_manifest){ .uuid = "0123456789abcde", .id = { 1795651200, 7 }, .until_s = 1795737600, .nshares = 2 };
	strcpy(m.share[0], "/export");
	strcpy(m.share[1], "/b");
	cr_assert(backup_manifest_file(&m, "000012.sst") != NULL);
	piece(1, BACKUP_PIECE);
	piece(2, 100);
	cr_assert(backup_manifest_file(&m, "CURRENT") != NULL);
	cr_assert(backup_manifest_file(&m, "MANIFEST-000004") != NULL);
	piece(2, 100);
}

static void
end(void)
{
	backup_manifest_free(&m);
}

TestSuite(backup_manifest, .init = start, .fini = end);

static int
parse(const char *text, size_t len)
{
	struct backup_manifest got = { 0 };
	char *copy = malloc(len ? len : 1); /* to the byte, for who looks at its ends */
	int err;

	memcpy(copy, text, len);
	err = backup_manifest_parse(&got, copy, len);
	backup_manifest_free(&got);
	free(copy);
	return err;
}

Test(backup_manifest, comes_back)
{
	struct backup_manifest got = { 0 };
	size_t len;
	char *text = backup_manifest_text(&m, &len);

	cr_assert(eq(int, backup_manifest_parse(&got, text, len), 0));
	cr_assert(memcmp(got.uuid, m.uuid, 16) == 0);
	cr_assert(backup_id_cmp(&got.id, &m.id) == 0);
	cr_assert(eq(u64, got.until_s, m.until_s));
	cr_assert(eq(u32, got.nshares, 2));
	cr_assert(strcmp(got.share[1], "/b") == 0);
	cr_assert(eq(u32, got.nfiles, 3));
	cr_assert(eq(u32, got.npieces, 3));
	cr_assert(eq(u64, got.file[0].bytes, BACKUP_PIECE + 100));
	cr_assert(eq(u64, got.file[1].bytes, 0));
	cr_assert(memcmp(got.piece, m.piece, sizeof(m.piece[0]) * 3) == 0);
	cr_assert(eq(u64, backup_manifest_bytes(&got), BACKUP_PIECE + 200));
	cr_assert(backup_manifest_find(&got, "CURRENT") == &got.file[1]);
	cr_assert(backup_manifest_find(&got, "CURREN") == NULL);
	backup_manifest_free(&got);
	free(text);
}

/* Cut anywhere, and with any bit the other way: never taken, and never read beyond its end. */
Test(backup_manifest, damage_is_noticed)
{
	size_t len;
	char *text = backup_manifest_text(&m, &len);

	for (size_t n = 0; n < len; n++)
		cr_assert(parse(text, n) < 0, "%zu bytes", n);
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			text[i] ^= (char)(1 << bit);
			cr_assert(parse(text, len) < 0, "byte %zu", i);
			text[i] ^= (char)(1 << bit);
		}
	cr_assert(eq(int, parse(text, len), 0));
	free(text);
}

/* Signed as it should be: by who may write to the bucket, and means ill. */
static int
hostile(const char *from, const char *to)
{
	char *text, *at, changed[2000], hex[2 * DIGEST_SHA256 + 1];
	uint8_t digest[DIGEST_SHA256];
	size_t len;
	int n;

	text = backup_manifest_text(&m, &len);
	text = realloc(text, len + 1);
	text[len] = '\0';
	*strstr(text, "sum ") = '\0';
	at = strstr(text, from);
	cr_assert(at != NULL, "%s", from);
	n = snprintf(changed, sizeof(changed) - 80, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
	digest_sha256(&(struct iovec){ changed, (size_t)n }, 1, digest);
	digest_hex(digest, sizeof(digest), hex);
	n += snprintf(changed + n, 80, "sum %s\n", hex);
	free(text);
	return parse(changed, (size_t)n);
}

Test(backup_manifest, hostile_ones_are_refused)
{
	static const char *const bad[][2] = {
		{ "file CURRENT", "file ../../etc/passwd" }, { "file CURRENT", "file a/b" }, { "file CURRENT", "file .hidden" },
		{ "file CURRENT", "file .." }, { "file CURRENT", "file " }, { "file CURRENT", "file 000012.sst" },
		{ "file CURRENT", "file aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		{ "file CURRENT 0", "file CURRENT 1" }, { "file CURRENT 0", "file CURRENT" }, { "file CURRENT 0", "file CURRENT 00" },
		{ "file CURRENT 0", "file CURRENT -1" }, { "file CURRENT 0", "file CURRENT 18446744073709551616" },
		{ "4194304 0101", "4194305 0101" }, { "4194304 0101", "0 0101" }, { "4194304 0101", "18446744073713745920 0101" },
		{ "piece 7-1", "piece 7" }, { "piece 7-1", "piece -1" }, { "piece 7-1", "piece 7-" }, { "0101", "01G1" }, { "0101", "01010101" },
		{ "share /b", "share b" }, { "share /b", "share /b/c" }, { "share /b", "share /.." }, { "share /b", "share " },
		{ "taken 1795651200", "taken 99999999999999" }, { "taken ", "taken -" }, { "owner 7", "owner" }, { "until", "untii" },
		{ "volume 30", "volume 3" }, { "share /export\nshare /b\n", "" }, { "file CURRENT 0\n", "\nfile CURRENT 0\n" },
	};

	cr_assert(eq(int, hostile("file CURRENT", "file CURRENT2"), 0), "the test itself");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(eq(int, hostile(bad[i][0], bad[i][1]), -E_DAMAGED), "%s -> %s", bad[i][0], bad[i][1]);
	cr_assert(eq(int, hostile("backup 1", "backup 2"), -E_FORMAT));
}

Test(backup_manifest, names)
{
	static const char *const bad[] = {
		"export/backups/at/20261126T160000Z-", "export/backups/at/20261126T160000Z", "export/backups/at/20261126T160000Z-07",
		"export/backups/at/20261126T160000Z-7x", "export/backups/at/20261326T160000Z-7", "export/backups/at/20260230T160000Z-7",
		"export/backups/at/", "exporT/backups/at/20261126T160000Z-7", "export/backups/data/7-1", "export/backups/at/19261126T160000Z-7",
		"export/backups/at/20261126T160000Z-18446744073709551616",
	};
	struct backup_id id, got;
	struct piece_id p;
	char name[OBJ_NAME];

	for (uint64_t t = 0; t < 4000000000; t += 86399 * 1000 + 1) {
		id = (struct backup_id){ t, t + 1 };
		backup_name(name, "export", &id);
		cr_assert(objstore_name_ok(name));
		cr_assert(backup_name_parse(name, "export", &got) && backup_id_cmp(&id, &got) == 0, "%s", name);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		cr_assert(backup_name_parse(bad[i], "export", &got) == false, "%s", bad[i]);
	piece_name(name, "export", &(struct piece_id){ UINT64_MAX, 12 });
	cr_assert(strcmp(name, "export/backups/data/18446744073709551615-12") == 0);
	cr_assert(piece_name_parse(name, "export", &p) && p.epoch == UINT64_MAX && p.number == 12);
	cr_assert(piece_name_parse("export/backups/data/1-012", "export", &p) == false);
	cr_assert(piece_name_parse("export/backups/data/1", "export", &p) == false);
	cr_assert(piece_name_parse("export/backups/data/1-2/3", "export", &p) == false);
}

Test(backup_manifest, times)
{
	static const char *const same[] = {
		"2026-11-26 16:00:00 UTC", "2026-11-26 16:00:00", "2026-11-26 16:00", "2026-11-26T16:00:00Z", "2026-11-26T16:00:00", "20261126T160000Z",
	};
	char text[BACKUP_TIME];
	uint64_t s;

	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		cr_assert(eq(int, backup_time_parse(same[i], &s), 0), "%s", same[i]);
		backup_time(text, s);
		cr_assert(strcmp(text, same[0]) == 0);
	}
	cr_assert(backup_time_parse("", &s) < 0 && backup_time_parse("yesterday", &s) < 0 && backup_time_parse("2026-11-26 16:00:00x", &s) < 0);
}
