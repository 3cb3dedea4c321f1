/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/drc.h"
#include "tests/fake/one_thread.h"

static struct once_reply recorded[3];
static int nrecorded;

int
meta_once_load(void (*fn)(void *arg, const struct once_reply *r), void *arg)
{
	for (int i = 0; i < nrecorded; i++)
		fn(arg, &recorded[i]);
	return 0;
}

static struct drc drc;
static int woken;
static int here, there; /* two connections */

struct waiter { struct op op; struct drc_wait w; uint8_t body[DRC_BODY_MAX]; };

static void
wake(struct op *op)
{
	(void)op;
	woken++;
}

static void
setup(void)
{
	fake_start(1);
	drc_init(&drc, 4);
}

static void
teardown(void)
{
	drc_fini(&drc);
	drc_restart_free();
	cr_assert(eq(int, fake_slabs_out, 0));
}

TestSuite(drc, .init = setup, .fini = teardown);

static struct once
key(uint32_t xid)
{
	return (struct once){ .used = true, .client = 1, .args_hash = 2, .xid = xid, .proc = 12 };
}

static enum drc_verdict
start(struct once k, const void *conn, struct waiter *w, struct drc_entry **e)
{
	const struct once_reply *r;

	w->op.resume = wake;
	w->w.body = w->body;
	return drc_start(&drc, &k, conn, &w->w, &w->op, e, &r);
}

Test(drc, a_retransmission_gets_the_first_answer)
{
	struct waiter w;
	struct drc_entry *e;

	cr_assert(eq(int, start(key(1), &here, &w, &e), DRC_NEW));
	drc_finish(&drc, e, (const uint8_t *)"answer", 6, true);
	for (int i = 0; i < 3; i++) {
		cr_assert(eq(int, start(key(1), i ? &here : &there, &w, &e), DRC_REPLAY));
		cr_assert(eq(u32, w.w.len, 6));
		cr_assert(memcmp(w.body, "answer", 6) == 0);
	}
}

Test(drc, what_is_another_call)
{
	struct waiter w;
	struct drc_entry *e;
	struct once k[5] = { key(1), key(2), key(1), key(1), key(1) };

	k[2].client = 9;
	k[3].args_hash = 9;
	k[4].proc = 9;
	cr_assert(eq(int, start(k[0], &here, &w, &e), DRC_NEW));
	drc_finish(&drc, e, (const uint8_t *)"", 0, true);
	for (int i = 1; i < 5; i++) {
		cr_assert(eq(int, start(k[i], &here, &w, &e), DRC_NEW), "%d", i);
		drc_finish(&drc, e, (const uint8_t *)"", 0, true);
	}
}

Test(drc, while_the_original_runs)
{
	struct waiter w[4];
	struct drc_entry *e, *none;

	cr_assert(eq(int, start(key(1), &here, &w[0], &e), DRC_NEW));
	/* On the same connection it will be answered there; on others each gets its own. */
	cr_assert(eq(int, start(key(1), &here, &w[1], &none), DRC_DROP));
	cr_assert(eq(int, start(key(1), &there, &w[2], &none), DRC_WAIT));
	cr_assert(eq(int, start(key(1), &drc, &w[3], &none), DRC_WAIT));
	fake_lap();
	cr_assert(eq(int, woken, 0));
	drc_finish(&drc, e, (const uint8_t *)"late", 4, true);
	cr_assert(eq(int, woken, 0)); /* from the run queue */
	fake_lap();
	cr_assert(eq(int, woken, 2));
	for (int i = 2; i < 4; i++) {
		cr_assert(eq(u32, w[i].w.len, 4));
		cr_assert(memcmp(w[i].body, "late", 4) == 0);
	}
	cr_assert(eq(int, start(key(1), &here, &w[1], &none), DRC_REPLAY));
}

Test(drc, try_again_is_not_remembered)
{
	struct waiter w, v;
	struct drc_entry *e;

	struct drc_entry *none;

	cr_assert(eq(int, start(key(1), &here, &w, &e), DRC_NEW));
	cr_assert(eq(int, start(key(1), &there, &v, &none), DRC_WAIT));
	drc_finish(&drc, e, (const uint8_t *)"jukebox", 7, false);
	fake_lap();
	cr_assert(eq(int, woken, 1));
	cr_assert(eq(int, start(key(1), &here, &w, &e), DRC_NEW));
	drc_finish(&drc, e, (const uint8_t *)"", 0, true);
}

Test(drc, bounded_oldest_forgotten_first)
{
	struct waiter w;
	struct drc_entry *e, *running[4];

	for (uint32_t i = 0; i < 6; i++) {
		cr_assert(eq(int, start(key(i), &here, &w, &e), DRC_NEW));
		drc_finish(&drc, e, (const uint8_t *)"", 0, true);
	}
	cr_assert(eq(int, start(key(5), &here, &w, &e), DRC_REPLAY));
	cr_assert(eq(int, start(key(2), &here, &w, &e), DRC_REPLAY));
	/* Those that run are never forgotten: the next is not remembered, but runs. */
	for (uint32_t i = 0; i < 4; i++)
		cr_assert(eq(int, start(key(10 + i), &here, &w, &running[i]), DRC_NEW));
	cr_assert(eq(int, start(key(20), &here, &w, &e), DRC_NEW));
	cr_assert(e == NULL);
	for (uint32_t i = 0; i < 4; i++)
		drc_finish(&drc, running[i], (const uint8_t *)"", 0, true);
}

Test(drc, not_for_ever)
{
	struct waiter w;
	struct drc_entry *e;

	cr_assert(eq(int, start(key(1), &here, &w, &e), DRC_NEW));
	drc_finish(&drc, e, (const uint8_t *)"", 0, true);
	fake_now_ns += DRC_KEEP_NS;
	cr_assert(eq(int, start(key(1), &here, &w, &e), DRC_REPLAY));
	fake_now_ns++;
	cr_assert(eq(int, start(key(1), &here, &w, &e), DRC_NEW));
	drc_finish(&drc, e, (const uint8_t *)"", 0, true);
}

Test(drc, across_a_restart)
{
	struct waiter w = { .op.resume = wake };
	const struct once_reply *r = NULL;
	struct drc_entry *e;
	struct once k = key(7);

	for (int i = 0; i < 3; i++)
		recorded[i] = (struct once_reply){ .once = key(7 + (uint32_t)i / 2), .res = -i, .child.ino = 50 + (uint64_t)i };
	nrecorded = 3;
	cr_assert(eq(int, drc_restart_load(fake_now_ns), 0));
	w.w.body = w.body;
	cr_assert(eq(int, drc_start(&drc, &k, &here, &w.w, &w.op, &e, &r), DRC_RESTART));
	cr_assert(eq(u64, r->child.ino, 51)); /* the newer of two */
	drc_finish(&drc, e, (const uint8_t *)"rebuilt", 7, true);
	cr_assert(eq(int, start(k, &here, &w, &e), DRC_REPLAY));
	cr_assert(eq(u32, w.w.len, 7));
	cr_assert(eq(int, start(key(99), &here, &w, &e), DRC_NEW));
	drc_finish(&drc, e, (const uint8_t *)"", 0, true);
	fake_now_ns += DRC_RESTART_NS + 1;
	cr_assert(eq(int, start(key(8), &here, &w, &e), DRC_NEW));
	drc_finish(&drc, e, (const uint8_t *)"", 0, true);
}
