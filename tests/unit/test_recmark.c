/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/recmark.h"

Test(recmark, a_mark_in_any_pieces)
{
	static const uint8_t mark[4] = { 0x80, 0, 1, 2 };

	for (int cut = 0; cut <= 4; cut++) {
		struct recmark r;

		recmark_init(&r);
		cr_assert(recmark_is_new(&r));
		if (cut > 0)
			cr_assert(eq(int, recmark_feed(&r, mark, (size_t)cut), cut));
		if (cut < 4) {
			cr_assert(recmark_wants_mark(&r));
			cr_assert(eq(int, recmark_feed(&r, mark + cut, 100), 4 - cut));
		}
		cr_assert(not(recmark_wants_mark(&r)));
		cr_assert(eq(u32, r.left, 0x102));
		cr_assert(r.last);
		cr_assert(not(recmark_ended(&r)));
		recmark_take(&r, 0x102);
		cr_assert(recmark_ended(&r));
	}
}

Test(recmark, fragments_add_up)
{
	static const uint8_t more[4] = { 0, 0, 0, 5 }, empty[4], last[4] = { 0x80, 0, 0, 0 };
	struct recmark r;

	recmark_init(&r);
	recmark_feed(&r, more, 4);
	recmark_take(&r, 2);
	cr_assert(not(recmark_wants_mark(&r)));
	recmark_take(&r, 3);
	cr_assert(recmark_wants_mark(&r));
	recmark_feed(&r, empty, 4);
	cr_assert(recmark_wants_mark(&r)); /* behind an empty fragment comes a mark */
	cr_assert(not(recmark_ended(&r)));
	recmark_feed(&r, last, 4);
	cr_assert(recmark_ended(&r));
	cr_assert(eq(u32, r.len, 5));
}

Test(recmark, the_limit_is_of_the_record_not_of_the_fragment)
{
	uint8_t mark[4];
	struct recmark r;

	recmark_init(&r);
	put_be32(mark, RECMARK_MAX);
	cr_assert(eq(int, recmark_feed(&r, mark, 4), 4));
	recmark_take(&r, RECMARK_MAX);
	put_be32(mark, 1 | RECMARK_LAST);
	cr_assert(eq(int, recmark_feed(&r, mark, 4), -EMSGSIZE));
	recmark_init(&r);
	put_be32(mark, (RECMARK_MAX + 1) | RECMARK_LAST);
	cr_assert(eq(int, recmark_feed(&r, mark, 4), -EMSGSIZE));
	/* No sum wraps around. */
	recmark_init(&r);
	put_be32(mark, 1);
	recmark_feed(&r, mark, 4);
	recmark_take(&r, 1);
	put_be32(mark, 0xffffffff);
	cr_assert(eq(int, recmark_feed(&r, mark, 4), -EMSGSIZE));
}
