/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One deleter a process, on core 0, one step at a time:
 *
 *   look    what is due, and a sync, so that what was seen is durable
 *   list    the slices of a removed inode's next chunks; or just the one slice
 *   blocks  where their blocks are: objects of their own, packs
 *   delete  those objects, and packs in which nothing lives any more
 *   uncache their frames, on all cores
 *   forget  one batch: B, P, C, and in the end G
 *
 * Before each look it lets packs be written anew (repack.h).
 * A crash anywhere between finds the records still there, and does it again.
 */
#include "meta/garbage.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "meta/file_core.h"
#include "meta/file_trunc.h"
#include "meta/repack.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "reactor/shard.h"
#include "store/diskcache.h"
#include "store/claim.h"

#define VERSION_BYTE  1
#define ENTRIES       64             /* a look */
#define SLICES        128            /* a step */
#define SLICE_BLOCKS  (uint32_t)(CHUNK_BYTES / BLOCK_BYTES)
#define BLOCKS        1000           /* a step; a DELETE takes so many names */
#define UNCACHE_BLOCKS 64            /* a message */
#define DELAY_NS      (15 * SEC_NS)
#define IDLE_NS       (1 * SEC_NS)
#define PAUSE_NS      (5 * MSEC_NS)
#define FAILED_NS     (10 * SEC_NS)
#define CLOCK_SLACK_S 3600u          /* the clock may be set back by this without anything being missed */
#define HOLD_SLACK_S  60u            /* from the time in a record until it can be seen, at most */
#define LATE_NS       (60 * SEC_NS)  /* so often it looks back so far */

static_assert(OBJECT_NAME_MAX == sizeof(((struct obj_req *)0)->names[0]), "names of objects");

struct entry {
	uint8_t key[24];
	size_t klen;
	char kind;
	uint64_t id;
	uint32_t share;
};

struct dead_block {
	uint64_t slice, pack;
	uint32_t index, plain, stored;
};

enum garbage_stage { G_IDLE, G_REPACKED, G_LOOKED, G_WRITTEN, G_SYNCED, G_LISTED, G_BLOCKS, G_PACKS, G_DELETED, G_UNCACHED, G_FORGOTTEN };

struct garbage {
	enum garbage_stage stage;
	bool stopping, complained;
	struct timer timer;
	struct op step;
	struct kv_scan scan;
	struct kv_get get;
	struct kv_write write;
	struct kv_batch *batch;
	struct obj_req del;
	uint8_t from[24];              /* key: all before it has gone, but for what came late */
	size_t from_len;
	uint64_t upto_s, late_ns;      /* due; when to look for that */

	struct entry entry[ENTRIES];
	uint32_t nentries, at;
	struct trunc_scan list;        /* chunks of the entry, and the slices that show in them */
	const uint64_t *slice;         /* what is to go */
	uint32_t nslices, first_slice, next_slice; /* in all; of the step; after those looked up */

	struct dead_block block[BLOCKS]; /* of the step; by pack after they are all here */
	uint32_t nblocks, mark;        /* mark: where the slice that is looked up begins */
	uint32_t next_block;           /* the first of the pack that is looked up */
	bool asked;                    /* for that pack's record */
	char (*name)[OBJECT_NAME_MAX];
	int nnames;
	struct shard_call uncache;
	int uncache_core;
	uint32_t uncached;             /* blocks, on all cores before that one and this one */
	uint8_t val[24];
};

static __thread struct garbage *mine;
static _Atomic uint64_t held_s = UINT64_MAX;

size_t
garbage_encode(uint8_t v[GARBAGE_BYTES], uint32_t share)
{
	v[0] = VERSION_BYTE;
	put_le32(v + 1, share);
	return GARBAGE_BYTES;
}

static void
put(struct kv_batch *b, char kind, uint64_t id, uint32_t share)
{
	uint8_t key[KV_KEY_MAX], val[GARBAGE_BYTES];
	size_t klen = key_garbage(key, (uint64_t)time(NULL), kind, id);

	kv_batch_put(b, key, klen, val, garbage_encode(val, share));
}

void
garbage_slice(struct kv_batch *b, uint64_t slice, uint32_t share)
{
	put(b, GARBAGE_SLICE, slice, share);
}

void
garbage_pack(struct kv_batch *b, uint64_t pack, uint32_t share)
{
	put(b, GARBAGE_PACK, pack, share);
}

void
garbage_hold(uint64_t since_s)
{
	atomic_store_explicit(&held_s, since_s, memory_order_relaxed);
}

/* ---- look */

static int
see_entry(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct garbage *g = arg;
	struct entry *e = &g->entry[g->nentries];
	struct garbage_key k;

	if (!key_read_garbage(&k, key, klen))
		return 0;
	memcpy(e->key, key, klen);
	e->klen = klen;
	e->kind = k.kind;
	e->id = k.id;
	e->share = vlen == GARBAGE_BYTES ? get_le32((const uint8_t *)val + 1) : 0;
	if (e->kind != GARBAGE_INODE && e->kind != GARBAGE_SLICE && e->kind != GARBAGE_PACK)
		return 0; /* of a newer version: none of our business */
	return ++g->nentries == ENTRIES;
}

static void
look_reset(void *arg)
{
	((struct garbage *)arg)->nentries = 0;
}

/* Until RocksDB compacts them, a scan passes over the entries that have gone, one by one: it goes on where it was. */
static void
go_on_from(struct garbage *g, const uint8_t *key, size_t klen)
{
	memcpy(g->from, key, klen);
	g->from_len = klen;
}

static void
nothing_found(struct garbage *g)
{
	uint64_t back_s = 0;

	if (reactor_now_ns() >= g->late_ns) {
		back_s = MIN(g->upto_s, CLOCK_SLACK_S);
		g->late_ns = reactor_now_ns() + LATE_NS;
	}
	g->from_len = key_garbage(g->from, g->upto_s - back_s, 0, 0);
}

static enum op_state
look(struct garbage *g)
{
	uint64_t now = (uint64_t)time(NULL);
	uint64_t delay = file_options()->garbage_delay_ns;
	uint64_t held = atomic_load_explicit(&held_s, memory_order_relaxed);
	struct garbage_key from;

	delay = (delay ? delay : DELAY_NS) / SEC_NS;
	g->upto_s = now > delay ? now - delay : 0;
	if (g->upto_s + HOLD_SLACK_S >= held)
		g->upto_s = held > HOLD_SLACK_S ? held - HOLD_SLACK_S - 1 : 0;
	/* With a shorter delay more may come that is due when what is found was. */
	now -= MIN(now, DELAY_NS / SEC_NS);
	if (key_read_garbage(&from, g->from, g->from_len) && from.due_s > now)
		g->from_len = key_garbage(g->from, now, 0, 0);
	memcpy(g->scan.from, g->from, g->from_len);
	g->scan.from_len = (uint16_t)g->from_len;
	g->scan.to_len = (uint16_t)key_garbage(g->scan.to, g->upto_s + 1, 0, 0);
	g->scan.fn = see_entry;
	g->scan.arg = g;
	look_reset(g);
	return kv_scan(&g->scan, look_reset, &g->step);
}

/* ---- list */

static enum op_state
list(struct garbage *g)
{
	const struct entry *e = &g->entry[g->at];

	trunc_scan_reset(&g->list);
	g->next_slice = 0;
	if (e->kind != GARBAGE_INODE)
		return op_done(&g->step, 0);
	trunc_scan_start(&g->list, e->id, 0);
	return kv_scan(&g->list.scan, trunc_scan_reset, &g->step);
}

/* ---- blocks */

static int
see_block(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct garbage *g = arg;
	struct block_rec rec;
	int res = klen == 13 ? block_decode(&rec, val, vlen) : -E_DAMAGED;

	if (res < 0)
		return res;
	if (g->nblocks == BLOCKS)
		return -E_DAMAGED; /* more than a slice can have */
	g->block[g->nblocks++] = (struct dead_block){
		.slice = get_be64((const uint8_t *)key + 1),
		.index = get_be32((const uint8_t *)key + 9),
		.pack = rec.pack,
		.plain = rec.plain,
		.stored = rec.stored,
	};
	return 0;
}

static void
blocks_reset(void *arg)
{
	struct garbage *g = arg;

	g->nblocks = g->mark;
}

/* Slice by slice, until the step is full. */
static enum op_state
blocks(struct garbage *g)
{
	while (g->next_slice < g->nslices && g->next_slice - g->first_slice < SLICES &&
	       g->nblocks + SLICE_BLOCKS <= BLOCKS) {
		uint64_t id = g->slice[g->next_slice++];

		g->mark = g->nblocks;
		g->scan.from_len = (uint16_t)key_block(g->scan.from, id, 0);
		g->scan.to_len = (uint16_t)key_block(g->scan.to, id + 1, 0);
		g->scan.fn = see_block;
		if (kv_scan(&g->scan, blocks_reset, &g->step) == OP_PENDING)
			return OP_PENDING;
		if (g->step.res < 0)
			return OP_DONE;
	}
	return op_done(&g->step, 0);
}

static int
pack_cmp(const void *a, const void *b)
{
	const struct dead_block *x = a, *y = b;

	return (x->pack > y->pack) - (x->pack < y->pack);
}

static void
add_name(struct garbage *g, const struct dead_block *b)
{
	struct block_rec rec = { .pack = b->pack, .plain = b->plain };

	object_name(g->name[g->nnames++], share_prefix(g->entry[g->at].share), b->slice, b->index, &rec);
}

/* Names of objects that are one block; in the batch, that none of the blocks is there any more. */
static void
take_blocks(struct garbage *g)
{
	uint8_t key[KV_KEY_MAX];

	kv_batch_clear(g->batch);
	g->nnames = 0;
	g->next_block = 0;
	qsort(g->block, g->nblocks, sizeof(g->block[0]), pack_cmp);
	if (g->entry[g->at].kind == GARBAGE_PACK) {
		add_name(g, &(struct dead_block){ .pack = g->entry[g->at].id });
		kv_batch_del(g->batch, key, key_pack(key, g->entry[g->at].id));
	}
	for (uint32_t i = 0; i < g->nblocks; i++) {
		kv_batch_del(g->batch, key, key_block(key, g->block[i].slice, g->block[i].index));
		if (g->block[i].pack == 0) {
			add_name(g, &g->block[i]);
			g->next_block = i + 1;
		}
	}
}

/* ---- packs */

static void
pack_took(struct garbage *g, int res)
{
	const struct dead_block *b = &g->block[g->next_block];
	uint64_t n = 0, bytes = 0, live;
	uint8_t key[KV_KEY_MAX];
	size_t klen = key_pack(key, b->pack);

	for (; g->next_block < g->nblocks && g->block[g->next_block].pack == b->pack; g->next_block++) {
		bytes += g->block[g->next_block].stored;
		n++;
	}
	if (res != sizeof(g->val))
		return; /* nothing is known of it: then it stays */
	live = get_le64(g->val);
	if (live <= n) {
		add_name(g, b);
		kv_batch_del(g->batch, key, klen);
		return;
	}
	put_le64(g->val, -n);
	put_le64(g->val + 8, -bytes);
	put_le64(g->val + 16, 0);
	kv_batch_merge(g->batch, key, klen, g->val, sizeof(g->val));
	repack_thinned();
}

static enum op_state
packs(struct garbage *g)
{
	while (g->next_block < g->nblocks) {
		uint8_t key[KV_KEY_MAX];
		size_t klen = key_pack(key, g->block[g->next_block].pack);

		if (!g->asked) {
			g->asked = true;
			if (kv_get(&g->get, key, klen, g->val, sizeof(g->val), &g->step) == OP_PENDING)
				return OP_PENDING;
		}
		g->asked = false;
		if (g->step.res < 0 && g->step.res != -ENOENT)
			return OP_DONE;
		pack_took(g, g->step.res);
	}
	return op_done(&g->step, 0);
}

/* ---- delete and forget */

static enum op_state
delete_objects(struct garbage *g)
{
	if (g->nnames == 0)
		return op_done(&g->step, 0);
	memset(&g->del, 0, sizeof(g->del));
	g->del.store = file_options()->store;
	g->del.names = g->name;
	g->del.nnames = g->nnames;
	return claim_del(&g->del, &g->step);
}

/* So many blocks a lap: a core has other things to do. */
static void
uncache_run(struct shard_call *c)
{
	const struct garbage *g = container_of(c, struct garbage, uncache);

	for (uint32_t i = g->uncached; i < MIN(g->nblocks, g->uncached + UNCACHE_BLOCKS); i++) {
		const struct dead_block *b = &g->block[i];
		uint32_t frames = (b->plain + FRAME_BYTES - 1) / FRAME_BYTES;

		cache_forget(b->slice, b->index * FRAMES_PER_BLOCK, frames);
		diskcache_forget(b->slice, b->index * FRAMES_PER_BLOCK, frames);
	}
	shard_reply(c, 0);
}

static enum op_state
uncache(struct garbage *g)
{
	for (; g->uncached < g->nblocks; g->uncached += UNCACHE_BLOCKS, g->uncache_core = 0)
		while (g->uncache_core < reactor_cores())
			if (shard_call(g->uncache_core++, &g->uncache, uncache_run, &g->step) == OP_PENDING)
				return OP_PENDING;
	return op_done(&g->step, 0);
}

static enum op_state
forget(struct garbage *g)
{
	const struct entry *e = &g->entry[g->at];
	uint8_t key[KV_KEY_MAX];

	if (g->next_slice == g->nslices) {
		for (uint32_t i = 0; i < g->list.nchunks; i++)
			kv_batch_del(g->batch, key, key_chunk(key, e->id, g->list.chunk[i]));
		if (!g->list.more)
			kv_batch_del(g->batch, e->key, e->klen);
	}
	return kv_write(&g->write, g->batch, &g->step);
}

/* ---- the steps */

static void
rest(struct garbage *g, uint64_t delay_ns)
{
	g->stage = G_IDLE;
	if (!g->stopping)
		timer_start(&g->timer, delay_ns, &g->step);
}

/* Where it goes on after a step; at the end of the entries it looks again. */
static enum garbage_stage
next_stage(struct garbage *g)
{
	if (g->next_slice < g->nslices)
		return G_LISTED; /* more of the same list */
	if (!g->list.more)
		g->at++;
	if (g->at < g->nentries)
		return G_SYNCED;
	go_on_from(g, g->entry[g->at - 1].key, g->entry[g->at - 1].klen);
	return G_IDLE;
}

static void
step_begin(struct garbage *g)
{
	const struct entry *e = &g->entry[g->at];

	g->slice = e->kind == GARBAGE_SLICE ? &e->id : g->list.slice;
	g->nslices = e->kind == GARBAGE_SLICE ? 1 : g->list.nslices;
	g->first_slice = g->next_slice;
	g->nblocks = 0;
	g->asked = false;
}

static void
garbage_run(struct garbage *g)
{
	for (;;) {
		switch (g->stage) {
		case G_IDLE:
			g->stage = G_REPACKED;
			if (repack_run(&g->step) == OP_PENDING)
				return;
			fallthrough;
		case G_REPACKED:
			if (g->stopping) {
				g->stage = G_IDLE;
				return;
			}
			g->stage = G_LOOKED;
			if (look(g) == OP_PENDING)
				return;
			fallthrough;
		case G_LOOKED:
			if (g->step.res < 0)
				goto failed;
			file_count()->garbage = g->nentries;
			g->at = 0;
			if (g->nentries == 0) {
				nothing_found(g);
				rest(g, IDLE_NS);
				return;
			}
			kv_batch_clear(g->batch);
			g->stage = G_WRITTEN;
			if (kv_write(&g->write, g->batch, &g->step) == OP_PENDING)
				return;
			fallthrough;
		case G_WRITTEN:
			if (g->step.res < 0)
				goto failed;
			g->stage = G_SYNCED;
			if (kv_sync(&g->write, &g->step) == OP_PENDING)
				return;
			fallthrough;
		case G_SYNCED:
			if (g->step.res < 0)
				goto failed;
			g->stage = G_LISTED;
			if (list(g) == OP_PENDING)
				return;
			fallthrough;
		case G_LISTED:
			if (g->step.res < 0)
				goto failed;
			step_begin(g);
			g->stage = G_BLOCKS;
			fallthrough;
		case G_BLOCKS:
			if (g->step.res < 0)
				goto failed;
			if (blocks(g) == OP_PENDING)
				return;
			if (g->step.res < 0)
				goto failed;
			take_blocks(g);
			g->stage = G_PACKS;
			fallthrough;
		case G_PACKS:
			if (packs(g) == OP_PENDING)
				return;
			if (g->step.res < 0)
				goto failed;
			g->stage = G_DELETED;
			if (delete_objects(g) == OP_PENDING)
				return;
			fallthrough;
		case G_DELETED:
			if (g->step.res < 0)
				goto failed;
			crash_point("garbage.deleted");
			file_count()->deleted_objects += (uint64_t)g->nnames;
			g->uncached = 0;
			g->uncache_core = 0;
			g->stage = G_UNCACHED;
			fallthrough;
		case G_UNCACHED:
			if (uncache(g) == OP_PENDING)
				return;
			g->stage = G_FORGOTTEN;
			if (forget(g) == OP_PENDING)
				return;
			fallthrough;
		case G_FORGOTTEN:
			if (g->step.res < 0)
				goto failed;
			crash_point("garbage.forgotten");
			g->complained = false;
			g->stage = next_stage(g);
			if (g->stopping) {
				rest(g, 0);
				return;
			}
			/* Clients come first: not all of it in one go. */
			timer_start(&g->timer, PAUSE_NS, &g->step);
			return;
		}
	}
failed:
	if (!g->complained)
		log_warn("deleting what is not needed any more: %s; it is tried again", objstore_error(g->step.res));
	g->complained = true;
	rest(g, FAILED_NS);
}

static void
garbage_resume(struct op *step)
{
	struct garbage *g = container_of(step, struct garbage, step);

	garbage_run(g);
}

bool
garbage_quit(void)
{
	struct garbage *g = mine;

	if (!g)
		return true;
	g->stopping = true;
	repack_quit();
	if (timer_stop(&g->timer))
		g->stage = G_IDLE;
	return g->stage == G_IDLE && g->timer.slot == 0;
}

int
garbage_init(void)
{
	struct garbage *g;

	if (reactor_core() != 0)
		return 0;
	g = calloc(1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	g->name = calloc(BLOCKS, sizeof(*g->name));
	if (!g->name) {
		free(g);
		return -ENOMEM;
	}
	if (repack_init() < 0) {
		free(g->name);
		free(g);
		return -ENOMEM;
	}
	g->batch = kv_batch_new();
	g->from_len = key_garbage(g->from, 0, 0, 0);
	g->step.resume = garbage_resume;
	mine = g;
	rest(g, IDLE_NS);
	return 0;
}

void
garbage_fini(void)
{
	struct garbage *g = mine;

	if (!g)
		return;
	timer_stop(&g->timer);
	repack_fini();
	trunc_scan_fini(&g->list);
	kv_batch_free(g->batch);
	free(g->name);
	free(g);
	mine = NULL;
}
