/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slab with a line in front of it: who finds it empty waits in turn for what
 * others put back.  One core's, like the slab (reactor/buf.h).
 */
#ifndef PROTO_POOL_H
#define PROTO_POOL_H

#include "reactor/buf.h"

struct pool_wait {
	struct pool_wait *next;
	struct op *op;
	void **out;
};

struct pool {
	struct slab slab;
	struct pool_wait *first, **last;
	uint64_t waited; /* times somebody had to */
};

int  pool_init(struct pool *p, const char *name, size_t size, uint32_t count);
/* Asserts that all objects are home and nobody waits. */
void pool_fini(struct pool *p);
/* *out is an object with any contents; op->res is 0.  w is the pool's until then. */
enum op_state pool_get(struct pool *p, struct pool_wait *w, void **out, struct op *op);
void pool_put(struct pool *p, void *obj);

#endif
