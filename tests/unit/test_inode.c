/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/meta_world.h"

static void
setup(void)
{
	world_start(3);
}

TestSuite(inode, .init = setup, .fini = world_stop);

/* ---- helpers: an inode's owner does it ---- */

struct get { struct inode_get g; struct fref f; };

static enum op_state
start_get(void *arg, struct op *op)
{
	struct get *g = arg;

	return inode_get(&g->g, g->f.ino, g->f.gen, op);
}

static enum op_state
start_put(void *arg, struct op *op)
{
	inode_put(((struct get *)arg)->g.inode);
	return op_done(op, 0);
}

static int
get(struct get *g, struct fref f)
{
	g->f = f;
	return rig_call(shard_owner(f.ino), start_get, g);
}

static void
put(struct get *g)
{
	rig_call(shard_owner(g->f.ino), start_put, g);
}

struct lock { struct inode_lock l; struct fref f; };

static enum op_state
start_lock(void *arg, struct op *op)
{
	struct lock *l = arg;

	return inode_lock(&l->l, l->f.ino, l->f.gen, op);
}

static enum op_state
start_unlock(void *arg, struct op *op)
{
	return inode_unlock(&((struct lock *)arg)->l, op);
}

/* Any core may ask. */
static int
lock_from(int core, struct lock *l, struct fref f)
{
	l->f = f;
	return rig_call(core, start_lock, l);
}

static void
unlock_from(int core, struct lock *l)
{
	rig_call(core, start_unlock, l);
}

/* ---- loading ---- */

struct crowd { struct get *g; int n; struct op_join join; struct op_part part[8]; };

static enum op_state
start_crowd(void *arg, struct op *op)
{
	struct crowd *c = arg;

	op_join_start(&c->join, op);
	for (int i = 0; i < c->n; i++) {
		struct op *part = op_join_part(&c->join, &c->part[i]);

		op_join_add(&c->join, &c->part[i], inode_get(&c->g[i].g, c->g[i].f.ino, c->g[i].f.gen, part));
	}
	return op_join_wait(&c->join);
}

/* Cold: all wait for one read. */
Test(inode, one_load_for_all_who_ask)
{
	struct fref f = { 0 }, x, nobody = { .ino = 7777777 };
	struct get g[8];
	struct crowd c = { .g = g, .n = 8 };
	struct kv_stats before, after;

	/* One in the middle, in another block of the table file than all that the start reads. */
	for (int i = 0; i < 300; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		x = mkfile(world.root, name);
		f = i == 150 ? x : f;
	}
	world_close();
	world_open(3);
	for (int i = 0; i < 8; i++)
		g[i].f = f;
	kv_stats(&before);
	cr_assert(eq(int, rig_call(shard_owner(f.ino), start_crowd, &c), 0));
	kv_stats(&after);
	cr_assert(eq(u64, after.gets - before.gets, 1));
	cr_assert(eq(u64, after.get_misses - before.get_misses, 1));
	for (int i = 0; i < 8; i++) {
		cr_assert(g[i].g.inode == g[0].g.inode && g[i].g.inode->refs == (uint32_t)(8 - i));
		put(&g[i]);
	}
	/* None there, or another generation: everyone is told. */
	for (int i = 0; i < 8; i++)
		g[i].f = nobody;
	cr_assert(eq(int, rig_call(shard_owner(nobody.ino), start_crowd, &c), -ESTALE));
	f.gen++;
	cr_assert(eq(int, get(&g[0], f), -ESTALE));
	f.gen = 0;
	cr_assert(eq(int, get(&g[0], f), 0));
	put(&g[0]);
}

Test(inode, damaged_record_is_an_error)
{
	struct fref f = mkfile(world.root, "f");
	struct kv_batch *b = kv_batch_new();
	uint8_t key[9];
	struct get g;

	world_close();
	struct kv_opts o = { .path = world.db, .cache_bytes = MIB, .memtable_bytes = MIB };
	char why[256];
	cr_assert(eq(int, kv_open(&o, why), 0));
	kv_batch_put(b, key, key_inode(key, f.ino), "\1damaged", 8);
	cr_assert(eq(int, kv_write_now(b), 0));
	kv_batch_free(b);
	kv_close();
	log_set_level(LOG_ERROR - 1); /* it is logged, and meant */
	world_open(2);
	cr_assert(eq(int, get(&g, f), -EIO));
	cr_assert(eq(int, do_lookup(&superuser, world.root, "f", NULL), -EIO));
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), -EIO));
}

/* ---- the table's bound ---- */

TestSuite(inode_table, .fini = world_stop);

Test(inode_table, evicts_the_least_recently_used_clean)
{
	struct fref f[200];
	struct get g[200];
	int held = 0, res = 0;

	world.max_inodes = 64;
	world_start(1);
	for (int i = 0; i < 200; i++) {
		char name[32];

		snprintf(name, sizeof(name), "f%d", i);
		f[i] = mkfile(world.root, name);
		attr_of(f[i]);
	}
	for (int i = 0; i < 200; i++)
		attr_of(f[i]);

	/* Referenced ones stay, and when all are, there is no room. */
	while (held < 200 && (res = get(&g[held], f[held])) == 0)
		held++;
	cr_assert(eq(int, res, -E_JUKEBOX));
	cr_assert(held >= 60 && held <= 64, "%d", held);
	while (held-- > 0)
		put(&g[held]);
	cr_assert(eq(int, get(&g[0], f[199]), 0));

	/* So do dirty ones. */
	put(&g[0]);
	fake.dirty = true;
	for (int i = 0; i < 40; i++) {
		cr_assert(eq(int, get(&g[i], f[i]), 0));
		g[i].g.inode->file = FAKE_FILE;
		put(&g[i]);
	}
	for (int i = 0; i < 200; i++)
		attr_of(f[i]);
	cr_assert(eq(int, fake.forgotten, 0));
	for (int i = 0; i < 40; i++) {
		cr_assert(eq(int, get(&g[i], f[i]), 0));
		cr_assert(g[i].g.inode->file == FAKE_FILE);
		put(&g[i]);
	}
	fake.dirty = false;
	for (int i = 0; i < 200; i++)
		attr_of(f[i]);
	cr_assert(eq(int, fake.forgotten, 40));
}

/* ---- locks ---- */

static struct fref shared;
static _Atomic int inside, rounds;

static void
locker(int me)
{
	struct lock l;

	for (int i = 0; i < 200; i++) {
		cr_assert(eq(int, lock_from(me % 3, &l, shared), 0));
		cr_assert(eq(int, inside++, 0));
		cr_assert(eq(u64, l.l.attr.mtime_ns, (uint64_t)rounds));
		l.l.attr.mtime_ns = (uint64_t)++rounds;
		l.l.changed = true;
		inside--;
		unlock_from(me % 3, &l);
	}
}

Test(inode, one_holder_at_a_time)
{
	struct lock l;

	shared = mkfile(world.root, "f");
	cr_assert(eq(int, lock_from(0, &l, shared), 0));
	l.l.attr.mtime_ns = 0;
	l.l.changed = true;
	unlock_from(0, &l);
	rig_threads(9, locker);
	cr_assert(eq(u64, attr_of(shared).mtime_ns, 9 * 200));
}

Test(inode, without_change_nothing_changes)
{
	struct fref f = mkfile(world.root, "f");
	struct attr was = attr_of(f);
	struct lock l;

	cr_assert(eq(int, lock_from(1, &l, f), 0));
	l.l.attr.mode = 0;
	unlock_from(1, &l);
	cr_assert(eq(u32, attr_of(f).mode, was.mode));
}

/* What happened, in order. */
static int order[8];
static _Atomic int norder;

struct waiter { struct op_wait w; struct get g; struct op op; int id; };

static void
waited(struct op *op)
{
	struct waiter *w = container_of(op, struct waiter, op);

	cr_assert(w->g.g.inode->locked == false);
	order[norder++] = w->id;
}

static enum op_state
start_wait(void *arg, struct op *op)
{
	struct waiter *w = arg;

	w->op.resume = waited;
	if (inode_wait_unlocked(w->g.g.inode, &w->w, &w->op) == OP_DONE)
		waited(&w->op);
	return op_done(op, 0);
}

struct async_lock { struct lock l; struct op op; int id; };

static void
async_locked(struct op *op)
{
	order[norder++] = container_of(op, struct async_lock, op)->id;
}

static enum op_state
start_async_lock(void *arg, struct op *op)
{
	struct async_lock *a = arg;

	a->op.resume = async_locked;
	cr_assert(inode_lock(&a->l.l, a->l.f.ino, a->l.f.gen, &a->op) == OP_PENDING);
	return op_done(op, 0);
}

static enum op_state
start_nothing(void *arg, struct op *op)
{
	(void)arg;
	return op_done(op, 0);
}

static enum op_state
start_release_quiesce(void *arg, struct op *op)
{
	(void)arg;
	fake.hold = false;
	reactor_post(fake.quiesce_held, 0);
	return op_done(op, 0);
}

/*
 * The lock waits for the journal, writers wait for the lock, and when it is given
 * back writers come before the next holder, all in the order in which they came.
 */
Test(inode, journal_writers_and_the_next_in_line)
{
	struct fref f = mkfile(world.root, "f");
	int core = shard_owner(f.ino);
	struct async_lock a = { .id = 1, .l.f = f }, b = { .id = 4, .l.f = f }, c = { .id = 5, .l.f = f };
	struct waiter w = { .id = 2 }, x = { .id = 3 };

	cr_assert(eq(int, get(&w.g, f), 0));
	cr_assert(eq(int, get(&x.g, f), 0));
	w.g.g.inode->file = FAKE_FILE;
	fake.hold = true;
	rig_call(core, start_async_lock, &a);
	rig_call(core, start_wait, &w);
	rig_call(core, start_async_lock, &b);
	rig_call(core, start_wait, &x);
	rig_call(core, start_nothing, NULL);
	cr_assert(eq(int, norder, 0));
	rig_call(core, start_release_quiesce, NULL);
	rig_call(core, start_nothing, NULL);
	cr_assert(norder == 1 && order[0] == 1);
	rig_call(core, start_async_lock, &c);
	unlock_from(core, &a.l);
	rig_call(core, start_nothing, NULL);
	unlock_from(core, &b.l);
	rig_call(core, start_nothing, NULL);
	cr_assert(eq(int, norder, 5));
	for (int i = 0; i < 5; i++)
		cr_assert(eq(int, order[i], i + 1));
	unlock_from(core, &c.l);
	cr_assert(eq(int, fake.quiesced, 3));
	put(&w.g);
	put(&x.g);
}

Test(inode, broken_journal_fails_the_lock_and_frees_it)
{
	struct fref f = mkfile(world.root, "f");
	struct get g;
	struct lock l;

	cr_assert(eq(int, get(&g, f), 0));
	g.g.inode->file = FAKE_FILE;
	for (int later = 0; later < 2; later++) {
		fake.later = later;
		fake.quiesce_err = -EIO;
		cr_assert(eq(int, lock_from(0, &l, f), -EIO));
		cr_assert(eq(int, do_chmod(&superuser, f, 0), -EIO));
		fake.quiesce_err = 0;
		cr_assert(eq(int, lock_from(1, &l, f), 0));
		unlock_from(1, &l);
	}
	cr_assert(eq(int, do_chmod(&superuser, f, 0), 0));
	put(&g);
}

/* ---- removal ---- */

Test(inode, removed_while_held)
{
	struct fref f = mkfile(world.root, "f");
	struct get g;
	struct attr a;

	cr_assert(eq(int, get(&g, f), 0));
	g.g.inode->file = FAKE_FILE;
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
	/* A reader that holds it may go on, nobody else finds it, its data goes with the last reference. */
	cr_assert(g.g.inode->gone && g.g.inode->file == FAKE_FILE);
	cr_assert(eq(int, do_getattr(f, &a), -ESTALE));
	cr_assert(eq(int, fake.forgotten, 0));
	put(&g);
	cr_assert(eq(int, fake.forgotten, 1));
	cr_assert(eq(int, do_getattr(f, &a), -ESTALE));
}

/* Who waits for the lock of what is then removed is told. */
static void
late_locker(int me)
{
	struct lock l;
	int res;

	if (me == 0) {
		cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), 0));
		return;
	}
	do {
		res = lock_from(me % 3, &l, shared);
		if (res == 0)
			unlock_from(me % 3, &l);
	} while (res == 0);
	cr_assert(eq(int, res, -ESTALE));
}

Test(inode, removed_while_others_wait_for_it)
{
	for (int i = 0; i < 20; i++) {
		shared = mkfile(world.root, "f");
		rig_threads(4, late_locker);
	}
	world_check();
}

/* A removal that did not become durable may be undone by a restart: then the data must be there. */
Test(inode, data_outlives_a_removal_that_failed)
{
	struct fref f = mkfile(world.root, "f");
	struct get g;

	cr_assert(eq(int, get(&g, f), 0));
	g.g.inode->file = FAKE_FILE;
	put(&g);
	log_set_level(LOG_ERROR - 1);
	rig_break_mlog(world.db);
	cr_assert(eq(int, do_unlink(&superuser, world.root, "f", false), -EIO));
	cr_assert(eq(int, fake.forgotten, 0));
	/* Nothing can be changed any more. */
	cr_assert(eq(int, do_create(&superuser, world.root, "g", FT_REG, 0, NULL), -EIO));
	cr_assert(eq(int, do_chmod(&superuser, world.root, 0), -EIO));
	cr_assert(eq(u32, attr_of(world.root).mode, 0755));
}
