/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "meta/trash.h"

enum { READLINK_INODE, READLINK_RECORD };

static int
readlink_check(struct meta_readlink *m)
{
	m->attr = m->get.inode->attr;
	inode_put(m->get.inode);
	if (m->attr.share != m->req.f.share)
		return -ESTALE;
	m->has_attr = true;
	return m->attr.type == FT_LNK ? 0 : -EINVAL;
}

static int
readlink_take(struct meta_readlink *m, int res)
{
	struct attr a;
	size_t at;

	if (res < 0)
		return res == -ENOENT ? -ESTALE : res; /* removed meanwhile */
	res = attr_decode(&a, m->kv.out, m->kv.len, &at);
	if (res == 0) {
		m->len = m->kv.len - (uint32_t)at;
		memcpy(m->out, (char *)m->kv.out + at, m->len);
		m->out[m->len] = 0;
	}
	free(m->kv.out);
	return res ? -EIO : 0;
}

static enum op_state
readlink_go(struct meta_readlink *m)
{
	uint8_t key[9];
	int res = m->step.res;

	switch (m->stage) {
	case READLINK_INODE:
		if (res == 0)
			res = readlink_check(m);
		if (res < 0)
			break;
		m->stage = READLINK_RECORD;
		if (kv_get_any(&m->kv, key, key_inode(key, m->req.f.ino), &m->step) == OP_PENDING)
			return OP_PENDING;
		res = m->step.res;
		fallthrough;
	case READLINK_RECORD:
		res = readlink_take(m, res);
		break;
	default:
		assert(false && "a stage");
	}
	return op_done(m->wait, res);
}

static void
readlink_resume(struct op *step)
{
	struct meta_readlink *m = container_of(step, struct meta_readlink, step);

	if (readlink_go(m) == OP_DONE)
		m->wait->resume(m->wait);
}

enum op_state
meta_readlink(struct meta_readlink *m, struct op *op)
{
	m->wait = op;
	m->step.resume = readlink_resume;
	m->stage = READLINK_INODE;
	m->has_attr = false;
	if (trash_is(m->req.f.ino))
		return op_done(op, -EINVAL);
	if (inode_get(&m->get, m->req.f.ino, m->req.f.gen, &m->step) == OP_PENDING)
		return OP_PENDING;
	return readlink_go(m);
}
