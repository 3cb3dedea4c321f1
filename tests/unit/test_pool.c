/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/pool.h"
#include "tests/fake/one_thread.h"

static int order[8], n;
struct waiter { struct op op; struct pool_wait w; void *got; int id; };

static void
served(struct op *op)
{
	order[n++] = container_of(op, struct waiter, op)->id;
}

Test(pool, who_waits_is_served_in_turn)
{
	struct waiter w[4] = { { .id = 0 }, { .id = 1 }, { .id = 2 }, { .id = 3 } };
	struct pool p;

	fake_start(1);
	pool_init(&p, "test", 64, 2);
	for (int i = 0; i < 4; i++) {
		w[i].op.resume = served;
		cr_assert(eq(int, pool_get(&p, &w[i].w, &w[i].got, &w[i].op), i < 2 ? OP_DONE : OP_PENDING));
	}
	cr_assert(eq(u64, p.waited, 2));
	pool_put(&p, w[1].got);
	cr_assert(eq(int, n, 0)); /* never from within the put */
	fake_lap();
	cr_assert(eq(int, n, 1));
	cr_assert(eq(int, order[0], 2));
	cr_assert(w[2].got == w[1].got);
	pool_put(&p, w[0].got);
	fake_lap();
	cr_assert(eq(int, order[1], 3));
	pool_put(&p, w[2].got);
	pool_put(&p, w[3].got);
	pool_fini(&p);
	cr_assert(eq(int, fake_slabs_out, 0));
}
