/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk cache on real reactors and real files: what it answers is right or is not there, whatever
 * happens to its files.  The bytes of a frame tell slice and number.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/blockio.h"
#include "store/diskcache.h"
#include "tests/fake/rig.h"

TestSuite(diskcache, .timeout = 600);

#define FRAMES 16 /* of a slice, as these tests use it */

static struct {
	char dir[2][256];
	struct diskcache_opts opts;
	bool in_memory; /* what is put is in the memory cache, too */
} world = { .opts = { .ndirs = 1, .bytes = 64 * MIB, .verify = DISK_VERIFY_EXTEND, .uuid = "volume" } };

static int
world_init(int core, void *arg)
{
	int res = cache_init(64);

	(void)core;
	(void)arg;
	return res < 0 ? res : diskcache_init(4 * MIB);
}

static void
world_fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	diskcache_fini();
	cache_fini();
}

static void
open_cache(int cores)
{
	struct reactor_opts r = { .cores = cores, .ring_entries = 256, .buf_bytes = (uint64_t)cores * 32 * MIB,
		                  .recv_bufs = 16, .max_conns = 16, .worker_threads = 2,
		                  .init = world_init, .fini = world_fini };
	char why[256];

	for (int i = 0; i < 2; i++) {
		snprintf(world.dir[i], sizeof(world.dir[i]), "%s/cache%d", rig_dir(), i);
		world.opts.dir[i] = world.dir[i];
	}
	world.opts.cores = cores;
	cr_assert(eq(int, diskcache_open(&world.opts), 0));
	cr_assert(reactor_start(&r, why) == 0, "%s", why);
}

static enum op_state
start_quit(void *arg, struct op *op)
{
	(void)arg;
	return op_done(op, diskcache_quit());
}

static void
close_cache(void)
{
	for (int i = 0; i < world.opts.cores; i++)
		while (!rig_call(i, start_quit, NULL))
			usleep(1000);
	reactor_stop();
	reactor_join();
	diskcache_close();
}

static struct diskcache_stats
sum(void)
{
	struct diskcache_stats s = { 0 };

	for (int i = 0; i < world.opts.cores; i++) {
		const struct diskcache_stats *c = diskcache_stats(i);

		s.hits += c->hits, s.misses += c->misses, s.inserts += c->inserts, s.skipped += c->skipped;
		s.evicted += c->evicted, s.reinserted += c->reinserted, s.damaged += c->damaged;
		s.frames += c->frames;
	}
	return s;
}

static const char *
state(int i)
{
	struct diskcache_dir d;

	return diskcache_dir(i, &d) ? d.state : "none";
}

static uint64_t
bytes(int i)
{
	struct diskcache_dir d;

	return diskcache_dir(i, &d) ? d.bytes : 0;
}

/* ---- frames */

static uint32_t
plain_of(uint64_t slice, uint32_t frame)
{
	uint64_t r = mix64(slice * 1000 + frame);

	return r % 4 ? FRAME_BYTES : (uint32_t)(r >> 32) % FRAME_BYTES + 1;
}

static uint8_t
byte_of(uint64_t slice, uint32_t frame, uint32_t i)
{
	return (uint8_t)(mix64(slice * 4096 + frame) >> (i / 64 % 8 * 8)) ^ (uint8_t)(i * 7);
}

static uint64_t ino_of(uint64_t slice) { return slice * 3 + 1; }
static int core_of(uint64_t slice) { return (int)(mix64(ino_of(slice)) % (uint64_t)world.opts.cores); }

struct frame_call {
	uint64_t slice;
	uint32_t frame;
	struct disk_fetch disk;
	struct buf *buf;
	bool right;
	struct op step, *done;
};

static enum op_state
start_put(void *arg, struct op *op)
{
	struct frame_call *c = arg;
	uint32_t plain = plain_of(c->slice, c->frame);
	struct buf *b = buf_get(BUF_LARGE, BUF_CACHE);

	if (!b)
		return op_done(op, -EAGAIN);
	for (uint32_t i = 0; i < plain; i++)
		b->data[i] = byte_of(c->slice, c->frame, i);
	if (world.in_memory)
		cache_insert(c->slice, c->frame, b, plain);
	diskcache_insert(c->slice, c->frame, ino_of(c->slice), b, plain, false);
	buf_put(b);
	return op_done(op, 0);
}

static void
got(struct op *op)
{
	struct frame_call *c = container_of(op, struct frame_call, step);
	struct op *done = c->done;
	int res = op->res < 0 ? 0 : 1;

	c->right = true;
	for (uint32_t i = 0; res == 1 && i < plain_of(c->slice, c->frame); i++)
		c->right = c->right && c->buf->data[i] == byte_of(c->slice, c->frame, i);
	buf_put(c->buf);
	done->res = res;
	done->resume(done);
}

static enum op_state
start_get(void *arg, struct op *op)
{
	struct frame_call *c = arg;

	c->right = true;
	c->buf = buf_get(BUF_LARGE, BUF_CACHE);
	c->done = op;
	c->step.resume = got;
	if (diskcache_read(&c->disk, c->slice, c->frame, plain_of(c->slice, c->frame), c->buf, false, &c->step))
		return OP_PENDING;
	buf_put(c->buf);
	return op_done(op, 0);
}

/* Is it there?  Wrong bytes are never. */
static bool
get(uint64_t slice, uint32_t frame)
{
	struct frame_call c = { .slice = slice, .frame = frame };
	int res = rig_call(core_of(slice), start_get, &c);

	cr_assert(c.right, "slice %lu frame %u: wrong bytes", slice, frame);
	return res;
}

static void
put(uint64_t slice, uint32_t frame)
{
	struct frame_call c = { .slice = slice, .frame = frame };

	while (rig_call(core_of(slice), start_put, &c) < 0)
		usleep(100);
}

/* False: some found no room in the queue. */
static bool
put_slice(uint64_t slice)
{
	struct diskcache_stats was = sum(), now = was;

	for (uint32_t k = 0; k < FRAMES; k++)
		put(slice, k);
	/* Some may be there already, or nowhere to be put. */
	for (int n = 0; n < 200 && now.inserts + now.skipped - was.inserts - was.skipped < FRAMES; n++) {
		usleep(1000);
		now = sum();
	}
	return now.skipped == was.skipped;
}

/* Whether there is room for them or not. */
static void
offer_slices(uint64_t from, uint64_t to)
{
	for (uint64_t slice = from; slice < to; slice++)
		put_slice(slice);
}

/* All frames of slices [from, to), no faster than the disk, which may stand still for seconds. */
static void
put_slices(uint64_t from, uint64_t to)
{
	for (uint64_t slice = from; slice < to; slice++)
		for (int tries = 0; !put_slice(slice) && strcmp(state(0), "ok") == 0 && tries < 1000; tries++)
			usleep(20000);
}

static uint32_t
count(uint64_t from, uint64_t to)
{
	uint32_t n = 0;

	for (uint64_t s = from; s < to; s++)
		for (uint32_t k = 0; k < FRAMES; k++)
			n += get(s, k);
	return n;
}

/* ---- files */

static void
for_files(int dir, void (*fn)(const char *path, int i))
{
	char cmd[400], path[600];
	FILE *f;
	int i = 0;

	snprintf(cmd, sizeof(cmd), "ls %s/*/*.cache 2>/dev/null", world.dir[dir]);
	f = popen(cmd, "r");
	while (fgets(path, sizeof(path), f)) {
		path[strcspn(path, "\n")] = 0;
		fn(path, i++);
	}
	pclose(f);
}

static void
start(int cores)
{
	log_set_level(getenv("LOGV") ? LOG_DEBUG : LOG_ERROR);
	open_cache(cores);
}

static void
end(void)
{
	close_cache();
	rig_dir_remove();
}

Test(diskcache, what_was_put_is_found_and_found_again)
{
	uint32_t before;

	start(2);
	put_slices(1, 20);
	EVENTUALLY(sum().inserts >= 19 * FRAMES * 9 / 10);
	before = count(1, 20);
	cr_assert(ge(u32, before, 19 * FRAMES * 9 / 10));
	cr_assert(eq(u32, count(100, 103), 0));
	close_cache();
	open_cache(2);
	EVENTUALLY(sum().frames == before);
	cr_assert(eq(u32, count(1, 20), before));
	cr_assert(eq(u64, sum().damaged, 0));
	cr_assert(strcmp(state(0), "ok") == 0);
	end();
}

Test(diskcache, other_numbers_of_cores_and_two_disks)
{
	static const int cores[] = { 2, 1, 3, 2 };
	uint32_t before;

	world.opts.ndirs = 2;
	start(3);
	put_slices(1, 20);
	before = count(1, 20);
	for (size_t i = 0; i < ARRAY_LEN(cores); i++) {
		close_cache();
		open_cache(cores[i]);
		EVENTUALLY(sum().frames == before);
		cr_assert(eq(u32, count(1, 20), before));
	}
	end();
}

Test(diskcache, what_is_forgotten_is_not_found)
{
	struct diskcache_stats s;

	start(1);
	put_slices(1, 3);
	s = sum();
	cr_assert(get(1, 3));
	/* By way of a core: the index is its own. */
	enum op_state forget(void *arg, struct op *op)
	{
		(void)arg;
		diskcache_forget(1, 0, FRAMES / 2);
		return op_done(op, 0);
	}
	rig_call(0, forget, NULL);
	cr_assert(eq(u32, count(1, 2), FRAMES / 2));
	cr_assert(eq(u32, count(2, 3), FRAMES));
	cr_assert(eq(u64, sum().frames, s.frames - FRAMES / 2));
	end();
}

/* Four times as much as fits, with a few slices asked for again and again: those stay, and the limit holds. */
Test(diskcache, eviction_keeps_what_is_hit)
{
	struct diskcache_dir d;

	world.opts.bytes = 16 * MIB;
	start(1);
	for (uint64_t s = 1; s < 80; s++) {
		put_slices(s, s + 1);
		count(1, 4);
		cr_assert(diskcache_dir(0, &d) && d.bytes <= d.max_bytes);
	}
	cr_assert(lt(u64, 300, sum().evicted));
	cr_assert(lt(u64, 20, sum().reinserted));
	cr_assert(ge(u32, count(1, 4), 3 * FRAMES / 2));
	cr_assert(lt(u32, count(5, 40), 35 * FRAMES / 4));
	end();
}

/* What is reinserted from memory is in line at once, in the middle of the step that made the eviction go on. */
Test(diskcache, eviction_of_what_is_in_memory)
{
	world.opts.bytes = 16 * MIB;
	world.in_memory = true;
	start(1);
	for (uint64_t s = 1; s < 80; s++) {
		put_slices(s, s + 1);
		count(s > 30 ? s - 30 : 1, s + 1);
	}
	cr_assert(strcmp(state(0), "ok") == 0);
	cr_assert(lt(u64, 20, sum().reinserted));
	cr_assert(eq(u64, sum().damaged, 0));
	end();
}

/* ---- what may happen to a disk */

static void
flip(const char *path, int i)
{
	struct stat st;
	int fd = open(path, O_RDWR);
	uint8_t b;

	fstat(fd, &st);
	/* Every few pages a bit, and where the summary is. */
	for (off_t at = 100 + i; at < st.st_size; at += 150000) {
		cr_assert(eq(int, (int)pread(fd, &b, 1, at), 1));
		b ^= 16;
		cr_assert(eq(int, (int)pwrite(fd, &b, 1, at), 1));
	}
	close(fd);
}

static void
flip_last_page(const char *path, int i)
{
	struct stat st;
	int fd = open(path, O_RDWR);

	(void)i;
	fstat(fd, &st);
	cr_assert(eq(int, (int)pwrite(fd, "x", 1, st.st_size - 4096 + 42), 1));
	close(fd);
}

static void
cut(const char *path, int i)
{
	struct stat st;

	stat(path, &st);
	cr_assert(eq(int, truncate(path, i % 2 ? st.st_size / 2 : st.st_size - 4096), 0));
}

/* Each gets the bytes of the one before. */
static void
swap(const char *path, int i)
{
	static char last[600];
	char tmp[700];

	if (i > 0) {
		snprintf(tmp, sizeof(tmp), "%s.tmp", path);
		cr_assert(eq(int, rename(last, tmp), 0));
		cr_assert(eq(int, rename(path, last), 0));
		cr_assert(eq(int, rename(tmp, path), 0));
	}
	snprintf(last, sizeof(last), "%s", path);
}

/* The contents of the file before, below its own name and trailer: as if blocks had been mixed up. */
static void
mix(const char *path, int i)
{
	static char last[600];
	static uint8_t bytes[256 * 1024];
	int from, to;

	if (i > 0) {
		from = open(last, O_RDONLY);
		to = open(path, O_WRONLY);
		cr_assert(eq(int, (int)pwrite(to, bytes, (size_t)pread(from, bytes, sizeof(bytes), 0), 0), sizeof(bytes)));
		close(from);
		close(to);
	}
	snprintf(last, sizeof(last), "%s", path);
}

static void
corrupt_at_rest(void (*fn)(const char *path, int i), bool whole_files)
{
	uint32_t before, after;

	start(2);
	put_slices(1, 20);
	before = count(1, 20);
	close_cache();
	for_files(0, fn);
	open_cache(2);
	EVENTUALLY(strcmp(state(0), "ok") == 0);
	after = count(1, 20);
	cr_assert(lt(u32, after, before));
	if (!whole_files)
		cr_assert(eq(u64, sum().damaged, before - after));
	/* Forgotten, and cached again. */
	cr_assert(eq(u32, count(1, 20), after));
	put_slices(1, 20);
	cr_assert(ge(u32, count(1, 20), before * 9 / 10));
	end();
}

Test(diskcache, bits_flipped) { corrupt_at_rest(flip, true); }
Test(diskcache, summaries_damaged) { corrupt_at_rest(flip_last_page, true); }
Test(diskcache, files_cut) { corrupt_at_rest(cut, true); }
Test(diskcache, files_swapped) { corrupt_at_rest(swap, true); }
Test(diskcache, blocks_mixed_up) { corrupt_at_rest(mix, false); }

Test(diskcache, bits_flipped_while_it_runs)
{
	uint32_t before, after;

	start(2);
	put_slices(1, 20);
	before = count(1, 20);
	for_files(0, flip);
	after = count(1, 20);
	cr_assert(lt(u32, after, before));
	cr_assert(eq(u64, sum().damaged, before - after));
	for_files(0, cut);
	count(1, 20);
	put_slices(21, 30);
	count(1, 30);
	end();
}

Test(diskcache, trusted_disks_are_not_checked)
{
	world.opts.verify = DISK_VERIFY_NONE;
	start(1);
	put_slices(1, 2);
	cr_assert(eq(u32, count(1, 2), FRAMES));
	cr_assert(eq(u64, sum().damaged, 0));
	end();
}

static void
shell(const char *before, const char *path, const char *after)
{
	char cmd[600];

	snprintf(cmd, sizeof(cmd), "%s%s%s", before, path, after);
	cr_assert(eq(int, system(cmd), 0), "%s", cmd);
}

Test(diskcache, directory_removed_while_it_runs)
{
	uint32_t n;

	world.opts.retry_ns = 1;
	start(2);
	put_slices(1, 10);
	shell("rm -rf ", world.dir[0], "");
	EVENTUALLY(strcmp(state(0), "failed") == 0);
	put_slices(10, 20);
	cr_assert(eq(u32, count(1, 20), 0));
	shell("mkdir ", world.dir[0], "");
	EVENTUALLY(strcmp(state(0), "ok") == 0);
	usleep(100000);
	put_slices(20, 30);
	n = count(20, 30);
	cr_assert(lt(u32, 5 * FRAMES, n));
	close_cache();
	open_cache(2);
	EVENTUALLY(sum().frames >= n);
	cr_assert(eq(u32, count(20, 30), n));
	end();
}

/* One of two disks fails: the other goes on. */
Test(diskcache, one_of_two_directories_removed)
{
	world.opts.ndirs = 2;
	start(1);
	put_slices(1, 20);
	shell("rm -rf ", world.dir[0], "");
	EVENTUALLY(strcmp(state(0), "failed") == 0);
	put_slices(20, 40);
	cr_assert(ge(u32, count(20, 40), 20 * FRAMES * 9 / 10));
	cr_assert(strcmp(state(1), "ok") == 0);
	end();
}

static void
break_files(int with)
{
	char link[64], target[512];

	for (int fd = 3; fd < 512; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = 0;
		if (strstr(target, ".cache"))
			dup2(with, fd);
	}
	close(with);
}

Test(diskcache, writes_fail)
{
	start(2);
	put_slices(1, 10);
	break_files(open("/dev/full", O_RDWR));
	put_slices(10, 20);
	EVENTUALLY(strcmp(state(0), "failed") == 0);
	cr_assert(eq(u32, count(1, 20), 0));
	end();
}

Test(diskcache, reads_fail)
{
	start(2);
	put_slices(1, 10);
	break_files(open("/dev/null", O_WRONLY)); /* EBADF */
	cr_assert(eq(u32, count(1, 10), 0));
	EVENTUALLY(strcmp(state(0), "failed") == 0);
	end();
}

static bool
small_disk(const char *options)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	snprintf(world.dir[0], sizeof(world.dir[0]), "%s/cache0", rig_dir());
	mkdir(world.dir[0], 0700);
	return mount("tmpfs", world.dir[0], "tmpfs", 0, options) == 0;
}

/* A cache that may be greater than its disk: it takes what there is. */
Test(diskcache, disk_full)
{
	struct diskcache_dir d;

	if (!small_disk("size=8m"))
		cr_skip_test("may not mount");
	start(1);
	for (uint64_t s = 1; s < 40; s += 10) {
		offer_slices(s, s + 10);
		count(1, s + 10);
	}
	cr_assert(lt(u32, FRAMES, count(1, 41)));
	cr_assert(diskcache_dir(0, &d) && d.bytes <= 8 * MIB);
	shell("dd 2>/dev/null if=/dev/zero bs=4k of=", world.dir[0], "/other; true");
	offer_slices(41, 60);
	count(1, 60);
	close_cache();
	umount(world.dir[0]);
	rig_dir_remove();
}

/* Others fill the disk beyond what the free ratio allows: the cache makes room. */
Test(diskcache, free_space_ratio)
{
	uint64_t before;

	if (!small_disk("size=64m"))
		cr_skip_test("may not mount");
	world.opts.free_ratio = 0.25;
	world.opts.bytes = 32 * MIB;
	start(1);
	put_slices(1, 30);
	before = bytes(0);
	cr_assert(lt(u64, 12 * MIB, before));
	shell("dd 2>/dev/null if=/dev/zero bs=1M count=30 of=", world.dir[0], "/other");
	EVENTUALLY(strcmp(state(0), "no room") == 0);
	EVENTUALLY(bytes(0) < before);
	count(1, 30);
	close_cache();
	umount(world.dir[0]);
	rig_dir_remove();
}

Test(diskcache, read_only_disk)
{
	if (!small_disk("size=8m"))
		cr_skip_test("may not mount");
	cr_assert(eq(int, mount(NULL, world.dir[0], NULL, MS_REMOUNT | MS_RDONLY, NULL), 0));
	start(1);
	cr_assert(strcmp(state(0), "failed") == 0);
	put_slices(1, 10);
	cr_assert(eq(u32, count(1, 10), 0));
	close_cache();
	umount(world.dir[0]);
	rig_dir_remove();
}

/* kill -9 while it fills: what was sealed is there again, right, and nothing else. */
Test(diskcache, kill_9)
{
	_Atomic uint64_t *inserted = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint32_t n = 0;

	log_set_level(LOG_ERROR);
	world.opts.bytes = 32 * MIB;
	snprintf(world.dir[0], sizeof(world.dir[0]), "%s", rig_dir()); /* the same for both */
	for (int round = 0; round < 4; round++) {
		pid_t child = fork();

		if (child == 0) {
			start(2);
			for (uint64_t slice = 1 + (uint64_t)round * 20;; slice++) {
				put_slices(slice, slice + 1);
				*inserted = sum().inserts;
			}
		}
		EVENTUALLY(atomic_load(inserted) > 20 * FRAMES);
		usleep((unsigned)round * 77000);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		*inserted = 0;
		open_cache(2);
		EVENTUALLY(strcmp(state(0), "ok") == 0);
		n += count(1, 200);
		cr_assert(eq(u64, sum().damaged, 0));
		close_cache();
	}
	cr_assert(lt(u32, 100, n));
	rig_dir_remove();
}
