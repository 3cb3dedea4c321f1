/* SPDX-License-Identifier: Apache-2.0 */
/* durability: remote.  What is answered is in the object store, in rounds, and never while that takes nothing. */
#include <dirent.h>
#include <pthread.h>

#include "tests/fake/data_world.h"
#include "tests/fake/slow_store.h"

TestSuite(file_remote, .timeout = 600);

#define FILE_BYTES 8192

static uint8_t bytes[20 * MIB], back[20 * MIB];

static void
fill(uint64_t x)
{
	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(x >> 56);
	}
}

static void
remote_start(int cores)
{
	fill(7);
	data.file.remote = true;
	data.file.upload_delay_ns = 1ull << 62;
	data.file.write_wait_ns = 60ull * 1000000000;
	data_start(cores);
}

static void
check_all(struct fref f, uint64_t off, const uint8_t *p, size_t n)
{
	memset(back, 0x55, n);
	cr_assert(eq(int, data_read(f, off, back, (uint32_t)n), (int)n));
	cr_assert(memcmp(back, p, n) == 0, "other bytes are read than were written");
}

/* The disk of the journal is lost: only what is in the object store is left. */
static void
lose_journal(void)
{
	DIR *d;
	struct dirent *e;

	data_close();
	d = opendir(data_path("journal"));
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	data_open(data.cores);
}

Test(file_remote, what_was_answered_needs_no_journal)
{
	struct fref stable, commit, large;

	remote_start(2);
	stable = data_create("stable");
	commit = data_create("commit");
	large = data_create("large");
	cr_assert(eq(int, data_write(stable, 5, bytes, 3000, STABLE_DATA_SYNC), 0));
	for (int i = 0; i < 20; i++)
		cr_assert(eq(int, data_write(commit, (uint64_t)i * 7000, bytes + i * 7000, 7000, STABLE_UNSTABLE), 0));
	cr_assert(eq(int, data_commit(commit), 0));
	for (size_t at = 0; at < sizeof(bytes); at += FILE_IO_MAX)
		cr_assert(eq(int, data_write(large, at, bytes + at, FILE_IO_MAX, STABLE_UNSTABLE), 0));
	cr_assert(eq(int, data_commit(large), 0));
	cr_assert(eq(u64, data_stats().dirty_bytes, 0));
	/* Once more: there is nothing to do. */
	cr_assert(eq(int, data_commit(large), 0));
	lose_journal();
	check_all(stable, 5, bytes, 3000);
	check_all(commit, 0, bytes, 20 * 7000);
	check_all(large, 0, bytes, sizeof(bytes));
	data_check();
	data_stop();
}

/* ---- many at once: each writer goes on as soon as it is answered */

#define WRITERS 64

static struct crowd {
	struct data_write write[WRITERS];
	struct file_commit commit[WRITERS];
	struct op step[WRITERS];
	struct fref f[WRITERS];
	_Atomic int left, bad;
} crowd;

static void
crowd_committed(struct op *step)
{
	if (step->res != 0)
		crowd.bad++;
	crowd.left--;
}

static void
crowd_written(struct op *step)
{
	int i = (int)(step - crowd.step);
	struct file_commit *c = &crowd.commit[i];

	if (step->res != 0)
		crowd.bad++;
	*c = (struct file_commit){ .req.f = crowd.f[i] };
	step->resume = crowd_committed;
	if (file_commit(c, step) == OP_DONE)
		crowd_committed(step);
}

static enum op_state
crowd_begin(void *arg, struct op *op)
{
	int i = (int)(intptr_t)arg;
	struct data_write *d = &crowd.write[i];

	*d = (struct data_write){ .w = { .req.f = crowd.f[i], .count = FILE_BYTES, .stable = STABLE_UNSTABLE } };
	d->from = bytes + i * 100;
	crowd.step[i].resume = crowd_written;
	if (start_write(d, &crowd.step[i]) == OP_DONE)
		crowd_written(&crowd.step[i]);
	return op_done(op, 0);
}

Test(file_remote, who_waits_together_shares_a_round_trip)
{
	uint64_t puts;

	remote_start(1);
	for (int i = 0; i < WRITERS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		crowd.f[i] = data_create(name);
	}
	slow_store_install(data.store);
	slow_store.put_delay_ms = 50;
	for (int round = 0; round < 5; round++) {
		crowd.left = WRITERS;
		for (int i = 0; i < WRITERS; i++)
			rig_call(0, crowd_begin, (void *)(intptr_t)i);
		while (crowd.left > 0)
			usleep(1000);
	}
	cr_assert(eq(int, crowd.bad, 0));
	puts = slow_store.puts;
	cr_assert(le(u64, puts, 5 * WRITERS / 4), "no packs");
	slow_store.put_delay_ms = 0;
	lose_journal();
	for (int i = 0; i < WRITERS; i++)
		check_all(crowd.f[i], 0, bytes + i * 100, FILE_BYTES);
	data_check();
	data_stop();
}

Test(file_remote, without_packs_each_block_has_an_object)
{
	data.file.pack_below = 1;
	remote_start(1);
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		crowd.f[i] = data_create(name);
	}
	slow_store_install(data.store);
	crowd.left = 40;
	for (int i = 0; i < 40; i++)
		rig_call(0, crowd_begin, (void *)(intptr_t)i);
	while (crowd.left > 0)
		usleep(1000);
	cr_assert(eq(int, crowd.bad, 0));
	cr_assert(eq(u64, slow_store.puts, 40));
	lose_journal();
	for (int i = 0; i < 40; i++)
		check_all(crowd.f[i], 0, bytes + i * 100, FILE_BYTES);
	cr_assert(eq(u64, data_check().packs, 0));
	data_stop();
}

/* ---- a store that is away */

Test(file_remote, nobody_is_told_ok_while_the_store_is_away)
{
	struct fref f;

	remote_start(1);
	data_close();
	data.file.write_wait_ns = 300ull * 1000000;
	data_open(1);
	f = data_create("f");
	slow_store_install(data.store);
	slow_store.fail_put = -EIO;
	cr_assert(eq(int, data_write(f, 0, bytes, 5000, STABLE_UNSTABLE), 0));
	cr_assert(eq(int, data_commit(f), -E_JUKEBOX));
	cr_assert(eq(int, data_write(f, 5000, bytes + 5000, 5000, STABLE_FILE_SYNC), -E_JUKEBOX));
	check_all(f, 0, bytes, 10000);
	slow_store.fail_put = 0;
	for (int tries = 0; tries < 200 && data_commit(f) != 0; tries++)
		;
	cr_assert(eq(u64, data_stats().dirty_bytes, 0));
	lose_journal();
	check_all(f, 0, bytes, 10000);
	data_stop();
}

/* One request now and then, not all that there would be, finds out whether it is back. */
Test(file_remote, a_store_that_is_away_is_asked_rarely)
{
	remote_start(1);
	slow_store_install(data.store);
	slow_store.fail_put = -EIO;
	for (int i = 0; i < WRITERS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		crowd.f[i] = data_create(name);
	}
	crowd.left = WRITERS;
	for (int i = 0; i < WRITERS; i++)
		rig_call(0, crowd_begin, (void *)(intptr_t)i);
	sleep(3);
	cr_assert(eq(int, crowd.left, WRITERS));
	cr_assert(le(u64, slow_store.puts, 12)); /* 4 uploads, and then at 0.1, 0.2, 0.4 ... s */
	slow_store.fail_put = 0;
	while (crowd.left > 0)
		usleep(1000);
	cr_assert(eq(int, crowd.bad, 0));
	data_stop();
}

/* ---- what happens to the file meanwhile */

static _Atomic bool rewriting;

static void *
rewrite(void *arg)
{
	struct fref f = *(struct fref *)arg;

	while (rewriting)
		cr_assert(eq(int, data_write(f, 0, bytes, 4096, STABLE_UNSTABLE), 0));
	return NULL;
}

/* Its beginning is never clean; what waits is answered all the same, and what lies behind is uploaded. */
Test(file_remote, a_busy_file_lets_go_of_who_waits)
{
	struct fref f;
	pthread_t t;

	remote_start(1);
	f = data_create("f");
	slow_store_install(data.store);
	slow_store.put_delay_ms = 20;
	rewriting = true;
	pthread_create(&t, NULL, rewrite, &f);
	for (int i = 0; i < 20; i++) {
		cr_assert(eq(int, data_write(f, 8192 + (uint64_t)i * 100, bytes + i, 100, STABLE_UNSTABLE), 0));
		cr_assert(eq(int, data_commit(f), 0));
	}
	data_drain(); /* all that was dirty when it began: it ends */
	rewriting = false;
	pthread_join(t, NULL);
	data_stop();
}

/* More than a flush takes, and its beginning is rewritten again and again: a pass comes to its end. */
Test(file_remote, a_large_busy_file_is_stored_as_a_whole)
{
	struct fref f;
	pthread_t t;

	data.buf_bytes = 128 * MIB;
	data.file.journal_bytes = 512 * MIB;
	remote_start(1);
	f = data_create("f");
	rewriting = true;
	pthread_create(&t, NULL, rewrite, &f);
	for (uint64_t i = 0; i < 2000; i++)
		cr_assert(eq(int, data_write(f, 8192 + i * 8192, bytes + i, 4096, STABLE_UNSTABLE), 0));
	cr_assert(eq(int, data_commit(f), 0));
	rewriting = false;
	pthread_join(t, NULL);
	cr_assert(le(u64, data_stats().dirty_bytes, 4096));
	cr_assert(eq(int, data_commit(f), 0));
	lose_journal();
	check_all(f, 0, bytes, 4096);
	for (uint64_t i = 0; i < 2000; i += 7)
		check_all(f, 8192 + i * 8192, bytes + i, 4096);
	data_check();
	data_stop();
}

Test(file_remote, files_that_go_or_shrink_answer)
{
	struct fref gone, cut;

	remote_start(1);
	gone = crowd.f[0] = data_create("gone");
	cut = crowd.f[1] = data_create("cut");
	slow_store_install(data.store);
	slow_store.hold_puts = true;
	crowd.left = 2;
	rig_call(0, crowd_begin, (void *)0);
	rig_call(0, crowd_begin, (void *)1);
	EVENTUALLY(slow_store.held > 0);
	cr_assert(eq(int, data_unlink("gone"), 0));
	cr_assert(eq(int, data_truncate(cut, 0), 0));
	slow_store.hold_puts = false;
	while (crowd.left > 0)
		usleep(1000);
	cr_assert(eq(int, crowd.bad, 1)); /* the removed one is STALE */
	cr_assert(eq(int, data_commit(gone), -ESTALE));
	cr_assert(eq(int, data_commit(cut), 0));
	data_check();
	data_stop();
}

/* What is under way at the end is not answered with OK. */
Test(file_remote, the_end_answers_who_waits)
{
	remote_start(1);
	crowd.f[0] = data_create("f");
	slow_store_install(data.store);
	slow_store.fail_put = -EIO;
	crowd.left = 1;
	rig_call(0, crowd_begin, (void *)0);
	usleep(50000);
	cr_assert(eq(int, crowd.left, 1));
	data_close();
	cr_assert(eq(int, crowd.left, 0));
	cr_assert(eq(int, crowd.bad, 1));
	data_open(1);
	check_all(crowd.f[0], 0, bytes, FILE_BYTES);
	data_stop();
}
