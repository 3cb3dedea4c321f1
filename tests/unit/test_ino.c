/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/ino.h"
#include "tests/fake/meta_world.h"

#define ASKS 40000 /* more than two batches */

struct ask { struct ino_wait w; struct op_part part; uint64_t ino; };
static struct ask asks[ASKS];
static struct op_join join;
static int at_once;

/* All at the same time: those for whom there is none wait for the next batch. */
static enum op_state
start_asks(void *arg, struct op *op)
{
	op_join_start(&join, op);
	at_once = 0;
	for (int i = 0; i < ASKS; i++) {
		enum op_state s;

		asks[i].ino = 0;
		s = ino_get(&asks[i].w, &asks[i].ino, op_join_part(&join, &asks[i].part));
		at_once += s == OP_DONE;
		op_join_add(&join, &asks[i].part, s);
	}
	(void)arg;
	return op_join_wait(&join);
}

static int
by_ino(const void *a, const void *b)
{
	const struct ask *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static uint64_t
next_in_db(void)
{
	uint8_t key[8], val[8];

	cr_assert(eq(int, kv_get_now(key, key_ino_next(key), val, 8), 8));
	return get_le64(val);
}

TestSuite(ino, .fini = world_stop);

Test(ino, each_once_and_durably_reserved)
{
	uint64_t last = 0;
	int got = 0;

	world_start(1);
	/* Some may be told to come again, none gets what another has, and none waits for ever. */
	cr_assert(eq(int, rig_call(0, start_asks, NULL), -E_JUKEBOX));
	cr_assert(at_once > 1000 && at_once < ASKS, "%d", at_once);
	for (int i = 0; i < ASKS; i++)
		got += asks[i].part.op.res == 0;
	cr_assert(lt(int, at_once, got));
	qsort(asks, ASKS, sizeof(asks[0]), by_ino);
	for (int i = 0; i < ASKS; i++)
		if (asks[i].ino) {
			cr_assert(lt(u64, last, asks[i].ino));
			last = asks[i].ino;
		}
	cr_assert(lt(u64, last, next_in_db()));
	mkfile(world.root, "f");
}

Test(ino, none_when_none_can_be_reserved)
{
	int got = 0;

	world_start(1);
	log_set_level(LOG_ERROR - 1);
	rig_break_mlog(world.db);
	cr_assert(eq(int, rig_call(0, start_asks, NULL), -EIO));
	for (int i = 0; i < ASKS; i++)
		got += asks[i].part.op.res == 0;
	/* The first batch was. */
	cr_assert(got > 1000 && got < ASKS, "%d", got);
	cr_assert(eq(int, do_create(&superuser, world.root, "f", FT_REG, 0, NULL), -EIO));
}
