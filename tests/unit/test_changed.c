/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "meta/changed.h"

#define KEYS 20000u

/* Never misses one; says so of few that were not noted; and forgets when it begins anew. */
Test(changed, misses_none)
{
	uint32_t wrong = 0;

	changed_note(1); /* nobody wants to know */
	cr_assert(eq(int, changed_begin(), 0));
	cr_assert(eq(u32, changed_count(), 0));
	cr_assert(eq(int, changed_maybe(1), false));
	for (uint64_t key = 1; key <= KEYS; key++)
		changed_note(key * 2);
	for (uint64_t key = 1; key <= KEYS; key++) {
		cr_assert(changed_maybe(key * 2));
		wrong += changed_maybe(key * 2 + 1);
	}
	cr_assert(eq(u32, changed_count(), KEYS));
	cr_assert(wrong < KEYS / 8, "%u", wrong);
	cr_assert(eq(int, changed_begin(), 0));
	cr_assert(eq(u32, changed_count(), 0));
	wrong = 0;
	for (uint64_t key = 1; key <= KEYS; key++)
		wrong += changed_maybe(key * 2);
	cr_assert(eq(u32, wrong, 0));
	changed_end();
	changed_end();
}
