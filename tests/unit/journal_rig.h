/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of the journal: a directory a test, records whose payload follows from
 * their number, ops that tell when they resumed, and crashes.
 */
#ifndef TESTS_UNIT_JOURNAL_RIG_H
#define TESTS_UNIT_JOURNAL_RIG_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/fake/one_thread.h"

#include "reactor/log.h"
#include "store/block.h"
#include "store/journal_impl.h"

#define SEGMENT (256 * KIB)
#define UNUSED  __attribute__((unused))

static const uint8_t uuid[16] = "a volume's uuid";
static char dir[64];

/* ---- the files */

UNUSED static void
setup(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/dittofs-journal-XXXXXX", tmp ? tmp : "/tmp");
	cr_assert(ne(ptr, mkdtemp(dir), NULL));
	log_set_level(LOG_ERROR);
	fake_start(1);
}

UNUSED static int
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

UNUSED static void
delete_file(const char *path)
{
	cr_assert(eq(int, unlink(path), 0));
}

static void retire_all(void);

UNUSED static void
teardown(void)
{
	retire_all();
	cr_assert(eq(int, fake_bufs_out, 0));
	each_file(delete_file);
	cr_assert(eq(int, rmdir(dir), 0));
}

/* Overwrites bytes of a file with junk, or cuts it. */
UNUSED static void
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

UNUSED static struct journal *
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

UNUSED static void
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

UNUSED static void
retire_all(void)
{
	while (nheld > 0)
		jloc_put(&held[--nheld]);
}

UNUSED static void
fill(uint8_t *p, uint32_t len, uint64_t seq)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(mix64(seq * 65537 + i / 64) >> (i % 8 * 4));
}

UNUSED static int
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

UNUSED static struct written
append(struct journal *j, uint64_t ino, uint64_t off, uint32_t len)
{
	struct written w;

	cr_assert(eq(int, try_append(j, ino, off, len, &w), 0));
	return w;
}

/* An op that tells when, in which order and with what it resumed. */
struct probe { struct op op; int resumed; };
static int resumed;

UNUSED static void
probe_resume(struct op *op)
{
	container_of(op, struct probe, op)->resumed = ++resumed;
}

UNUSED static enum op_state
probe_sync(struct probe *p, struct journal *j, uint64_t seq)
{
	*p = (struct probe){ .op.resume = probe_resume };
	return journal_sync(j, seq, &p->op);
}

UNUSED static enum op_state
probe_room(struct probe *p, struct journal *j, uint64_t bytes)
{
	*p = (struct probe){ .op.resume = probe_resume };
	return journal_wait_room(j, bytes, &p->op);
}

UNUSED static uint64_t
no_tail(void *arg, uint32_t core, uint64_t epoch)
{
	(void)core, (void)epoch;
	return arg ? *(uint64_t *)arg : 0;
}

struct scanned { struct jrecord *rec; size_t n; uint64_t max_seq, max_epoch; };

UNUSED static int
try_scan(struct scanned *s, uint64_t tail, char why[256])
{
	*s = (struct scanned){ 0 };
	return journal_scan(dir, uuid, no_tail, &tail, &s->rec, &s->n, &s->max_seq, &s->max_epoch, why);
}

UNUSED static struct scanned
scan_from(uint64_t tail)
{
	struct scanned s;
	char why[256];

	cr_assert(eq(int, try_scan(&s, tail, why), 0), "%s", why);
	return s;
}

UNUSED static void
scan_put(struct scanned *s)
{
	for (size_t i = 0; i < s->n; i++)
		jloc_put(&s->rec[i].loc);
	free(s->rec);
	journal_scan_free();
}

/* Reads a record back through the journal and compares it. */
UNUSED static int
read_back(const struct jloc *loc, uint64_t seq)
{
	uint8_t want[JRECORD_BYTES_MAX];
	struct buf *b = buf_get(BUF_LARGE, BUF_CACHE);
	struct jread r;
	struct probe p = { .op.resume = probe_resume };

	fill(want, loc->len, seq);
	cr_assert(eq(int, journal_read(&r, loc, b, &p.op), OP_PENDING));
	fake_settle();
	cr_assert(lt(int, 0, p.resumed));
	if (p.op.res == 0)
		cr_assert(eq(int, memcmp(b->data, want, loc->len), 0));
	buf_put(b);
	return p.op.res;
}

/* The scan finds records first..last, whole and in order. */
UNUSED static void
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
UNUSED static void
close_journal(struct journal *j)
{
	journal_close(j);
	fake_start(fake_cores);
}

/* The memory of one journal of a process that died. */
UNUSED static void
drop_journal(struct journal *j)
{
	j->err = -EIO;
	for (uint64_t n = j->acked; n < j->next; n++)
		for (uint32_t i = 0; i < j->group[n % JGROUPS].nrec; i++)
			if (j->group[n % JGROUPS].hold[i])
				buf_put(j->group[n % JGROUPS].hold[i]);
	j->room = NULL;
	j->wipe.running = false;
	journal_close(j);
}

/* As if the process died now: nothing more reaches the disk. */
UNUSED static void
crash(struct journal *j)
{
	fake_end_works();
	fake_nio = 0;
	drop_journal(j);
	fake_start(fake_cores);
}

UNUSED static char *
path_of(const struct journal *j)
{
	static char path[JPATH_MAX];

	return strcpy(path, (j->open ? j->open : j->used.head)->path);
}

/* Appends until there is no room; the records' places in w.  Settles in between. */
UNUSED static size_t
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

#endif
