/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/recread.h"

static enum buf_class
class_of(uint32_t len)
{
	return len > BUF_SMALL_BYTES ? BUF_LARGE : BUF_SMALL;
}

uint32_t
record_buf_bytes(uint32_t len)
{
	return class_of(len) == BUF_LARGE ? BUF_LARGE_BYTES : BUF_SMALL_BYTES;
}

static enum op_state
record_step(struct record_read *r)
{
	switch (r->stage) {
	case RECORD_BUF:
		r->stage = RECORD_READ;
		if (journal_read(&r->read, &r->loc, r->buf, &r->step) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case RECORD_READ:
		break;
	}
	jloc_put(&r->loc);
	if (r->step.res < 0)
		buf_put(r->buf);
	return op_done(r->done, r->step.res);
}

static void
record_resume(struct op *step)
{
	struct record_read *r = container_of(step, struct record_read, step);

	if (record_step(r) == OP_DONE)
		r->done->resume(r->done);
}

enum op_state
record_read(struct record_read *r, const struct jloc *loc, enum buf_use use, bool nowait, struct op *op)
{
	enum buf_class class = class_of(loc->len);

	r->done = op;
	r->loc = *loc;
	r->step.resume = record_resume;
	r->stage = RECORD_BUF;
	r->buf = nowait ? buf_get(class, use) : NULL;
	if (nowait && !r->buf)
		return op_done(op, -E_JUKEBOX);
	jloc_get(&r->loc); /* whoever names it may go while this waits */
	if (!nowait && buf_get_many(&r->wait, &r->buf, 1, class, use, &r->step) == OP_PENDING)
		return OP_PENDING;
	return record_step(r);
}
