/* SPDX-License-Identifier: Apache-2.0 */
/* The object store is away and what is to be uploaded grows to its limits: writers wait, readers go on, nothing is lost. */
#include <dirent.h>

#include "tests/fake/data_world.h"
#include "tests/fake/slow_store.h"

TestSuite(file_pressure, .timeout = 600);

#define FILES      64
#define WRITE_BYTES (256 * KIB)

static uint8_t bytes[8 * MIB], back[WRITE_BYTES];
static struct fref file[FILES];

static void
start_away(int cores)
{
	uint64_t x = 99;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		bytes[i] = (uint8_t)(x >> 56);
	}
	data.file.write_wait_ns = 300ull * 1000000;
	data_start(cores);
	log_set_level(LOG_ERROR);
	for (int i = 0; i < FILES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%d", i);
		file[i] = data_create(name);
	}
	slow_store_install(data.store);
	slow_store.fail_put = -EIO;
}

/* Write n of a run: to which file, where, what. */
static int
write_nth(int n, enum stable stable)
{
	return data_write(file[n % FILES], (uint64_t)(n / FILES) * WRITE_BYTES, bytes + n * 1000, WRITE_BYTES, stable);
}

static void
check_nth(int n)
{
	cr_assert(eq(int, data_read(file[n % FILES], (uint64_t)(n / FILES) * WRITE_BYTES, back, WRITE_BYTES), WRITE_BYTES));
	cr_assert(memcmp(back, bytes + n * 1000, WRITE_BYTES) == 0, "write %d reads as something else", n);
}

static uint64_t
pools_used(void)
{
	static struct pool_stat pool[512];
	int n = pool_stats(pool, (int)ARRAY_LEN(pool));
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += pool[i].total_bytes;
	return sum;
}

/* As a client does: JUKEBOX is asked again.  A disk or a machine that is slow says it too. */
static int
write_nth_again(int n, enum stable stable, int tries)
{
	int res;

	while ((res = write_nth(n, stable)) == -E_JUKEBOX && --tries > 0)
		;
	return res;
}

/* Write until no more is taken; what was answered with OK. */
static int
fill_journal(enum stable stable)
{
	int n = 0, res;

	while ((res = write_nth_again(n, stable, 5)) == 0)
		n++;
	cr_assert(eq(int, res, -E_JUKEBOX));
	return n;
}

static void
full_and_back(int cores, enum stable stable)
{
	uint64_t memory;
	int n;

	data.file.journal_bytes = 64 * MIB;
	start_away(cores);
	memory = pools_used();
	n = fill_journal(stable);
	cr_assert(lt(int, 64, n)); /* 64 MiB less what lies unused at the ends of segments */
	cr_assert(eq(u64, pools_used(), memory));
	for (int i = 0; i < n; i++)
		check_nth(i);
	/* Once more, from a full journal: nothing changes. */
	cr_assert(eq(int, write_nth(n, stable), -E_JUKEBOX));
	check_nth(0);
	/* It comes back: writers go on by themselves, and it drains. */
	slow_store.fail_put = 0;
	cr_assert(eq(int, write_nth_again(n, stable, 100), 0));
	for (int i = 0; i <= n; i++)
		check_nth(i);
	data_drain();
	cr_assert(eq(u64, data_stats().dirty_bytes, 0));
	cr_assert(eq(u64, data_stats().dirty_files, 0));
	/* All room is there again: the same once more fits. */
	slow_store.fail_put = -EIO;
	cr_assert(lt(int, 64, fill_journal(STABLE_UNSTABLE)));
	slow_store.fail_put = 0;
	data_drain();
	data_check();
	data_close();
	data_open(cores);
	for (int i = 0; i <= n; i++)
		check_nth(i);
	data_stop();
}

Test(file_pressure, a_full_journal_makes_writers_wait)
{
	full_and_back(1, STABLE_UNSTABLE);
}

Test(file_pressure, a_full_journal_on_two_cores)
{
	full_and_back(2, STABLE_FILE_SYNC);
}

/* A restart in the middle of it: what the journal has is replayed, read, and uploaded in the end. */
Test(file_pressure, a_restart_with_a_full_journal)
{
	int n;

	data.file.journal_bytes = 64 * MIB;
	start_away(2);
	n = fill_journal(STABLE_FILE_SYNC);
	data_close();
	data_open(1);
	slow_store_install(data.store);
	for (int i = 0; i < n; i++)
		check_nth(i);
	slow_store.fail_put = 0;
	data_drain();
	for (int i = 0; i < n; i++)
		check_nth(i);
	cr_assert(eq(int, write_nth_again(n, STABLE_FILE_SYNC, 100), 0));
	data_check();
	data_stop();
}

/* It goes away after each number of PUTs of one load: what it took then counts, the rest comes when it is back. */
static void
goes_in_the_middle(int packs)
{
	data.buf_bytes = 128 * MIB; /* a flush holds some blocks */
	data.file.journal_bytes = 128 * MIB;
	data.file.upload_delay_ns = 20 * 1000000;
	data.file.pack_below = packs ? 0 : 1;
	start_away(1);
	slow_store.put_delay_ms = 5;
	for (uint64_t n = 1; n < 12; n++) {
		struct fref large = file[n];

		slow_store.fail_put = 0;
		slow_store.puts = 0;
		slow_store.fail_from = n;
		for (uint64_t at = 0; at < sizeof(bytes); at += WRITE_BYTES)
			cr_assert(eq(int, data_write(large, n * 1000 + at, bytes + at, WRITE_BYTES, STABLE_UNSTABLE), 0));
		for (uint64_t at = 0; at < sizeof(bytes); at += WRITE_BYTES)
			cr_assert(eq(int, data_write(large, 64 * MIB - 3 * MIB + at, bytes + at, WRITE_BYTES, STABLE_UNSTABLE), 0));
		for (int i = 20; i < 30; i++)
			cr_assert(eq(int, data_write(file[i], 0, bytes + n * 10 + (uint64_t)i, 5000, STABLE_UNSTABLE), 0));
		for (int left = 2000; slow_store.puts < n + 1 && left > 0; left--)
			usleep(1000);
		slow_store.fail_from = 0;
		data_drain();
		for (uint64_t at = 0; at < sizeof(bytes); at += WRITE_BYTES) {
			cr_assert(eq(int, data_read(large, n * 1000 + at, back, WRITE_BYTES), WRITE_BYTES));
			cr_assert(memcmp(back, bytes + at, WRITE_BYTES) == 0, "after %lu PUTs other bytes", n);
			cr_assert(eq(int, data_read(large, 61 * MIB + at, back, WRITE_BYTES), WRITE_BYTES));
			cr_assert(memcmp(back, bytes + at, WRITE_BYTES) == 0, "after %lu PUTs other bytes", n);
		}
		for (int i = 20; i < 30; i++) {
			cr_assert(eq(int, data_read(file[i], 0, back, 5000), 5000));
			cr_assert(memcmp(back, bytes + n * 10 + (uint64_t)i, 5000) == 0);
		}
		data_check();
	}
	data_stop();
}

Test(file_pressure, it_goes_away_in_the_middle)
{
	goes_in_the_middle(true);
}

Test(file_pressure, it_goes_away_in_the_middle_without_packs)
{
	goes_in_the_middle(false);
}

/* Other files' writers wait, those of files that are pending anyway do not; all go on when one is uploaded. */
Test(file_pressure, only_so_many_files_are_pending)
{
	data.file.max_pending = 4;
	data.file.upload_delay_ns = 1ull << 62;
	start_away(1);
	for (int i = 0; i < 4; i++)
		cr_assert(eq(int, write_nth_again(i, STABLE_FILE_SYNC, 100), 0));
	cr_assert(eq(int, write_nth(4, STABLE_FILE_SYNC), -E_JUKEBOX));
	cr_assert(eq(int, write_nth_again(FILES, STABLE_FILE_SYNC, 100), 0)); /* of file 0 */
	cr_assert(eq(u64, data_stats().dirty_files, 4));
	slow_store.fail_put = 0;
	for (int i = 5; i < FILES; i++)
		cr_assert(eq(int, write_nth_again(i, STABLE_UNSTABLE, 100), 0));
	cr_assert(le(u64, data_stats().dirty_files, 4));
	data_drain();
	cr_assert(eq(u64, data_stats().dirty_files, 0));
	check_nth(5);
	data_stop();
}

static uint64_t
journal_files_bytes(void)
{
	DIR *d = opendir(data_path("journal"));
	struct dirent *e;
	struct stat st;
	uint64_t sum = 0;

	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, 0) == 0)
			sum += (uint64_t)st.st_size;
	closedir(d);
	return sum;
}

/* The disk of the journal is others' too. */
Test(file_pressure, the_journal_leaves_space_on_its_disk)
{
	data.file.journal_bytes = 256 * MIB;
	data.file.journal_free = 0.999;
	start_away(1);
	slow_store.fail_put = 0;
	for (int i = 0; i < 3 * FILES; i++) /* 48 MiB */
		cr_assert(eq(int, write_nth_again(i, STABLE_UNSTABLE, 100), 0));
	cr_assert(le(u64, journal_files_bytes(), 17 * MIB)); /* the first segment, which a start needs */
	data_drain();
	for (int i = 0; i < 3 * FILES; i++)
		check_nth(i);
	data_stop();
}
