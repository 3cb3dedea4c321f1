/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object store that is in front of a real one, and late or ill when the test says so.
 */
#ifndef TESTS_SLOW_STORE_H
#define TESTS_SLOW_STORE_H

#include <stdatomic.h>
#include <stdlib.h>

#include "reactor/reactor.h"
#include "store/objstore.h"

static struct {
	const struct objstore_ops *real;
	_Atomic int fail_put, fail_get;      /* the error that all answer; 0: none */
	_Atomic int fail_every;              /* every n-th PUT fails with -EIO; 0: none */
	_Atomic uint64_t fail_from;          /* the n-th PUT and all after it fail with -EIO; 0: none */
	_Atomic int put_delay_ms, get_delay_ms;
	_Atomic bool hold_puts;              /* none goes on until it is false again */
	_Atomic int held;                    /* PUTs that have come and do not go on */
	_Atomic uint64_t puts, gets, get_bytes, deletes, deleted;
	_Atomic int getting, getting_max;    /* GETs under way: now, and at most */
} slow_store;

struct slow_op {
	struct timer timer;
	struct op op;
	struct obj_req *req;
	struct op *wait;
	enum op_state (*run)(struct obj_req *r, struct op *op);
};

static inline enum op_state slow_put_now(struct obj_req *r, struct op *op);

static inline void
slow_run(struct op *op)
{
	struct slow_op *s = container_of(op, struct slow_op, op);

	if (s->run == slow_put_now) {
		if (slow_store.hold_puts) {
			timer_start(&s->timer, 1000000, &s->op);
			return;
		}
		slow_store.held--;
	}
	struct op *wait = s->wait;

	enum op_state state = s->run(s->req, wait);

	free(s);
	if (state == OP_DONE)
		wait->resume(wait);
}

static inline enum op_state
slow_later(struct obj_req *r, int ms, enum op_state (*run)(struct obj_req *, struct op *), struct op *wait)
{
	struct slow_op *s;

	if (ms == 0)
		return run(r, wait);
	s = calloc(1, sizeof(*s));
	*s = (struct slow_op){ .op.resume = slow_run, .req = r, .wait = wait, .run = run };
	timer_start(&s->timer, (uint64_t)ms * 1000000, &s->op);
	return OP_PENDING;
}

static inline enum op_state
slow_put_now(struct obj_req *r, struct op *op)
{
	uint64_t n = ++slow_store.puts;
	int fail = slow_store.fail_put, every = slow_store.fail_every;

	if (fail == 0 && every > 0 && n % (uint64_t)every == 0)
		fail = -EIO;
	if (slow_store.fail_from > 0 && n >= slow_store.fail_from)
		fail = -EIO;
	return fail ? op_done(op, fail) : slow_store.real->put(r, op);
}

static inline enum op_state
slow_put(struct obj_req *r, struct op *op)
{
	int ms = MAX(slow_store.put_delay_ms, slow_store.hold_puts ? 1 : 0);

	slow_store.held += ms > 0;
	return slow_later(r, ms, slow_put_now, op);
}

static inline enum op_state
slow_get_now(struct obj_req *r, struct op *op)
{
	slow_store.gets++;
	slow_store.get_bytes += r->len;
	slow_store.getting--;
	return slow_store.fail_get ? op_done(op, slow_store.fail_get) : slow_store.real->get(r, op);
}

static inline enum op_state
slow_get(struct obj_req *r, struct op *op)
{
	int now = ++slow_store.getting;

	if (now > slow_store.getting_max)
		slow_store.getting_max = now;
	return slow_later(r, slow_store.get_delay_ms, slow_get_now, op);
}

static inline enum op_state
slow_head(struct obj_req *r, struct op *op)
{
	return slow_store.real->head(r, op);
}

static inline enum op_state
slow_del(struct obj_req *r, struct op *op)
{
	slow_store.deletes++;
	slow_store.deleted += (uint64_t)r->nnames;
	return slow_store.real->del(r, op);
}

static inline int
slow_space(struct objstore *s, uint64_t *total, uint64_t *free_bytes)
{
	return slow_store.real->space(s, total, free_bytes);
}

static inline void
slow_close(struct objstore *s)
{
	s->ops = slow_store.real;
	s->ops->close(s);
}

/* Before any operation is under way, or while none is. */
static inline void
slow_store_install(struct objstore *s)
{
	static const struct objstore_ops ops = { 
		.put = slow_put, .get = slow_get, .head = slow_head, .del = slow_del, .space = slow_space,
		.close = slow_close,
	};

	slow_store.real = s->ops;
	s->ops = &ops;
}

#endif
