/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layer below store/, whole, for tests of one .c file that is included
 * after this: buffers, slabs, the run queue, a worker and an object store that
 * answer as the plan says: now or later, well or ill.
 * By macros, because the tests are linked with the real ones.
 */
#ifndef TESTS_FAKE_PLAN_H
#define TESTS_FAKE_PLAN_H

#include <stdlib.h>

#include "reactor/base.h"

/* Renamed before any header declares them, so that each has its prototype. */
#define buf_get fake_buf_get
#define buf_get_many fake_buf_get_many
#define buf_keep fake_buf_keep
#define buf_put fake_buf_put
#define buf_set_reclaim fake_buf_set_reclaim
#define buf_was_peeked fake_buf_was_peeked
#define buf_blocks fake_buf_blocks
#define slab_init fake_slab_init
#define slab_get fake_slab_get
#define slab_put fake_slab_put
#define slab_fini fake_slab_fini
#define reactor_core fake_reactor_core
#define reactor_post fake_reactor_post
#define worker_run fake_worker_run
#define log_at fake_log_at

#include "reactor/buf.h"
#include "reactor/log.h"
#include "reactor/worker.h"
#include "store/objstore.h"

/*
 * ---- the plan: what each choice of a run was, and of how many.  Runs with
 * plan_again() until it says no go through all of them.
 */

#define PLAN_MAX 256
static struct { unsigned digit, base; } plan[PLAN_MAX];
static int plan_len, plan_at;
static unsigned plan_seed; /* not 0: dice, for runs too long to go through all plans */

__attribute__((unused)) static unsigned
plan_dice(unsigned base)
{
	plan_seed = plan_seed * 1103515245 + 12345;
	return (plan_seed >> 16) % base;
}

static unsigned
plan_choice(unsigned base)
{
	if (plan_seed)
		return plan_dice(base);
	if (plan_at == plan_len) {
		assert(plan_len < PLAN_MAX);
		plan[plan_len].digit = 0;
		plan[plan_len++].base = base;
	}
	assert(plan[plan_at].base == base); /* a run that depends on more than the plan */
	return plan[plan_at++].digit;
}

/* Back to the first plan: all answer now, and well. */
__attribute__((unused)) static void
plan_reset(void)
{
	plan_len = plan_at = 0;
}

/* The next plan; false: that was the last. */
__attribute__((unused)) static bool
plan_again(void)
{
	while (plan_len > 0 && plan[plan_len - 1].digit + 1 == plan[plan_len - 1].base)
		plan_len--;
	plan_at = 0;
	if (plan_len == 0)
		return false;
	plan[plan_len - 1].digit++;
	return true;
}

/* ---- the reactor: one run queue */

static struct runq fake_queue = { NULL, &fake_queue.head };

int
reactor_core(void)
{
	return 0;
}

void
reactor_post(struct op *op, int res)
{
	runq_push(&fake_queue, op, res);
}

__attribute__((unused)) static void
fake_laps(void)
{
	while (runq_drain(&fake_queue, 1))
		;
}

/* The work runs at once; its result comes later. */
enum op_state
worker_run(struct work *w, int (*run)(struct work *w), struct op *wait)
{
	runq_push(&fake_queue, wait, run(w));
	return OP_PENDING;
}

static int fake_logged;

void
log_at(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
	fake_logged++;
}

/* ---- slabs: counted, and each object its own allocation, for ASan */

int
slab_init(struct slab *s, const char *name, size_t size, uint32_t count)
{
	*s = (struct slab){ .name = name, .size = (uint32_t)size, .count = count };
	return 0;
}

void *
slab_get(struct slab *s)
{
	if (s->used == s->count)
		return NULL;
	s->used++;
	return calloc(1, s->size);
}

void
slab_put(struct slab *s, void *p)
{
	s->used--;
	free(p);
}

void
slab_fini(struct slab *s)
{
	assert(s->used == 0);
}

/* ---- buffers: at most fake_bufs of them, the line of who waits served by fake_serve() */

static int fake_bufs = 1 << 20, fake_held;
static uint64_t (*fake_reclaim)(uint64_t want_bytes);
static struct buf_wait *fake_line, **fake_line_end = &fake_line;
static bool fake_bufs_plan; /* buf_get_many asks the plan whether to answer later */

#define FAKE_BLOCKS 65536u
static uint32_t fake_in[FAKE_BLOCKS]; /* buffers in a block, counted */

uint32_t
buf_blocks(void)
{
	return FAKE_BLOCKS;
}

/* A buffer has a block of its own, unless a test moves it (fake_buf_move). */
static uint32_t
fake_block(void)
{
	static uint32_t n;

	while (fake_in[n] > 0)
		n = (n + 1) % FAKE_BLOCKS;
	return n;
}

__attribute__((unused)) static void
fake_buf_move(struct buf *b, uint32_t block)
{
	fake_in[b->block]--;
	fake_in[b->block = block]++;
}

static struct buf *
fake_buf_new(void)
{
	struct buf *b = malloc(sizeof(*b) + BUF_LARGE_BYTES);

	*b = (struct buf){ .data = (uint8_t *)(b + 1), .cap = BUF_LARGE_BYTES, .refs = 1,
	                   .class = BUF_LARGE, .block = fake_block() };
	fake_in[b->block]++;
	fake_held++;
	return b;
}

static bool
fake_room(int n)
{
	while (fake_held + n > fake_bufs)
		if (!fake_reclaim || fake_reclaim(BUF_LARGE_BYTES) == 0)
			return false;
	return true;
}

struct buf *
buf_get(enum buf_class class, enum buf_use use)
{
	(void)class;
	(void)use;
	return !fake_line && fake_room(1) ? fake_buf_new() : NULL;
}

/* One who stands in line gets what he wants, when there is enough. */
__attribute__((unused)) static bool
fake_serve(void)
{
	struct buf_wait *w = fake_line;

	if (!w || !fake_room(w->n))
		return false;
	fake_line = w->next;
	if (!fake_line)
		fake_line_end = &fake_line;
	for (int i = 0; i < w->n; i++)
		w->out[i] = fake_buf_new();
	runq_push(&fake_queue, w->op, 0);
	return true;
}

enum op_state
buf_get_many(struct buf_wait *w, struct buf **out, int n, enum buf_class class, enum buf_use use,
             struct op *op)
{
	bool later = fake_bufs_plan && plan_choice(2) == 1;

	if (!later && !fake_line && fake_room(n)) {
		for (int i = 0; i < n; i++)
			out[i] = fake_buf_new();
		return op_done(op, 0);
	}
	*w = (struct buf_wait){ .op = op, .out = out, .n = n, .class = class, .use = use };
	*fake_line_end = w;
	fake_line_end = &w->next;
	return OP_PENDING;
}

struct buf *
buf_keep(struct buf *b)
{
	assert(b->refs > 0);
	b->refs++;
	return b;
}

void
buf_put(struct buf *b)
{
	assert(b->refs > 0);
	if (--b->refs > 0)
		return;
	fake_held--;
	fake_in[b->block]--;
	free(b);
}

static const struct buf *fake_peeked; /* by another core */

bool
buf_was_peeked(const struct buf *b)
{
	bool was = fake_peeked == b;

	if (was)
		fake_peeked = NULL;
	return was;
}

void
buf_set_reclaim(uint64_t (*reclaim)(uint64_t want_bytes))
{
	fake_reclaim = reclaim;
}

/*
 * ---- an object store: fake_do carries out a request and says how well; told
 * `how`, which the plan chooses of fake_hows.  Now or later is the plan's too.
 */

static unsigned fake_hows = 1;
static int fake_gets, fake_puts;
static int (*fake_do)(struct obj_req *r, unsigned how);

struct fake_later {
	struct op op, *wait;
	struct obj_req *r;
	unsigned how;
};

static void
fake_answer_late(struct op *op)
{
	struct fake_later *l = container_of(op, struct fake_later, op);
	struct op *wait = l->wait;

	wait->res = fake_do(l->r, l->how);
	free(l);
	wait->resume(wait);
}

static enum op_state
fake_answer(struct obj_req *r, struct op *op)
{
	unsigned how = plan_choice(fake_hows);
	struct fake_later *l;

	if (plan_choice(2) == 0)
		return op_done(op, fake_do(r, how));
	l = malloc(sizeof(*l));
	*l = (struct fake_later){ .op.resume = fake_answer_late, .wait = op, .r = r, .how = how };
	reactor_post(&l->op, 0);
	return OP_PENDING;
}

static enum op_state
fake_get(struct obj_req *r, struct op *op)
{
	fake_gets++;
	return fake_answer(r, op);
}

static enum op_state
fake_put(struct obj_req *r, struct op *op)
{
	fake_puts++;
	return fake_answer(r, op);
}

static const struct objstore_ops fake_ops = { .get = fake_get, .put = fake_put };
__attribute__((unused)) static struct objstore fake_store = { .ops = &fake_ops, .url = "fake://" };

#endif
