/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/recmark.h"

void
recmark_init(struct recmark *r)
{
	*r = (struct recmark){ .nmark = 0 };
}

/* A fragment that is used up and not the last is followed by a mark. */
static void
recmark_next_fragment(struct recmark *r)
{
	if (r->left == 0 && !r->last)
		r->nmark = 0;
}

int
recmark_feed(struct recmark *r, const uint8_t *p, size_t len)
{
	size_t n = MIN(len, (size_t)(RECMARK_BYTES - r->nmark));
	uint32_t mark;

	assert(recmark_wants_mark(r));
	memcpy(r->mark + r->nmark, p, n);
	r->nmark = (uint8_t)(r->nmark + n);
	if (r->nmark < RECMARK_BYTES)
		return (int)n;
	mark = get_be32(r->mark);
	r->last = mark & RECMARK_LAST;
	r->left = mark & ~RECMARK_LAST;
	if (r->left > RECMARK_MAX - r->len)
		return -EMSGSIZE;
	r->len += r->left;
	recmark_next_fragment(r); /* it may be empty */
	return (int)n;
}

void
recmark_take(struct recmark *r, uint32_t n)
{
	assert(n <= r->left);
	r->left -= n;
	recmark_next_fragment(r);
}
