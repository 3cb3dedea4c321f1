/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does the disk cache find, and how fast?  Hit ratio of a Zipf trace over eight times as
 * many frames as fit, FIFO beside FIFO with reinsertion; then whole frames a second at random from the
 * cache disk beside from memory, and beside bare O_DIRECT reads of the same files.  Medians of rounds.
 *
 *   diskcache [DIR [ROUNDS]]      DIR: ./bench-cache by default; it is emptied
 */
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/diskcache_impl.h"

#define CACHE_BYTES (256 * MIB)
#define KEYS        (8 * CACHE_BYTES / FRAME_BYTES)
#define REQUESTS    60000u
#define READS       16000u
#define DEPTH       16u
#define WARM        1024u /* frames of the reads */

static char dir[256] = "bench-cache";
static double zipf[KEYS]; /* sums */
static sem_t done;
static uint64_t seed = 1;

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
fail(const char *what)
{
	fprintf(stderr, "diskcache: %s\n", what);
	exit(1);
}

static uint32_t
dice(uint32_t n)
{
	seed = mix64(seed + 1);
	return (uint32_t)(seed % n);
}

static void
zipf_init(double s)
{
	double sum = 0;

	for (uint32_t i = 0; i < KEYS; i++)
		zipf[i] = sum += pow(i + 1, -s);
}

static uint32_t
zipf_key(void)
{
	double x = (double)dice(1u << 30) / (1u << 30) * zipf[KEYS - 1];
	uint32_t lo = 0, hi = KEYS - 1;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (zipf[mid] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (uint32_t)(mix64(lo) % (1u << 30)); /* neighbours are not near */
}

/* ---- lanes on core 0 */

static struct lane {
	struct op op;
	struct timer timer;
	struct disk_fetch disk;
	struct buf *buf;
	uint32_t key;
} lanes[DEPTH];

static enum { TRACE, FILL, DISK, MEMORY } what;
static uint32_t asked, limit, nlanes, ended;
static uint64_t hits;

static uint64_t slice_of(uint32_t key) { return 1 + key / 64; }

static void
insert(struct lane *l)
{
	memset(l->buf->data, (int)l->key, 64);
	diskcache_insert(slice_of(l->key), l->key % 64, 1, l->buf, FRAME_BYTES, false);
}

static void lane_run(struct lane *l);

static void
lane_resumed(struct op *op)
{
	struct lane *l = container_of(op, struct lane, op);

	if (l->buf) {
		hits += op->res == 0;
		if (op->res < 0 && what != DISK)
			insert(l);
		buf_put(l->buf);
		l->buf = NULL;
	}
	/* No faster than the disk, so that nothing is left out. */
	if (dcore->waiting_bytes > dcore->max_waiting / 4) {
		timer_start(&l->timer, 300000, &l->op);
		return;
	}
	lane_run(l);
}

static void
lane_run(struct lane *l)
{
	if (asked == limit) {
		if (++ended == nlanes)
			sem_post(&done);
		return;
	}
	l->op.resume = lane_resumed;
	l->key = what == TRACE ? zipf_key() : what == FILL ? asked : dice(WARM);
	asked++;
	if (what == MEMORY) {
		struct buf *b = cache_find(slice_of(l->key), l->key % 64);

		if (b) {
			hits++;
			buf_put(b);
		}
		reactor_post(&l->op, 0);
		return;
	}
	l->buf = buf_get(BUF_LARGE, BUF_CACHE);
	if (!l->buf)
		fail("no buffers");
	if (!diskcache_read(&l->disk, slice_of(l->key), l->key % 64, FRAME_BYTES, l->buf, false, &l->op))
		reactor_post(&l->op, -1);
}

static void
start(struct shard_msg *m)
{
	(void)m;
	asked = ended = 0;
	hits = 0;
	for (uint32_t i = 0; what == MEMORY && i < WARM; i++) {
		struct buf *b = buf_get(BUF_LARGE, BUF_CACHE);

		cache_insert(slice_of(i), i % 64, b, FRAME_BYTES);
		buf_put(b);
	}
	for (uint32_t i = 0; i < nlanes; i++)
		lane_run(&lanes[i]);
}

/* Requests a second. */
static double
run(int kind, uint32_t requests, uint32_t depth)
{
	static struct shard_msg msg;
	double t = now_s();

	what = kind;
	limit = requests;
	nlanes = depth;
	msg.run = start;
	shard_post(0, &msg);
	while (sem_wait(&done) < 0)
		;
	return requests / (now_s() - t);
}

static bool idle;

static void
quit_run(struct shard_msg *m)
{
	(void)m;
	idle = diskcache_quit();
	sem_post(&done);
}

static int
init(int core, void *arg)
{
	int res = cache_init(2 * WARM);

	(void)core;
	(void)arg;
	return res < 0 ? res : diskcache_init(16 * MIB);
}

static void
fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	diskcache_fini();
	cache_fini();
}

static void
open_cache(bool fifo)
{
	struct diskcache_opts o = { .dir = { dir }, .ndirs = 1, .cores = 1, .bytes = CACHE_BYTES, .fifo = fifo,
		                    .verify = DISK_VERIFY_EXTEND, .uuid = "bench" };
	struct reactor_opts r = { .cores = 1, .buf_bytes = 192 * MIB, .max_conns = 16, .touch = true, .init = init, .fini = fini };
	char why[256], cmd[300];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	if (system(cmd) != 0 || diskcache_open(&o) < 0)
		fail("cannot open the cache");
	if (reactor_start(&r, why) < 0)
		fail(why);
}

static void
close_cache(void)
{
	static struct shard_msg msg = { .run = quit_run };

	do {
		usleep(1000);
		shard_post(0, &msg);
		while (sem_wait(&done) < 0)
			;
	} while (!idle);
	reactor_stop();
	reactor_join();
	diskcache_close();
}

/* One at a time, past the page cache: frames a second. */
static double
bare(void)
{
	char pattern[300];
	glob_t g;
	void *p;
	int fd;
	struct stat st;

	snprintf(pattern, sizeof(pattern), "%s/*/*.cache", dir);
	if (glob(pattern, 0, NULL, &g) != 0 || posix_memalign(&p, PAGE, FRAME_BYTES) != 0)
		fail("no files");
	fd = open(g.gl_pathv[0], O_RDONLY | O_DIRECT);
	fstat(fd, &st);
	double t = now_s();
	for (uint32_t i = 0; i < READS / 8; i++)
		if (pread(fd, p, FRAME_BYTES, (off_t)dice((uint32_t)(st.st_size / FRAME_BYTES) - 1) * FRAME_BYTES) < 0)
			fail("pread");
	t = now_s() - t;
	close(fd);
	free(p);
	globfree(&g);
	return READS / 8 / t;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
print(const char *name, double *v, int n, double factor, const char *unit)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	printf("%-28s %10.1f %s  (%.1f to %.1f)\n", name, v[n / 2] * factor, unit, v[0] * factor, v[n - 1] * factor);
}

int
main(int argc, char **argv)
{
	static const double skew[] = { 0.8, 1.0 };
	int rounds = argc > 2 ? atoi(argv[2]) : 3;
	double v[5][16];
	char name[64];

	if (argc > 1)
		snprintf(dir, sizeof(dir), "%s", argv[1]);
	if (rounds < 1 || rounds > 16)
		fail("1 to 16 rounds");
	log_set_level(LOG_ERROR);
	sem_init(&done, 0, 0);
	for (size_t z = 0; z < ARRAY_LEN(skew); z++) {
		zipf_init(skew[z]);
		for (int fifo = 1; fifo >= 0; fifo--) {
			seed = 42;
			open_cache(fifo);
			run(TRACE, REQUESTS / 2, 4); /* until it is full and more */
			run(TRACE, REQUESTS, 4);
			snprintf(name, sizeof(name), "zipf %.1f, %s", skew[z], fifo ? "FIFO" : "reinsertion");
			printf("%-28s %10.1f %% hit, %lu frames written again\n", name, 100.0 * (double)hits / REQUESTS,
			       (unsigned long)diskcache_stats(0)->reinserted);
			close_cache();
		}
	}
	open_cache(false);
	run(FILL, WARM, 1);
	usleep(200000);
	for (int i = 0; i < rounds; i++) {
		v[0][i] = run(DISK, READS, DEPTH);
		v[1][i] = run(DISK, READS / 8, 1);
		v[2][i] = bare();
		v[3][i] = run(MEMORY, READS * 20, DEPTH);
	}
	print("disk, 16 at once", v[0], rounds, FRAME_BYTES / 1e6, "MB/s");
	print("disk, one at a time", v[1], rounds, FRAME_BYTES / 1e6, "MB/s");
	print("bare pread, one at a time", v[2], rounds, FRAME_BYTES / 1e6, "MB/s");
	print("memory, frames found", v[3], rounds, 1e-3, "k/s");
	close_cache();
	return 0;
}
