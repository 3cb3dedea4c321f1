/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "meta/mlog_impl.h"
#include "tests/unit/kv_rig.h"

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

/* All of the disk is taken: a sentence, where RocksDB itself would end the process. */
Test(kv, a_full_disk_is_told_and_nothing_is_lost, .init = setup, .fini = rig_dir_remove)
{
	static uint8_t junk[64 * KIB];
	char why[256] = "", ballast[200];
	uint8_t got[8];
	int fd;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mkdir(db, 0700) < 0 ||
	    mount("tmpfs", db, "tmpfs", 0, "size=64m") < 0)
		cr_skip_test("may not mount");
	must_open(db, true);
	cr_assert(eq(int, put_now("key", "value", 5), 0));
	kv_close();
	snprintf(ballast, sizeof(ballast), "%s/ballast", db);
	fd = open(ballast, O_CREAT | O_WRONLY, 0600);
	while (write(fd, junk, sizeof(junk)) > 0)
		;
	close(fd);
	cr_assert(eq(int, open_at(db, false, why), -ENOSPC));
	cr_assert(strstr(why, "is full") != NULL, "%s", why);
	unlink(ballast);
	must_open(db, false);
	cr_assert(eq(int, kv_get_now("key", 3, got, sizeof(got)), 5));
	kv_close();
	umount(db);
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

/* ---- group commit ---- */

#define WRITERS 12
#define WRITES  100

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

Test(kv, a_stall_waits_on_a_worker, .init = setup, .fini = rig_dir_remove, .timeout = 600)
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

/* Merges add up: one replayed twice, or not at all, would show.  Killed and opened again and again. */
Test(kv, replay_is_exact, .init = setup, .fini = rig_dir_remove, .timeout = 600)
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

Test(kv, the_log_wraps, .init = setup, .fini = rig_dir_remove, .timeout = 600)
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
	cr_assert(lt(u64, 5 * MIB, st.log_bytes));
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
	size_t len = (size_t)(to - from);
	uint8_t *junk = calloc(1, len + 1);
	int fd = open(path, O_WRONLY);

	for (size_t i = 0; seed && i < len; i++)
		junk[i] = (uint8_t)(mix64((uint64_t)from + i + seed) >> 7);
	cr_assert(pwrite(fd, junk, len, from) == (ssize_t)len);
	close(fd);
	free(junk);
}

/* A power cut leaves anything in what was not acknowledged. */
Test(kv, torn_tail_is_cut, .init = setup, .fini = rig_dir_remove, .timeout = 600)
{
	char seg[512], orig[128];
	struct kv_stats synced, end;

	log_bytes = 2 * MIB; /* it is copied and synced some hundred times */
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
