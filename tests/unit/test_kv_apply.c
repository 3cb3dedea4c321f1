/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is pending, against a plain model: writers whose batches follow from their number and that of the step, so
 * that what a reader must find, and what a kill must have left, can be computed.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "meta/kv_apply.h"
#include "meta/kv_keys.h"
#include "meta/kv_merge.h"
#include "tests/unit/kv_rig.h"

#define WRITERS 5
#define NAMES   24
#define STEPS   250

struct model {
	int name[NAMES];      /* a value, or 0: none */
	uint64_t sum;
	int appended, step;
};

static uint64_t
draw(uint64_t *x)
{
	return *x = mix64(*x + 0x9e3779b97f4a7c15u);
}

static size_t
name_key(uint8_t key[16], int writer, int name)
{
	key[0] = 'D';
	put_be64(key + 1, (uint64_t)writer);
	key[9] = (uint8_t)name;
	return 10;
}

static size_t
own_key(char key[16], char letter, int writer)
{
	return (size_t)snprintf(key, 16, "%cown%d", letter, writer);
}

/* Step `step` of a writer: to the model, and into b when there is one. */
static void
make_step(struct model *m, int writer, int step, struct kv_batch *b)
{
	uint64_t x = (uint64_t)writer << 32 | (uint64_t)step;
	uint8_t key[16], v[8];
	char own[16];

	for (uint64_t n = 1 + draw(&x) % 6; n > 0; n--) {
		int name = (int)(draw(&x) % NAMES), what = (int)(draw(&x) % 8);
		size_t klen = name_key(key, writer, name);

		if (what < 4) {
			m->name[name] = 1 + (int)(draw(&x) % 1000000);
			if (b)
				kv_batch_put(b, key, klen, &m->name[name], sizeof(int));
		} else if (what < 6) {
			m->name[name] = 0;
			if (b)
				kv_batch_del(b, key, klen);
		} else if (what == 6) {
			uint64_t more = draw(&x) % 1000;

			m->sum += more;
			put_le64(v, more);
			if (b)
				kv_batch_merge(b, own, own_key(own, 'U', writer), v, 8);
		} else if (m->appended > 40) {
			m->appended = 0;
			if (b)
				kv_batch_del(b, own, own_key(own, 'C', writer));
		} else {
			m->appended++;
			if (b)
				kv_batch_merge(b, own, own_key(own, 'C', writer), "x", 1);
		}
	}
	m->step = step;
	if (!b)
		return;
	kv_batch_put(b, own, own_key(own, 'S', writer), &m->step, sizeof(int));
	kv_batch_put(b, own, own_key(own, KV_LATE, writer), &m->step, sizeof(int));
}

static int
seen(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct model *m = arg;
	const uint8_t *k = key;

	cr_assert(klen == 10 && k[9] < NAMES && vlen == sizeof(int));
	memcpy(&m->name[k[9]], val, sizeof(int));
	return 0;
}

static void
names_read(struct model *m, int writer)
{
	struct kv_scan s = { .fn = seen, .arg = m };

	memset(m->name, 0, sizeof(m->name));
	s.from_len = (uint16_t)(name_key(s.from, writer, 0) - 1);
	s.to_len = (uint16_t)(name_key(s.to, writer + 1, 0) - 1);
	cr_assert(eq(int, kv_scan_now(&s), 0));
}

static void
must_be(const struct model *m, int writer)
{
	struct model got = { .step = 0 };
	char own[16], text[64];
	uint8_t v[8] = { 0 };
	int len, late = 0;

	names_read(&got, writer);
	cr_assert(memcmp(got.name, m->name, sizeof(got.name)) == 0, "names of writer %d at %d", writer, m->step);
	for (int n = 0; n < NAMES; n++) {
		uint8_t key[16];
		int val = 0, res = kv_get_now(key, name_key(key, writer, n), &val, sizeof(val));

		cr_assert(res == (m->name[n] ? (int)sizeof(val) : -ENOENT) && val == m->name[n]);
	}
	len = kv_get_now(own, own_key(own, 'U', writer), v, sizeof(v));
	cr_assert(len == 8 || len == -ENOENT);
	cr_assert(eq(u64, get_le64(v), m->sum), "writer %d at %d", writer, m->step);
	len = kv_get_now(own, own_key(own, 'C', writer), text, sizeof(text));
	cr_assert(eq(int, MAX(len, 0), m->appended), "writer %d at %d: %d", writer, m->step, len);
	len = kv_get_now(own, own_key(own, KV_LATE, writer), &late, sizeof(late));
	cr_assert(len == (m->step ? (int)sizeof(late) : -ENOENT) && late == m->step, "writer %d at %d: %d", writer, m->step, late);
}

/* ---- the table alone ---- */

Test(kv_apply, table_is_the_newest_of_each, .timeout = 600)
{
	struct model m[3] = { 0 };
	struct kv_batch *b = kv_batch_new(), *out = kv_batch_new();
	const struct kv_key *e;
	struct kv_record r, last = { .klen = 0 };
	struct kv_keys k;
	uint8_t key[16];
	size_t at = 0;
	uint32_t n = 0;

	cr_assert(eq(int, kv_keys_init(&k), 0));
	for (int round = 0; round < 3; round++) {
		for (int s = 0; s < 400; s++) {
			kv_batch_clear(b);
			make_step(&m[s % 3], s % 3, s, b);
			for (at = 0; kv_batch_next(b, &at, &r);)
				kv_keys_add(&k, &r);
			for (int i = 0; i < NAMES; i++) {
				e = kv_keys_find(&k, key, name_key(key, s % 3, i));
				if (m[s % 3].name[i])
					cr_assert(e && e->kind == KV_VALUE && memcmp(e->val, &m[s % 3].name[i], 4) == 0);
				else
					cr_assert(e == NULL || e->kind == KV_DELETED);
			}
		}
		kv_batch_clear(out);
		kv_keys_batch(&k, out);
		for (at = n = 0, last.klen = 0; kv_batch_next(out, &at, &r); last = r, n++)
			if (n)
				cr_assert(memcmp(last.key, r.key, MIN(last.klen, r.klen)) <= 0);
		cr_assert(eq(u32, n, k.n));
		kv_keys_clear(&k);
		cr_assert(kv_keys_find(&k, key, name_key(key, 1, 1)) == NULL);
		memset(m, 0, sizeof(m));
	}
	kv_keys_fini(&k);
	kv_batch_free(b);
	kv_batch_free(out);
}

/* ---- beside readers, and killed ---- */

static struct model model[WRITERS];
static _Atomic int acked[WRITERS], running;
static _Atomic uint64_t total; /* of what is acknowledged of the counter that all share */

struct get {
	struct kv_get get;
	struct kv_get_any any;
	char key[16];
	uint8_t val[64];
};

static enum op_state
start_get(void *arg, struct op *op)
{
	struct get *g = arg;

	return kv_get(&g->get, g->key, strlen(g->key), g->val, sizeof(g->val), op);
}

static enum op_state
start_get_any(void *arg, struct op *op)
{
	struct get *g = arg;

	return kv_get_any(&g->any, g->key, strlen(g->key), op);
}

static void
write_steps(int i)
{
	struct put p = { .b = kv_batch_new() };
	struct get g;
	uint8_t one[8];

	put_le64(one, 1);
	for (int s = 1; s <= STEPS; s++) {
		kv_batch_clear(p.b);
		make_step(&model[i], i, s, p.b);
		kv_batch_merge(p.b, "Uall", 4, one, 8);
		cr_assert(eq(int, s % 5 ? rig_call(i % 3, start_put, &p) : kv_write_now(p.b), 0));
		acked[i] = s;
		total++;
		own_key(g.key, 'S', i);
		cr_assert(eq(int, rig_call(s % 3, start_get, &g), 4));
		cr_assert(eq(int, memcmp(g.val, &s, 4), 0));
		own_key(g.key, 'U', i);
		memset(g.val, 0, sizeof(g.val));
		if (rig_call(s % 3, start_get, &g) != -ENOENT)
			cr_assert(eq(u64, get_le64(g.val), model[i].sum));
		own_key(g.key, 'C', i);
		cr_assert(eq(int, MAX(rig_call(i % 3, start_get_any, &g), 0), model[i].appended));
		free(g.any.out);
		if (s % 8 == 0)
			must_be(&model[i], i);
	}
	running--;
	kv_batch_free(p.b);
}

/* The shared counter is never behind what was acknowledged before, never ahead of what can have been written. */
static void
watch(void)
{
	uint64_t seen_before = 0;

	while (running > 0) {
		uint64_t before = total, now;
		uint8_t v[8] = { 0 };
		int len = kv_get_now("Uall", 4, v, sizeof(v));

		now = get_le64(v);
		cr_assert(len == 8 || (len == -ENOENT && before == 0));
		cr_assert(now >= before && now >= seen_before && now <= total + WRITERS, "%lu after %lu", now, before);
		seen_before = now;
	}
}

static int had[3][WRITERS];

static void
kill_by_copy(void)
{
	char path[160];

	for (int n = 0; n < 3; n++) {
		for (int i = 0; i < WRITERS; i++)
			had[n][i] = acked[i];
		snprintf(path, sizeof(path), "%.120s%d", copy, n);
		rig_copy(db, path);
		if (n == 1)
			cr_assert(eq(int, kv_flush_now(), 0));
	}
}

static void
any_thread(int i)
{
	if (i < WRITERS)
		write_steps(i);
	else if (i < WRITERS + 2)
		watch();
	else
		kill_by_copy();
}

/* Of each writer what the copy has of its first steps, all that were acknowledged before among them. */
static void
copy_must_be_whole(const char *path, const int *had_steps)
{
	char own[16];

	must_open(path, false);
	for (int i = 0; i < WRITERS; i++) {
		struct model m = { .step = 0 };
		int last = 0, len = kv_get_now(own, own_key(own, 'S', i), &last, sizeof(last));

		cr_assert(len == sizeof(last) || len == -ENOENT);
		cr_assert(last >= had_steps[i], "writer %d: %d of %d", i, last, had_steps[i]);
		for (int s = 1; s <= last; s++)
			make_step(&m, i, s, NULL);
		must_be(&m, i);
	}
	kv_close();
}

Test(kv_apply, reads_beside_writes_and_kills, .init = setup, .fini = rig_dir_remove, .timeout = 600)
{
	struct kv_stats st;
	char path[160];

	must_open(db, true);
	rig_start(3, NULL, NULL);
	running = WRITERS;
	rig_threads(WRITERS + 3, any_thread);
	for (int i = 0; i < WRITERS; i++)
		must_be(&model[i], i);
	cr_assert(eq(int, kv_flush_now(), 0));
	kv_stats(&st);
	cr_assert(eq(u64, st.pending_bytes, 0));
	cr_assert(lt(u64, st.applied_groups, st.writes));
	rig_stop();
	kv_close();
	must_open(db, false);
	for (int i = 0; i < WRITERS; i++)
		must_be(&model[i], i);
	kv_close();
	for (int n = 0; n < 3; n++) {
		snprintf(path, sizeof(path), "%.120s%d", copy, n);
		copy_must_be_whole(path, had[n]);
	}
}

static bool
rocksdb_has(const char *key)
{
	char *msg = NULL;
	size_t len;
	char *val = rocksdb_get(kv.db, kv.ro_disk, key, strlen(key), &len, &msg);

	cr_assert(msg == NULL);
	free(val);
	return val;
}

static int
count(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	(void)key, (void)klen, (void)val, (void)vlen;
	++*(int *)arg;
	return 0;
}

static int
late_keys(void)
{
	int n = 0;
	struct kv_scan s = { .from = { KV_LATE }, .from_len = 1, .to = { KV_LATE + 1 }, .to_len = 1, .fn = count, .arg = &n };

	cr_assert(eq(int, kv_scan_now(&s), 0));
	return n;
}

/* RocksDB can have a change in a table file without what is late in it: that is in the log then. */
Test(kv_apply, what_is_late_is_in_the_log, .init = setup, .fini = rig_dir_remove, .timeout = 100)
{
	struct kv_batch *b = kv_batch_new();
	char *msg = NULL;
	int val = 0;

	must_open(db, true);
	for (int n = 1; n <= 3; n++) {
		kv_batch_clear(b);
		kv_batch_put(b, "Dsoon", 5, &n, sizeof(n));
		kv_batch_put(b, "Qlate", 5, &n, sizeof(n));
		cr_assert(eq(int, kv_write_now(b), 0));
	}
	cr_assert(eq(int, kv_apply_wait(false), 0));
	rocksdb_flush(kv.db, kv.flush, &msg); /* as it does when a memtable is full */
	cr_assert(msg == NULL);
	cr_assert(rocksdb_has("Dsoon") && !rocksdb_has("Qlate"));
	cr_assert(eq(int, kv_get_now("Qlate", 5, &val, sizeof(val)), sizeof(val)));
	cr_assert(eq(int, val, 3));
	rig_copy(db, copy);
	cr_assert(eq(int, late_keys(), 1)); /* whoever reads a range gets it */
	cr_assert(rocksdb_has("Qlate"));
	kv_batch_clear(b);
	kv_batch_put(b, "Qmore", 5, &val, sizeof(val));
	cr_assert(eq(int, kv_write_now(b), 0));
	cr_assert(eq(int, kv_apply_wait(false), 0));
	cr_assert(rocksdb_has("Qmore") == false);
	cr_assert(eq(int, kv_flush_now(), 0));
	cr_assert(rocksdb_has("Qmore"));
	kv_close();

	must_open(copy, false);
	cr_assert(rocksdb_has("Qlate"));
	cr_assert(eq(int, kv_get_now("Qlate", 5, &val, sizeof(val)), sizeof(val)));
	cr_assert(eq(int, val, 3));
	cr_assert(eq(int, late_keys(), 1));
	kv_close();
	kv_batch_free(b);
}

/* A batch as large as what may be pending, and many that are together. */
Test(kv_apply, large_batches, .init = setup, .fini = rig_dir_remove, .timeout = 600)
{
	static uint8_t noise[700 * 1024];
	struct kv_batch *b = kv_batch_new();
	char key[16];

	must_open(db, true);
	for (int n = 0; n < 20; n++) {
		kv_batch_clear(b);
		memset(noise, n + 1, sizeof(noise));
		kv_batch_put(b, key, (size_t)snprintf(key, sizeof(key), "big%d", n), noise, sizeof(noise));
		cr_assert(eq(int, kv_write_now(b), 0));
	}
	for (int n = 0; n < 20; n++) {
		uint8_t first = 0;

		cr_assert(eq(int, kv_get_now(key, (size_t)snprintf(key, sizeof(key), "big%d", n), &first, 1), sizeof(noise)));
		cr_assert(eq(int, first, n + 1));
	}
	kv_batch_free(b);
	kv_close();
}

/* ---- RocksDB takes nothing ---- */

Test(kv_apply, what_rocksdb_refuses_is_in_the_log, .init = setup, .fini = rig_dir_remove, .timeout = 600)
{
	struct kv_batch *b = kv_batch_new();
	struct kv_scan s = { .from = "a", .to = "z", .from_len = 1, .to_len = 1 };
	char away[160], val[8];
	int n = 0, res;

	snprintf(away, sizeof(away), "%.120s.away", db);
	must_open(db, true);
	for (; n < 10; n++)
		cr_assert(eq(int, put_n(n), 0));
	add(n);
	/* Table files cannot be made: after the first flush that fails RocksDB refuses. */
	cr_assert(eq(int, rename(db, away), 0));
	cr_assert(lt(int, kv_flush_now(), 0));
	for (; (res = put_n(n)) == 0; n++)
		cr_assert(lt(int, n, 100000));
	cr_assert(eq(int, res, -EIO));
	kv_batch_put(b, "x", 1, "1", 1);
	cr_assert(eq(int, kv_write_now(b), -EIO));
	kv_batch_free(b);
	for (int i = 0; i < n; i++)
		cr_assert(has_n(i), "%d of %d", i, n);
	cr_assert(eq(int, kv_get_now("Cappended", 9, val, sizeof(val)), 1));
	cr_assert(eq(int, kv_scan_now(&s), -EIO));
	cr_assert(lt(int, kv_flush_now(), 0));
	kv_close();
	cr_assert(eq(int, rename(away, db), 0));
	must_open(db, false);
	for (int i = 0; i < n; i++)
		cr_assert(has_n(i), "%d of %d", i, n);
	kv_close();
}

/* ---- volumes from when each core had a stream of its own ---- */

static int
no_flush(void)
{
	return 0;
}

Test(kv_apply, logs_with_many_streams_are_replayed, .init = setup, .fini = rig_dir_remove)
{
	struct mlog_opts o = { .bytes = 16 * MIB, .flush = no_flush };
	char log[160], why[256] = "", key[16];
	uint64_t ticket = 0;
	uint8_t seq[8], l[2];

	must_open(db, true);
	put_n(1);
	kv_close();
	snprintf(log, sizeof(log), "%.120s/" KV_LOG_DIR, db);
	o.dir = log;
	cr_assert(eq(int, mlog_open(&o, why), 0), "%s", why);
	for (uint32_t n = 0; n < 30; n++) {
		struct kv_batch *b = kv_batch_new();
		struct mlog_rec rec = { .stream = 1 + n % 3, .seq = 1 + n / 3 };

		put_le64(seq, 1);
		kv_batch_merge(b, "Usum", 4, seq, 8);
		kv_batch_put(b, key, (size_t)snprintf(key, sizeof(key), "old%u", n), &n, 4);
		put_le64(seq, rec.seq);
		kv_batch_put(b, l, kv_stream_key(l, rec.stream), seq, 8);
		rec.data = b->p;
		rec.len = (uint32_t)b->len;
		cr_assert(eq(int, mlog_reserve(rec.len), 0));
		ticket = mlog_append(&rec);
		kv_batch_free(b);
	}
	cr_assert(eq(int, mlog_sync_now(ticket), 0));
	mlog_close(false);
	/* Twice, and with a change between: what is in RocksDB is not replayed again. */
	for (int round = 0; round < 2; round++) {
		must_open(db, false);
		cr_assert(eq(int, kv_get_now("Usum", 4, seq, 8), 8));
		cr_assert(eq(u64, get_le64(seq), 30));
		for (uint32_t n = 0; n < 30; n++)
			cr_assert(eq(int, kv_get_now(key, (size_t)snprintf(key, sizeof(key), "old%u", n), seq, 8), 4));
		cr_assert(has_n(1 + round));
		cr_assert(eq(int, put_n(2 + round), 0));
		rig_copy(db, copy);
		kv_close();
		snprintf(db, sizeof(db), "%.100s", copy);
		snprintf(copy, sizeof(copy), "%s/again", rig_dir());
	}
}
