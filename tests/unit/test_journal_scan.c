/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/journal_rig.h"

TestSuite(journal_scan, .init = setup, .fini = teardown);

/* Three groups of one record in one segment; returns its path. */
static char *
three_groups(off_t at[3])
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	char *path = path_of((append(j, 1, 0, 10000), j));

	for (int i = 0; i < 3; i++) {
		if (i > 0)
			append(j, 1, 0, 10000);
		at[i] = (off_t)j->fill - 3 * PAGE;
		fake_settle();
	}
	crash(j);
	return path;
}

Test(journal_scan, torn_payload)
{
	off_t at[3];
	char *path = three_groups(at);

	expect_records(0, 1, 3);
	damage(path, at[2] + 9999, 1);
	expect_records(0, 1, 2);
}

Test(journal_scan, torn_descriptor)
{
	off_t at[3];
	char *path = three_groups(at);

	damage(path, at[2] - PAGE + 200, 1);
	expect_records(0, 1, 2);
	damage(path, at[2] - PAGE, 100000); /* junk to the end */
	expect_records(0, 1, 2);
}

Test(journal_scan, cut_anywhere)
{
	off_t at[3];
	char *path = three_groups(at);
	struct stat st;

	cr_assert(eq(int, stat(path, &st), 0));
	for (off_t size = at[2] + 3 * PAGE; size >= 0; size -= 1000) {
		cr_assert(eq(int, truncate(path, size), 0));
		expect_records(0, 1, size >= at[2] + 10000 ? 3 : size >= at[1] + 10000 ? 2
		                    : size >= at[0] + 10000 ? 1 : 0);
	}
}

/*
 * The first of two in flight is torn, the second is whole: it was never acknowledged, and stays
 * away for ever.
 */
Test(journal_scan, second_in_flight_without_the_first)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct written w;
	struct scanned s;

	append(j, 1, 0, 4096);
	fake_settle();
	while (j->open->bytes - j->fill >= 2 * PAGE + 65536) { /* the next but one goes to the next segment */
		append(j, 1, 0, 65536);
		fake_settle();
	}
	uint64_t durable = journal_durable(j);
	append(j, 1, 0, 4096);
	fake_lap();
	while (try_append(j, 1, 0, 65536, &w) < 0)
		fake_lap();
	fake_lap();
	cr_assert(eq(int, fake_nio, 2));
	cr_assert(ne(ptr, w.loc.seg, j->used.head));
	fake_io_finish(1, SSIZE_MAX);
	fake_lap();
	retire(&w);
	crash(j);

	log_set_level(-1);
	s = scan_from(0);
	cr_assert(eq(sz, s.n, durable));
	cr_assert(ge(u64, s.max_seq, durable + 2), "its number isn't used again");
	cr_assert(ge(int, each_file(NULL), 2));
	journal_scan_done();
	cr_assert(eq(int, each_file(NULL), 1), "it goes before what was in front of it");
	scan_put(&s);
	expect_records(0, 1, durable);
}

Test(journal_scan, headers)
{
	off_t at[3];
	char *path = three_groups(at), why[256], copy[300];
	static const uint8_t other[16] = "another's";
	uint8_t page[PAGE];
	struct scanned s;
	int fd;

	/* Another volume's. */
	cr_assert(eq(int, journal_scan(dir, other, no_tail, NULL, &s.rec, &s.n, &s.max_seq, &s.max_epoch, why),
	             -E_FORMAT));
	cr_assert(ne(ptr, strstr(why, "another volume"), NULL), "%s", why);

	/* Prewritten ones, whole and half, an empty one; and what is none of ours. */
	snprintf(copy, sizeof(copy), "%s/00-0000000000000001-0007.journal", dir);
	fd = open(copy, O_RDWR | O_CREAT, 0600);
	expect_records(0, 1, 3);
	cr_assert(eq(int, ftruncate(fd, 5000), 0));
	expect_records(0, 1, 3);
	cr_assert(eq(int, ftruncate(fd, SEGMENT), 0));
	expect_records(0, 1, 3);
	close(fd);
	snprintf(copy, sizeof(copy), "%s/notes.txt", dir);
	close(open(copy, O_RDWR | O_CREAT, 0600));
	expect_records(0, 1, 3);

	/* A newer version's. */
	fd = open(path, O_RDWR);
	cr_assert(eq(i64, pread(fd, page, PAGE, 0), PAGE));
	put_le32(page + 8, JFORMAT_VERSION + 1);
	put_le32(page + PAGE - 4, crc32c(0, page, PAGE - 4));
	cr_assert(eq(i64, pwrite(fd, page, PAGE, 0), PAGE));
	cr_assert(eq(int, try_scan(&s, 0, why), -E_FORMAT));
	cr_assert(ne(ptr, strstr(why, "version"), NULL), "%s", why);

	/* A torn one. */
	put_le32(page + 8, JFORMAT_VERSION);
	cr_assert(eq(i64, pwrite(fd, page, PAGE, 0), PAGE));
	close(fd);
	s = scan_from(0);
	cr_assert(eq(sz, s.n, 0));
	journal_scan_done();
	cr_assert(eq(int, each_file(NULL), 1), "the notes");
	scan_put(&s);
	cr_assert(lt(int, journal_scan("/nonexistent", uuid, no_tail, NULL, &s.rec, &s.n, &s.max_seq,
	                               &s.max_epoch, why), 0));
	cr_assert(ne(ptr, strstr(why, "/nonexistent"), NULL), "%s", why);
}

/* What lies below the tail isn't reported, and may be damaged. */
Test(journal_scan, tail)
{
	off_t at[3];
	char *path = three_groups(at);

	expect_records(2, 2, 3);
	expect_records(4, 4, 3);
	damage(path, at[0] + 100, 10);
	log_set_level(-1);
	expect_records(2, 2, 3);
	expect_records(0, 1, 0);
}

/* A damaged record is read as an error, never as bytes. */
Test(journal_scan, read_damaged)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct written w = append(j, 1, 0, 10000);

	log_set_level(-1);
	fake_settle();
	damage(path_of(j), w.loc.off + 9999, 1);
	cr_assert(eq(int, read_back(&w.loc, w.seq), -E_DAMAGED));
	cr_assert(eq(int, truncate(path_of(j), w.loc.off + 4096), 0));
	cr_assert(eq(int, read_back(&w.loc, w.seq), -EIO));
	retire(&w);
	crash(j);
}

/* ---- segments of an earlier run */

static void
settle_for(uint64_t ns)
{
	for (uint64_t end = fake_now_ns + ns; fake_now_ns < end; fake_now_ns += 5000000)
		fake_settle();
}

/* Deleted in the log's order alone, and nothing of this run is overwritten before. */
Test(journal_scan, earlier_run_goes_first)
{
	struct written w[64], x[64];
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	size_t n = 0, m = 0, more;
	struct scanned s;
	struct probe p;

	while ((more = fill_ring(j, w + n, ARRAY_LEN(w) - n)) > 0)
		n += more;
	for (size_t i = 0; i < n; i++)
		retire(&w[i]);
	crash(j);

	s = scan_from(0);
	cr_assert(eq(sz, s.n, n));
	j = open_journal(4 * SEGMENT, 2, s.max_seq + 1);
	journal_scan_done();
	cr_assert(eq(int, each_file(NULL), 5));

	/* The ring is full, and all in it is retired; but the other run's segments are there. */
	while ((more = fill_ring(j, x + m, ARRAY_LEN(x) - m)) > 0)
		m += more;
	for (size_t i = 0; i < m; i++)
		retire(&x[i]);
	settle_for(1000000000);
	cr_assert(eq(int, each_file(NULL), 8));
	cr_assert(eq(int, probe_room(&p, j, 65536), OP_PENDING));
	cr_assert(eq(u64, journal_tail(j), s.max_seq + 1));

	/* All but the first record's: nothing goes. */
	for (size_t i = 1; i < s.n; i++)
		jloc_put(&s.rec[i].loc);
	settle_for(1000000000);
	cr_assert(eq(int, each_file(NULL), 8));
	cr_assert(eq(int, p.resumed, 0));
	cr_assert(eq(int, read_back(&s.rec[0].loc, 1), 0));
	jloc_put(&s.rec[0].loc);
	settle_for(1000000000);
	cr_assert(eq(int, each_file(NULL), 4));
	cr_assert(p.resumed && p.op.res == 0);
	cr_assert(eq(u64, journal_tail(j), journal_last(j) + 1));
	free(s.rec);
	close_journal(j);
	cr_assert(eq(int, each_file(NULL), 0));
}

/*
 * A record of an earlier run that a newer one covers is needed until that one is durable, on
 * whichever core.
 */
Test(journal_scan, earlier_run_covered_by_what_is_not_durable)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1), *k[2];
	struct written w = append(j, 1, 0, 4096);
	struct scanned s;

	fake_settle();
	retire(&w);
	crash(j);
	fake_start(2);
	s = scan_from(0);
	cr_assert(eq(sz, s.n, 1));
	for (fake_core = 0; fake_core < 2; fake_core++)
		k[fake_core] = open_journal(4 * SEGMENT, 2, 2);
	journal_scan_done();
	fake_core = 1;
	w = append(k[1], 1, 0, 4096);
	jloc_put(&s.rec[0].loc);
	fake_core = 0;
	fake_lap();
	for (int i = 0; i < 100; i++, fake_now_ns += 10000000)
		fake_lap();
	cr_assert(eq(int, fake_nio, 1));
	cr_assert(eq(int, each_file(NULL), 3));
	settle_for(100000000);
	cr_assert(eq(int, each_file(NULL), 2));
	free(s.rec);
	retire(&w);
	fake_core = 1;
	journal_close(k[1]);
	fake_core = 0;
	journal_close(k[0]);
}
