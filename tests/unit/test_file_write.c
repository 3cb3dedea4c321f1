/* SPDX-License-Identifier: Apache-2.0 */
#include <semaphore.h>

#include "reactor/worker.h"
#include "tests/fake/data_world.h"
#include "tests/fake/slow_store.h"

TestSuite(file_write, .timeout = 600);

static uint8_t bytes[4 * MIB], back[4 * MIB];

static const struct cred alice = { .uid = 1001, .gid = 100 }, bob = { .uid = 1002, .gid = 100 };

static void
set_attr(struct fref f, struct sattr s)
{
	struct meta_setattr m = { .req.f = f, .sattr = s };

	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
}

static struct fref
make(const char *name, uint32_t type)
{
	struct meta_create m = {
		.req = { .f = data.root }, .name = { name, (uint32_t)strlen(name) }, .type = type,
		.how = CREATE_GUARDED, .sattr = { .set_mode = true, .mode = 0755 },
	};

	cr_assert(eq(int, ON_OWNER(meta_create, &m), 0));
	return m.child;
}

Test(file_write, wcc_and_times_are_of_one_instant)
{
	struct file_write w, again;
	struct fref f;
	struct attr a;

	data_start(2);
	f = data_create("f");
	a = data_attr(f);
	cr_assert(eq(int, data_write_as(f, &superuser, 100, bytes, 50, STABLE_UNSTABLE, &w), 0));
	cr_assert(w.wcc.has_pre && w.wcc.has_post);
	cr_assert(eq(u64, w.wcc.pre_size, 0));
	cr_assert(eq(u64, w.wcc.pre_mtime_ns, a.mtime_ns));
	cr_assert(eq(u64, w.wcc.pre_ctime_ns, a.ctime_ns));
	cr_assert(eq(u64, w.wcc.post.size, 150));
	cr_assert(lt(u64, a.mtime_ns, w.wcc.post.mtime_ns));
	cr_assert(eq(u64, w.wcc.post.mtime_ns, w.wcc.post.ctime_ns));
	cr_assert(eq(int, (int)w.committed, STABLE_UNSTABLE));
	cr_assert(eq(u64, w.verf, file_verf()));
	cr_assert(eq(int, data_write_as(f, &superuser, 0, bytes, 10, STABLE_DATA_SYNC, &again), 0));
	cr_assert(eq(u64, again.wcc.pre_ctime_ns, w.wcc.post.ctime_ns));
	cr_assert(lt(u64, w.wcc.post.ctime_ns, again.wcc.post.ctime_ns));
	cr_assert(eq(int, (int)again.committed, STABLE_FILE_SYNC));
	cr_assert(eq(u64, again.wcc.post.size, 150));
	/* st_blocks of a file with data is never 0, and no more than the file. */
	cr_assert(lt(u64, 0, again.wcc.post.used + again.wcc.post.dirty));
	cr_assert(le(u64, again.wcc.post.used + again.wcc.post.dirty, 150));
	data_stop();
}

Test(file_write, nothing_is_written_by_an_empty_write)
{
	struct file_write w;
	struct fref f;
	struct attr a;

	data_start(1);
	f = data_create("f");
	a = data_attr(f);
	cr_assert(eq(int, data_write_as(f, &superuser, 1000, bytes, 0, STABLE_FILE_SYNC, &w), 0));
	cr_assert(w.wcc.has_post);
	cr_assert(eq(u64, w.wcc.post.size, 0));
	cr_assert(eq(u64, w.wcc.post.mtime_ns, a.mtime_ns));
	data_stop();
}

Test(file_write, who_may_and_what_can_be_written)
{
	struct fref f, dir, fifo, gone;

	data_start(2);
	f = data_create("f");
	dir = make("dir", FT_DIR);
	fifo = make("fifo", FT_FIFO);
	gone = data_create("gone");
	cr_assert(eq(int, data_write(dir, 0, bytes, 1, STABLE_UNSTABLE), -EISDIR));
	cr_assert(eq(int, data_write(fifo, 0, bytes, 1, STABLE_UNSTABLE), -EINVAL));
	cr_assert(eq(int, data_read_as(dir, &superuser, 0, back, 1, NULL), -EISDIR));
	cr_assert(eq(int, data_read_as(fifo, &superuser, 0, back, 1, NULL), -EINVAL));
	cr_assert(eq(int, data_write(f, FILE_SIZE_MAX - 1, bytes, 1, STABLE_UNSTABLE), 0));
	cr_assert(eq(int, data_write(f, FILE_SIZE_MAX, bytes, 1, STABLE_UNSTABLE), -EFBIG));
	cr_assert(eq(int, data_write(f, UINT64_MAX - 1, bytes, 2, STABLE_UNSTABLE), -EFBIG));
	cr_assert(eq(int, data_truncate(f, FILE_SIZE_MAX + 1), -EFBIG));
	cr_assert(eq(int, data_truncate(f, 0), 0));
	set_attr(f, (struct sattr){ .set_mode = true, .mode = 0, .set_uid = true, .uid = 1001, .set_gid = true, .gid = 100 });
	cr_assert(eq(int, data_write_as(f, &alice, 0, bytes, 1, STABLE_UNSTABLE, NULL), 0)); /* the owner, whatever the mode */
	cr_assert(eq(int, data_read_as(f, &alice, 0, back, 1, NULL), 1));
	cr_assert(eq(int, data_write_as(f, &bob, 0, bytes, 1, STABLE_UNSTABLE, NULL), -EACCES));
	cr_assert(eq(int, data_read_as(f, &bob, 0, back, 1, NULL), -EACCES));
	set_attr(f, (struct sattr){ .set_mode = true, .mode = 0010 });
	cr_assert(eq(int, data_read_as(f, &bob, 0, back, 1, NULL), 1)); /* to run it is to read it */
	cr_assert(eq(int, data_write_as(f, &bob, 0, bytes, 1, STABLE_UNSTABLE, NULL), -EACCES));
	set_attr(f, (struct sattr){ .set_mode = true, .mode = 0020 });
	cr_assert(eq(int, data_write_as(f, &bob, 0, bytes, 1, STABLE_UNSTABLE, NULL), 0));
	cr_assert(eq(int, data_unlink("gone"), 0));
	cr_assert(eq(int, data_write(gone, 0, bytes, 1, STABLE_UNSTABLE), -ESTALE));
	cr_assert(eq(int, data_read_as(gone, &superuser, 0, back, 1, NULL), -ESTALE));
	cr_assert(eq(int, data_commit(gone), -ESTALE));
	data_stop();
}

/* And durably so: the bits do not come back after a crash. */
Test(file_write, writing_clears_set_user_id)
{
	struct file_write w;
	struct fref f;

	data_start(2);
	f = data_create("f");
	set_attr(f, (struct sattr){ .set_mode = true, .mode = 06755, .set_uid = true, .uid = 1001 });
	set_attr(f, (struct sattr){ .set_mode = true, .mode = 06777 });
	cr_assert(eq(int, data_write(f, 0, bytes, 10, STABLE_UNSTABLE), 0));
	cr_assert(eq(u32, data_attr(f).mode, 06777)); /* the superuser's do not */
	cr_assert(eq(int, data_write_as(f, &bob, 0, bytes, 10, STABLE_UNSTABLE, &w), 0));
	cr_assert(eq(u32, w.wcc.post.mode, 0777));
	cr_assert(eq(u32, data_attr(f).mode, 0777));
	data_stop();
}

static _Atomic int jukeboxes, written;
static struct fref flood_file[8];

static void
flood(int i)
{
	for (int n = 0; n < 24; n++) {
		int res = data_write(flood_file[i], (uint64_t)n * MIB, bytes, MIB, STABLE_UNSTABLE);

		cr_assert(res == 0 || res == -E_JUKEBOX, "write: %d", res);
		if (res == 0)
			written++;
		else
			jukeboxes++;
	}
}

/* Five WRITEs on each core, whoever is told to come again does: the journal grows as slowly as the disk makes its segments. */
static void
write_while_it_grows(void)
{
	int n[2] = { 0 };

	for (int i = 0; i < 8; i++)
		for (int *k = &n[shard_owner(flood_file[i].ino)]; *k < 5; ++*k) {
			int res;

			do
				res = data_write(flood_file[i], (uint64_t)*k * MIB, bytes, MIB, STABLE_UNSTABLE);
			while (res == -E_JUKEBOX);
			cr_assert(eq(int, res, 0));
		}
}

/* The object store is away: writers wait, then are told to come again; reads go on; when it is back, all is well. */
Test(file_write, a_full_journal_makes_writers_wait)
{
	data.file.journal_bytes = 24 * MIB;
	data.file.segment_bytes = MIB;
	data.file.write_wait_ns = 300 * 1000000;
	data.buf_bytes = 32 * MIB;
	data_start(2);
	for (int i = 0; i < 8; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%d", i);
		flood_file[i] = data_create(name);
	}
	memset(bytes, 7, sizeof(bytes));
	slow_store_install(data.store);
	slow_store.fail_put = -EIO;
	write_while_it_grows();
	rig_threads(8, flood);
	cr_assert(lt(int, 0, jukeboxes));
	cr_assert(lt(int, written, 40)); /* of 192: no more than the journal holds */
	for (int i = 0; i < 8; i++) {
		uint64_t size = data_attr(flood_file[i]).size;
		int n = data_read(flood_file[i], 0, back, (uint32_t)MIN(size, sizeof(back)));

		cr_assert(eq(int, n, (int)MIN(size, sizeof(back))));
		for (int k = 0; k < n; k++)
			cr_assert(back[k] == 7 || back[k] == 0); /* a WRITE that was not accepted may have been in part */
	}
	cr_assert(lt(u64, 0, data_stats().upload_errors));
	slow_store.fail_put = 0;
	jukeboxes = written = 0;
	data_drain();
	rig_threads(8, flood);
	cr_assert(eq(int, written + jukeboxes, 192));
	data_drain();
	cr_assert(eq(u64, data_stats().dirty_bytes, 0));
	data_check();
	data_stop();
}

Test(file_write, a_writer_gives_up_after_its_time)
{
	int res, n = 0;

	data.file.journal_bytes = 8 * MIB;
	data.file.segment_bytes = MIB;
	data.file.write_wait_ns = 20000000;
	data_start(1);
	flood_file[0] = data_create("f");
	slow_store_install(data.store);
	slow_store.fail_put = -EIO;
	do
		res = data_write(flood_file[0], (uint64_t)n++ * MIB, bytes, MIB, STABLE_UNSTABLE);
	while (res == 0);
	cr_assert(eq(int, res, -E_JUKEBOX));
	cr_assert(lt(int, n, 12));
	data_stop();
}

/* Both workers, of which everything is done that blocks, the making of journal segments among it. */
static struct { struct work work; struct op op; } stuck[2];
static _Atomic int stuck_now;
static sem_t unstick;

static int
be_stuck(struct work *w)
{
	(void)w;
	stuck_now++;
	while (sem_wait(&unstick) < 0)
		;
	stuck_now--;
	return 0;
}

static void
unstuck(struct op *op)
{
	(void)op;
}

static enum op_state
stick_workers(void *arg, struct op *op)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(stuck); i++) {
		stuck[i].op.resume = unstuck;
		(void)worker_run(&stuck[i].work, be_stuck, &stuck[i].op);
	}
	return op_done(op, 0);
}

/* The disk is slow to make the next segment: writers are told to come again, and when it is made they write. */
Test(file_write, a_segment_that_is_long_in_the_making)
{
	int res, n = 0;

	data.file.journal_bytes = 64 * MIB;
	data.file.segment_bytes = MIB;
	data.file.write_wait_ns = 20000000;
	data_start(1);
	flood_file[0] = data_create("f");
	memset(bytes, 9, sizeof(bytes));
	slow_store_install(data.store);
	slow_store.hold_puts = true;
	sem_init(&unstick, 0, 0);
	rig_call(0, stick_workers, NULL);
	EVENTUALLY(stuck_now == 2);
	do
		res = data_write(flood_file[0], (uint64_t)n++ * MIB, bytes, MIB, STABLE_UNSTABLE);
	while (res == 0);
	cr_assert(eq(int, res, -E_JUKEBOX));
	cr_assert(lt(int, n, 32), "no more than there was for the next burst");
	cr_assert(eq(int, data_write(flood_file[0], 0, bytes, MIB, STABLE_FILE_SYNC), -E_JUKEBOX));
	cr_assert(eq(int, data_write(flood_file[0], 0, bytes, MIB, STABLE_UNSTABLE), -E_JUKEBOX));
	for (size_t i = 0; i < ARRAY_LEN(stuck); i++)
		sem_post(&unstick);
	for (int k = 0; k < 2 * n; k++) {
		do
			res = data_write(flood_file[0], (uint64_t)k % 8 * MIB, bytes, MIB, k % 2 ? STABLE_FILE_SYNC : STABLE_UNSTABLE);
		while (res == -E_JUKEBOX);
		cr_assert(eq(int, res, 0));
	}
	slow_store.hold_puts = false;
	data_drain();
	cr_assert(eq(int, data_read(flood_file[0], 0, back, MIB), (int)MIB));
	cr_assert(eq(int, memcmp(back, bytes, MIB), 0));
	data_check();
	data_stop();
}

#define LINE 10

static struct {
	struct data_write write[LINE];
	struct op done[LINE];
	_Atomic int left, bad;
} line;

static void
line_written(struct op *done)
{
	line.bad += done->res != 0;
	line.left--;
}

static enum op_state
line_up(void *arg, struct op *op)
{
	int i = (int)(intptr_t)arg;

	line.write[i] = (struct data_write){ .w = { .req = { .cred = superuser, .f = flood_file[0] }, .count = 60000 }, .from = bytes };
	line.done[i].resume = line_written;
	if (start_write(&line.write[i], &line.done[i]) == OP_DONE)
		line_written(&line.done[i]);
	return op_done(op, 0);
}

/* In the order in which they came: the file's ctime tells in which they were served. */
Test(file_write, those_who_wait_go_on_when_there_is_room)
{
	int res, n = 0;

	data.file.journal_bytes = 8 * MIB;
	data.file.segment_bytes = MIB;
	data.file.write_wait_ns = 60 * 1000000000ull;
	data_start(1);
	flood_file[0] = data_create("f");
	slow_store_install(data.store);
	slow_store.put_delay_ms = 30;
	for (; n < 40; n++) {
		res = data_write(flood_file[0], (uint64_t)(n % 20) * MIB, bytes, MIB, STABLE_UNSTABLE);
		cr_assert(res == 0, "write %d: %d", n, res);
	}
	line.left = LINE;
	for (int i = 0; i < LINE; i++)
		rig_call(0, line_up, (void *)(intptr_t)i);
	EVENTUALLY(line.left == 0);
	cr_assert(eq(int, line.bad, 0));
	for (int i = 1; i < LINE; i++)
		cr_assert(ge(u64, line.write[i].w.wcc.post.ctime_ns, line.write[i - 1].w.wcc.post.ctime_ns));
	data_drain();
	data_check();
	data_stop();
}
