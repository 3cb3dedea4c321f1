/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "meta/kv.h"
#include "meta/mlog_impl.h"
#include "reactor/log.h"
#include "tests/fake/rig.h"

static char db[128], copy[128];
/* A copy of files beside a flush is no instant: as a rule the log is so long that none comes by itself. */
static uint64_t log_bytes = 16 * MIB;

static int
open_at(const char *path, bool create, char why[256])
{
	struct kv_opts o = { .path = path, .create = create, .cache_bytes = 8 * MIB, .memtable_bytes = 8 * MIB,
	                     .log_bytes = log_bytes };

	return kv_open(&o, why);
}

static void
must_open(const char *path, bool create)
{
	char why[256] = "";
	int err = open_at(path, create, why);

	cr_assert(err == 0, "%d %s", err, why);
}

static void
setup(void)
{
	log_set_level(LOG_ERROR); /* every cut tail is worth a warning */
	snprintf(db, sizeof(db), "%s/db", rig_dir());
	snprintf(copy, sizeof(copy), "%s/copy", rig_dir());
}

static int
put_now(const char *key, const void *val, size_t len)
{
	struct kv_batch *b = kv_batch_new();
	int res;

	kv_batch_put(b, key, strlen(key), val, len);
	res = kv_write_now(b);
	kv_batch_free(b);
	return res;
}

static int
put_n(int i)
{
	char key[32];

	snprintf(key, sizeof(key), "key%06d", i);
	return put_now(key, &i, sizeof(i));
}

static bool
has_n(int i)
{
	char key[32];
	int got = 0;
	int res;

	snprintf(key, sizeof(key), "key%06d", i);
	res = kv_get_now(key, strlen(key), &got, sizeof(got));
	if (res == -ENOENT)
		return false;
	cr_assert(res == sizeof(got) && got == i);
	return true;
}

Test(kv, open_tells_what_is_wrong, .init = setup, .fini = rig_dir_remove)
{
	char why[256] = "";

	cr_assert(eq(int, open_at(db, false, why), -ENOENT));
	cr_assert(why[0] != 0);
	must_open(db, true);
	kv_close();
	cr_assert(eq(int, open_at(db, true, why), -EEXIST));
	must_open(db, false);
	kv_close();
}

Test(kv, locked_by_another_process, .init = setup, .fini = rig_dir_remove)
{
	char why[256] = "", lock[200];
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int to[2], back[2], fd;
	char c;
	pid_t pid;

	must_open(db, true);
	kv_close();
	cr_assert(pipe(to) == 0 && pipe(back) == 0);
	pid = fork();
	if (pid == 0) {
		snprintf(lock, sizeof(lock), "%s/LOCK", db);
		fd = open(lock, O_RDWR);
		c = fd >= 0 && fcntl(fd, F_SETLK, &l) == 0 ? 'y' : 'n';
		_exit(write(to[1], &c, 1) != 1 || read(back[0], &c, 1) != 1);
	}
	cr_assert(read(to[0], &c, 1) == 1 && c == 'y');
	cr_assert(eq(int, open_at(db, false, why), -EBUSY));
	cr_assert(strstr(why, "in use by another process") != NULL);
	cr_assert(write(back[1], "x", 1) == 1);
	waitpid(pid, NULL, 0);
	must_open(db, false);
	kv_close();
}

Test(kv, batches_and_merges_survive, .init = setup, .fini = rig_dir_remove)
{
	struct kv_batch *b;
	uint8_t v[32], out[64];

	must_open(db, true);
	b = kv_batch_new();
	kv_batch_put(b, "x", 1, "1", 1);
	kv_batch_put(b, "y", 1, "2", 1);
	cr_assert(eq(int, kv_write_now(b), 0));
	kv_batch_clear(b);
	kv_batch_del(b, "x", 1);
	kv_batch_merge(b, "Cfile", 5, "abc", 3);
	put_le64(v, 10);
	put_le64(v + 8, 1);
	kv_batch_merge(b, "Ushare", 6, v, 16);
	cr_assert(eq(int, kv_write_now(b), 0));
	kv_batch_clear(b);
	for (int round = 0; round < 3; round++) {
		kv_batch_merge(b, "Cfile", 5, "de", 2);
		put_le64(v, (uint64_t)-4);
		put_le64(v + 8, 2);
		kv_batch_merge(b, "Ushare", 6, v, 16);
		put_le64(v, 7);
		kv_batch_merge(b, "Pwide", 5, v, round == 1 ? 24 : 8);
		cr_assert(eq(int, kv_write_now(b), 0));
		kv_batch_clear(b);
		/* Now from the memtable, then from a table file, then merged over one. */
		kv_close();
		must_open(db, false);
	}
	kv_batch_free(b);
	cr_assert(eq(int, kv_get_now("x", 1, out, sizeof(out)), -ENOENT));
	cr_assert(eq(int, kv_get_now("y", 1, out, sizeof(out)), 1));
	cr_assert(eq(int, kv_get_now("Cfile", 5, out, sizeof(out)), 9));
	cr_assert(eq(int, memcmp(out, "abcdedede", 9), 0));
	cr_assert(eq(int, kv_get_now("Cfile", 5, out, 4), 9)); /* cut, true length */
	cr_assert(eq(int, kv_get_now("Ushare", 6, out, sizeof(out)), 16));
	cr_assert(eq(i64, (int64_t)get_le64(out), -2));
	cr_assert(eq(u64, get_le64(out + 8), 7));
	cr_assert(eq(int, kv_get_now("Pwide", 5, out, sizeof(out)), 24));
	cr_assert(eq(u64, get_le64(out), 21));
	kv_close();
}

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
Test(kv, reads_warm_and_cold, .init = setup, .fini = rig_dir_remove)
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

/* ---- group commit ---- */

#define WRITERS 12
#define WRITES  100

struct put {
	struct kv_write w;
	struct kv_batch *b;
	int stage;
	struct op step, *wait;
};

static void
put_run(struct op *step)
{
	struct put *p = container_of(step, struct put, step);
	enum op_state s = OP_DONE;

	if (p->stage == 0 && step->res == 0) {
		p->stage = 1;
		s = kv_sync(&p->w, step);
	}
	if (s == OP_PENDING)
		return;
	p->wait->res = step->res;
	p->wait->resume(p->wait);
}

static enum op_state
start_put(void *arg, struct op *op)
{
	struct put *p = arg;

	p->wait = op;
	p->step.resume = put_run;
	p->stage = 0;
	if (kv_write(&p->w, p->b, &p->step) == OP_DONE)
		put_run(&p->step);
	return OP_PENDING;
}

static void
writer(int i)
{
	struct put p = { .b = kv_batch_new() };

	for (int n = 0; n < WRITES; n++) {
		char key[32];
		int v = i * WRITES + n;

		snprintf(key, sizeof(key), "key%06d", v);
		kv_batch_clear(p.b);
		kv_batch_put(p.b, key, strlen(key), &v, sizeof(v));
		cr_assert(eq(int, rig_call(i % 3, start_put, &p), 0));
	}
	kv_batch_free(p.b);
}

Test(kv, groups_share_a_sync, .init = setup, .fini = rig_dir_remove)
{
	struct kv_stats st, then;

	must_open(db, true);
	kv_stats(&then);
	rig_start(3, NULL, NULL);
	rig_threads(WRITERS, writer);
	rig_copy(db, copy);
	rig_stop();
	kv_stats(&st);
	cr_assert(eq(u64, st.writes - then.writes, WRITERS * WRITES));
	cr_assert(lt(u64, st.syncs, WRITERS * WRITES * 3 / 4));
	kv_close();
	/* The copy is what a kill would have left: all that was acknowledged is in it. */
	must_open(copy, false);
	for (int i = 0; i < WRITERS * WRITES; i++)
		cr_assert(has_n(i), "%d", i);
	kv_close();
}

/* More than the memtables take at once: then a write waits on a worker, and none is lost. */
static uint8_t noise[65536];
static _Atomic bool stalled;
static _Atomic int flooded;

static void
flood(int i)
{
	struct put p = { .b = kv_batch_new() };
	struct kv_stats st;

	(void)i;
	while (!stalled && flooded < 8000) {
		char key[32];
		int n = flooded++;

		snprintf(key, sizeof(key), "noise%06d", n);
		kv_batch_clear(p.b);
		kv_batch_put(p.b, key, strlen(key), noise, sizeof(noise));
		cr_assert(eq(int, rig_call(n % 2, start_put, &p), 0));
		kv_stats(&st);
		stalled = st.stalls > 3;
	}
	kv_batch_free(p.b);
}

Test(kv, a_stall_waits_on_a_worker, .init = setup, .fini = rig_dir_remove, .timeout = 100)
{
	log_bytes = 1 * MIB;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)(mix64(i) >> 13);
	must_open(db, true);
	rig_start(2, NULL, NULL);
	rig_threads(16, flood);
	cr_assert(stalled, "%d writes without one stall", flooded);
	rig_stop();
	kv_close();
	must_open(db, false);
	for (int i = 0; i < flooded; i++) {
		char key[32];

		snprintf(key, sizeof(key), "noise%06d", i);
		cr_assert(eq(int, kv_get_now(key, strlen(key), key, 1), sizeof(noise)));
	}
	kv_close();
}

Test(kv, fails_stop_when_the_log_breaks, .init = setup, .fini = rig_dir_remove)
{
	struct put p;
	struct kv_stats st;
	uint64_t syncs;

	must_open(db, true);
	rig_start(2, NULL, NULL);
	p = (struct put){ .b = kv_batch_new() };
	kv_batch_put(p.b, "good", 4, "1", 1);
	cr_assert(eq(int, rig_call(1, start_put, &p), 0));
	kv_stats(&st);
	syncs = st.syncs;
	rig_break_mlog(db);
	for (int i = 0; i < 3; i++) {
		kv_batch_clear(p.b);
		kv_batch_put(p.b, "bad", 3, "1", 1);
		cr_assert(eq(int, rig_call(i % 2, start_put, &p), -EIO));
	}
	cr_assert(eq(int, kv_write_now(p.b), -EIO));
	kv_stats(&st);
	cr_assert(eq(u64, st.syncs, syncs));
	/* Reading goes on. */
	cr_assert(eq(int, kv_get_now("good", 4, &syncs, 8), 1));
	kv_batch_free(p.b);
	rig_stop();
	kv_close();
}

/* ---- after a crash ---- */

static void
add(int n)
{
	struct kv_batch *b = kv_batch_new();
	uint8_t v[16];

	put_le64(v, (uint64_t)n);
	put_le64(v + 8, 1);
	kv_batch_merge(b, "Usum", 4, v, sizeof(v));
	kv_batch_merge(b, "Cappended", 9, v, 1);
	cr_assert(eq(int, kv_write_now(b), 0));
	kv_batch_free(b);
}

static void
must_have_added(int n)
{
	uint8_t v[16];

	cr_assert(eq(int, kv_get_now("Usum", 4, v, sizeof(v)), n ? 16 : -ENOENT));
	cr_assert(eq(u64, n ? get_le64(v + 8) : 0, (uint64_t)n));
	cr_assert(eq(int, kv_get_now("Cappended", 9, v, 1), n ? n : -ENOENT));
}

/* Merges add up: one replayed twice, or not at all, would show.  Killed and opened again and again. */
Test(kv, replay_is_exact, .init = setup, .fini = rig_dir_remove, .timeout = 100)
{
	char from[256];
	int n = 0;

	must_open(db, true);
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < 40 * round; i++)
			add(n++);
		if (round % 3 == 1) {
			cr_assert(eq(int, kv_flush_now(), 0));
			add(n++);
		}
		must_have_added(n);
		snprintf(from, sizeof(from), "%s/copy%d", rig_dir(), round);
		rig_copy(db, from);
		kv_close();
		/* What goes on is what the kill left. */
		snprintf(db, sizeof(db), "%.100s", from);
		must_open(db, false);
		must_have_added(n);
	}
	kv_close();
}

/* From several cores and other threads at once, with a log that wraps many times. */
static uint8_t filler[9000];

static void
adder(int i)
{
	struct put p = { .b = kv_batch_new() };
	uint8_t v[16];

	put_le64(v, 1);
	put_le64(v + 8, 1);
	for (int n = 0; n < 60; n++) {
		char key[32];

		kv_batch_clear(p.b);
		kv_batch_merge(p.b, "Usum", 4, v, sizeof(v));
		snprintf(key, sizeof(key), "f%d", i);
		kv_batch_put(p.b, key, strlen(key), filler, sizeof(filler));
		if (i % 4 == 3)
			cr_assert(eq(int, kv_write_now(p.b), 0));
		else
			cr_assert(eq(int, rig_call(i % 3, start_put, &p), 0));
	}
	kv_batch_free(p.b);
}

Test(kv, the_log_wraps, .init = setup, .fini = rig_dir_remove, .timeout = 100)
{
	struct kv_stats st;
	uint8_t v[16];

	log_bytes = 1 * MIB;
	must_open(db, true);
	rig_start(3, NULL, NULL);
	rig_threads(16, adder);
	rig_stop();
	cr_assert(eq(int, mlog_flusher_wait(), 0));
	rig_copy(db, copy);
	kv_stats(&st);
	cr_assert(gt(u64, st.log_bytes, 5 * MIB));
	kv_close();
	must_open(copy, false);
	cr_assert(eq(int, kv_get_now("Usum", 4, v, sizeof(v)), 16));
	cr_assert(eq(u64, get_le64(v), 16 * 60));
	kv_close();
}

static void
seg_path(const char *dir, int n, char out[512])
{
	snprintf(out, 512, "%s/mlog/%d.mlog", dir, n);
}

static void
wreck(const char *path, off_t from, off_t to, unsigned seed)
{
	int fd = open(path, O_WRONLY);

	for (off_t at = from; at < to; at++) {
		uint8_t c = seed ? (uint8_t)(mix64((uint64_t)at + seed) >> 7) : 0;

		cr_assert(pwrite(fd, &c, 1, at) == 1);
	}
	close(fd);
}

/* A power cut leaves anything in what was not acknowledged. */
Test(kv, torn_tail_is_cut, .init = setup, .fini = rig_dir_remove, .timeout = 120)
{
	char seg[512], orig[128];
	struct kv_stats synced, end;

	snprintf(orig, sizeof(orig), "%s/orig", rig_dir());
	must_open(db, true);
	for (int i = 0; i < 20; i++)
		cr_assert(eq(int, put_n(i), 0));
	kv_stats(&synced);
	cr_assert(eq(int, put_n(20), 0));
	kv_stats(&end);
	rig_copy(db, orig);
	kv_close();

	for (uint64_t at = synced.log_bytes; at <= end.log_bytes; at += at < synced.log_bytes + 128 ? 3 : 512)
		for (unsigned seed = 0; seed < 2; seed++) {
			bool whole;

			rig_copy(orig, copy);
			seg_path(copy, 0, seg);
			wreck(seg, (off_t)at, (off_t)end.log_bytes + (seed ? 60000 : 0), seed);
			must_open(copy, false);
			for (int i = 0; i < 20; i++)
				cr_assert(has_n(i), "%d lost, cut at %lu", i, at - synced.log_bytes);
			whole = has_n(20);
			cr_assert(whole || at < end.log_bytes);
			cr_assert(eq(int, put_n(30), 0));
			kv_close();
			must_open(copy, false);
			cr_assert(has_n(19) && has_n(30) && has_n(20) == whole);
			kv_close();
		}
}

static void
flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t c;

	cr_assert(pread(fd, &c, 1, at) == 1);
	c ^= 0x10;
	cr_assert(pwrite(fd, &c, 1, at) == 1);
	close(fd);
}

/* Nothing that was acknowledged is lost silently. */
Test(kv, damage_in_the_middle_is_told, .init = setup, .fini = rig_dir_remove)
{
	char seg[512], orig[128], path[512], why[256];
	struct kv_stats middle;

	snprintf(orig, sizeof(orig), "%s/orig", rig_dir());
	must_open(db, true);
	for (int i = 0; i < 10; i++)
		cr_assert(eq(int, put_n(i), 0));
	kv_stats(&middle);
	for (int i = 10; i < 20; i++)
		cr_assert(eq(int, put_n(i), 0));
	rig_copy(db, orig);
	kv_close();

	for (off_t at = 0; at < 90; at += 3) {
		rig_copy(orig, copy);
		seg_path(copy, 0, seg);
		flip(seg, (off_t)middle.log_bytes + at);
		/* Again and again: trying does not make it worse. */
		for (int i = 0; i < 2; i++) {
			cr_assert(eq(int, open_at(copy, false, why), -E_DAMAGED));
			cr_assert(strstr(why, "damaged") != NULL, "%s", why);
		}
		flip(seg, (off_t)middle.log_bytes + at);
		must_open(copy, false);
		cr_assert(has_n(19));
		kv_close();
	}
	/* A part of the log that is gone is no empty log. */
	for (int i = 0; i < 2; i++) {
		rig_copy(orig, copy);
		snprintf(path, sizeof(path), "%s/mlog/%s", copy, i ? "head" : "0.mlog");
		cr_assert(eq(int, unlink(path), 0));
		cr_assert(eq(int, open_at(copy, false, why), -E_DAMAGED), "%d %s", i, why);
	}
	rig_copy(orig, copy);
	snprintf(path, sizeof(path), "%s/mlog/head", copy);
	flip(path, 30);
	cr_assert(eq(int, open_at(copy, false, why), -E_DAMAGED));
}
