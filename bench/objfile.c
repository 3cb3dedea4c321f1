/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does the local object store cost beside the bare system calls?  Uploads
 * beside write + fdatasync, fetches beside pread, by as many threads as the store has
 * workers; and what the way to durable directories costs.  Medians of rounds that take turns.
 *
 *   objfile [DIR [ROUNDS]]      DIR: an empty or new directory, ./bench-objects by default
 */
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reactor/shard.h"
#include "store/blockio.h"

#define THREADS 4
#define LANES_MAX 16
#define PIECES 64
#define FETCH_BYTES (1 * MIB)

static char dir[200];
static struct objstore *store;
static const uint8_t uuid[16];
static int objects, lanes_wanted, failures;
static uint32_t size; /* of an object */
static uint64_t bytes; /* moved in one measurement */

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
fail(const char *what, int err)
{
	fprintf(stderr, "objfile: %s: %s\n", what, strerror(err));
	exit(1);
}

/* ---- ours: lanes on core 0, each with one operation under way */

struct lane {
	struct op op;
	struct bufref part[PIECES];
	struct upload u;
	struct upload_block block;
	struct obj_req req;
	struct iovec iov[PIECES];
	struct cache_fetch f;
	int i;
};

static struct lane lane[LANES_MAX];
static enum op_state (*start)(struct lane *l);
static void (*finish)(struct lane *l);
static struct block_rec recs[4096];
static int next_i, lanes_left;
static uint64_t first_slice = 1; /* every object is a new one: replacing costs the freeing of the old one */
static sem_t done;
static struct shard_msg msg;

static void
lane_run(struct lane *l)
{
	l->i = next_i++;
	if (l->i >= objects) {
		if (--lanes_left == 0)
			sem_post(&done);
		return;
	}
	/* By way of the run queue, as a server would that looks after its sockets in between. */
	if (start(l) == OP_DONE)
		reactor_post(&l->op, l->op.res);
}

static void
lane_resumed(struct op *op)
{
	struct lane *l = container_of(op, struct lane, op);

	failures += op->res < 0;
	if (finish)
		finish(l);
	lane_run(l);
}

static void
lanes_run(struct shard_msg *m)
{
	(void)m;
	next_i = 0;
	lanes_left = lanes_wanted;
	for (int i = 0; i < lanes_wanted; i++)
		lane_run(&lane[i]);
}

/* MB/s. */
static double
ours(enum op_state (*s)(struct lane *l), void (*f)(struct lane *l))
{
	double t = now_s();

	start = s;
	finish = f;
	failures = 0;
	msg.run = lanes_run;
	shard_post(0, &msg);
	while (sem_wait(&done) < 0)
		;
	t = now_s() - t;
	if (failures)
		fail("an operation of the store failed", EIO);
	return (double)bytes / t / 1e6;
}

static enum op_state
start_upload(struct lane *l)
{
	l->block = (struct upload_block){ .slice = first_slice + (uint64_t)l->i, .plain = size, .part = l->part,
	                                  .nparts = (int)((size + 65535) / 65536) };
	for (uint32_t at = 0; at < size; at += 65536)
		l->part[at / 65536].len = MIN(size - at, 65536);
	l->u = (struct upload){ .store = store, .prefix = "bench", .uuid = uuid, .block = &l->block, .nblocks = 1 };
	return upload_run(&l->u, &l->op);
}

static void
finish_upload(struct lane *l)
{
	recs[l->i] = l->block.rec;
}

/* A GET of 64 KiB from the middle of an object, without cache. */
static enum op_state
start_get(struct lane *l)
{
	memset(&l->req, 0, sizeof(l->req));
	l->iov[0] = (struct iovec){ l->part[0].buf->data, 65536 };
	l->req.store = store;
	l->req.iov = l->iov;
	l->req.niov = 1;
	l->req.len = 65536;
	l->req.off = size / 2;
	object_name(l->req.name, "bench", first_slice + (uint64_t)l->i % 64, 0, &recs[l->i % 64]);
	return store->ops->get(&l->req, &l->op);
}

/* One MiB of an object: objects counts these. */
static enum op_state
start_fetch(struct lane *l)
{
	uint32_t parts = size / FETCH_BYTES;

	l->f = (struct cache_fetch){ .store = store, .prefix = "bench", .slice = first_slice + (uint64_t)l->i / parts,
	                             .first = (uint32_t)l->i % parts * 16, .n = 16, .rec = recs[l->i / parts] };
	return cache_fetch(&l->f, &l->op);
}

static void
finish_fetch(struct lane *l)
{
	for (uint32_t k = 0; k < l->f.n; k++)
		buf_put(l->f.out[k]);
	cache_forget(l->f.slice, l->f.first, l->f.n);
}

/* ---- bare: threads with system calls, nothing else */

static atomic_int bare_next;
static int root, fan[256];
static bool gather, place;
static pthread_mutex_t sync_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t synced = PTHREAD_COND_INITIALIZER;
static uint64_t sync_asked, sync_done;
static bool syncing, sync_dirty[256];

/* As a store would that gathers: one syncs for all who have come since, each directory once. */
static void
sync_gathered(int d)
{
	uint64_t mine;

	pthread_mutex_lock(&sync_lock);
	sync_dirty[d] = true;
	mine = ++sync_asked;
	while (sync_done < mine) {
		bool dirty[256];
		uint64_t upto = sync_asked;

		if (syncing) {
			pthread_cond_wait(&synced, &sync_lock);
			continue;
		}
		syncing = true;
		memcpy(dirty, sync_dirty, sizeof(dirty));
		memset(sync_dirty, 0, sizeof(sync_dirty));
		pthread_mutex_unlock(&sync_lock);
		for (int i = 0; i < 256; i++)
			if (dirty[i])
				fsync(fan[i]);
		pthread_mutex_lock(&sync_lock);
		syncing = false;
		sync_done = upto;
		pthread_cond_broadcast(&synced);
	}
	pthread_mutex_unlock(&sync_lock);
}

static void *
bare_put(void *arg)
{
	uint8_t *p = arg;
	int i;

	while ((i = bare_next++) < objects) {
		char tmp[40], name[40];
		int fd;

		snprintf(tmp, sizeof(tmp), "tmp%d/%d", i % 16, i);
		snprintf(name, sizeof(name), "%d", i);
		fd = openat(root, tmp, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || pwrite(fd, p, size, 0) != (ssize_t)size || fdatasync(fd) < 0)
			fail("bare write", errno);
		close(fd);
		if (!place)
			continue;
		if (renameat(root, tmp, fan[i % 256], name) < 0)
			fail("bare rename", errno);
		if (gather)
			sync_gathered(i % 256);
		else
			fsync(fan[i % 256]);
	}
	return NULL;
}

static const char *
object_path(int i)
{
	static __thread char path[512];
	char name[OBJECT_NAME_MAX];

	object_name(name, "bench", first_slice + (uint64_t)i, 0, &recs[i]);
	snprintf(path, sizeof(path), "%s/objects/%s", dir, name);
	return path;
}

static void *
bare_get(void *arg)
{
	int i;

	while ((i = bare_next++) < objects) {
		uint32_t parts = size / FETCH_BYTES;
		int fd = open(object_path(i / (int)parts), O_RDONLY);

		if (fd < 0 || pread(fd, arg, FETCH_BYTES, (uint32_t)i % parts * FETCH_BYTES) != FETCH_BYTES)
			fail("bare read", errno);
		close(fd);
	}
	return NULL;
}

/* Out of the way of what comes next. */
static void
remove_objects(void)
{
	for (int i = 0; i < objects; i++)
		unlink(object_path(i));
	first_slice += (uint64_t)objects;
}

static void
remove_bare(void)
{
	for (int i = 0; i < objects; i++) {
		char name[40];

		snprintf(name, sizeof(name), "tmp%d/%d", i % 16, i);
		unlinkat(root, name, 0);
		snprintf(name, sizeof(name), "%d", i);
		unlinkat(fan[i % 256], name, 0);
	}
}

static double
bare(void *(*run)(void *))
{
	static uint8_t *mem[THREADS];
	pthread_t t[THREADS];
	double s = now_s();

	bare_next = 0;
	for (int i = 0; i < THREADS; i++) {
		if (!mem[i])
			memset(mem[i] = aligned_alloc(4096, BLOCK_BYTES), 1, BLOCK_BYTES);
		pthread_create(&t[i], NULL, run, mem[i]);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	return (double)bytes / (now_s() - s) / 1e6;
}

/* ---- the measurements */

static void
make_cold(int n)
{
	for (int i = 0; i < n; i++) {
		int fd = open(object_path(i), O_RDONLY);

		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		close(fd);
	}
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), compare);
	return v[n / 2];
}

static void
set(int n, uint32_t object_bytes, int lanes)
{
	objects = n;
	size = object_bytes;
	bytes = (uint64_t)n * object_bytes;
	lanes_wanted = lanes;
}

#define ROUNDS_MAX 21

static void
measure_puts(int rounds)
{
	static const struct { int n; uint32_t size; } of[] = {
		{ 256, 4096 }, { 256, 65536 }, { 64, 1 << 20 }, { 32, 4 << 20 },
	};

	/* The directories are made once in the life of a volume. */
	set(256, 1, 8);
	ours(start_upload, finish_upload);
	remove_objects();
	printf("%-28s %12s %12s %12s %12s %7s\n", "durable objects, 8 at once", "upload", "bare+rename",
	       "gathered", "bare", "ratio");
	for (size_t k = 0; k < ARRAY_LEN(of); k++) {
		double v[4][ROUNDS_MAX], m[4];
		char what[40];

		set(of[k].n, of[k].size, 8);
		for (int r = 0; r < rounds; r++) {
			v[0][r] = ours(start_upload, finish_upload);
			remove_objects();
			for (int i = 1; i < 4; i++) {
				place = i < 3;
				gather = i == 2;
				v[i][r] = bare(bare_put);
				remove_bare();
			}
		}
		for (int i = 0; i < 4; i++)
			m[i] = median(v[i], rounds);
		snprintf(what, sizeof(what), "%u KiB: MB/s (objects/s)", of[k].size / 1024);
		printf("%-28s", what);
		for (int i = 0; i < 4; i++)
			printf(" %5.0f (%4.0f)", m[i], m[i] * 1e6 / of[k].size);
		printf(" %7.2f\n", m[0] / m[3]);
	}
}

static void
measure_gets(int rounds)
{
	enum { BLOCKS = 64 };
	double v[6][ROUNDS_MAX];

	set(BLOCKS, BLOCK_BYTES, 8);
	ours(start_upload, finish_upload);
	for (int r = 0; r < rounds; r++) {
		for (int cold = 0; cold < 2; cold++) {
			set(BLOCKS * 4, BLOCK_BYTES, 8);
			bytes = (uint64_t)objects * FETCH_BYTES;
			if (cold)
				make_cold(BLOCKS);
			v[cold * 2][r] = ours(start_fetch, finish_fetch);
			if (cold)
				make_cold(BLOCKS);
			v[cold * 2 + 1][r] = bare(bare_get);
		}
		set(20000, BLOCK_BYTES, 1);
		bytes = (uint64_t)objects * 65536;
		v[4][r] = ours(start_get, NULL);
	}
	for (int cold = 0; cold < 2; cold++) {
		double a = median(v[cold * 2], rounds), b = median(v[cold * 2 + 1], rounds);

		printf("%-28s %5.0f MB/s, bare pread %5.0f MB/s, ratio %.2f\n",
		       cold ? "fetch of 1 MiB, cold" : "fetch of 1 MiB, page cache", a, b, a / b);
	}
	printf("%-28s %5.1f us each\n", "GET of 64 KiB, page cache", 65536 / median(v[4], rounds));
}

static int
init(int core, void *arg)
{
	int err;

	(void)core;
	(void)arg;
	if ((err = upload_init(LANES_MAX)) < 0 || (err = cache_init(256)) < 0)
		return err;
	for (int i = 0; i < LANES_MAX; i++) {
		lane[i].op.resume = lane_resumed;
		for (int k = 0; k < PIECES; k++) {
			lane[i].part[k].buf = buf_get(BUF_LARGE, BUF_DRAIN);
			memset(lane[i].part[k].buf->data, i + k, 65536);
		}
	}
	return 0;
}

static void
fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	for (int i = 0; i < LANES_MAX; i++)
		for (int k = 0; k < PIECES; k++)
			buf_put(lane[i].part[k].buf);
	cache_fini();
	upload_fini();
}

int
main(int argc, char **argv)
{
	struct reactor_opts opts = { .cores = 1, .busy_poll_us = 50, .buf_bytes = 192 * MIB, .max_conns = 16,
	                             .touch = true, .worker_threads = THREADS, .init = init, .fini = fini };
	int rounds = argc > 2 ? atoi(argv[2]) : 5;
	char url[256], why[256], name[300], cwd[100];
	int err;

	if (argc > 3 || rounds < 1 || rounds > ROUNDS_MAX)
		fail("usage: objfile [DIR [ROUNDS]]", EINVAL);
	if (argc > 1 && argv[1][0] == '/')
		snprintf(dir, sizeof(dir), "%s", argv[1]);
	else
		snprintf(dir, sizeof(dir), "%.100s/%.80s", getcwd(cwd, sizeof(cwd)), argc > 1 ? argv[1] : "bench-objects");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		fail(dir, errno);
	root = open(dir, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "tmp%d", i);
		if (i < 16 && mkdirat(root, name, 0700) < 0 && errno != EEXIST)
			fail(name, errno);
		snprintf(name, sizeof(name), "fan%d", i);
		if (mkdirat(root, name, 0700) < 0 && errno != EEXIST)
			fail(name, errno);
		fan[i] = openat(root, name, O_RDONLY | O_DIRECTORY);
	}
	snprintf(url, sizeof(url), "file://%s/objects", dir);
	if ((err = objstore_open(&store, url, true, why)) < 0 || (err = reactor_start(&opts, why)) < 0)
		fail(why, -err);
	sem_init(&done, 0, 0);
	measure_puts(rounds);
	measure_gets(rounds);
	reactor_stop();
	reactor_join();
	objstore_close(store);
	printf("(the files stay in %s)\n", dir);
	return 0;
}
