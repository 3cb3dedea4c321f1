/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A write that goes on until it is whole, in both forms, over a disk that answers by a plan: some
 * bytes, none, an error.  What the test says was taken is what is in the file.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>

#include "reactor/base.h"
#include "reactor/disk.h"
#include "reactor/diskwrite.h"

#define PIECES 5
#define FILE_BYTES (64 * PAGE)
#define OFF (3 * PAGE)
#define FD 42

static uint8_t file[FILE_BYTES], source[FILE_BYTES];
static const int *plan; /* the disk's answers: bytes at most, or an error */
static int asked, now;  /* how often; answer in the call itself */
static struct op *under_way;

/* Does as much of the write as the next answer says. */
static int
answer(int fd, const struct iovec *iov, int niov, uint64_t off)
{
	int res = plan[asked++], done = 0;

	cr_assert(eq(int, fd, FD));
	for (int i = 0; i < niov; i++) {
		int n = MIN((int)iov[i].iov_len, res - done);

		cr_assert(lt(sz, 0, iov[i].iov_len));
		cr_assert(le(u64, off + iov[i].iov_len, FILE_BYTES));
		if (n <= 0)
			break;
		memcpy(file + off, iov[i].iov_base, (size_t)n);
		off += (uint64_t)n;
		done += n;
	}
	return res < 0 ? res : done;
}

enum op_state
disk_writev(int fd, const struct iovec *iov, int niov, uint64_t off, bool durable, struct op *op)
{
	cr_assert(durable);
	op->res = answer(fd, iov, niov, off);
	if (now)
		return OP_DONE;
	under_way = op;
	return OP_PENDING;
}

/* In the C library's place. */
ssize_t
pwritev2(int fd, const struct iovec *iov, int niov, off_t off, int flags)
{
	int res = answer(fd, iov, niov, (uint64_t)off);

	cr_assert(eq(int, flags, RWF_DSYNC));
	if (res >= 0)
		return res;
	errno = -res;
	return -1;
}

static int resumed;

static void
resume(struct op *op)
{
	(void)op;
	resumed++;
}

/* Pieces of 1, 2, 3... pages. */
static uint64_t
pieces(struct iovec iov[PIECES])
{
	uint64_t bytes = 0;

	for (int i = 0; i < PIECES; i++) {
		iov[i] = (struct iovec){ source + bytes, ((size_t)i + 1) * PAGE };
		bytes += iov[i].iov_len;
	}
	return bytes;
}

enum form { LATER, AT_ONCE, BLOCKING, FORMS };

/* What became of it; the file has exactly what was to be written where that is 0. */
static int
write_by(enum form form, const int *answers, int times)
{
	struct iovec iov[PIECES];
	uint64_t bytes = pieces(iov);
	struct op op = { .resume = resume };
	struct disk_write w;
	int res;

	memset(file, 0xee, sizeof(file));
	plan = answers;
	asked = resumed = 0;
	now = form == AT_ONCE;
	if (form == BLOCKING) {
		res = disk_write_all_now(FD, iov, PIECES, OFF);
	} else {
		enum op_state s = disk_write_all(&w, FD, iov, PIECES, OFF, &op);

		cr_assert(eq(int, s, now ? OP_DONE : OP_PENDING));
		while (under_way) {
			struct op *o = under_way;

			cr_assert(eq(int, resumed, 0));
			under_way = NULL;
			o->resume(o);
		}
		cr_assert(eq(int, resumed, form == LATER), "never both");
		res = op.res;
	}
	cr_assert(eq(int, asked, times));
	if (res == 0) {
		cr_assert(eq(int, memcmp(file + OFF, source, bytes), 0));
		cr_assert(eq(int, file[OFF - 1], 0xee));
		cr_assert(eq(int, file[OFF + bytes], 0xee));
	}
	return res;
}

#define WHOLE (FILE_BYTES)

static void
fill_source(void)
{
	for (size_t i = 0; i < sizeof(source); i++)
		source[i] = (uint8_t)(mix64(i) >> 7);
}

TestSuite(diskwrite, .init = fill_source);

Test(diskwrite, goes_on_until_it_is_whole)
{
	static const int at_once[] = { WHOLE };
	static const int in_parts[] = { PAGE, 2 * PAGE, 5 * PAGE, WHOLE };
	static const int half_pages[] = { PAGE / 2, PAGE + 512, 3 * PAGE - 1, WHOLE };
	static const int interrupted[] = { -EINTR, PAGE, -EAGAIN, 0, WHOLE };

	for (enum form f = LATER; f < FORMS; f++) {
		cr_assert(eq(int, write_by(f, at_once, 1), 0));
		cr_assert(eq(int, write_by(f, in_parts, 4), 0));
		cr_assert(eq(int, write_by(f, half_pages, 4), 0));
		cr_assert(eq(int, write_by(f, interrupted, 5), 0));
	}
}

Test(diskwrite, an_error_ends_it)
{
	static const int first[] = { -EIO };
	static const int later[] = { 2 * PAGE, -EINTR, -ENOSPC };

	for (enum form f = LATER; f < FORMS; f++) {
		cr_assert(eq(int, write_by(f, first, 1), -EIO));
		cr_assert(eq(int, write_by(f, later, 3), -ENOSPC));
	}
}

/* What brings something now and then may take as long as it wants. */
Test(diskwrite, a_disk_that_takes_nothing_is_broken)
{
	int nothing[DISK_WRITE_TRIES] = { 0 }, interrupted[DISK_WRITE_TRIES], slow[3 * (DISK_WRITE_TRIES - 1) + 3];
	int n = 0;

	for (int i = 0; i < DISK_WRITE_TRIES; i++)
		interrupted[i] = -EINTR;
	for (int page = 0; page < 3; page++) {
		for (int i = 1; i < DISK_WRITE_TRIES; i++)
			slow[n++] = PAGE - 1;
		slow[n++] = page == 2 ? WHOLE : PAGE;
	}
	for (enum form f = LATER; f < FORMS; f++) {
		cr_assert(eq(int, write_by(f, nothing, DISK_WRITE_TRIES), -EIO));
		cr_assert(eq(int, write_by(f, interrupted, DISK_WRITE_TRIES), -EINTR));
		cr_assert(eq(int, write_by(f, slow, n), 0));
	}
}

Test(diskwrite, any_plan)
{
	srandom(7);
	for (int round = 0; round < 2000; round++) {
		int answers[64], n = 0, pages = 0;

		while (pages < PIECES * (PIECES + 1) / 2) {
			int bytes = (int)(random() % (6 * (int)PAGE));

			assert(n < (int)ARRAY_LEN(answers) - 2);
			if (random() % 4 == 0)
				answers[n++] = -EINTR;
			answers[n++] = MAX(bytes, (int)PAGE);
			pages += answers[n - 1] / (int)PAGE;
		}
		cr_assert(eq(int, write_by((enum form)(round % FORMS), answers, n), 0));
	}
}
