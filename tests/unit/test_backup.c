/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata disk is lost: a copy of it, an empty journal, and the objects that are there. */
#include "meta/file_core.h"
#include "meta/garbage.h"
#include "tests/fake/data_world.h"

#define BYTES (5 * MIB + 123)

static uint8_t want[BYTES], got[BYTES];

static void
write_all(struct fref f, uint64_t seed)
{
	data_fill(want, BYTES, seed);
	for (uint32_t at = 0; at < BYTES; at += FILE_IO_MAX)
		cr_assert(eq(int, data_write(f, at, want + at, MIN(BYTES - at, FILE_IO_MAX), 0), 0));
}

static void
reads_as(struct fref f, uint64_t seed)
{
	data_fill(want, BYTES, seed);
	cr_assert(eq(int, data_read(f, 0, got, BYTES), (int)BYTES));
	cr_assert(memcmp(got, want, BYTES) == 0, "seed %lu", seed);
}

/* As an operator does it; the next start is another epoch of the objects. */
static void
go_back(const char *copy)
{
	char cmd[800];

	data_close();
	snprintf(cmd, sizeof(cmd), "rm -rf '%s' '%s'/* && mv '%s' '%s'", data_path("meta"), data_path("journal"), copy,
	         data_path("meta"));
	cr_assert(eq(int, system(cmd), 0));
	data.file.slice_floor += (uint64_t)1 << 40;
	data_open(2);
}

static void
setup(void)
{
	data.file.garbage_delay_ns = 3600 * SEC_NS; /* so that what the copy names is still there */
	data_start(2);
}

TestSuite(backup, .init = setup, .fini = data_stop, .timeout = 600);

Test(backup, a_copy_is_of_its_instant)
{
	struct fref kept = data_create("kept"), gone = data_create("gone"), later;

	write_all(kept, 1);
	write_all(gone, 2);
	data_drain();
	cr_assert(kv_checkpoint(data_path("copy"), data.why) == 0, "%s", data.why);
	write_all(kept, 3);
	cr_assert(eq(int, data_unlink("gone"), 0));
	later = data_create("later");
	write_all(later, 4);
	data_drain();
	reads_as(kept, 3);

	go_back(data_path("copy"));
	reads_as(kept, 1);
	reads_as(gone, 2);
	data_check();

	/* What is written now has names of its own, whatever is in caches and in the store under the numbers of before. */
	struct fref again = data_create("later");

	write_all(again, 5);
	write_all(kept, 6);
	cr_assert(eq(int, data_commit(kept), 0));
	data_close();
	data_open(1);
	reads_as(again, 5);
	reads_as(kept, 6);
	data_drain();
	reads_as(again, 5);
	reads_as(gone, 2);
	data_check();
}

Test(backup, not_over_what_is_there)
{
	cr_assert(eq(int, kv_checkpoint(data_path("copy"), data.why), 0));
	cr_assert(kv_checkpoint(data_path("copy"), data.why) < 0);
	cr_assert(kv_checkpoint(data_path("no/such/place"), data.why) < 0);
	cr_assert(data.why[0] != '\0');
}

/* A backup of an instant before it became garbage needs it, however old it is; one of later does not. */
Test(backup, garbage_is_held)
{
	uint64_t held;

	data_close();
	data.file.garbage_delay_ns = 1;
	data_open(2);
	write_all(data_create("gone"), 1);
	data_drain();
	held = (uint64_t)time(NULL);
	garbage_hold(held);
	cr_assert(eq(int, data_unlink("gone"), 0));
	sleep(3); /* it looks each second */
	cr_assert(eq(u64, data_stats().deleted_objects, 0));
	garbage_hold(held + 3600);
	EVENTUALLY(data_stats().deleted_objects > 0);
	garbage_hold(UINT64_MAX);
	data_check();
}
