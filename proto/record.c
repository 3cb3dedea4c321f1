/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/record.h"

void
record_init(struct record *r)
{
	*r = (struct record){ .nmark = 0 };
}

/* A fragment that is used up and not the last is followed by a mark. */
static void
record_next_fragment(struct record *r)
{
	if (r->left == 0 && !r->last)
		r->nmark = 0;
}

int
record_mark(struct record *r, const uint8_t *p, size_t len)
{
	size_t n = MIN(len, (size_t)(RECORD_MARK_BYTES - r->nmark));
	uint32_t mark;

	assert(record_wants_mark(r));
	memcpy(r->mark + r->nmark, p, n);
	r->nmark = (uint8_t)(r->nmark + n);
	if (r->nmark < RECORD_MARK_BYTES)
		return (int)n;
	mark = get_be32(r->mark);
	r->last = mark & RECORD_LAST;
	r->left = mark & ~RECORD_LAST;
	if (r->left > RECORD_MAX - r->len)
		return -EMSGSIZE;
	r->len += r->left;
	record_next_fragment(r); /* it may be empty */
	return (int)n;
}

void
record_take(struct record *r, uint32_t n)
{
	assert(n <= r->left);
	r->left -= n;
	record_next_fragment(r);
}
