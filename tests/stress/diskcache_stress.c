/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The disk cache under load on several cores, for the thread sanitizer: puts, gets and forgets at random, evictions,
 * the directory taken away now and then, restarts with other numbers of cores.  Wrong bytes end it.
 */
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "reactor/log.h"
#include "reactor/shard.h"
#include "store/blockio.h"
#include "store/diskcache.h"

#define LANES  8
#define SLICES 400u
#define FRAMES 16u

struct lane {
	struct op op;
	struct timer timer;
	struct disk_fetch disk;
	struct buf *buf;
	uint64_t seed, slice;
	uint32_t frame;
};

static char dir[2][64];
static int cores;
static _Atomic bool stop;
static _Atomic int running;
static _Atomic uint64_t found, put;
static struct diskcache_stats sum;
static struct lane lane[REACTOR_MAX_CORES][LANES];

static void
fail(const char *what)
{
	fprintf(stderr, "diskcache_stress: %s\n", what);
	abort();
}

static uint32_t
plain_of(const struct lane *l)
{
	return (uint32_t)(mix64(l->slice * 100 + l->frame) % FRAME_BYTES) + 1;
}

static uint64_t
word_of(const struct lane *l, uint32_t i)
{
	return mix64(l->slice * 1000 + l->frame) + i;
}

static uint32_t
dice(struct lane *l, uint32_t n)
{
	l->seed = mix64(l->seed + 1);
	return (uint32_t)(l->seed % n);
}

static void
put_frame(struct lane *l)
{
	struct buf *b = buf_get(BUF_LARGE, BUF_CACHE);

	if (!b)
		return;
	for (uint32_t i = 0; i + 8 <= plain_of(l); i += 8)
		put_le64(b->data + i, word_of(l, i));
	memset(b->data + ROUND_DOWN(plain_of(l), 8), 0, plain_of(l) % 8);
	diskcache_insert(l->slice, l->frame, l->slice, b, plain_of(l), dice(l, 2));
	buf_put(b);
	put++;
}

static void
lane_step(struct op *op)
{
	struct lane *l = container_of(op, struct lane, op);

	if (l->buf) {
		for (uint32_t i = 0; op->res == 0 && i + 8 <= plain_of(l); i += 8)
			if (get_le64(l->buf->data + i) != word_of(l, i))
				fail("wrong bytes");
		found += op->res == 0;
		buf_put(l->buf);
		l->buf = NULL;
	}
	if (stop) {
		running--;
		return;
	}
	do
		l->slice = 1 + dice(l, dice(l, 2) ? SLICES : SLICES / 10);
	while (!shard_owns(l->slice));
	l->frame = dice(l, FRAMES);
	switch (dice(l, 20)) {
	case 0:
		diskcache_forget(l->slice, 0, FRAMES);
		break;
	case 1: case 2: case 3: case 4: case 5: case 6: case 7: case 8:
		put_frame(l);
		timer_start(&l->timer, 2000000, &l->op); /* workers and disk want the processor too */
		return;
	default:
		l->buf = buf_get(BUF_LARGE, BUF_CACHE);
		if (l->buf && diskcache_read(&l->disk, l->slice, l->frame, plain_of(l), l->buf, false, &l->op))
			return;
		op->res = -1;
	}
	reactor_post(op, op->res);
}

static int
init(int core, void *arg)
{
	int res = cache_init(64);

	(void)arg;
	if (res == 0)
		res = diskcache_init(1 * MIB);
	for (int i = 0; res == 0 && i < LANES; i++) {
		struct lane *l = &lane[core][i];

		*l = (struct lane){ .op.resume = lane_step, .seed = (uint64_t)core * 100 + (uint64_t)i };
		running++;
		reactor_post(&l->op, 0);
	}
	return res;
}

static void
fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	diskcache_fini();
	cache_fini();
}

struct quit {
	struct shard_msg msg;
	sem_t done;
	bool idle;
};

static void
quit_run(struct shard_msg *m)
{
	struct quit *q = container_of(m, struct quit, msg);

	q->idle = diskcache_quit();
	sem_post(&q->done);
}

static void
quit(int core)
{
	struct quit q = { .msg.run = quit_run };

	sem_init(&q.done, 0, 0);
	do {
		usleep(1000);
		shard_post(core, &q.msg);
		while (sem_wait(&q.done) < 0)
			;
	} while (!q.idle);
	sem_destroy(&q.done);
}

static void
run_once(unsigned ms, bool take_away)
{
	struct diskcache_opts o = { .dir = { dir[0], dir[1] }, .ndirs = 2, .cores = cores, .bytes = 48 * MIB,
		                    .verify = DISK_VERIFY_EXTEND, .uuid = "stress", .retry_ns = 1 };
	struct reactor_opts r = { .cores = cores, .ring_entries = 256, .buf_bytes = (uint64_t)cores * 16 * MIB,
		                  .recv_bufs = 16, .max_conns = 16, .worker_threads = 2, .init = init, .fini = fini };
	struct diskcache_dir d;
	char why[256], cmd[128];

	stop = false;
	if (diskcache_open(&o) < 0 || reactor_start(&r, why) < 0)
		fail("it does not start");
	for (unsigned t = 0; t < ms; t += 50) {
		if (take_away && t == ms / 100 * 50) {
			/* A file may come while it is at it. */
			snprintf(cmd, sizeof(cmd), "rm -rf %s/* 2>/dev/null || true", dir[1]);
			if (system(cmd) != 0)
				fail("rm");
		}
		for (int i = 0; diskcache_dir(i, &d); i++)
			if (d.bytes > d.max_bytes)
				fail("it is larger than it may be");
		usleep(50000);
	}
	stop = true;
	while (running > 0)
		usleep(1000);
	for (int i = 0; i < cores; i++) {
		quit(i);
		sum.inserts += diskcache_stats(i)->inserts;
		sum.skipped += diskcache_stats(i)->skipped;
		sum.evicted += diskcache_stats(i)->evicted;
		sum.reinserted += diskcache_stats(i)->reinserted;
	}
	reactor_stop();
	reactor_join();
	diskcache_close();
}

int
main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
	char root[] = "/tmp/dittofs-stress-XXXXXX", cmd[64];
	time_t end = time(NULL) + seconds;

	log_set_level(LOG_ERROR);
	if (!mkdtemp(root))
		fail("mkdtemp");
	for (int i = 0; i < 2; i++)
		snprintf(dir[i], sizeof(dir[i]), "%s/%d", root, i);
	for (int round = 0; round < 3 || time(NULL) < end; round++) {
		cores = 1 + (round + 1) % 3;
		run_once(1500, round % 2 == 1);
	}
	printf("%lu frames put, %lu written, %lu skipped, %lu evicted, %lu written again, %lu found\n", (unsigned long)put,
	       (unsigned long)sum.inserts, (unsigned long)sum.skipped, (unsigned long)sum.evicted,
	       (unsigned long)sum.reinserted, (unsigned long)found);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", root);
	if (system(cmd) != 0 || found == 0)
		fail("nothing was found");
	return 0;
}
