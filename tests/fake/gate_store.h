/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate before an object store: one GET or PUT waits at it for as long as the test needs to look at what happens
 * meanwhile.  All others go on.
 */
#ifndef TESTS_GATE_STORE_H
#define TESTS_GATE_STORE_H

#include <stdatomic.h>

#include "reactor/reactor.h"
#include "store/objstore.h"

static struct {
	const struct objstore_ops *real;
	struct objstore_ops ops;
	char get_name[OBJ_NAME];             /* a GET of this object is held while get_closed, */
	const char *put_part;                /* a PUT of one with this in its name while put_closed */
	_Atomic bool get_closed, put_closed;
	_Atomic int held;                    /* 1: one waits */
	/* which */
	struct obj_req *req;
	struct op *wait;
	bool is_put;
	struct timer timer;
	struct op op;
} gate;

static inline enum op_state
gate_hold(struct obj_req *r, struct op *op, bool is_put)
{
	assert(gate.req == NULL);
	gate.req = r;
	gate.wait = op;
	gate.is_put = is_put;
	gate.held = 1;
	timer_start(&gate.timer, 1000000, &gate.op);
	return OP_PENDING;
}

static inline enum op_state
gate_get(struct obj_req *r, struct op *op)
{
	if (!gate.get_closed || strcmp(r->name, gate.get_name) != 0)
		return gate.real->get(r, op);
	return gate_hold(r, op, false);
}

static inline enum op_state
gate_put(struct obj_req *r, struct op *op)
{
	if (!gate.put_closed || !strstr(r->name, gate.put_part))
		return gate.real->put(r, op);
	return gate_hold(r, op, true);
}

static inline void
gate_look(struct op *op)
{
	struct obj_req *req = gate.req;
	struct op *wait = gate.wait;

	(void)op;
	if (gate.is_put ? gate.put_closed : gate.get_closed) {
		timer_start(&gate.timer, 1000000, &gate.op);
		return;
	}
	gate.req = NULL;
	gate.held = 0;
	if ((gate.is_put ? gate.real->put : gate.real->get)(req, wait) == OP_DONE)
		wait->resume(wait);
}

/* While no operation is under way.  The store is closed through what it was before. */
static inline void
gate_install(struct objstore *s)
{
	gate.real = s->ops;
	gate.ops = *gate.real;
	gate.ops.get = gate_get;
	gate.ops.put = gate_put;
	gate.op.resume = gate_look;
	s->ops = &gate.ops;
}

#endif
