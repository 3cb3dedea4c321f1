/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/meta_world.h"

#include <unistd.h>

#include "meta/attrcache.h"
#include "meta/changed.h"
#include "meta/namecache.h"
#include "meta/preload.h"
#include "meta/preload_batch.h"

#define DIRS  5
#define FILES 700 /* in each */
#define ALL   (DIRS * FILES)

static struct fref dir[DIRS], file[ALL];
static struct preload_batch batch;

static void
name_it(char out[32], int i)
{
	snprintf(out, 32, "f%d", i);
}

static void
plant(int cores)
{
	world.max_inodes = 64; /* a core: what is known is in short form */
	world_start(cores);
	for (int d = 0; d < DIRS; d++) {
		char n[32];

		snprintf(n, sizeof(n), "d%d", d);
		dir[d] = mkdir_in(world.root, n);
	}
	for (int i = 0; i < ALL; i++) {
		char n[32];

		name_it(n, i);
		file[i] = mkfile(dir[i % DIRS], n);
		/* Numbers are taken in batches, so the second half's are of other windows. */
		for (int again = 0; i == ALL / 2 && again < 3; again++) {
			world_close();
			world_open(cores);
		}
	}
	world_close();
}

static void
setup(void)
{
	plant(3);
	world_open(3);
}

TestSuite(preload, .init = setup, .fini = world_stop);

static void
start(void)
{
	cr_assert(eq(int, rig_call(0, preload_start, NULL), 0));
}

static void
stop(void)
{
	cr_assert(eq(int, rig_call(0, preload_stop, NULL), 0));
}

static bool
is(const char *state)
{
	struct preload_stats s;

	preload_stats(&s);
	return strcmp(s.state, state) == 0;
}

static struct preload_stats
wait_for_the_end(void)
{
	struct preload_stats s;

	EVENTUALLY(is("reading") == false);
	stop();
	preload_stats(&s);
	return s;
}

/* ---- what is known without RocksDB */

struct known { int i; const char *named; struct attr a; struct dirent_rec d; bool attr, name; };

static enum op_state
known_start(void *arg, struct op *op)
{
	struct known *k = arg;
	struct fref f = file[k->i], d = dir[k->i % DIRS];
	char n[32];
	struct meta_name name;
	struct name_id id;

	name_it(n, k->i);
	name = name_of(n);
	id = dir_name_id(d.ino, &name);
	k->attr = attrcache_look(f.ino, &k->a);
	k->name = namecache_look(shard_owner(d.ino), &id, &k->d);
	return op_done(op, 0);
}

static struct known
known(int i)
{
	struct known k = { .i = i };

	rig_call(0, known_start, &k);
	return k;
}

static int
known_of_all(int *attrs, int *names)
{
	*attrs = *names = 0;
	for (int i = 0; i < ALL; i++) {
		struct known k = known(i);

		*attrs += k.attr;
		*names += k.name;
		if (k.attr)
			cr_assert(k.a.ino == file[i].ino && k.a.gen == file[i].gen && k.a.mode == 0644);
		if (k.name)
			cr_assert(k.d.ino == file[i].ino && k.d.gen == file[i].gen && k.d.type == FT_REG);
	}
	return *attrs + *names;
}

Test(preload, brings_all)
{
	struct preload_stats s;
	int attrs, names;

	cr_assert(eq(int, known_of_all(&attrs, &names), 0));
	start();
	s = wait_for_the_end();
	cr_assert_str_eq(s.state, "done");
	cr_assert(eq(u64, s.attrs, 1 + DIRS + ALL));
	cr_assert(eq(u64, s.names, DIRS + ALL));
	cr_assert(eq(u64, s.inodes, 1 + DIRS + ALL));
	known_of_all(&attrs, &names);
	/* An index line that is full lets one go now and then. */
	cr_assert(attrs > ALL * 9 / 10 && names > ALL * 9 / 10, "%d %d", attrs, names);
	stop(); /* once more is none */
}

Test(preload, is_quick_to_start_again_and_to_end)
{
	for (int i = 0; i < 20; i++) {
		start();
		usleep((useconds_t)i * 100); /* ends it here and there */
		preload_quit();
		stop();
		cr_assert(is("ended") || is("done"));
	}
	cr_assert(eq(u64, world_check(), 1 + DIRS + ALL));
}

/* ---- what the tables do not hold */

Test(preload, stops_when_tables_are_full)
{
	struct preload_stats s;
	int attrs, names, young = 0, old = 0;

	world_close();
	world.max_names = 256;
	world_open(3);
	start();
	s = wait_for_the_end();
	cr_assert_str_eq(s.state, "full");
	known_of_all(&attrs, &names);
	cr_assert(attrs > 3 * 256 / 2 && attrs <= 3 * 256, "%d", attrs);
	cr_assert(names > 256 / 2 && names <= 3 * 256, "%d", names);
	for (int i = 0; i < ALL / 2; i++) {
		old += known(i).attr;
		young += known(ALL - 1 - i).attr;
	}
	cr_assert(young > 2 * old, "%d young, %d old", young, old);
}

/* ---- what changes while a batch is on its way */

static enum op_state note_start(void *arg, struct op *op) { (void)arg; return op_done(op, changed_begin()); }
static enum op_state note_end(void *arg, struct op *op) { (void)arg; changed_end(); return op_done(op, 0); }

static enum op_state
keep_start(void *arg, struct op *op)
{
	const struct preload_batch *b = arg;

	return op_done(op, preload_keep(b, 0, b->n));
}

static void
on_all(enum op_state (*fn)(void *, struct op *), void *arg)
{
	for (int core = 0; core < reactor_cores(); core++)
		rig_call(core, fn, arg);
}

/* As preload.c does. */
static void
read_all(enum preload_kind kind, struct preload_batch *out, int *n)
{
	int res;

	on_all(note_start, NULL);
	cr_assert(eq(int, kv_settle_now(), 0));
	cr_assert(eq(int, preload_read_begin(&batch, kind), 0));
	for (*n = 0; (res = preload_read(&batch)) >= 0; ) {
		out[(*n)++] = batch;
		if (res == 0)
			return;
	}
	cr_assert(false, "%d", res);
}

/* Nothing of it is known any more, as when others had taken its place. */
static enum op_state
forget_start(void *arg, struct op *op)
{
	struct known *k = arg;
	struct fref f = file[k->i], d = dir[k->i % DIRS];
	struct meta_name name = name_of(k->named);

	if (shard_owns(d.ino))
		dir_forget(d.ino, &name);
	if (shard_owns(f.ino) && !inode_known(f.ino))
		attrcache_drop(f.ino);
	return op_done(op, 0);
}

static enum op_state
in_memory(void *arg, struct op *op)
{
	return op_done(op, inode_known(file[*(int *)arg].ino));
}

/* Looks at others until these have left memory. */
static void
evict(int first, int n)
{
	struct attr a;

	for (int i = first; i < first + n; i++)
		for (int k = 2000; rig_call(shard_owner(file[i].ino), in_memory, &i); k++) {
			cr_assert(k < ALL, "%d stays in memory", i);
			do_chmod(&superuser, file[k], 0644);
			do_getattr(file[k], &a);
		}
}

#define CHANGED 50 /* of each sort */

static void
change(int i, char *now_named)
{
	char n[32];

	name_it(n, i);
	snprintf(now_named, 32, "%s", n);
	switch (i % 5) {
	case 0:
		cr_assert(eq(int, do_chmod(&superuser, file[i], 0600), 0));
		break;
	case 1:
		cr_assert(eq(int, do_unlink(&superuser, dir[i % DIRS], n, false), 0));
		now_named[0] = '\0';
		break;
	case 2:
		snprintf(now_named, 32, "renamed%d", i);
		cr_assert(eq(int, do_rename(&superuser, dir[i % DIRS], n, dir[i % DIRS], now_named), 0));
		break;
	case 3: /* another file has the name now */
		cr_assert(eq(int, do_unlink(&superuser, dir[i % DIRS], n, false), 0));
		file[i] = mkfile(dir[i % DIRS], n);
		break;
	default:
		cr_assert(eq(int, do_setattr(&superuser, file[i], (struct sattr){ .set_uid = true, .uid = 7 }), 0));
		break;
	}
}

static void
check(int i, const char *now_named)
{
	struct fref got = { 0 };
	struct attr a;
	char n[32];

	name_it(n, i);
	for (int twice = 0; twice < 2; twice++) { /* as shown, and as the owner has it */
		cr_assert(eq(int, do_lookup(&superuser, dir[i % DIRS], n, &got), strcmp(n, now_named) ? -ENOENT : 0), "%d", i);
		if (!now_named[0]) {
			cr_assert(eq(int, do_getattr(file[i], &a), -ESTALE), "%d", i);
			continue;
		}
		cr_assert(eq(int, do_lookup(&superuser, dir[i % DIRS], now_named, &got), 0), "%d", i);
		cr_assert(got.ino == file[i].ino && got.gen == file[i].gen, "%d", i);
		cr_assert(eq(int, do_getattr(file[i], &a), 0));
		cr_assert(a.mode == (i % 5 == 0 ? 0600u : 0644u) && a.uid == (i % 5 == 4 ? 7u : 0u), "%d", i);
	}
}

Test(preload, what_changed_meanwhile_wins)
{
	static struct preload_batch attrs[8], names[8];
	static char now_named[ALL][32];
	int nattrs, nnames;

	read_all(PRELOAD_ATTRS, attrs, &nattrs);
	read_all(PRELOAD_NAMES, names, &nnames); /* begins anew, and what follows is after both */
	for (int i = 0; i < 5 * CHANGED; i++)
		change(i, now_named[i]);
	evict(0, 5 * CHANGED);
	for (int i = 0; i < 5 * CHANGED; i++) {
		char n[32];

		name_it(n, i);
		on_all(forget_start, &(struct known){ .i = i, .named = n });
	}
	for (int i = 0; i < nattrs; i++)
		on_all(keep_start, &attrs[i]);
	for (int i = 0; i < nnames; i++)
		on_all(keep_start, &names[i]);
	for (int i = 0; i < 5 * CHANGED; i++)
		check(i, now_named[i]);
	on_all(note_end, NULL);
	world_check();
}

/* ---- all of it, beside changes */

#define THREADS 8
#define MINE    40  /* files of a thread */
#define STEPS   400

static _Atomic int working;
static char now[ALL][32];

/* One of a thread's own: it alone changes it, so it knows what must be found. */
static void
change_mine(int i, uint64_t x)
{
	struct fref d = dir[i % DIRS];
	char n[32];

	switch (x >> 20 & 3) {
	case 0:
		snprintf(n, sizeof(n), "%d.%lu", i, x >> 40);
		cr_assert(eq(int, do_rename(&superuser, d, now[i], d, n), 0));
		memcpy(now[i], n, sizeof(n));
		break;
	case 1:
		cr_assert(eq(int, do_unlink(&superuser, d, now[i], false), 0));
		cr_assert(eq(int, do_lookup(&superuser, d, now[i], NULL), -ENOENT));
		file[i] = mkfile(d, now[i]);
		break;
	default:
		cr_assert(eq(int, do_chmod(&superuser, file[i], (uint32_t)(x >> 40 & 0777)), 0));
		cr_assert(eq(u32, attr_of(file[i]).mode, (uint32_t)(x >> 40 & 0777)));
		break;
	}
}

static void
look_at_mine(int i)
{
	struct fref got = { 0 };

	cr_assert(eq(int, do_lookup(&superuser, dir[i % DIRS], now[i], &got), 0));
	cr_assert(got.ino == file[i].ino && got.gen == file[i].gen, "%d", i);
}

static void
reader_and_changers(int me)
{
	uint64_t x = (uint64_t)me;

	if (me == 0) {
		while (atomic_load(&working) > 0) {
			start();
			usleep((useconds_t)(x = mix64(x + 1)) % 20000);
			stop();
		}
		return;
	}
	for (int step = 0; step < STEPS; step++) {
		int i = me * MINE + (int)((x = mix64(x + 0x9e3779b97f4a7c15)) % 4096 % MINE);

		change_mine(i, x);
		on_all(forget_start, &(struct known){ .i = i, .named = now[i] });
		look_at_mine(i);
		look_at_mine(me * MINE + (int)(x % 9973 % MINE));
	}
	atomic_fetch_sub(&working, 1);
}

Test(preload, beside_changes)
{
	for (int i = 0; i < ALL; i++)
		name_it(now[i], i);
	working = THREADS - 1;
	rig_threads(THREADS, reader_and_changers);
	world_check();
}
