/* SPDX-License-Identifier: Apache-2.0 */
/* What is leaked goes, and nothing else: real files, their objects, and what a crash would have left beside them. */
#include "meta/file_core.h"
#include "meta/gc.h"
#include "tests/fake/data_world.h"

#define EPOCH ((uint64_t)1 << 40)

static enum op_state
start_gc(void *arg, struct op *op)
{
	return op_done(op, gc_start(arg));
}

static enum op_state
start_report(void *arg, struct op *op)
{
	gc_report(arg);
	return op_done(op, 0);
}

static struct gc_report
gc(bool delete, uint64_t age_s)
{
	struct gc_opts opts = { .delete = delete, .age_s = age_s };
	struct gc_report r;

	cr_assert(eq(int, rig_call(0, start_gc, &opts), 0));
	for (int left_ms = 60000;; left_ms--) {
		rig_call(0, start_report, &r);
		if (!r.running)
			return r;
		cr_assert(left_ms > 0);
		usleep(1000);
	}
}

/* An object of n bytes, with all folders above it. */
static const char *
leave(const char *name, int n)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", data_path("objects"), name);
	for (char *p = strchr(path + strlen(data.path) + 1, '/'); (p = strchr(p + 1, '/')) != NULL; *p = '/') {
		*p = '\0';
		mkdir(path, 0700);
	}
	FILE *f = fopen(path, "w");

	cr_assert(f != NULL);
	fprintf(f, "%*s", n, "");
	fclose(f);
	return path;
}

static bool
there(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", data_path("objects"), name);
	return access(path, F_OK) == 0;
}

static struct fref
file_of(const char *name, uint32_t bytes)
{
	struct fref f = data_create(name);
	uint8_t *p = malloc(bytes);

	data_fill(p, bytes, f.ino);
	for (uint32_t at = 0; at < bytes; at += FILE_IO_MAX)
		cr_assert(eq(int, data_write(f, at, p + at, MIN(bytes - at, FILE_IO_MAX), 0), 0));
	free(p);
	return f;
}

#define OWN  "export/chunks/05/1099511/1099511627781_0_4096"   /* EPOCH + 5 */
#define PACK "export/packs/06/1099511/1099511627782"
#define NOW  "export/chunks/07/2199023/2199023255559_0_4096"   /* of the running server: 2 * EPOCH + 7 */

static void
setup(void)
{
	data.file.slice_floor = EPOCH;
	data_start(2);
	file_of("big", 9 * MIB);
	file_of("small", 5000);
	data_drain();
	data_close();
	data.file.slice_floor = 2 * EPOCH;
	data_open(2);
	file_of("today", 7000);
	data_drain();
}

TestSuite(gc, .init = setup, .fini = data_stop, .timeout = 600);

Test(gc, what_is_needed_stays)
{
	struct gc_report r = gc(true, 0);

	cr_assert(eq(int, r.err, 0));
	cr_assert(ge(u64, r.valid.objects, 4), "two blocks, the rest, and two small files");
	cr_assert(eq(u64, r.scanned.objects, r.valid.objects));
	cr_assert(eq(u64, r.scanned.bytes, r.valid.bytes));
	cr_assert(eq(u64, r.leaked.objects, 0));
	data_check();
}

Test(gc, what_is_leaked_goes_when_asked_for)
{
	uint64_t valid = gc(false, 0).valid.objects;

	leave(OWN, 4096);
	leave(PACK, 300);
	for (int delete = 0; delete < 2; delete++) {
		struct gc_report r = gc(delete, 0);

		cr_assert(eq(u64, r.scanned.objects, valid + 2));
		cr_assert(eq(u64, r.valid.objects, valid));
		cr_assert(eq(u64, r.leaked.objects, 2));
		cr_assert(eq(u64, r.leaked.bytes, 4396));
		cr_assert(eq(u64, r.deleted.objects, delete ? 2 : 0));
		cr_assert(eq(int, there(OWN), !delete));
		cr_assert(eq(int, there(PACK), !delete));
	}
	data_check();
}

Test(gc, what_may_be_on_its_way_stays)
{
	leave(OWN, 1);
	cr_assert(eq(u64, gc(true, 3600).recent.objects, 1), "it is young");
	cr_assert(there(OWN));
	leave(NOW, 1);
	struct gc_report r = gc(true, 0);

	cr_assert(eq(u64, r.recent.objects, 1), "the record may come");
	cr_assert(eq(u64, r.deleted.objects, 1));
	cr_assert(there(NOW) && !there(OWN));
	unlink(leave(NOW, 1));
}

Test(gc, what_is_not_ours_stays)
{
	static const char *const names[] = {
		"export/chunks/05/1099511/1099511627781_0_4096.bak", "export/chunks/05/1099511/01099511627781_0_4096",
		"export/chunks/06/1099511/1099511627781_0_4096",     "export/chunks/05/1099511/1099511627781",
		"export/packs/readme",                               "export/packs/06/1099511/+1099511627782",
	};
	uint64_t foreign = 0;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		leave(names[i], 1);
	foreign = gc(true, 0).foreign.objects;
	/* Names that no store of ours can have are not even listed. */
	cr_assert(foreign >= ARRAY_LEN(names) - 1 && foreign <= ARRAY_LEN(names), "%lu", foreign);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		cr_assert(there(names[i]));
		unlink(leave(names[i], 1));
	}
}

Test(gc, many_pages)
{
	uint64_t valid = gc(false, 0).valid.objects;
	char name[OBJECT_NAME_MAX];

	for (uint64_t i = 1; i <= 2500; i++) {
		struct block_rec rec = { .plain = 10, .pack = i % 2 ? 0 : EPOCH / 2 + i };

		object_name(name, "export", EPOCH / 2 + i, 0, &rec);
		leave(name, 10);
	}
	struct gc_report r = gc(true, 0);

	cr_assert(eq(u64, r.deleted.objects, 2500));
	cr_assert(eq(u64, r.valid.objects, valid));
	data_check();
}

static enum op_state
start_twice(void *arg, struct op *op)
{
	return op_done(op, gc_start(arg) == 0 ? gc_start(arg) : -EINVAL);
}

Test(gc, one_at_a_time)
{
	struct gc_opts opts = { 0 };

	cr_assert(eq(int, rig_call(0, start_twice, &opts), -EBUSY));
	/* And a server that ends does not wait for all of it: data_stop. */
}
