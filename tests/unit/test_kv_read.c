/* SPDX-License-Identifier: Apache-2.0 */
/* Points and ranges: from memory, from the disk, and from files that are not open. */
#include "meta/kv_impl.h"
#include "tests/fake/old_db.h"
#include "tests/unit/kv_rig.h"

struct seen { int n, stop_at; char first, last; };

static int
see(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct seen *s = arg;
	char last = ((const char *)key)[klen - 1];

	(void)val;
	(void)vlen;
	if (s->n++ == 0)
		s->first = last;
	s->last = last;
	return s->n == s->stop_at ? 77 : 0;
}

static void
see_nothing(void *arg)
{
	((struct seen *)arg)->n = 0;
}

static struct kv_scan
scan_of(const char *from, const char *to, struct seen *s)
{
	struct kv_scan k = { .from_len = (uint16_t)strlen(from), .to_len = (uint16_t)strlen(to), .fn = see, .arg = s };

	memcpy(k.from, from, k.from_len);
	memcpy(k.to, to, k.to_len);
	return k;
}

static enum op_state
start_scan(void *arg, struct op *op)
{
	return kv_scan(arg, see_nothing, op);
}

struct get { struct kv_get g; const char *key; char out[64]; };

static enum op_state
start_get(void *arg, struct op *op)
{
	struct get *g = arg;

	return kv_get(&g->g, g->key, strlen(g->key), g->out, sizeof(g->out), op);
}

struct get_any { struct kv_get_any g; const char *key; };

static enum op_state
start_get_any(void *arg, struct op *op)
{
	struct get_any *g = arg;

	return kv_get_any(&g->g, g->key, strlen(g->key), op);
}

/* From memory inline, and after a restart, from a cold table file, through a worker. */
Test(kv_read, reads_warm_and_cold, .init = setup, .fini = rig_dir_remove)
{
	char big[100000];

	memset(big, 'b', sizeof(big));
	for (int cold = 0; cold < 2; cold++) {
		struct seen s = { 0 }, t = { .stop_at = 2 };
		struct kv_scan k = scan_of("ka", "kz", &s), l = scan_of("k", "l", &t);
		struct get g = { .key = "kb" };
		struct get_any a = { .key = "kBig" };
		struct kv_stats st;

		must_open(db, !cold);
		if (!cold) {
			char key[3] = "k?";

			for (key[1] = 'a'; key[1] <= 'z'; key[1]++)
				cr_assert(eq(int, put_now(key, key + 1, 1), 0));
			cr_assert(eq(int, put_now("kBig", big, sizeof(big)), 0));
			/* It waits until RocksDB has all of them: a scan of what is pending would go to a worker. */
			cr_assert(eq(int, kv_scan_now(&k), 0));
			s = (struct seen){ 0 };
		}
		rig_start(1, NULL, NULL);
		cr_assert(eq(int, rig_call(0, start_scan, &k), 0));
		cr_assert(s.n == 25 && s.first == 'a' && s.last == 'y');
		cr_assert(eq(int, rig_call(0, start_scan, &l), 77));
		cr_assert(eq(int, t.n, 2));
		cr_assert(eq(int, rig_call(0, start_get, &g), 1));
		cr_assert(g.out[0] == 'b');
		g.key = "nothing";
		cr_assert(eq(int, rig_call(0, start_get, &g), -ENOENT));
		cr_assert(eq(int, rig_call(0, start_get_any, &a), sizeof(big)));
		cr_assert(a.g.len == sizeof(big) && memcmp(a.g.out, big, sizeof(big)) == 0);
		free(a.g.out);
		a.key = "kNone";
		cr_assert(eq(int, rig_call(0, start_get_any, &a), -ENOENT));
		rig_stop();
		kv_stats(&st);
		cr_assert(cold ? st.get_misses > 0 : st.get_misses == 0);
		kv_close();
	}
}

/* ---- table files that are not open ---- */

#define MANY_FILES 30
static char many_val[60000]; /* of n: its key, over and over */

static const char *
many_key(int n)
{
	static char key[32];

	snprintf(key, sizeof(key), "many%06d", n);
	return key;
}

static void
many_fill(int n)
{
	for (size_t i = 0; i < sizeof(many_val); i++)
		many_val[i] = many_key(n)[i % 10];
}

/* RocksDB opens 16 files with the database; these are in the last level, where nothing is to be compacted. */
static void
many_make(void)
{
	char *at;

	old_db_open(db);
	for (int n = 0; n < 2 * MANY_FILES; n++) {
		many_fill(n);
		old_db_put(many_key(n), 10, many_val, sizeof(many_val), false);
		if (n % 2)
			old_db_flush();
	}
	rocksdb_compact_range(old.db, NULL, 0, NULL, 0);
	at = rocksdb_property_value(old.db, "rocksdb.num-files-at-level6");
	cr_assert(at && atoi(at) >= MANY_FILES, "%s files", at);
	rocksdb_free(at);
	old_db_close();
}

static int
many_see(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	int *n = arg;

	many_fill(*n);
	cr_assert(klen == 10 && memcmp(key, many_key(*n), 10) == 0);
	cr_assert(vlen == sizeof(many_val) && memcmp(val, many_val, vlen) == 0);
	++*n;
	return 0;
}

static void
many_reset(void *arg)
{
	*(int *)arg = 0;
}

static enum op_state
start_many_scan(void *arg, struct op *op)
{
	return kv_scan(arg, many_reset, op);
}

/* A read in memory of such a file finds an empty value; that is not taken for the record. */
Test(kv_read, files_that_are_not_open, .init = setup, .fini = rig_dir_remove)
{
	many_make();
	for (int how = 0; how < 4; how++) {
		int seen = 0;
		struct kv_scan all = { .from = "many", .from_len = 4, .to = "manz", .to_len = 4,
			               .fn = many_see, .arg = &seen };
		struct kv_stats st;

		must_open(db, false);
		rig_start(1, NULL, NULL);
		for (int n = 0; n < 2 * MANY_FILES && how < 3; n++) {
			struct get g = { .key = many_key(n) };
			struct get_any a = { .key = g.key };
			int res;

			many_fill(n);
			if (how == 0) {
				cr_assert(eq(int, rig_call(0, start_get, &g), sizeof(many_val)), "record %d", n);
				cr_assert(eq(int, memcmp(g.out, many_val, sizeof(g.out)), 0));
			} else if (how == 1) {
				cr_assert(eq(int, rig_call(0, start_get_any, &a), sizeof(many_val)), "record %d", n);
				cr_assert(eq(int, memcmp(a.g.out, many_val, sizeof(many_val)), 0));
				free(a.g.out);
			} else {
				res = kv_get_try(g.key, strlen(g.key), g.out, sizeof(g.out));
				cr_assert(res == -EAGAIN || res == sizeof(many_val), "record %d: %d", n, res);
			}
		}
		if (how == 3) {
			cr_assert(eq(int, rig_call(0, start_many_scan, &all), 0));
			cr_assert(eq(int, seen, 2 * MANY_FILES));
		}
		rig_stop();
		kv_stats(&st);
		cr_assert(how == 2 || st.get_misses > 0);
		kv_close();
	}
}

/* ---- a table file with very many keys ---- */

#define FILTERED  600000 /* its filter takes 750 KB, and a cache of 8 MiB would be of parts of 512 by itself */
#define PER_BATCH 20000
#define ASKED     500

static void
filtered_make(void)
{
	struct kv_batch *b = kv_batch_new();
	char key[32];

	for (int n = 0; n < FILTERED; n++) {
		kv_batch_put(b, key, (size_t)snprintf(key, sizeof(key), "f%07d", n), "", 0);
		if ((n + 1) % PER_BATCH)
			continue;
		cr_assert(eq(int, kv_write_now(b), 0));
		kv_batch_clear(b);
	}
	kv_batch_free(b);
	cr_assert(eq(int, kv_flush_now(), 0));
	rocksdb_compact_range(kv.db, NULL, 0, NULL, 0);
}

/* A CREATE asks for a name that is not there: once the filter has been read it is answered from memory. */
Test(kv_read, long_filters_stay_in_the_cache, .init = setup, .fini = rig_dir_remove, .timeout = 300)
{
	char key[32], out[8];

	must_open(db, true);
	filtered_make();
	for (int again = 0; again < 2; again++)
		for (int i = 0; i < ASKED; i++) {
			size_t len = (size_t)snprintf(key, sizeof(key), "f%07dx", i * (FILTERED / ASKED));
			int res = again ? kv_get_try(key, len, out, sizeof(out)) : kv_get_now(key, len, out, sizeof(out));

			cr_assert(eq(int, res, -ENOENT), "%s", key);
		}
	kv_close();
}
