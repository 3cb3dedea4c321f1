/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every operation under every way its calls can answer: now or later, well or ill.
 * Each time one reply, no lock, reference or transaction left, and a database that
 * is consistent, changed as a whole or not at all.
 */
#include "reactor/reactor.h"
#include "reactor/shard.h"

/* ---- a reactor of one core on this thread ---- */

static struct runq ready;
static int slabs_out;

int reactor_core(void) { return 0; }
int reactor_cores(void) { return 1; }
uint64_t reactor_now_ns(void) { return 5000000000; }
uint64_t reactor_clock_ns(void) { return 5000000000; }
uint64_t reactor_wall_ns(void) { return 1700000000000000000; }
void reactor_post(struct op *op, int res) { runq_push(&ready, op, res); }

#include "tests/fake/kv_fake.h"
#include "tests/fake/meta_world.h"

/* What only the rig asks for. */
int reactor_start(const struct reactor_opts *o, char why[256]) { (void)o; (void)why; abort(); }
void reactor_stop(void) { abort(); }
void reactor_join(void) { abort(); }
void shard_post(int core, struct shard_msg *m) { (void)core; (void)m; abort(); }
void shard_send(int core, struct shard_msg *m) { (void)core; (void)m; abort(); }

enum op_state
worker_run(struct work *w, int (*run)(struct work *w), struct op *wait)
{
	reactor_post(wait, run(w));
	return OP_PENDING;
}

static unsigned choose(unsigned of);

/* As if another core were asked, or this one: the plan's choice. */
struct later_call { struct op op; struct shard_call *c; };

static void
call_later(struct op *op)
{
	struct later_call *l = container_of(op, struct later_call, op);
	struct shard_call *c = l->c;

	free(l);
	c->run(c);
}

enum op_state
shard_call(int core, struct shard_call *c, void (*run)(struct shard_call *c), struct op *wait)
{
	struct later_call *l;

	cr_assert(core == 0);
	c->run = run;
	c->wait = wait;
	c->inline_done = false;
	c->inlined = !choose(KV_LATER);
	if (c->inlined) {
		run(c);
		c->inlined = false;
		return c->inline_done ? op_done(wait, c->res) : OP_PENDING;
	}
	l = malloc(sizeof(*l));
	*l = (struct later_call){ .op.resume = call_later, .c = c };
	reactor_post(&l->op, 0);
	return OP_PENDING;
}

void
shard_reply(struct shard_call *c, int res)
{
	c->res = res;
	if (c->inlined)
		c->inline_done = true;
	else
		reactor_post(c->wait, res);
}

int
slab_init(struct slab *s, const char *name, size_t size, uint32_t count)
{
	*s = (struct slab){ .name = name, .size = (uint32_t)size, .count = count };
	return 0;
}

void *
slab_get(struct slab *s)
{
	if (s->used == s->count)
		return NULL;
	s->used++;
	slabs_out++;
	return calloc(1, s->size);
}

void
slab_put(struct slab *s, void *p)
{
	s->used--;
	slabs_out--;
	free(p);
}

void
slab_fini(struct slab *s)
{
	cr_assert(s->used == 0, "%u %s left", s->used, s->name);
}

/* ---- plans ---- */

#define EXACT 7 /* all plans for so many calls; dice for what is longer */
static uint64_t plan;
static int calls, ill;

/* Two bits a call: of the first calls the highest of 2 * EXACT, so that counting varies the last call first. */
static unsigned
choose(unsigned of)
{
	int shift = calls < EXACT ? 2 * (EXACT - 1 - calls) : 2 * calls;
	unsigned how = shift < 64 ? (unsigned)(plan >> shift) & 3 : 0;

	calls++;
	ill += (how & of & KV_ILL) != 0;
	return how & of;
}

static unsigned
kv_plan(void)
{
	return choose(KV_LATER | KV_ILL);
}

static unsigned
kv_plan_try(void)
{
	int before = ill;
	unsigned how = choose(KV_LATER | KV_ILL);

	ill = before;
	return how;
}

/* ---- a small tree: root/{a/, b/sub/, f, l→, hard = f}, and a file and a directory in the trash ---- */

enum { ROOT = 1, A = 70, B = 71, SUB = 72, F = 73, L = 74, GONE = 75, GONE_DIR = 76 };
#define GONE_S 1699999990u /* the second of their removal */
static uint64_t retention_s;

static void
put_inode(uint64_t ino, uint32_t type, uint32_t nlink, uint64_t parent, uint32_t entries)
{
	struct attr a = { .ino = ino, .gen = ino, .type = type, .mode = 0777, .nlink = nlink, .share = 1,
		          .parent = parent, .size = entries * DIR_ENTRY_BYTES };
	struct kv_change c = { .what = KV_PUT };

	c.pair.klen = key_inode(c.pair.key, ino);
	c.pair.vlen = attr_encode(c.pair.val, &a);
	if (type == FT_LNK)
		c.pair.val[c.pair.vlen++] = 't';
	kv_apply(&c);
}

static void
put_name(uint64_t dir, const char *name, uint64_t ino, uint32_t type)
{
	struct kv_batch *b = kv_batch_new();
	struct dirent_rec d = { .ino = ino, .gen = ino, .type = type };
	struct meta_name n = name_of(name);

	dir_put(b, &(struct inode_lock){ .ino = dir }, &n, &d);
	kv_write_now(b);
	kv_batch_free(b);
}

static void
put_trash(uint64_t ino, uint32_t type, const char *name)
{
	struct trash_rec r = { .gen = ino, .parent = A, .until_s = 2000000000, .type = type, .name_len = (uint32_t)strlen(name) };
	struct kv_change c = { .what = KV_PUT };

	memcpy(r.name, name, r.name_len);
	put_inode(ino, type, type == FT_DIR ? 2 : 1, trash_place(1, GONE_S), 0);
	c.pair.klen = key_trash(c.pair.key, 1, GONE_S, ino);
	c.pair.vlen = trash_encode(c.pair.val, &r);
	kv_apply(&c);
}

static struct fref
ref(uint64_t ino)
{
	return (struct fref){ .ino = ino, .gen = ino, .share = 1 };
}

static void
plant(void)
{
	struct kv_change n = { .what = KV_PUT }, u = { .what = KV_PUT };
	struct meta_opts o = { .volume = &world.vol, .shares = world.share, .nshares = 1, .max_inodes = 64, .max_names = 64,
		               .retention_s = &retention_s };
	char why[256];

	kv_count = kv_writes = kv_syncs = slabs_out = 0;
	runq_init(&ready);
	put_inode(ROOT, FT_DIR, 4, ROOT, 5);
	put_inode(A, FT_DIR, 2, ROOT, 0);
	put_inode(B, FT_DIR, 3, ROOT, 1);
	put_inode(SUB, FT_DIR, 2, B, 0);
	put_inode(F, FT_REG, 2, ROOT, 0);
	put_inode(L, FT_LNK, 1, ROOT, 0);
	put_name(ROOT, "a", A, FT_DIR);
	put_name(ROOT, "b", B, FT_DIR);
	put_name(ROOT, "f", F, FT_REG);
	put_name(ROOT, "hard", F, FT_REG);
	put_name(ROOT, "l", L, FT_LNK);
	put_name(B, "sub", SUB, FT_DIR);
	put_trash(GONE, FT_REG, "gone");
	put_trash(GONE_DIR, FT_DIR, "gonedir");
	n.pair.klen = key_ino_next(n.pair.key);
	n.pair.vlen = 8;
	put_le64(n.pair.val, 100);
	kv_apply(&n);
	u.pair.klen = key_usage(u.pair.key, 1);
	u.pair.vlen = 32;
	put_le64(u.pair.val + 8, 8);
	put_le64(u.pair.val + 24, 2);
	kv_apply(&u);
	world.share[0] = (struct share_rec){ .id = 1, .root = ROOT };
	cr_assert(meta_open(&o, why) == 0 && meta_init(0) == 0);
}

static int replies;
static bool forgiving; /* a page of READDIRPLUS goes on without the attributes that it cannot read */

static void
replied(struct op *op)
{
	(void)op;
	replies++;
}

/* ---- the runs ---- */

static struct {
	struct meta_getattr getattr;
	struct meta_access access;
	struct meta_lookup lookup;
	struct meta_readlink readlink;
	struct meta_setattr setattr;
	struct meta_create create;
	struct meta_unlink unlink;
	struct meta_rename rename;
	struct meta_link link;
	struct meta_readdir readdir;
	struct meta_fsstat fsstat;
} m;
static char link_out[SYMLINK_BYTES_MAX + 1], names[256];
static struct readdir_entry entries[8];

#define ONCE { .used = true, .client = 1, .xid = 7 }

static enum op_state do_getattr_plan(struct op *op) { m.getattr.req.f = ref(F); return meta_getattr(&m.getattr, op); }
static enum op_state do_access_plan(struct op *op)  { m.access.req.f = ref(F); return meta_access(&m.access, op); }
static enum op_state do_fsstat_plan(struct op *op)  { m.fsstat.req.f = ref(ROOT); return meta_fsstat(&m.fsstat, op); }

static enum op_state
do_lookup_plan(struct op *op)
{
	m.lookup = (struct meta_lookup){ .req.f = ref(ROOT), .name = name_of("l") };
	return meta_lookup(&m.lookup, op);
}

static enum op_state
do_readlink_plan(struct op *op)
{
	m.readlink = (struct meta_readlink){ .req.f = ref(L), .out = link_out };
	return meta_readlink(&m.readlink, op);
}

static enum op_state
do_chmod_plan(struct op *op)
{
	m.setattr = (struct meta_setattr){ .req = { .f = ref(L), .once = ONCE }, .sattr = { .set_mode = true } };
	return meta_setattr(&m.setattr, op);
}

static enum op_state
do_truncate_plan(struct op *op)
{
	fake.later = choose(KV_LATER);
	fake.trunc_err = choose(KV_ILL) ? -EIO : 0;
	m.setattr = (struct meta_setattr){ .req.f = ref(F), .sattr = { .set_size = true, .size = 9 } };
	return meta_setattr(&m.setattr, op);
}

static enum op_state
do_create_plan(struct op *op)
{
	m.create = (struct meta_create){ .req = { .f = ref(A), .once = ONCE }, .name = name_of("new"), .type = FT_REG };
	return meta_create(&m.create, op);
}

static enum op_state
do_create_there_plan(struct op *op)
{
	m.create = (struct meta_create){ .req.f = ref(ROOT), .name = name_of("f"), .type = FT_REG,
		                         .sattr = { .set_size = true } };
	return meta_create(&m.create, op);
}

static enum op_state
do_remove_plan(struct op *op)
{
	m.unlink = (struct meta_unlink){ .req = { .f = ref(ROOT), .once = ONCE }, .name = name_of("l") };
	return meta_unlink(&m.unlink, op);
}

static enum op_state
do_rmdir_plan(struct op *op)
{
	m.unlink = (struct meta_unlink){ .req.f = ref(B), .name = name_of("sub"), .rmdir = true };
	return meta_unlink(&m.unlink, op);
}

static enum op_state
do_link_plan(struct op *op)
{
	m.link = (struct meta_link){ .req.f = ref(L), .dir = ref(A), .name = name_of("l2") };
	return meta_link(&m.link, op);
}

static enum op_state
do_rename_plan(struct op *op)
{
	m.rename = (struct meta_rename){ .req.f = ref(ROOT), .from = name_of("l"), .to_dir = ref(ROOT), .to = name_of("f") };
	return meta_rename(&m.rename, op);
}

static enum op_state
do_move_dir_plan(struct op *op)
{
	m.rename = (struct meta_rename){ .req.f = ref(ROOT), .from = name_of("a"), .to_dir = ref(B), .to = name_of("sub") };
	return meta_rename(&m.rename, op);
}

static enum op_state
do_readdir_plan(struct op *op)
{
	forgiving = true;
	m.readdir = (struct meta_readdir){ .req.f = ref(ROOT), .plus = true, .bytes_max = 4096, .entry_bytes = 24,
		                           .entry = entries, .max_entries = 8, .names = names, .names_cap = sizeof(names) };
	return meta_readdir(&m.readdir, op);
}

/* ---- the trash ---- */

static struct fref
top(void)
{
	return trash_folder_ref(trash_place(1, 0));
}

static struct fref
hour(void)
{
	return trash_folder_ref(trash_folder(trash_place(1, GONE_S)));
}

static enum op_state
do_trash_plan(struct op *op)
{
	retention_s = 86400;
	return do_remove_plan(op);
}

static enum op_state
do_trash_dir_plan(struct op *op)
{
	retention_s = 86400;
	return do_rmdir_plan(op);
}

static enum op_state
do_trash_replaced_plan(struct op *op)
{
	retention_s = 86400;
	m.rename = (struct meta_rename){ .req.f = ref(ROOT), .from = name_of("hard"), .to_dir = ref(ROOT), .to = name_of("l") };
	return meta_rename(&m.rename, op);
}

static enum op_state
do_trash_lookup_plan(struct op *op)
{
	m.lookup = (struct meta_lookup){ .req.f = hour(), .name = name_of("70-75-gone") };
	return meta_lookup(&m.lookup, op);
}

static enum op_state
do_trash_lookup_hour_plan(struct op *op)
{
	m.lookup = (struct meta_lookup){ .req.f = top(), .name = name_of("2023-11-14-22") };
	return meta_lookup(&m.lookup, op);
}

static enum op_state
do_trash_lookup_up_plan(struct op *op)
{
	m.lookup = (struct meta_lookup){ .req.f = top(), .name = name_of("..") };
	return meta_lookup(&m.lookup, op);
}

static enum op_state
do_trash_purge_plan(struct op *op)
{
	m.unlink = (struct meta_unlink){ .req = { .f = hour(), .once = ONCE }, .name = name_of("70-75-gone") };
	return meta_unlink(&m.unlink, op);
}

static enum op_state
do_trash_restore_plan(struct op *op)
{
	m.rename = (struct meta_rename){ .req = { .f = hour(), .once = ONCE }, .from = name_of("70-76-gonedir"), .to_dir = ref(B),
		                         .to = name_of("back") };
	return meta_rename(&m.rename, op);
}

/* Over the only name of a symlink, which goes there itself. */
static enum op_state
do_trash_restore_over_plan(struct op *op)
{
	retention_s = 86400;
	m.rename = (struct meta_rename){ .req.f = hour(), .from = name_of("70-75-gone"), .to_dir = ref(ROOT), .to = name_of("l") };
	return meta_rename(&m.rename, op);
}

static enum op_state
list_plan(struct fref dir, struct op *op)
{
	forgiving = true;
	m.readdir = (struct meta_readdir){ .req.f = dir, .plus = true, .bytes_max = 4096, .entry_bytes = 24,
		                           .entry = entries, .max_entries = 8, .names = names, .names_cap = sizeof(names) };
	return meta_readdir(&m.readdir, op);
}

static enum op_state do_trash_list_plan(struct op *op)      { return list_plan(top(), op); }
static enum op_state do_trash_list_hour_plan(struct op *op) { return list_plan(hour(), op); }

/* Memory says what the database says. */
static void
memory_check(void)
{
	for (uint64_t ino = 1; ino < 200; ino++) {
		struct inode *i = inode_find(ino);
		uint8_t key[9], val[ATTR_BYTES_MAX];
		struct kv_pair *p = kv_find(key, key_inode(key, ino));
		size_t len;

		if (!i)
			continue;
		len = attr_encode(val, &i->attr);
		cr_assert(i->refs == 0 && !i->locked && p && p->vlen >= len && memcmp(p->val, val, len) == 0);
	}
}

/* Returns how many calls it made. */
static int
run(enum op_state (*start)(struct op *op))
{
	struct op op = { .resume = replied };

	plant();
	calls = ill = replies = 0;
	if (start(&op) == OP_DONE)
		replies++;
	while (runq_drain(&ready, 1))
		;
	cr_assert(eq(int, replies, 1));
	/* No error is lost, and none made up. */
	cr_assert(ill > 0 ? op.res < 0 || forgiving : op.res == 0, "%d after %d errors", op.res, ill);
	/* What was written was synced before the reply. */
	cr_assert(kv_writes == kv_syncs);
	world_check();
	memory_check();
	meta_fini(0);
	cr_assert(eq(int, slabs_out, 0));
	return calls;
}

static void
every_plan(enum op_state (*start)(struct op *op))
{
	uint64_t dice = 1;
	int longest = 0;

	for (plan = 0; plan < 1u << 2 * EXACT; plan++) {
		int n = run(start);

		longest = MAX(longest, n);
		/* Plans that differ only in calls that were not made are one plan. */
		if (n < EXACT)
			plan |= ((uint64_t)1 << 2 * (EXACT - n)) - 1;
	}
	for (int i = 0; longest > EXACT && i < 20000; i++) {
		dice = mix64(dice + 0x9e3779b97f4a7c15);
		/* Few errors, so that the end is reached too. */
		plan = dice & (mix64(dice) | 0x5555555555555555) & (mix64(dice + 1) | 0x5555555555555555);
		run(start);
	}
}

#define PLANS(what)                      \
	Test(meta_plans, what)           \
	{                                \
		log_set_level(-1);       \
		every_plan(do_##what##_plan); \
	}

TestSuite(meta_plans, .timeout = 600);
PLANS(getattr)
PLANS(access)
PLANS(fsstat)
PLANS(lookup)
PLANS(readlink)
PLANS(chmod)
PLANS(truncate)
PLANS(create)
PLANS(create_there)
PLANS(remove)
PLANS(rmdir)
PLANS(link)
PLANS(rename)
PLANS(move_dir)
PLANS(readdir)
PLANS(trash)
PLANS(trash_dir)
PLANS(trash_replaced)
PLANS(trash_lookup)
PLANS(trash_lookup_hour)
PLANS(trash_lookup_up)
PLANS(trash_purge)
PLANS(trash_restore)
PLANS(trash_restore_over)
PLANS(trash_list)
PLANS(trash_list_hour)
