/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks in memory, with a RocksDB and an inode lock that answer when the test says so.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "meta/chunkmap.h"
#include "reactor/log.h"

/* ---- the fakes */

static struct {
	bool later;
	struct kv_get_any *asked;
	struct op *op;
	int gets;
	uint8_t val[64 * SLICE_REC_BYTES]; /* what RocksDB has */
	uint32_t len;
	struct op *unlock_waiter;
} fake;

/* The value as it is at this instant, as a worker would read it. */
static int
fake_value(struct kv_get_any *g)
{
	g->out = NULL;
	g->len = 0;
	if (fake.len == 0)
		return -ENOENT;
	g->out = malloc(fake.len);
	memcpy(g->out, fake.val, fake.len);
	g->len = fake.len;
	return (int)fake.len;
}

enum op_state
kv_get_any(struct kv_get_any *g, const void *key, size_t klen, struct op *op)
{
	(void)key;
	(void)klen;
	fake.gets++;
	op->res = fake_value(g);
	fake.asked = g;
	fake.op = op;
	return fake.later ? OP_PENDING : OP_DONE;
}

enum op_state
inode_wait_unlocked(struct inode *i, struct op_wait *w, struct op *op)
{
	(void)w;
	cr_assert(i->refs > 0);
	if (!i->locked)
		return op_done(op, 0);
	fake.unlock_waiter = op;
	return OP_PENDING;
}

static void
fake_answer(void)
{
	struct op *op = fake.op;

	fake.op = NULL;
	op->resume(op);
}

static void
fake_unlock(struct inode *i)
{
	struct op *op = fake.unlock_waiter;

	i->locked = false;
	fake.unlock_waiter = NULL;
	if (op)
		op->resume(op);
}

static void
fake_record(uint32_t pos, uint32_t len, uint64_t slice)
{
	struct slice_rec r = { .pos = pos, .len = len, .slice = slice };

	slice_encode(fake.val + fake.len, &r);
	fake.len += SLICE_REC_BYTES;
}

static struct inode inode;
static struct file file;

static void
setup(void)
{
	log_set_level((enum log_level)-1);
	memset(&fake, 0, sizeof(fake));
	inode = (struct inode){ .ino = 7, .refs = 1, .file = &file };
	file = (struct file){ .inode = &inode, .users = 1 };
	cr_assert(eq(int, chunkmap_init(8, 64 * KIB), 0));
}

static void
teardown(void)
{
	chunkmap_drop(&file);
	chunkmap_fini();
}

TestSuite(chunkmap, .init = setup, .fini = teardown);

struct get {
	struct chunk_get g;
	struct op op;
	bool done;
};

static void
resumed(struct op *op)
{
	container_of(op, struct get, op)->done = true;
}

static void
get(struct get *x, uint64_t index, bool locked)
{
	*x = (struct get){ .op.resume = resumed };
	if (chunkmap_get(&x->g, &file, index, locked, &x->op) == OP_DONE)
		x->done = true;
}

/* ---- the tests */

Test(chunkmap, loads_once)
{
	struct get a, b;

	fake_record(0, 100, 1);
	get(&a, 3, false);
	cr_assert(a.done && a.op.res == 0);
	cr_assert(eq(u32, a.g.chunk->pieces.n, 1));
	get(&b, 3, false);
	cr_assert(b.g.chunk == a.g.chunk);
	cr_assert(eq(int, fake.gets, 1));
	chunkmap_put(a.g.chunk);
	chunkmap_put(b.g.chunk);
	cr_assert(chunkmap_find(&file, 3) == a.g.chunk);
	cr_assert(chunkmap_find(&file, 2) == NULL);
}

Test(chunkmap, two_who_load_at_the_same_time_get_one)
{
	struct get a, b;
	struct op *first;

	fake.later = true;
	fake_record(0, 100, 1);
	get(&a, 0, false);
	first = fake.op;
	get(&b, 0, false);
	fake_answer();
	cr_assert(b.done);
	first->resume(first);
	cr_assert(a.done && a.op.res == 0);
	cr_assert(a.g.chunk == b.g.chunk);
	cr_assert(eq(u32, a.g.chunk->refs, 2));
	chunkmap_put(a.g.chunk);
	chunkmap_put(b.g.chunk);
}

/* A flush or a truncation commits while the old value is on its way: it must not be taken for the new one. */
Test(chunkmap, a_commit_during_the_load_is_seen)
{
	struct get a;

	fake.later = true;
	fake_record(0, 100, 1);
	get(&a, 0, false);
	inode.locked = true;
	fake_record(50, 100, 2);
	chunkmap_cut(&file, CHUNK_BYTES * 9); /* what follows the batch under the lock */
	fake_unlock(&inode);
	fake_answer();
	cr_assert(a.done == false);
	fake_answer();
	cr_assert(a.done && a.op.res == 0);
	cr_assert(eq(u32, a.g.chunk->pieces.n, 2));
	chunkmap_put(a.g.chunk);
}

/* As readahead does it: the READ that began it has ended, and nobody else uses the inode. */
Test(chunkmap, a_commit_during_a_load_for_nobody)
{
	struct get a;

	fake.later = true;
	get(&a, 0, false);
	fake_record(0, 100, 1);
	chunkmap_cut(&file, CHUNK_BYTES * 9);
	inode.refs = 0;
	fake_answer();
	cr_assert(a.done == false);
	fake_answer();
	cr_assert(a.done && a.op.res == 0);
	cr_assert(eq(u32, a.g.chunk->pieces.n, 1));
	chunkmap_put(a.g.chunk);
}

/* The batch may be applied, or not, when the answer comes under somebody's lock: only what is read after it counts. */
Test(chunkmap, an_answer_under_a_lock_waits)
{
	struct get a;

	fake.later = true;
	fake_record(0, 100, 1);
	get(&a, 0, false);
	inode.locked = true;
	fake_answer();
	cr_assert(a.done == false);
	cr_assert(fake.unlock_waiter != NULL);
	fake_record(50, 100, 2);
	chunkmap_cut(&file, CHUNK_BYTES * 9);
	fake_unlock(&inode);
	cr_assert(fake.op != NULL);
	fake_answer();
	cr_assert(a.done);
	cr_assert(eq(u32, a.g.chunk->pieces.n, 2));
	chunkmap_put(a.g.chunk);
}

Test(chunkmap, who_has_the_lock_does_not_wait_for_it)
{
	struct get a;

	inode.locked = true;
	fake.later = true;
	get(&a, 0, true);
	fake_answer();
	cr_assert(a.done && a.op.res == 0);
	cr_assert(eq(u32, a.g.chunk->pieces.n, 0)); /* never written */
	chunkmap_put(a.g.chunk);
}

Test(chunkmap, the_inode_goes_while_it_is_loaded)
{
	struct get a;

	fake.later = true;
	fake_record(0, 100, 1);
	get(&a, 0, false);
	file.inode = NULL;
	fake_answer();
	cr_assert(a.done);
	cr_assert(eq(int, a.op.res, -ESTALE));
}

Test(chunkmap, damage_is_told)
{
	struct get a;

	fake_record(0, 100, 1);
	fake.len -= 3;
	get(&a, 0, false);
	cr_assert(eq(int, a.op.res, -E_DAMAGED));
	cr_assert(chunkmap_find(&file, 0) == NULL);
}

Test(chunkmap, what_is_held_stays_and_the_rest_makes_room)
{
	struct get a[9];

	fake_record(0, 100, 1);
	for (uint64_t i = 0; i < 8; i++)
		get(&a[i], i, false);
	get(&a[8], 8, false);
	cr_assert(eq(int, a[8].op.res, -E_JUKEBOX)); /* all are held */
	chunkmap_put(a[5].g.chunk);
	chunkmap_put(a[2].g.chunk);
	get(&a[8], 8, false);
	cr_assert(eq(int, a[8].op.res, 0));
	cr_assert(chunkmap_find(&file, 5) == NULL); /* the longest unused */
	cr_assert(chunkmap_find(&file, 2) != NULL);
	for (int i = 0; i < 9; i++)
		if (i != 5 && i != 2)
			chunkmap_put(a[i].g.chunk);
}

Test(chunkmap, pieces_are_bounded)
{
	struct get a;

	for (uint32_t i = 0; i < 60; i++)
		fake_record(i * 1000, 10, i + 1);
	for (uint64_t k = 0; k < 200; k++) { /* 60 * 24 bytes each, 64 KiB in all */
		get(&a, k, false);
		cr_assert(eq(int, a.op.res, 0));
		chunkmap_put(a.g.chunk);
	}
	cr_assert(chunkmap_find(&file, 199) != NULL);
	cr_assert(chunkmap_find(&file, 0) == NULL);
}

Test(chunkmap, cut_shortens_what_is_in_memory)
{
	struct get a, b, c;

	fake_record(0, 100, 1);
	fake_record(200, 100, 2);
	fake_record(400, 100, 3);
	get(&a, 0, false);
	get(&b, 1, false);
	get(&c, 2, false);
	chunkmap_cut(&file, CHUNK_BYTES + 250);
	cr_assert(eq(u32, a.g.chunk->pieces.n, 3));
	cr_assert(eq(u32, b.g.chunk->pieces.n, 2));
	cr_assert(eq(u64, pieces_covered(&b.g.chunk->pieces), 150));
	cr_assert(eq(u32, c.g.chunk->pieces.n, 0));
	chunkmap_cut(&file, CHUNK_BYTES + 150);
	cr_assert(eq(u64, pieces_covered(&b.g.chunk->pieces), 100));
	chunkmap_put(a.g.chunk);
	chunkmap_put(b.g.chunk);
	chunkmap_put(c.g.chunk);
}

Test(chunkmap, dropped_while_held)
{
	struct get a, b;

	fake_record(0, 100, 1);
	get(&a, 0, false);
	chunkmap_drop(&file);
	cr_assert(chunkmap_find(&file, 0) == NULL);
	get(&b, 0, false);
	cr_assert(b.g.chunk != a.g.chunk);
	chunkmap_put(a.g.chunk);
	cr_assert(chunkmap_find(&file, 0) == b.g.chunk);
	chunkmap_put(b.g.chunk);
}
