/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The making of segments while nobody writes: it stops for who does, goes on afterwards, and what
 * is half made is used where it is needed and leaves nothing where it is not.
 */
#include "tests/unit/journal_rig.h"

#define SEG   (12 * MIB) /* zeroed in three steps */
#define PAUSE (250 * 1000000ull)

TestSuite(journal_grow, .init = setup, .fini = teardown);

/* One segment, and one more wanted for the next burst. */
static struct journal *
open_ahead(uint64_t epoch, uint64_t first_seq)
{
	struct journal_opts o = { .dir = dir, .uuid = uuid, .bytes = 4 * SEG, .segment_bytes = SEG,
	                          .ahead_bytes = 2 * SEG, .epoch = epoch, .first_seq = first_seq };
	struct journal *j;
	char why[256];

	cr_assert(eq(int, journal_open(&j, fake_core, &o, why), 0), "%s", why);
	return j;
}

/* A record that is durable at once: the pause, if there was one, is over. */
static struct written
write_one(struct journal *j, uint32_t len)
{
	struct written w = append(j, 1, 0, len);

	fake_lap();
	while (fake_nio > 0) {
		fake_io_finish(0, SSIZE_MAX);
		fake_lap();
	}
	return w;
}

/* In the middle of the zeros somebody writes. */
static struct journal *
open_paused(uint64_t epoch, uint64_t first_seq, struct written *w)
{
	struct journal *j = open_ahead(epoch, first_seq);

	for (int i = 0; i < 10 && j->grow.zeroed == 0; i++)
		fake_lap();
	cr_assert(eq(int, j->grow.stage, GROW_ZERO));
	*w = write_one(j, 4096);
	for (int i = 0; i < 10; i++)
		fake_lap();
	cr_assert(eq(int, j->grow.stage, GROW_PAUSED));
	cr_assert(j->grow.zeroed > 0 && j->grow.zeroed < SEG);
	return j;
}

static off_t
file_bytes(const char *path)
{
	struct stat st;

	cr_assert(eq(int, stat(path, &st), 0));
	return st.st_size;
}

Test(journal_grow, made_while_nobody_writes)
{
	struct journal *j = open_ahead(1, 1);

	for (int i = 0; i < 20; i++)
		fake_lap();
	cr_assert(eq(int, j->grow.stage, GROW_IDLE));
	cr_assert(eq(u32, j->free.count, 2));
	cr_assert(eq(u64, j->total_bytes, 2 * SEG), "as much as was wanted ahead");
	cr_assert(eq(i64, file_bytes(j->free.head->next->path), SEG));
	close_journal(j);
	cr_assert(eq(int, each_file(NULL), 0));
}

Test(journal_grow, stops_for_writers_and_goes_on)
{
	struct written w;
	struct journal *j = open_paused(1, 1, &w);
	uint32_t zeroed = j->grow.zeroed;

	/* As long as somebody writes, however little. */
	for (int i = 0; i < 5; i++) {
		retire(&w);
		fake_now_ns += PAUSE / 2;
		w = write_one(j, 4096);
		cr_assert(eq(int, j->grow.stage, GROW_PAUSED));
		cr_assert(eq(u32, j->grow.zeroed, zeroed));
	}
	fake_now_ns += PAUSE;
	for (int i = 0; i < 40; i++)
		fake_lap();
	cr_assert(eq(int, j->grow.stage, GROW_IDLE));
	cr_assert(eq(u32, j->free.count, 2), "as much as was wanted ahead of the open one");
	cr_assert(eq(u64, j->total_bytes, 3 * SEG));
	retire(&w);
	fake_settle();
	close_journal(j);
	cr_assert(eq(int, each_file(NULL), 0));
}

/* Writers come faster than zeros: what is half zeroed is used as it is, and read after a crash. */
Test(journal_grow, taken_half_zeroed)
{
	struct written w;
	struct journal *j = open_paused(1, 1, &w);
	uint64_t n = 1;

	for (; j->fill <= SEG / 4 * 3; n++)
		append(j, 1, 0, 65536);
	fake_settle();
	cr_assert(eq(u64, journal_durable(j), n));
	cr_assert(eq(int, j->grow.stage, GROW_IDLE));
	cr_assert(lt(u32, j->grow.zeroed, SEG), "it was needed before it was done");
	cr_assert(eq(u32, j->free.count, 1));
	for (; !j->used.head->next; n++)
		append(j, 1, 0, 65536);
	fake_settle();
	cr_assert(eq(u64, journal_durable(j), n));
	crash(j);
	expect_records(0, 1, n);
}

/* The end of a run while one is half made. */
Test(journal_grow, closed_while_it_pauses)
{
	struct written w;
	struct journal *j = open_paused(1, 1, &w);

	cr_assert(eq(int, each_file(NULL), 2));
	retire(&w);
	fake_lap();
	close_journal(j);
	cr_assert(eq(int, each_file(NULL), 0), "a clean end leaves no file");

	j = open_paused(2, 10, &w);
	close_journal(j);
	cr_assert(eq(int, each_file(NULL), 1), "what is half made goes, what is needed stays");
	expect_records(0, 10, 10);
}
