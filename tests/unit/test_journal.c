/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/journal_rig.h"

TestSuite(journal, .init = setup, .fini = teardown);

/* ---- append, sync, scan */

Test(journal, what_is_synced_is_scanned)
{
	static const uint32_t len[] = { 1, 4095, 4096, 4097, 40000, 65535, 65536 };
	struct journal *j = open_journal(4 * SEGMENT, 7, 100);
	struct written w;
	struct scanned s;
	struct probe p;
	uint64_t seq;
	struct jloc loc;

	for (size_t i = 0; i < ARRAY_LEN(len); i++) {
		w = append(j, 10 + i, i << 40, len[i]);
		cr_assert(eq(u64, w.seq, 100 + i));
	}
	cr_assert(eq(int, journal_append(j, J_TRUNC, 99, 12345, 43, NULL, &seq, &loc), 0));
	cr_assert(eq(ptr, loc.seg, NULL));
	cr_assert(eq(u64, journal_durable(j), 99));
	cr_assert(eq(int, probe_sync(&p, j, seq), OP_PENDING));
	fake_settle();
	cr_assert(p.resumed && p.op.res == 0);
	cr_assert(eq(u64, journal_durable(j), seq));
	cr_assert(eq(int, probe_sync(&p, j, seq), OP_DONE));
	cr_assert(eq(int, read_back(&w.loc, w.seq), 0));
	crash(j);

	s = scan_from(0);
	cr_assert(eq(sz, s.n, ARRAY_LEN(len) + 1));
	cr_assert(eq(u64, s.max_seq, seq));
	cr_assert(eq(u64, s.max_epoch, 7));
	for (size_t i = 0; i < ARRAY_LEN(len); i++) {
		const struct jrecord *r = &s.rec[i];

		cr_assert(eq(u64, r->ino, 10 + i));
		cr_assert(eq(u64, r->off, i << 40));
		cr_assert(eq(u64, r->seq, 100 + i));
		cr_assert(eq(u64, r->time_ns, 42));
		cr_assert(eq(u32, r->len, len[i]));
		cr_assert(eq(u32, r->kind, J_WRITE));
		cr_assert(eq(int, read_back(&r->loc, r->seq), 0));
	}
	cr_assert(eq(u32, s.rec[ARRAY_LEN(len)].kind, J_TRUNC));
	cr_assert(eq(u64, s.rec[ARRAY_LEN(len)].off, 12345));
	scan_put(&s);
}

/* Padding is zeros on disk, never what the buffer held before. */
Test(journal, padding_is_zeroed)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct written w = append(j, 1, 0, 5);
	uint8_t page[PAGE];
	int fd;

	fake_settle();
	fd = open(path_of(j), O_RDONLY);
	cr_assert(eq(i64, pread(fd, page, PAGE, w.loc.off), PAGE));
	for (size_t i = 5; i < PAGE; i++)
		cr_assert(eq(u8, page[i], 0));
	close(fd);
	crash(j);
}

Test(journal, two_in_flight_acknowledged_in_order)
{
	struct journal *j = open_journal(16 * SEGMENT, 1, 1);
	struct probe a, b, c, d;

	probe_sync(&a, j, append(j, 1, 0, 100).seq);
	fake_lap();
	probe_sync(&b, j, append(j, 1, 0, 100).seq);
	fake_lap();
	cr_assert(eq(int, fake_nio, 2));
	probe_sync(&c, j, append(j, 1, 0, 100).seq);
	fake_lap();
	probe_sync(&d, j, append(j, 1, 0, 100).seq);
	fake_lap();
	cr_assert(eq(int, fake_nio, 2), "the third gathers");
	fake_io_finish(1, SSIZE_MAX);
	fake_lap();
	fake_lap();
	cr_assert(eq(int, b.resumed, 0), "the second waits for the first");
	cr_assert(eq(u64, journal_durable(j), 0));
	cr_assert(eq(int, fake_nio, 1), "and the third isn't written before the first is there");
	fake_io_finish(0, SSIZE_MAX);
	fake_lap();
	fake_lap();
	cr_assert(a.resumed == 1 && b.resumed == 2 && !c.resumed);
	cr_assert(eq(int, fake_nio, 1), "one group for all that came meanwhile");
	fake_settle();
	cr_assert(c.resumed == 3 && d.resumed == 4);
	crash(j);
	expect_records(0, 1, 4);
}

/* A group is bounded in records and in bytes; appends wait for nothing. */
Test(journal, groups_are_bounded)
{
	struct journal *j = open_journal(64 * SEGMENT, 1, 1);
	uint64_t groups, seq = 0;

	for (int i = 0; i < 2; i++) { /* occupy both */
		append(j, 1, 0, 1);
		fake_lap();
	}
	for (int i = 0; i < 250; i++) {
		struct jloc loc;

		cr_assert(eq(int, journal_append(j, J_TRUNC, 1, 0, 0, NULL, &seq, &loc), 0));
	}
	groups = journal_stats(j)->groups;
	fake_settle();
	cr_assert(eq(u64, journal_stats(j)->groups - groups, 3));
	cr_assert(eq(u64, journal_durable(j), seq));
	crash(j);
	expect_records(0, 1, 252);
}

Test(journal, short_writes_go_on)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct probe p;

	append(j, 1, 0, 5000);
	append(j, 1, 0, 65536);
	probe_sync(&p, j, append(j, 1, 0, 30000).seq);
	fake_lap();
	fake_io_finish(0, 4096 + 512); /* not a whole block: written again */
	fake_lap();
	cr_assert(eq(u64, fake_io[0].off, 4096));
	fake_io_finish(0, 2 * 4096 + 4096);
	fake_lap();
	fake_io_finish(0, -EINTR);
	fake_lap();
	fake_io_finish(0, 0);
	fake_lap();
	for (int i = 0; fake_nio > 0 && i < 100; i++) {
		fake_io_finish(0, 4096);
		fake_lap();
	}
	fake_lap();
	cr_assert(p.resumed && p.op.res == 0);
	crash(j);
	expect_records(0, 1, 3);
}

/* Fail-stop: nothing is promised after a failed write, and what was promised before stays. */
Test(journal, disk_fails)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct probe a, b, c, d, room, late;
	struct written w;

	log_set_level(-1);
	j->opts.bytes = SEGMENT; /* grows no more */
	append(j, 1, 0, 65536);
	append(j, 1, 0, 65536);
	probe_sync(&a, j, append(j, 1, 0, 100).seq);
	fake_settle();
	probe_sync(&b, j, append(j, 1, 0, 100).seq);
	fake_lap();
	probe_sync(&c, j, append(j, 1, 0, 100).seq);
	fake_lap();
	probe_sync(&d, j, append(j, 1, 0, 100).seq);
	cr_assert(eq(int, probe_room(&room, j, GIB), OP_PENDING));
	fake_io_finish(0, -ENOSPC);
	fake_lap();
	fake_lap();
	cr_assert(b.resumed && b.op.res == -EIO);
	cr_assert(c.resumed && c.op.res == -EIO);
	cr_assert(d.resumed && d.op.res == -EIO);
	cr_assert(room.resumed && room.op.res == -EIO);
	cr_assert(eq(int, try_append(j, 1, 0, 1, &w), -EIO));
	cr_assert(eq(int, probe_sync(&late, j, 4), OP_DONE));
	cr_assert(eq(int, late.op.res, -EIO));
	cr_assert(eq(int, probe_sync(&late, j, 3), OP_DONE));
	cr_assert(eq(int, late.op.res, 0));
	cr_assert(eq(int, probe_room(&late, j, 1), OP_DONE));
	cr_assert(eq(int, late.op.res, -EIO));
	cr_assert(eq(int, fake_nio, 1), "the other one's memory is still the kernel's");
	fake_io_finish(0, SSIZE_MAX);
	fake_settle();
	cr_assert(eq(u64, journal_durable(j), 3));
	close_journal(j);
	expect_records(0, 1, 3);
}

/* A segment whose header can't be wiped isn't used again: the disk has failed. */
Test(journal, disk_fails_to_wipe)
{
	struct written w[64];
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	size_t n = 0, more;
	struct probe p;

	log_set_level(-1);
	while ((more = fill_ring(j, w + n, ARRAY_LEN(w) - n)) > 0)
		n += more;
	cr_assert(eq(int, probe_room(&p, j, 65536), OP_PENDING));
	retire_all();
	fake_lap();
	cr_assert(eq(int, fake_nio, 1));
	cr_assert(fake_io[0].off == 0 && fake_io[0].durable);
	fake_io_finish(0, -EIO);
	fake_lap();
	fake_lap();
	cr_assert(lt(int, 0, p.resumed));
	cr_assert(eq(int, p.op.res, -EIO));
	cr_assert(eq(int, try_append(j, 1, 0, 1, &w[0]), -EIO));
	close_journal(j);
	expect_records(0, 1, n);
}

/* A disk that takes no byte, again and again, has failed too. */
Test(journal, disk_takes_nothing)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct probe p;

	log_set_level(-1);
	probe_sync(&p, j, append(j, 1, 0, 100).seq);
	fake_lap();
	for (int i = 0; i < 100 && fake_nio > 0; i++) {
		fake_io_finish(0, 0);
		fake_lap();
	}
	fake_lap();
	cr_assert(p.resumed && p.op.res == -EIO);
	close_journal(j);
}

/* ---- the ring */

static uint64_t
used(const struct journal *j)
{
	uint64_t u, total;

	journal_usage(j, &u, &total);
	cr_assert(eq(u64, total, 4 * SEGMENT));
	return u;
}

Test(journal, ring_grows_then_fills_then_is_used_again)
{
	struct written w[64];
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct probe a, b;
	size_t n, kept;

	cr_assert(eq(int, each_file(NULL), 1), "a start makes one segment");
	n = fill_ring(j, w, ARRAY_LEN(w));
	for (size_t more; (more = fill_ring(j, w + n, ARRAY_LEN(w) - n)) > 0; )
		n += more; /* those that waited for a segment in the making */
	cr_assert(eq(int, each_file(NULL), 4));
	cr_assert(ge(sz, n, 12));
	cr_assert(ge(u64, used(j), n * 65536));
	cr_assert(eq(int, probe_room(&a, j, 65536), OP_PENDING));
	cr_assert(eq(int, probe_room(&b, j, 65536), OP_PENDING));
	fake_settle();
	cr_assert(eq(int, a.resumed, 0));

	/* The second segment alone doesn't help: they are freed in order. */
	kept = 0;
	while (w[kept].loc.seg == w[0].loc.seg)
		kept++;
	for (size_t i = kept; w[i].loc.seg == w[kept].loc.seg; i++)
		retire(&w[i]);
	fake_settle();
	cr_assert(eq(int, a.resumed, 0));
	cr_assert(eq(u64, journal_tail(j), 1));
	cr_assert(eq(u64, journal_oldest(j), kept), "what to upload first");
	for (size_t i = 0; i < kept; i++)
		retire(&w[i]);
	fake_settle();
	cr_assert(a.resumed == 1 && b.resumed == 2, "in order");
	cr_assert(eq(u64, journal_tail(j), 2 * kept + 1));

	/* And on: many times around. */
	for (size_t i = 2 * kept; i < n; i++)
		retire(&w[i]);
	for (int i = 0; i < 100; i++) {
		struct written x;

		while (try_append(j, 1, 0, 65536, &x) < 0) {
			fake_now_ns += 100 * 1000000;
			fake_settle();
		}
		retire(&x);
	}
	w[0] = append(j, 1, 0, 4096);
	fake_settle();
	cr_assert(eq(int, each_file(NULL), 4));
	uint64_t tail = journal_tail(j), last = journal_last(j);
	crash(j);
	expect_records(tail, tail, last);
	retire(&w[0]);
}

/*
 * Half of a megabyte in 64 KiB pieces needs more than one segment of this ring; it must not
 * wait for ever.
 */
Test(journal, waits_for_no_more_room_than_there_can_be)
{
	struct written w[64];
	struct journal *j = open_journal(512 * KIB, 1, 1); /* 4 of 128 KiB */
	struct probe p;
	size_t n = 0, more;

	while ((more = fill_ring(j, w + n, ARRAY_LEN(w) - n)) > 0)
		n += more;
	cr_assert(eq(int, probe_room(&p, j, MIB), OP_PENDING));
	for (size_t i = 0; i < n; i++)
		retire(&w[i]);
	fake_settle();
	cr_assert(p.resumed && p.op.res == 0);
	crash(j);
}

/*
 * A record that a newer one covers is needed until the newer one is durable: its segment may not
 * be overwritten before, nor may the tail pass it.
 */
Test(journal, covered_by_what_is_not_durable)
{
	struct written w[64], cover;
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	size_t n = 0, more;

	while ((more = fill_ring(j, w + n, ARRAY_LEN(w) - n)) > 0)
		n += more;
	/*
	 * A small one still fits where a large one didn't, unless the ring was sealed: make
	 * room.
	 */
	for (size_t i = 0; w[i].loc.seg == w[0].loc.seg; i++)
		retire(&w[i]);
	fake_settle();
	cover = append(j, 1, 0, 65536);
	for (size_t i = 0; i < n; i++)
		if (w[i].loc.seg != w[0].loc.seg)
			retire(&w[i]);
	uint64_t tail = journal_tail(j);
	fake_lap();
	fake_lap();
	cr_assert(eq(int, fake_nio, 1));
	cr_assert(eq(u64, journal_tail(j), tail));
	cr_assert(ge(u64, used(j), 2 * SEGMENT));
	fake_settle();
	cr_assert(eq(u64, journal_tail(j), cover.seq));
	cr_assert(lt(u64, used(j), SEGMENT));
	retire(&cover);
	cr_assert(eq(u64, journal_tail(j), cover.seq + 1));
	crash(j);
}

/* Behind a group goes one that has no fewer records; else it waits until that is done. */
Test(journal, groups_keep_their_size)
{
	struct journal *j = open_journal(1024 * SEGMENT, 1, 1);
	struct written w[7];
	int n = 0;

	for (; n < 3; n++)
		w[n] = append(j, 1, 0, 4096);
	fake_lap();
	cr_assert(eq(int, fake_nio, 1));
	for (; n < 5; n++)
		w[n] = append(j, 1, 0, 4096);
	fake_lap();
	cr_assert(eq(int, fake_nio, 1), "two behind three");
	w[n++] = append(j, 1, 0, 4096);
	fake_lap();
	cr_assert(eq(int, fake_nio, 2), "three behind three");
	w[n++] = append(j, 1, 0, 4096);
	fake_io_finish(0, SSIZE_MAX);
	fake_lap();
	cr_assert(eq(u64, journal_durable(j), 3));
	cr_assert(eq(int, fake_nio, 1));
	fake_io_finish(0, SSIZE_MAX);
	fake_lap();
	cr_assert(eq(u64, journal_durable(j), 6));
	cr_assert(eq(int, fake_nio, 1), "the last goes alone");
	fake_settle();
	cr_assert(eq(u64, journal_durable(j), (uint64_t)n));
	crash(j);
	while (n > 0)
		retire(&w[--n]);
}

/* All groups are under way: the append waits, and goes on when one is done. */
Test(journal, disk_stands_still)
{
	struct journal *j = open_journal(1024 * SEGMENT, 1, 1);
	struct written w;
	struct probe p;
	uint64_t seq;
	struct jloc loc;
	int n = 0;

	while (journal_append(j, J_TRUNC, 1, 0, 0, NULL, &seq, &loc) == 0)
		n++;
	cr_assert(eq(int, n, JGROUPS * JGROUP_RECORDS));
	fake_lap();
	cr_assert(eq(int, fake_nio, JIN_FLIGHT_FULL));
	cr_assert(eq(int, probe_room(&p, j, 1), OP_PENDING));
	fake_lap();
	cr_assert(eq(int, p.resumed, 0));
	fake_io_finish(0, SSIZE_MAX);
	fake_lap();
	fake_lap();
	cr_assert(p.resumed && p.op.res == 0);
	cr_assert(eq(int, try_append(j, 1, 0, 1, &w), 0));
	fake_settle();
	cr_assert(eq(u64, journal_durable(j), n + 1));
	crash(j);
	retire(&w);
}

/* The end of a clean run leaves no files; one with something left leaves all. */
Test(journal, close)
{
	struct journal *j = open_journal(4 * SEGMENT, 1, 1);
	struct written w = append(j, 1, 0, 4096);

	fake_settle();
	retire(&w);
	fake_settle();
	close_journal(j);
	cr_assert(eq(int, each_file(NULL), 0));

	j = open_journal(4 * SEGMENT, 2, 10);
	w = append(j, 1, 0, 4096);
	fake_settle();
	retire(&w); /* after the last lap: extents put away for the end, not uploaded */
	close_journal(j);
	cr_assert(eq(int, each_file(NULL), 1));
	expect_records(0, 10, 10);

	/* A holder may outlive the journal. */
	j = open_journal(4 * SEGMENT, 3, 20);
	w = append(j, 1, 0, 4096);
	fake_settle();
	close_journal(j);
	retire(&w);
}

Test(journal, open_says_why_not)
{
	struct journal_opts o = { .dir = "/nonexistent", .uuid = uuid, .bytes = 64 * MIB, .epoch = 1,
	                          .first_seq = 1 };
	struct journal *j;
	char why[256] = "";

	cr_assert(eq(int, journal_open(&j, 0, &o, why), -ENOENT));
	cr_assert(ne(ptr, strstr(why, "/nonexistent: No such file"), NULL), "%s", why);
	o.dir = dir;
	o.bytes = MIB;
	cr_assert(eq(int, journal_open(&j, 0, &o, why), -EINVAL));
	cr_assert(ne(ptr, strstr(why, "at least 4096"), NULL), "%s", why);
	o.bytes = 64 * MIB;
	fake_bufs_max = 0;
	cr_assert(eq(int, journal_open(&j, 0, &o, why), -ENOMEM));
	cr_assert(eq(int, each_file(NULL), 0));
}
