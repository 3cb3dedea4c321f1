/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the protocol needs of reactor/ beyond one_thread.h: calls between the
 * fake cores, and buffers in numbers.  Messages arrive in the next lap of their core.
 */
#ifndef TESTS_FAKE_PROTO_SHARD_H
#define TESTS_FAKE_PROTO_SHARD_H

#include "tests/fake/one_thread.h"

struct fake_hop {
	struct op op;
	struct shard_call *call;
};

static int fake_hops; /* calls that went to another core */

static inline void
fake_hop_arrive(struct op *op)
{
	struct fake_hop *h = container_of(op, struct fake_hop, op);
	struct shard_call *c = h->call;

	free(h);
	c->run(c);
}

enum op_state
shard_call(int core, struct shard_call *c, void (*run)(struct shard_call *c), struct op *wait)
{
	struct fake_hop *h;

	fake_need(core >= 0 && core < fake_cores, "no such core");
	c->run = run;
	c->wait = wait;
	c->from = fake_core;
	c->inlined = core == fake_core;
	c->inline_done = false;
	if (c->inlined) {
		run(c);
		c->inlined = false;
		return c->inline_done ? op_done(wait, c->res) : OP_PENDING;
	}
	h = malloc(sizeof *h);
	fake_need(h, "no memory");
	h->op.resume = fake_hop_arrive;
	h->call = c;
	fake_hops++;
	runq_push(&fake_ready[core], &h->op, 0);
	return OP_PENDING;
}

void
shard_reply(struct shard_call *c, int res)
{
	if (c->inlined) {
		c->inline_done = true;
		c->res = res;
		return;
	}
	runq_push(&fake_ready[c->from], c->wait, res);
}

/* ---- buffers, with a line */

static struct buf_wait *fake_buf_line[64];
static int fake_nbuf_line;
static int fake_bufs_waited;

static inline bool
fake_take_bufs(struct buf_wait *w)
{
	if (fake_bufs_out + w->n > fake_bufs_max)
		return false;
	for (int i = 0; i < w->n; i++)
		w->out[i] = buf_get(w->class, w->use);
	return true;
}

enum op_state
buf_get_many(struct buf_wait *w, struct buf **out, int n, enum buf_class class, enum buf_use use, struct op *op)
{
	*w = (struct buf_wait){ .op = op, .out = out, .n = n, .class = class, .use = use };
	if (fake_take_bufs(w))
		return op_done(op, 0);
	fake_need(fake_nbuf_line < (int)ARRAY_LEN(fake_buf_line), "too many wait for buffers");
	fake_buf_line[fake_nbuf_line++] = w;
	fake_bufs_waited++;
	return OP_PENDING;
}

bool
buf_cancel(struct buf_wait *w)
{
	for (int i = 0; i < fake_nbuf_line; i++) {
		if (fake_buf_line[i] != w)
			continue;
		memmove(fake_buf_line + i, fake_buf_line + i + 1,
		        sizeof fake_buf_line[0] * (size_t)(--fake_nbuf_line - i));
		return true;
	}
	return false;
}

/* Gives those who wait what there is by now; in the test's own time. */
static inline void
fake_serve_bufs(void)
{
	while (fake_nbuf_line > 0 && fake_take_bufs(fake_buf_line[0])) {
		reactor_post(fake_buf_line[0]->op, 0);
		memmove(fake_buf_line, fake_buf_line + 1, sizeof fake_buf_line[0] * (size_t)(--fake_nbuf_line));
	}
}

#endif
