/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cores that do nothing but ask each other, for the thread sanitizer:
 *
 *	shard_stress [SECONDS [CORES]]
 *
 * Each core keeps calls under way to random cores, which answer at once, later,
 * or from a worker; on the way buffers change hands, and other threads post.
 * It checks that each call is answered once, on its core, with its own number,
 * and, by the end of the reactor, that every pool is full again.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/log.h"
#include "reactor/shard.h"
#include "reactor/worker.h"

#define CALLS   400 /* of each core, under way */
#define POSTERS 3

struct caller {
	struct shard_call call;
	struct op wait, later;
	struct timer timer;
	struct work work;
	struct buf *buf; /* goes along, and is put where the call ran or where it came from */
	uint64_t n;
	int home;
	bool put_there;
};

struct post {
	struct shard_msg msg;
	_Atomic bool away;
};

static struct caller callers[REACTOR_MAX_CORES][CALLS];
static _Atomic bool over, posters_over;
static _Atomic uint64_t calls, posts;
static _Atomic int callers_left;
static __thread unsigned rnd;

static void call_again(struct caller *c);

static int
blocking(struct work *w)
{
	struct caller *c = container_of(w, struct caller, work);

	return (int)(c->n & 0xffff);
}

static void
answer(struct op *op)
{
	struct caller *c = container_of(op, struct caller, later);

	if (c->put_there && c->buf) {
		buf_put(c->buf);
		c->buf = NULL;
	}
	shard_reply(&c->call, (int)(c->n & 0xffff));
}

static void
serve(struct shard_call *call)
{
	struct caller *c = container_of(call, struct caller, call);

	c->later.resume = answer;
	if (c->buf)
		c->buf->data[0]++; /* whoever holds it may write */
	switch (rand_r(&rnd) % 8) {
	case 0:
		timer_start(&c->timer, (uint64_t)(rand_r(&rnd) % 3) * 1000000, &c->later);
		break;
	case 1:
		worker_run(&c->work, blocking, &c->later);
		break;
	case 2:
		reactor_post(&c->later, 0);
		break;
	default:
		answer(&c->later);
	}
}

static void
answered(struct op *op)
{
	struct caller *c = container_of(op, struct caller, wait);

	assert(reactor_core() == c->home && op->res == (int)(c->n & 0xffff));
	if (c->buf)
		buf_put(c->buf);
	atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
	if (!atomic_load(&over))
		call_again(c);
	else if (atomic_fetch_sub(&callers_left, 1) == 1)
		reactor_stop();
}

static void
next_lap(struct op *op)
{
	call_again(container_of(op, struct caller, wait));
}

static void
call_again(struct caller *c)
{
	int to = (int)((unsigned)rand_r(&rnd) % (unsigned)reactor_cores());

	c->n++;
	c->put_there = rand_r(&rnd) % 2;
	c->buf = rand_r(&rnd) % 4 ? NULL : buf_get(rand_r(&rnd) % 2, BUF_INGEST);
	c->wait.resume = answered;
	/* Answered at once: taken from the queue, so as not to go ever deeper into the stack. */
	if (shard_call(to, &c->call, serve, &c->wait) == OP_DONE)
		reactor_post(&c->wait, c->wait.res);
}

static int
init(int core, void *arg)
{
	(void)arg;
	rnd = (unsigned)core + 1;
	for (int i = 0; i < CALLS; i++) {
		callers[core][i].home = core;
		callers[core][i].wait.resume = next_lap;
		reactor_post(&callers[core][i].wait, 0);
	}
	return 0;
}

static void
take_post(struct shard_msg *m)
{
	struct post *p = container_of(m, struct post, msg);

	atomic_fetch_add_explicit(&posts, 1, memory_order_relaxed);
	atomic_store(&p->away, false);
}

static void *
poster(void *arg)
{
	struct post p[16];
	unsigned seed = (unsigned)(intptr_t)arg;

	memset(p, 0, sizeof(p));
	while (!atomic_load(&posters_over))
		for (int i = 0; i < 16; i++) {
			if (atomic_load(&p[i].away))
				continue;
			atomic_store(&p[i].away, true);
			p[i].msg.run = take_post;
			shard_post((int)((unsigned)rand_r(&seed) % (unsigned)reactor_cores()), &p[i].msg);
			if (rand_r(&seed) % 8 == 0)
				usleep(200);
		}
	for (int i = 0; i < 16; i++)
		while (atomic_load(&p[i].away))
			usleep(100);
	return NULL;
}

static void
round_of(int cores, uint32_t busy_poll_us, enum reactor_wake wake, double seconds)
{
	struct reactor_opts o = { .cores = cores, .busy_poll_us = busy_poll_us, .wake = wake, .max_conns = 16,
	                          .buf_bytes = (uint64_t)cores * 4 * MIB, .init = init };
	pthread_t t[POSTERS];
	char why[256];

	atomic_store(&over, false);
	atomic_store(&posters_over, false);
	calls = posts = 0;
	callers_left = cores * CALLS;
	if (reactor_start(&o, why) < 0) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	for (int i = 0; i < POSTERS; i++)
		pthread_create(&t[i], NULL, poster, (void *)(intptr_t)(i + 1));
	usleep((useconds_t)(seconds * 1e6));
	atomic_store(&posters_over, true); /* before the cores end */
	for (int i = 0; i < POSTERS; i++)
		pthread_join(t[i], NULL);
	atomic_store(&over, true);
	reactor_join();
	assert(callers_left == 0);
	printf("%2d cores, busy_poll %2u us: %llu calls, %llu posts\n", cores, busy_poll_us,
	       (unsigned long long)calls, (unsigned long long)posts);
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 6;
	int cores = argc > 2 ? atoi(argv[2]) : 4;

	log_set_level(LOG_ERROR); /* under a sanitizer every lap is slow */
	round_of(cores, 20, REACTOR_WAKE_RING, seconds / 4);
	round_of(cores, 0, REACTOR_WAKE_EVENT, seconds / 4);
	round_of(2, 0, REACTOR_WAKE_RING, seconds / 4);
	round_of(1, 0, REACTOR_WAKE_RING, seconds / 4);
	return 0;
}
