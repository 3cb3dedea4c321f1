/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tools/backup_keep.h"
#include "tools/backup_known.h"

#define HOUR 3600u
#define DAY  (24 * HOUR)
#define NOW  (20000u * DAY + 10 * HOUR) /* ten in the morning */

/* One an hour for so many, the newest an hour ago. */
static size_t
hourly(struct backup_id *id, size_t n)
{
	for (size_t i = 0; i < n; i++)
		id[i] = (struct backup_id){ NOW - (n - i) * HOUR, 1 };
	return n;
}

Test(backup_keep, all_of_two_days_one_a_day_before)
{
	static struct backup_id id[24 * 10];
	static bool stays[24 * 10];
	size_t n = hourly(id, ARRAY_LEN(id)), kept = 0;

	backup_keep(id, n, NOW, 7 * DAY, stays);
	for (size_t i = 0; i < n; i++) {
		uint64_t age = NOW - id[i].taken_s;
		bool last = id[i].taken_s % DAY == 23 * HOUR;

		cr_assert(eq(int, stays[i], age <= 7 * DAY && (age <= 2 * DAY || last)), "%lu hours", age / HOUR);
		kept += stays[i];
	}
	cr_assert(eq(sz, kept, 48 + 5));
	cr_assert(eq(u64, backup_needs_since(id, n, NOW, 7 * DAY), NOW - 7 * DAY));
	backup_keep(id, n, NOW, 0, stays);
	for (size_t i = 0; i < n; i++)
		cr_assert(eq(int, stays[i], i == n - 1));
	cr_assert(eq(u64, backup_needs_since(id, n, NOW, 0), UINT64_MAX));
}

/* What is thinned out today is what would have been yesterday: the last of a day stays the last. */
Test(backup_keep, thinned_every_hour_as_at_once)
{
	static struct backup_id id[1000];
	static bool stays[1000];
	size_t n = 0;

	for (uint64_t t = NOW; t < NOW + 30 * DAY; t += HOUR) {
		size_t left = 0;

		id[n++] = (struct backup_id){ t, 1 };
		backup_keep(id, n, t, 14 * DAY, stays);
		for (size_t i = 0; i < n; i++)
			if (stays[i])
				id[left++] = id[i];
		n = left;
	}
	cr_assert(eq(sz, n, 49 + 12));
}

/* The newest stays, but nothing is held for it for ever. */
Test(backup_keep, the_newest)
{
	struct backup_id id[2] = { { NOW - 3 * DAY, 1 }, { NOW - 2 * DAY, 1 } };
	bool stays[2];

	backup_keep(id, 2, NOW, DAY, stays);
	cr_assert(stays[0] == false && stays[1]);
	cr_assert(eq(u64, backup_needs_since(id, 2, NOW, DAY), UINT64_MAX));
	cr_assert(eq(u64, backup_needs_since(id, 2, NOW, 2 * DAY), NOW - 2 * DAY));
	cr_assert(eq(u64, backup_needs_since(id, 0, NOW, 2 * DAY), UINT64_MAX));
	cr_assert(eq(u64, backup_next_change(id, 0, NOW, 2 * DAY), UINT64_MAX));
	cr_assert(eq(u64, backup_next_change(id + 1, 1, NOW, 2 * DAY), NOW + 1));
	/* The clock was set back behind all of them. */
	backup_keep(id, 2, NOW - 30 * DAY, DAY, stays);
	cr_assert(stays[0] && stays[1]);
	cr_assert(eq(u64, backup_needs_since(id, 2, NOW - 30 * DAY, DAY), NOW - 3 * DAY));
}

Test(backup_known, is_found_by_its_digest)
{
	struct backup_known k = { 0 };
	static struct piece_id there[500];

	for (uint64_t i = 0; i < 1000; i++) {
		struct backup_piece p = { .id = { 3, i }, .bytes = 1 };

		put_le64(p.digest, i % 10); /* many in a row */
		put_le64(p.digest + 8, i);
		cr_assert(backup_known_find(&k, p.digest) == NULL);
		cr_assert(eq(int, backup_known_add(&k, &p), 0));
		p.id.number = 7777;
		cr_assert(eq(int, backup_known_add(&k, &p), 0));
		cr_assert(eq(u64, backup_known_find(&k, p.digest)->id.number, i));
		if (i % 2)
			there[i / 2] = (struct piece_id){ 3, i };
	}
	cr_assert(eq(int, backup_known_keep(&k, there, ARRAY_LEN(there)), 0));
	for (uint64_t i = 0; i < 1000; i++) {
		uint8_t digest[DIGEST_SHA256] = { 0 };

		put_le64(digest, i % 10);
		put_le64(digest + 8, i);
		cr_assert(eq(int, backup_known_find(&k, digest) != NULL, i % 2));
	}
	cr_assert(eq(int, backup_known_keep(&k, NULL, 0), 0));
	cr_assert(eq(u32, k.n, 0));
	backup_known_free(&k);
}
