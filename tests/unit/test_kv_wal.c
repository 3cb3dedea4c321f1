/* SPDX-License-Identifier: Apache-2.0 */
/* From before there was a log of our own: RocksDB's, which only an upgrade reads. */
#include <glob.h>
#include <sys/stat.h>

#include "tests/fake/old_db.h"
#include "tests/unit/kv_rig.h"

static uint8_t filler[9000];

/* Two times twenty durable records, and a sum; killed, with nothing in a table file.  Some of the log's blocks of 32 KiB. */
static void
old_make(const char *to)
{
	uint8_t v[16];

	old_db_open(db);
	for (int i = 0; i < 40; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key%06d", i);
		old_db_put(key, strlen(key), &i, sizeof(i), false);
		put_le64(v, (uint64_t)i);
		put_le64(v + 8, 1);
		old_db_put("Usum", 4, v, sizeof(v), true);
		if (i % 4 == 0)
			old_db_put("filler", 6, filler, sizeof(filler), false);
		old_db_put("Cappended", 9, v, 1, true);
		if (i % 20 == 19)
			old_db_sync();
	}
	rig_copy(db, to);
	old_db_close();
}

static void
must_have_old(int added)
{
	for (int i = 0; i < 40; i++)
		cr_assert(has_n(i), "%d", i);
	must_have_added(40 + added);
}

Test(kv_wal, an_old_log_is_taken_over, .init = setup, .fini = rig_dir_remove)
{
	char killed[128];

	snprintf(killed, sizeof(killed), "%s/killed", rig_dir());
	old_make(copy);
	must_open(copy, false);
	must_have_old(0);
	for (int i = 0; i < 3; i++)
		add(40 + i);
	cr_assert(eq(int, put_n(50), 0));
	rig_copy(copy, killed);
	kv_close();
	/* The copy has the changes in our log only, what was there before in table files. */
	must_open(killed, false);
	must_have_old(3);
	cr_assert(has_n(50));
	kv_close();
	must_open(killed, false);
	must_have_old(3);
	kv_close();
}

/* The path of RocksDB's log of a database that was never reopened. */
static off_t
old_log(const char *dir, char path[512])
{
	glob_t g;
	struct stat st;

	snprintf(path, 512, "%s/0*.log", dir);
	cr_assert(glob(path, 0, NULL, &g) == 0 && g.gl_pathc == 1);
	snprintf(path, 512, "%s", g.gl_pathv[0]);
	globfree(&g);
	cr_assert(eq(int, stat(path, &st), 0));
	return st.st_size;
}

Test(kv_wal, damage_in_an_old_log_is_told, .init = setup, .fini = rig_dir_remove)
{
	char orig[128], log[512], why[256];
	off_t size;

	snprintf(orig, sizeof(orig), "%s/orig", rig_dir());
	old_make(orig);
	/* In the first half something behind it swears that it was durable. */
	rig_copy(orig, copy);
	size = old_log(copy, log);
	flip(log, size / 4);
	for (int i = 0; i < 2; i++) {
		cr_assert(eq(int, open_at(copy, false, why), -E_DAMAGED));
		cr_assert(strstr(why, "acknowledged changes would be lost") != NULL, "%s", why);
	}
	flip(log, size / 4);
	must_open(copy, false);
	must_have_old(0);
	kv_close();
	/* A torn tail is cut, and stays so. */
	rig_copy(orig, copy);
	size = old_log(copy, log);
	cr_assert(eq(int, truncate(log, size - 10), 0));
	for (int i = 0; i < 2; i++) {
		must_open(copy, false);
		cr_assert(has_n(39) && kv_get_now("Cappended", 9, why, 1) == 39);
		kv_close();
	}
}
