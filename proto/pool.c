/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/pool.h"

#include "reactor/reactor.h"

int
pool_init(struct pool *p, const char *name, size_t size, uint32_t count)
{
	p->first = NULL;
	p->last = &p->first;
	p->waited = 0;
	return slab_init(&p->slab, name, size, count);
}

void
pool_fini(struct pool *p)
{
	assert(!p->first);
	slab_fini(&p->slab);
}

enum op_state
pool_get(struct pool *p, struct pool_wait *w, void **out, struct op *op)
{
	/* Nobody overtakes those who stand in line. */
	*out = p->first ? NULL : slab_get(&p->slab);
	if (*out)
		return op_done(op, 0);
	*w = (struct pool_wait){ .op = op, .out = out };
	*p->last = w;
	p->last = &w->next;
	p->waited++;
	return OP_PENDING;
}

void
pool_put(struct pool *p, void *obj)
{
	struct pool_wait *w = p->first;

	if (!w) {
		slab_put(&p->slab, obj);
		return;
	}
	p->first = w->next;
	if (!p->first)
		p->last = &p->first;
	*w->out = obj;
	reactor_post(w->op, 0);
}
