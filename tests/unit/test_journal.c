/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/one_thread.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "reactor/log.h"
#include "store/block.h"
#include "store/journal_impl.h"

#define SEGMENT (256 * KIB)

static const uint8_t uuid[16] = "a volume's uuid";
static char dir[64];

/* ---- the files */

static void
setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/dittofs-journal-XXXXXX");
	cr_assert(ne(ptr, mkdtemp(dir), NULL));
	log_set_level(LOG_ERROR);
	fake_start(1);
}

static int
each_file(void (*fn)(const char *path))
{
	struct dirent *e;
	DIR *d = opendir(dir);
	int n = 0;

	cr_assert(ne(ptr, d, NULL));
	while ((e = readdir(d)) != NULL) {
		char path[400];

		if (e->d_name[0] == '.')
			continue;
		n++;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (fn)
			fn(path);
	}
	closedir(d);
	return n;
}

static void
delete_file(const char *path)
{
	cr_assert(eq(int, unlink(path), 0));
}

static void retire_all(void);

static void
teardown(void)
{
	retire_all();
	cr_assert(eq(int, fake_bufs_out, 0));
	each_file(delete_file);
	cr_assert(eq(int, rmdir(dir), 0));
}

TestSuite(journal, .init = setup, .fini = teardown);

/* Overwrites bytes of a file with junk, or cuts it. */
static void
damage(const char *path, off_t off, size_t len)
{
	int fd = open(path, O_WRONLY);

	cr_assert(ge(int, fd, 0));
	for (size_t i = 0; i < len; i++) {
		uint8_t junk = (uint8_t)(0xa5 + i * 7);

		cr_assert(eq(i64, pwrite(fd, &junk, 1, off + (off_t)i), 1));
	}
	close(fd);
}

/* ---- one journal */

static struct journal *
open_journal(uint64_t bytes, uint64_t epoch, uint64_t first_seq)
{
	struct journal_opts o = { .dir = dir, .uuid = uuid, .bytes = bytes,
	                          .segment_bytes = MIN(SEGMENT, bytes / 4), .epoch = epoch,
	                          .first_seq = first_seq };
	struct journal *j;
	char why[256];

	cr_assert(eq(int, journal_open(&j, fake_core, &o, why), 0), "%s", why);
	return j;
}

/* What must be in the journal: the payload of a record follows from its number. */
struct written { uint64_t seq; struct jloc loc; };

/* Live records, as extents would hold them. */
static struct jloc held[4096];
static size_t nheld;

static void
retire(const struct written *w)
{
	for (size_t i = 0; i < nheld; i++)
		if (held[i].seg == w->loc.seg && held[i].off == w->loc.off) {
			held[i] = held[--nheld];
			jloc_put(&w->loc);
			return;
		}
	cr_fatal("it is retired already");
}

static void
retire_all(void)
{
	while (nheld > 0)
		jloc_put(&held[--nheld]);
}

static void
fill(uint8_t *p, uint32_t len, uint64_t seq)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(mix64(seq * 65537 + i / 64) >> (i % 8 * 4));
}

static int
try_append(struct journal *j, uint64_t ino, uint64_t off, uint32_t len, struct written *w)
{
	struct bufref ref = { .buf = buf_get(BUF_LARGE, BUF_INGEST), .len = len };
	int r;

	memset(ref.buf->data, 0xee, ref.buf->cap);
	fill(ref.buf->data, len, journal_last(j) + 1);
	r = journal_append(j, J_WRITE, ino, off, 42, &ref, &w->seq, &w->loc);
	buf_put(ref.buf);
	if (r == 0) {
		cr_assert(lt(sz, nheld, ARRAY_LEN(held)));
		held[nheld++] = w->loc;
	}
	return r;
}

static struct written
append(struct journal *j, uint64_t ino, uint64_t off, uint32_t len)
{
	struct written w;

	cr_assert(eq(int, try_append(j, ino, off, len, &w), 0));
	return w;
}

/* An op that tells when, in which order and with what it resumed. */
struct probe { struct op op; int resumed; };
static int resumed;

static void
probe_resume(struct op *op)
{
	container_of(op, struct probe, op)->resumed = ++resumed;
}

static enum op_state
probe_sync(struct probe *p, struct journal *j, uint64_t seq)
{
	*p = (struct probe){ .op.resume = probe_resume };
	return journal_sync(j, seq, &p->op);
}

static enum op_state
probe_room(struct probe *p, struct journal *j, uint64_t bytes)
{
	*p = (struct probe){ .op.resume = probe_resume };
	return journal_wait_room(j, bytes, &p->op);
}

static uint64_t
no_tail(void *arg, uint32_t core, uint64_t epoch)
{
	(void)core, (void)epoch;
	return arg ? *(uint64_t *)arg : 0;
}

struct scanned { struct jrecord *rec; size_t n; uint64_t max_seq, max_epoch; };

static int
try_scan(struct scanned *s, uint64_t tail, char why[256])
{
	*s = (struct scanned){ 0 };
	return journal_scan(dir, uuid, no_tail, &tail, &s->rec, &s->n, &s->max_seq, &s->max_epoch, why);
}

static struct scanned
scan_from(uint64_t tail)
{
	struct scanned s;
	char why[256];

	cr_assert(eq(int, try_scan(&s, tail, why), 0), "%s", why);
	return s;
}

static void
scan_put(struct scanned *s)
{
	for (size_t i = 0; i < s->n; i++)
		jloc_put(&s->rec[i].loc);
	free(s->rec);
	journal_scan_free();
}

/* Reads a record back through the journal and compares it. */
static int
read_back(const struct jloc *loc, uint64_t seq)
{
	uint8_t want[JRECORD_BYTES_MAX];
	struct buf *b = buf_get(BUF_LARGE, BUF_CACHE);
	struct jread r;
	struct probe p = { .op.resume = probe_resume };

	fill(want, loc->len, seq);
	cr_assert(eq(int, journal_read(&r, loc, b, &p.op), OP_PENDING));
	fake_settle();
	cr_assert(gt(int, p.resumed, 0));
	if (p.op.res == 0)
		cr_assert(eq(int, memcmp(b->data, want, loc->len), 0));
	buf_put(b);
	return p.op.res;
}

/* The scan finds records first..last, whole and in order. */
static void
expect_records(uint64_t tail, uint64_t first, uint64_t last)
{
	struct scanned s = scan_from(tail);

	cr_assert(eq(sz, s.n, last + 1 - first));
	for (size_t i = 0; i < s.n; i++) {
		cr_assert(eq(u64, s.rec[i].seq, first + i));
		if (s.rec[i].kind == J_WRITE)
			cr_assert(eq(int, read_back(&s.rec[i].loc, first + i), 0));
	}
	scan_put(&s);
}

/* The end of a run: no lap comes after it. */
static void
close_journal(struct journal *j)
{
	journal_close(j);
	fake_start(fake_cores);
}

/* As if the process had died: nothing more reaches the disk, the memory goes. */
static void
crash(struct journal *j)
{
	fake_nio = 0;
	j->err = -EIO;
	while (j->grow.stage != GROW_IDLE)
		fake_lap();
	for (uint64_t n = j->acked; n < j->next; n++)
		for (uint32_t i = 0; i < j->group[n % JGROUPS].nrec; i++)
			if (j->group[n % JGROUPS].hold[i])
				buf_put(j->group[n % JGROUPS].hold[i]);
	j->room = NULL;
	journal_close(j);
	fake_start(fake_cores);
}

static char *
path_of(const struct journal *j)
{
	static char path[JPATH_MAX];

	return strcpy(path, (j->open ? j->open : j->used.head)->path);
}

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

/* Appends until there is no room; the records' places in w.  Settles in between. */
static size_t
fill_ring(struct journal *j, struct written *w, size_t max)
{
	size_t n = 0;

	while (n < max && try_append(j, 1, n * 65536, 65536, &w[n]) == 0) {
		n++;
		if (n % 2 == 0)
			fake_settle();
	}
	cr_assert(lt(sz, n, max));
	fake_settle();
	return n;
}

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

/* Half of a megabyte in 64 KiB pieces needs more than one segment of this ring; it must not wait for ever. */
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
	/* A small one still fits where a large one didn't, unless the ring was sealed: make room. */
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
	cr_assert(eq(int, fake_nio, JIN_FLIGHT));
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

/* ---- scanning what crashes leave */

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

Test(journal, torn_payload)
{
	off_t at[3];
	char *path = three_groups(at);

	expect_records(0, 1, 3);
	damage(path, at[2] + 9999, 1);
	expect_records(0, 1, 2);
}

Test(journal, torn_descriptor)
{
	off_t at[3];
	char *path = three_groups(at);

	damage(path, at[2] - PAGE + 200, 1);
	expect_records(0, 1, 2);
	damage(path, at[2] - PAGE, 100000); /* junk to the end */
	expect_records(0, 1, 2);
}

Test(journal, cut_anywhere)
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

/* The first of two in flight is torn, the second is whole: it was never acknowledged, and stays away for ever. */
Test(journal, second_in_flight_without_the_first)
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

Test(journal, headers)
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
Test(journal, tail)
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
Test(journal, read_damaged)
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
Test(journal, earlier_run_goes_first)
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

/* A record of an earlier run that a newer one covers is needed until that one is durable, on whichever core. */
Test(journal, earlier_run_covered_by_what_is_not_durable)
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
