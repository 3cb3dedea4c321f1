/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/data_world.h"
#include "store/blockio.h"

TestSuite(file, .timeout = 600);

#define NEVER (1ull << 62) /* of an upload's delay: also for what is replayed */

static uint8_t out[4 * MIB], in[4 * MIB];

static void
check_bytes(struct fref f, uint64_t off, const uint8_t *want, uint32_t len)
{
	size_t i;

	memset(in, 0xaa, len);
	cr_assert(eq(int, data_read(f, off, in, len), (int)len));
	i = rig_differs(in, want, len);
	cr_assert(i == len, "byte %lu is %02x, not %02x", off + i, in[i], want[i]);
}

Test(file, written_bytes_are_read_before_and_after_the_upload)
{
	struct fref f;
	struct attr a;

	data_start(2);
	f = data_create("a");
	data_fill(out, 3 * MIB, 1);
	for (uint32_t at = 0; at < 3 * MIB; at += FILE_IO_MAX)
		cr_assert(eq(int, data_write(f, at, out + at, FILE_IO_MAX, STABLE_UNSTABLE), 0));
	check_bytes(f, 0, out, 3 * MIB);
	check_bytes(f, 12345, out + 12345, 777777);
	a = data_attr(f);
	cr_assert(eq(u64, a.size, 3 * MIB));
	cr_assert(eq(u64, a.used + a.dirty, 3 * MIB));
	cr_assert(eq(int, data_commit(f), 0));
	data_drain();
	a = data_attr(f);
	cr_assert(eq(u64, a.used, 3 * MIB));
	cr_assert(eq(u64, a.dirty, 0));
	cr_assert(lt(u64, 0, data_stats().uploaded_objects));
	check_bytes(f, 0, out, 3 * MIB);
	data_check();
	data_close();
	data_open(1);
	check_bytes(f, 0, out, 3 * MIB);
	check_bytes(f, 4097, out + 4097, 100000);
	data_stop();
}

/* The reply of the SETATTR itself already shows what is left: clients believe it. */
Test(file, a_cut_shows_what_is_left)
{
	struct meta_setattr m = { .sattr = { .set_size = true, .size = 65536 } };

	data.file.upload_delay_ns = NEVER;
	data_start(1);
	m.req.f = data_create("a");
	data_fill(out, MIB, 3);
	cr_assert(eq(int, data_write(m.req.f, 0, out, FILE_IO_MAX, STABLE_UNSTABLE), 0));
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	cr_assert(eq(u64, m.wcc.post.size, 65536));
	cr_assert(eq(u64, m.wcc.post.used + m.wcc.post.dirty, 65536));
	m.sattr.size = 0;
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	cr_assert(eq(u64, m.wcc.post.used + m.wcc.post.dirty, 0));
	data_stop();
}

/* A stream over several chunks by several writers: slices of many blocks, uploaded while it goes on. */
static struct fref stream[4];
#define STREAM (72 * MIB)

static void
stamp(uint8_t *p, int who, uint64_t off)
{
	for (uint64_t i = 0; i < FILE_IO_MAX; i += 512) {
		put_le64(p + i, mix64(off + i));
		p[i + 100] = (uint8_t)who;
	}
}

static void
stream_write(int i)
{
	uint8_t *p = calloc(1, FILE_IO_MAX);

	for (uint64_t at = 0; at < STREAM; at += FILE_IO_MAX) {
		stamp(p, i, at);
		cr_assert(eq(int, data_write(stream[i], at, p, FILE_IO_MAX, STABLE_UNSTABLE), 0));
	}
	free(p);
}

static void
stream_read(int i)
{
	uint8_t *p = calloc(1, FILE_IO_MAX), *q = malloc(FILE_IO_MAX);

	for (uint64_t at = 0; at < STREAM; at += FILE_IO_MAX) {
		stamp(p, i, at);
		cr_assert(eq(int, data_read(stream[i], at, q, FILE_IO_MAX), (int)FILE_IO_MAX));
		cr_assert(memcmp(p, q, FILE_IO_MAX) == 0, "file %d at %lu", i, at);
	}
	free(p);
	free(q);
}

Test(file, long_streams)
{
	data.buf_bytes = 24 * MIB; /* they do not fit into memory */
	data.file.journal_bytes = 96 * MIB;
	data_start(2);
	for (int i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%d", i);
		stream[i] = data_create(name);
	}
	rig_threads(4, stream_write);
	rig_threads(4, stream_read);
	data_drain();
	for (int i = 0; i < 4; i++)
		cr_assert(eq(u64, data_attr(stream[i]).used, STREAM));
	data_check();
	data_close();
	data_open(2);
	rig_threads(4, stream_read);
	data_stop();
}

Test(file, holes_read_as_zeros)
{
	static uint8_t zeros[MIB];
	struct fref f;
	bool eof;

	data_start(2);
	f = data_create("sparse");
	cr_assert(eq(int, data_read_as(f, &superuser, 0, in, 100, &eof), 0));
	cr_assert(eof);
	data_fill(out, 100, 9);
	cr_assert(eq(int, data_write(f, 5 * GIB, out, 100, STABLE_UNSTABLE), 0));
	for (int again = 0; again < 3; again++) {
		check_bytes(f, 0, zeros, MIB);
		check_bytes(f, 5 * GIB - 1000, zeros, 1000);
		check_bytes(f, 5 * GIB, out, 100);
		cr_assert(eq(int, data_read_as(f, &superuser, 5 * GIB + 90, in, 4096, &eof), 10));
		cr_assert(eof);
		cr_assert(eq(int, data_read_as(f, &superuser, 5 * GIB + 100, in, 4096, &eof), 0));
		cr_assert(eof);
		cr_assert(eq(int, data_read_as(f, &superuser, 4 * GIB, in, 4096, &eof), 4096));
		cr_assert(eof == false);
		if (again == 0) {
			data_drain();
		} else {
			data_close();
			data_open(again);
		}
	}
	/* Data that was cut off does not come back when the file grows. */
	cr_assert(eq(int, data_truncate(f, 5 * GIB + 10), 0));
	cr_assert(eq(int, data_truncate(f, 5 * GIB + 200), 0));
	memset(out + 10, 0, 190);
	check_bytes(f, 5 * GIB, out, 200);
	cr_assert(eq(u64, data_attr(f).used, 10));
	data_stop();
}

/* More pieces than an answer holds: it is short, and the next READ goes on. */
Test(file, reads_of_many_pieces_are_short)
{
	struct fref f;
	int n;

	data.file.upload_delay_ns = NEVER;
	data_start(1);
	f = data_create("f");
	memset(out, 0, MIB);
	for (uint64_t at = 0; at < MIB; at += 2048) {
		data_fill(out + at, 1000, at);
		cr_assert(eq(int, data_write(f, at, out + at, 1000, STABLE_UNSTABLE), 0));
	}
	cr_assert(eq(int, data_truncate(f, MIB), 0));
	n = data_read_as(f, &superuser, 0, in, MIB, NULL);
	cr_assert(lt(int, 1000, n));
	cr_assert(lt(int, n, (int)MIB));
	check_bytes(f, 0, out, MIB);
	data_drain();
	check_bytes(f, 0, out, MIB);
	data_close();
	data_open(1);
	check_bytes(f, 0, out, MIB);
	data_stop();
}

/* In the volume's directory. */
static void
shell(const char *what)
{
	char cmd[600];

	snprintf(cmd, sizeof(cmd), "cd '%s' && %s", data.path, what);
	cr_assert(eq(int, system(cmd), 0));
}

/* A missing or damaged object is an error, never zeros. */
Test(file, lost_and_damaged_objects_are_errors)
{
	struct fref lost, damaged, good;

	data.file.upload_delay_ns = NEVER;
	data_start(1);
	log_set_level((enum log_level)-1);
	lost = data_create("lost");
	damaged = data_create("damaged");
	good = data_create("good");
	data_fill(out, 2 * MIB, 3);
	for (int i = 0; i < 2; i++) {
		cr_assert(eq(int, data_write(i ? damaged : lost, 0, out, MIB, STABLE_UNSTABLE), 0));
		cr_assert(eq(int, data_write(i ? damaged : lost, MIB, out + MIB, MIB, STABLE_FILE_SYNC), 0));
		data_drain();
		if (i == 0)
			shell("find objects -type f -delete");
		else /* one byte in the middle of a frame */
			shell("printf x | dd of=$(find objects -type f) bs=1 seek=100000 conv=notrunc 2>/dev/null");
	}
	cr_assert(eq(int, data_write(good, 0, out, 1000, STABLE_UNSTABLE), 0));
	data_drain();
	data_close();
	data_open(1);
	cr_assert(eq(int, data_read_as(lost, &superuser, 0, in, 4096, NULL), -EIO));
	cr_assert(eq(int, data_read_as(damaged, &superuser, 99000, in, 4096, NULL), -E_DAMAGED));
	check_bytes(damaged, 0, out, 65536);
	check_bytes(damaged, 131072, out + 131072, MIB);
	check_bytes(good, 0, out, 1000);
	data_stop();
}

/* The first record's payload lies behind the segment's header and the group's descriptor. */
static void
damage_journal(void)
{
	shell("for f in journal/*; do printf x | dd of=$f bs=1 seek=20000 conv=notrunc 2>/dev/null; done");
}

/* What is only in the journal, and damaged there: EIO for who reads it, and the others go on. */
Test(file, damaged_journals_are_errors)
{
	struct fref bad, good;

	data.file.upload_delay_ns = NEVER;
	data_start(1);
	log_set_level((enum log_level)-1);
	bad = data_create("bad");
	good = data_create("good");
	data_fill(out, MIB, 3);
	cr_assert(eq(int, data_write(bad, 0, out, 60000, STABLE_FILE_SYNC), 0));
	cr_assert(eq(int, data_write(good, 0, out, 60000, STABLE_FILE_SYNC), 0));
	data_close();
	data.before_laps = damage_journal;
	data_open(1);
	cr_assert(eq(int, data_read_as(bad, &superuser, 0, in, 4096, NULL), -E_DAMAGED));
	check_bytes(good, 0, out, 60000);
	data_drain();
	cr_assert(data_pending(data_now_ns()).stuck);
	cr_assert(eq(u64, data_attr(good).used, 60000));
	cr_assert(eq(int, data_write(good, 1000, out, 1000, STABLE_FILE_SYNC), 0));
	cr_assert(eq(int, data_read_as(bad, &superuser, 0, in, 4096, NULL), -E_DAMAGED));
	data_stop();
}

Test(file, the_verifier_is_of_the_run)
{
	uint64_t verf;

	data_start(1);
	verf = file_verf();
	cr_assert(verf != 0);
	data_close();
	data_open(2);
	cr_assert(file_verf() != verf);
	data_stop();
}

/* relatime: the first READ after a change shows, those after it do not. */
Test(file, reading_is_seen_once)
{
	struct fref f;
	struct attr before, after;

	data_start(1);
	f = data_create("f");
	cr_assert(eq(int, data_write(f, 0, out, 10, STABLE_UNSTABLE), 0));
	before = data_attr(f);
	check_bytes(f, 0, out, 10);
	after = data_attr(f);
	cr_assert(lt(u64, before.mtime_ns, after.atime_ns));
	usleep(2000);
	check_bytes(f, 0, out, 10);
	cr_assert(eq(u64, data_attr(f).atime_ns, after.atime_ns));
	cr_assert(eq(u64, data_attr(f).ctime_ns, before.ctime_ns));
	data_stop();
}

/*
 * The journal's tail as RocksDB knows it never goes back: a file that was cut when all was retired has no record
 * of that in the journal, and a later start must not find its old bytes there.
 */
Test(file, what_was_cut_without_a_record_stays_cut)
{
	static const uint8_t zeros[100000];
	struct fref cut, kept, other;

	data.file.upload_delay_ns = NEVER;
	data_start(1);
	cut = data_create("cut");
	kept = data_create("kept");
	other = data_create("other");
	data_fill(out, 100000, 1);
	cr_assert(eq(int, data_write(cut, 0, out, 100000, STABLE_FILE_SYNC), 0));
	data_drain();
	usleep(100000); /* all is retired, and RocksDB is told */
	cr_assert(eq(int, data_truncate(cut, 0), 0));
	/* The journal is in use again, in the same segment; a truncation of what is dirty tells RocksDB its tail. */
	cr_assert(eq(int, data_write(kept, 0, out, 100000, STABLE_FILE_SYNC), 0));
	cr_assert(eq(int, data_write(other, 0, out, 100000, STABLE_FILE_SYNC), 0));
	cr_assert(eq(int, data_truncate(other, 0), 0));
	usleep(100000);
	data_close();
	data_open(1);
	cr_assert(eq(int, data_truncate(cut, 100000), 0));
	check_bytes(cut, 0, zeros, 100000);
	check_bytes(kept, 0, out, 100000);
	data_stop();
}
