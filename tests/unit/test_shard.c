/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "reactor/shard.h"
#include "tests/unit/oncore.h"

/* ---- every way in which a call can be answered */

enum where { HERE, THERE };
enum when { AT_ONCE, LATER };

struct ask {
	struct shard_call call;
	struct op wait, later;
	struct timer timer;
	enum where where;
	enum when when;
	int n, from;
	bool answered;
};

static struct ask asks[4];
static int answers;

static void
answer_later(struct op *op)
{
	struct ask *a = container_of(op, struct ask, later);

	shard_reply(&a->call, 100 + a->n);
}

static void
serve(struct shard_call *c)
{
	struct ask *a = container_of(c, struct ask, call);

	assert(reactor_core() == (a->where == HERE ? a->from : 1 - a->from));
	if (a->when == AT_ONCE) {
		shard_reply(c, 100 + a->n);
	} else {
		a->later.resume = answer_later;
		timer_start(&a->timer, 1000000, &a->later);
	}
}

static void
got_answer(struct op *op)
{
	struct ask *a = container_of(op, struct ask, wait);

	assert(reactor_core() == a->from && !a->answered && op->res == 100 + a->n);
	a->answered = true;
	if (++answers == 4)
		finish();
}

static void
plans_body(int core)
{
	if (core != 0)
		return;
	for (int i = 0; i < 4; i++) {
		struct ask *a = &asks[i];
		enum op_state s;

		*a = (struct ask){ .where = i & 1 ? THERE : HERE, .when = i & 2 ? LATER : AT_ONCE,
		                   .n = i, .wait.resume = got_answer };
		s = shard_call(a->where == HERE ? 0 : 1, &a->call, serve, &a->wait);
		assert(!a->answered); /* never from within the call */
		assert(s == (a->where == HERE && a->when == AT_ONCE ? OP_DONE : OP_PENDING));
		if (s == OP_DONE)
			got_answer(&a->wait);
	}
}

Test(shard, call_every_plan)
{
	on_cores(2, plans_body, NULL);
	cr_assert(eq(int, answers, 4));
}

/* ---- order, and more messages than a ring has slots */

#define BURST 5000

struct numbered {
	struct shard_msg msg;
	int from, to, n;
};

static struct numbered burst[4][4][BURST];
static int next_from[4][4]; /* [to][from] */
static _Atomic int bursts_left;

static void
in_order(struct shard_msg *m)
{
	struct numbered *b = container_of(m, struct numbered, msg);

	assert(reactor_core() == b->to && next_from[b->to][b->from] == b->n);
	next_from[b->to][b->from]++;
	if (--bursts_left == 0)
		finish();
}

static void
burst_body(int core)
{
	for (int to = 0; to < reactor_cores(); to++)
		for (int i = 0; i < BURST; i++) {
			struct numbered *b = &burst[core][to][i];

			*b = (struct numbered){ .msg.run = in_order, .from = core, .to = to, .n = i };
			shard_send(to, &b->msg);
		}
}

static void
burst_with(int cores)
{
	memset(next_from, 0, sizeof(next_from));
	bursts_left = cores * cores * BURST;
	on_cores(cores, burst_body, NULL);
	cr_assert(eq(int, atomic_load(&bursts_left), 0));
}

Test(shard, a_burst_arrives_in_order_whatever_its_length)
{
	burst_with(1);
	burst_with(2);
	burst_with(4);
}

/* The same while the receivers take messages: a ring may have room before the sender's queue is empty. */
static struct lap_hook flood_hook[4];
static int flood_sent[4];

static void
send_flood(struct lap_hook *h)
{
	int core = reactor_core();

	(void)h;
	for (int i = 0; i < 400 && flood_sent[core] < BURST; i++, flood_sent[core]++)
		for (int to = 0; to < reactor_cores(); to++) {
			struct numbered *b = &burst[core][to][flood_sent[core]];

			*b = (struct numbered){ .msg.run = in_order, .from = core, .to = to,
			                        .n = flood_sent[core] };
			shard_send(to, &b->msg);
		}
}

static void
flood_body(int core)
{
	flood_hook[core].run = send_flood;
	reactor_hook(&flood_hook[core]);
}

Test(shard, a_flood_arrives_in_order)
{
	bursts_left = 4 * 4 * BURST;
	on_cores(4, flood_body, NULL);
	cr_assert(eq(int, atomic_load(&bursts_left), 0));
}

static bool sent_to_self_ran, returned;

static void
to_self(struct shard_msg *m)
{
	(void)m;
	assert(returned); /* from the reactor's stack */
	sent_to_self_ran = true;
	finish();
}

static void
self_body(int core)
{
	static struct shard_msg m = { .run = to_self };

	shard_send(core, &m);
	returned = true;
}

Test(shard, a_message_to_oneself_runs_later)
{
	on_cores(1, self_body, NULL);
	cr_assert(sent_to_self_ran);
}

/* ---- there and back, with receivers that sleep between */

#define ROUNDS 3000

static struct shard_call ping;
static struct op pong;
static int rounds;

static void
reply_round(struct shard_call *c)
{
	shard_reply(c, rounds);
}

static void
next_round(struct op *op)
{
	assert(op->res == rounds);
	if (++rounds == ROUNDS)
		finish();
	else
		assert(shard_call(1, &ping, reply_round, &pong) == OP_PENDING);
}

static void
ping_body(int core)
{
	pong.resume = next_round;
	if (core == 0)
		assert(shard_call(1, &ping, reply_round, &pong) == OP_PENDING);
}

static void
ping_with(int cores, uint32_t busy_poll_us)
{
	struct on_cores o = { .opts = { .cores = cores, .busy_poll_us = busy_poll_us,
	                                .buf_bytes = MIB, .max_conns = 16 },
	                      .body = ping_body };

	rounds = 0;
	on_cores_run(&o);
	cr_assert(eq(int, rounds, ROUNDS));
}

Test(shard, no_wake_is_lost)
{
	ping_with(2, 0);
	ping_with(2, 50);
	ping_with(6, 0);
}

/* ---- from threads that are no cores */

#define THREADS 4
#define POSTS   3000

struct post {
	struct shard_msg msg;
	int thread, n;
};

static struct post posts[THREADS][POSTS];
static int post_next[THREADS], posts_taken;

static void
take_post(struct shard_msg *m)
{
	struct post *p = container_of(m, struct post, msg);

	assert(post_next[p->thread] == p->n); /* each thread's in its order */
	post_next[p->thread]++;
	if (++posts_taken == THREADS * POSTS)
		finish();
}

static void *
poster(void *arg)
{
	int thread = (int)(intptr_t)arg;

	for (int i = 0; i < POSTS; i++) {
		struct post *p = &posts[thread][i];

		*p = (struct post){ .msg.run = take_post, .thread = thread, .n = i };
		shard_post(0, &p->msg);
		if (i % 100 == 0)
			usleep(500); /* lets the core fall asleep */
	}
	return NULL;
}

static void
start_posters(int core)
{
	(void)core;
	for (int i = 0; i < THREADS; i++) {
		pthread_t t;

		assert(pthread_create(&t, NULL, poster, (void *)(intptr_t)i) == 0);
		pthread_detach(t);
	}
}

Test(shard, posts_from_threads_arrive_in_order)
{
	on_cores(1, start_posters, NULL);
	cr_assert(eq(int, posts_taken, THREADS * POSTS));
}

Test(shard, every_inode_has_one_owner)
{
	/* Before a start there is one core. */
	for (uint64_t ino = 0; ino < 1000; ino++)
		cr_assert(eq(int, shard_owner(ino), 0));
}
