/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/inode.h"

#include <stdlib.h>

#include "meta/attrcache.h"
#include "meta/changed.h"
#include "meta/file.h"
#include "reactor/log.h"

/* How many of the dirty are looked at for one that is clean by now. */
#define PARKED_TRIES 32

static __thread struct {
	struct slab slab;
	struct inode **bucket;
	uint64_t mask;
	struct inode lru;    /* ring of the unreferenced, least recently used first */
	struct inode parked; /* those of them that were dirty when they should have been evicted */
} t;

int
inode_init(uint32_t max_inodes)
{
	uint64_t n = 64;
	int err;

	while (n < max_inodes)
		n *= 2;
	t.bucket = calloc(n, sizeof(struct inode *));
	if (!t.bucket)
		return -ENOMEM;
	t.mask = n - 1;
	t.lru.lru_prev = t.lru.lru_next = &t.lru;
	t.parked.lru_prev = t.parked.lru_next = &t.parked;
	err = slab_init(&t.slab, "inodes", sizeof(struct inode), max_inodes);
	if (err) {
		free(t.bucket);
		t.bucket = NULL;
	}
	return err;
}

void
inode_fini(void)
{
	if (!t.bucket)
		return;
	for (uint64_t n = 0; n <= t.mask; n++)
		for (struct inode *i = t.bucket[n], *next; i; i = next) {
			next = i->hash_next;
			assert(i->refs == 0 && !i->locked);
			slab_put(&t.slab, i);
		}
	slab_fini(&t.slab);
	free(t.bucket);
	t.bucket = NULL;
}

/* ---- the table ---- */

static struct inode **
slot(uint64_t ino)
{
	/* The owner is the hash modulo the cores: take other bits. */
	struct inode **at = &t.bucket[mix64(ino) >> 20 & t.mask];

	while (*at && (*at)->ino != ino)
		at = &(*at)->hash_next;
	return at;
}

struct inode *
inode_find(uint64_t ino)
{
	struct inode *i = *slot(ino);

	return i && i->loaded && !i->gone ? i : NULL;
}

bool
inode_known(uint64_t ino)
{
	return *slot(ino) != NULL;
}

bool
inode_changes(uint64_t ino)
{
	const struct inode *i = *slot(ino);

	return i && (i->locked || i->gone);
}

static void
lru_remove(struct inode *i)
{
	if (!i->lru_next)
		return;
	i->lru_prev->lru_next = i->lru_next;
	i->lru_next->lru_prev = i->lru_prev;
	i->lru_prev = i->lru_next = NULL;
}

static void
lru_append(struct inode *ring, struct inode *i)
{
	i->lru_prev = ring->lru_prev;
	i->lru_next = ring;
	i->lru_prev->lru_next = i;
	ring->lru_prev = i;
}

static void
inode_free(struct inode *i)
{
	struct inode **at = slot(i->ino);

	assert(*at == i && i->refs == 0 && !i->lock_first && !i->unlock_waiters && !i->file);
	changed_note(i->ino); /* its record changes only while it is here */
	*at = i->hash_next;
	lru_remove(i);
	slab_put(&t.slab, i);
}

static bool
evict(struct inode *i)
{
	if (i->file && !file_is_clean(i))
		return false;
	if (i->file)
		file_forget(i);
	attrcache_put(&i->attr);
	inode_free(i);
	return true;
}

/*
 * The least recently used that is clean.  Dirty ones are put aside, so that a
 * million of them are not looked at each time; who uploads one refers to it, and
 * gives it back to the ring.
 */
static bool
inode_evict(void)
{
	struct inode *i;

	while ((i = t.lru.lru_next) != &t.lru) {
		if (evict(i))
			return true;
		lru_remove(i);
		lru_append(&t.parked, i);
	}
	for (int tries = 0; tries < PARKED_TRIES && (i = t.parked.lru_next) != &t.parked; tries++) {
		if (evict(i))
			return true;
		lru_remove(i);
		lru_append(&t.parked, i);
	}
	return false;
}

static struct inode *
inode_new(uint64_t ino)
{
	struct inode *i = slab_get(&t.slab);
	struct inode **at;

	if (!i && inode_evict())
		i = slab_get(&t.slab);
	if (!i)
		return NULL;
	*i = (struct inode){ .ino = ino, .refs = 1 };
	i->loaded = i->shown = attrcache_get(ino, &i->attr);
	i->lock_last = &i->lock_first;
	i->unlock_last = &i->unlock_waiters;
	at = slot(ino);
	i->hash_next = *at;
	*at = i;
	return i;
}

void
inode_keep(struct inode *i)
{
	assert(shard_owns(i->ino));
	if (i->refs++ == 0)
		lru_remove(i);
}

static void
inode_drop(struct inode *i, bool forget)
{
	assert(shard_owns(i->ino) && i->refs > 0);
	if (--i->refs > 0)
		return;
	if (!i->gone) {
		lru_append(&t.lru, i);
		return;
	}
	if (forget && i->file)
		file_forget(i);
	if (!i->file)
		inode_free(i);
}

void
inode_put(struct inode *i)
{
	inode_drop(i, true);
}

void
inode_show(struct inode *i)
{
	/* A file that is being written would be hidden again at once. */
	if (i->attr.dirty > 0)
		return;
	if (!i->shown || !attrcache_has(i->ino)) /* which forgets */
		i->shown = attrcache_put(&i->attr);
}

void
inode_hide(struct inode *i)
{
	if (!i->shown)
		return;
	i->shown = false;
	attrcache_drop(i->ino);
}

/* ---- loading ---- */

static int
get_check(struct inode_get *g)
{
	struct inode *i = g->inode;

	if (!i->gone && (g->gen == 0 || g->gen == i->attr.gen))
		return 0;
	inode_put(i);
	g->inode = NULL;
	return -ESTALE;
}

static int
decode(struct inode *i, const uint8_t *val, int res)
{
	int err;

	if (res == -ENOENT)
		return -ESTALE;
	if (res < 0)
		return res;
	/* A symlink's target may be cut off, it is not wanted here. */
	err = attr_decode(&i->attr, val, (size_t)MIN(res, ATTR_BYTES_MAX), NULL);
	if (!err && i->attr.ino != i->ino)
		err = -E_DAMAGED;
	if (!err)
		return 0;
	log_error("metadata: the record of inode %lu is %s", i->ino,
	          err == -E_FORMAT ? "of an unknown version" : "damaged");
	return -EIO;
}

/* The record is here: for who reads it and for all who came meanwhile. */
static int
load_finish(struct inode_get *g, int res)
{
	struct inode *i = g->inode;
	struct op_wait *w = i->loaders, *next;

	res = decode(i, g->val, res);
	i->loaders = NULL;
	i->loaded = res == 0;
	for (; w; w = next) {
		next = w->next;
		if (res == 0)
			i->refs++;
		reactor_post(w->op, res);
	}
	if (res == 0)
		return get_check(g);
	i->refs = 0;
	inode_free(i);
	g->inode = NULL;
	return res;
}

static void
load_resume(struct op *step)
{
	struct inode_get *g = container_of(step, struct inode_get, step);

	g->wait->res = load_finish(g, step->res);
	g->wait->resume(g->wait);
}

static void
loader_resume(struct op *step)
{
	struct inode_get *g = container_of(step, struct inode_get, step);

	if (step->res < 0)
		g->inode = NULL;
	g->wait->res = step->res < 0 ? step->res : get_check(g);
	g->wait->resume(g->wait);
}

enum op_state
inode_get(struct inode_get *g, uint64_t ino, uint64_t gen, struct op *op)
{
	struct inode *i = *slot(ino);
	uint8_t key[9];

	assert(shard_owns(ino));
	g->gen = gen;
	g->wait = op;
	g->inode = i && !i->gone ? i : NULL; /* without a reference no pointer */
	if (i && i->gone)
		return op_done(op, -ESTALE);
	if (i && i->loaded) {
		inode_keep(i);
		return op_done(op, get_check(g));
	}
	if (i) {
		g->step.resume = loader_resume;
		g->link = (struct op_wait){ .next = i->loaders, .op = &g->step };
		i->loaders = &g->link;
		return OP_PENDING;
	}
	g->inode = inode_new(ino);
	if (!g->inode)
		return op_done(op, -E_JUKEBOX);
	if (g->inode->loaded)
		return op_done(op, get_check(g));
	g->step.resume = load_resume;
	if (kv_get(&g->kv, key, key_inode(key, ino), g->val, sizeof(g->val), &g->step) == OP_PENDING)
		return OP_PENDING;
	return op_done(op, load_finish(g, g->step.res));
}

int
inode_load(struct inode_get *g, uint64_t ino)
{
	uint8_t key[9];

	assert(shard_owns(ino));
	g->gen = 0;
	g->inode = *slot(ino);
	if (g->inode) {
		inode_keep(g->inode);
		inode_hide(g->inode);
		return 0;
	}
	g->inode = inode_new(ino);
	if (!g->inode)
		return -E_JUKEBOX;
	if (g->inode->loaded) {
		inode_hide(g->inode); /* who replays is about to change it */
		return 0;
	}
	return load_finish(g, kv_get_now(key, key_inode(key, ino), g->val, sizeof(g->val)));
}

/* ---- a look from afar ---- */

static void
peek_answer(struct inode_peek *p, int res)
{
	if (res == 0) {
		p->attr = p->get.inode->attr;
		inode_show(p->get.inode);
		inode_put(p->get.inode);
	}
	shard_reply(&p->call, res);
}

static void
peek_resume(struct op *step)
{
	peek_answer(container_of(step, struct inode_peek, step), step->res);
}

static void
peek_run(struct shard_call *c)
{
	struct inode_peek *p = container_of(c, struct inode_peek, call);

	/* In short form it may stay so; and while there is room those beside it come along, which will be asked for next. */
	if (!inode_known(p->ino) &&
	    (attrcache_get(p->ino, &p->attr) ||
	     (attrcache_has_room() && attrcache_bring(p->ino) == 0 && attrcache_get(p->ino, &p->attr)))) {
		shard_reply(c, p->gen == 0 || p->gen == p->attr.gen ? 0 : -ESTALE);
		return;
	}
	p->step.resume = peek_resume;
	if (inode_get(&p->get, p->ino, p->gen, &p->step) == OP_DONE)
		peek_answer(p, p->step.res);
}

enum op_state
inode_peek(struct inode_peek *p, uint64_t ino, uint64_t gen, struct op *op)
{
	p->ino = ino;
	p->gen = gen;
	if (!shard_owns(ino) && attrcache_look(ino, &p->attr) && (gen == 0 || gen == p->attr.gen))
		return op_done(op, 0);
	return shard_call(shard_owner(ino), &p->call, peek_run, op);
}

/* ---- locks ---- */

enum { LOCK_GOT, LOCK_TURN, LOCK_QUIET };

static void
hand_over(struct op *op)
{
	struct inode *i = container_of(op, struct inode, hand);
	struct op_wait *w = i->lock_first;

	assert(i->handing && !i->locked && w);
	i->handing = false;
	i->lock_first = w->next;
	if (!i->lock_first)
		i->lock_last = &i->lock_first;
	i->locked = true;
	w->op->res = 0;
	w->op->resume(w->op);
}

/*
 * Who waited for the unlock runs before the next lock is given out, so that a
 * busy directory's or file's lockers do not starve its writers.
 */
static void
lock_release(struct inode *i)
{
	struct op_wait *w = i->unlock_waiters, *next;

	assert(i->locked);
	i->locked = false;
	i->unlock_waiters = NULL;
	i->unlock_last = &i->unlock_waiters;
	for (; w; w = next) {
		next = w->next;
		reactor_post(w->op, 0);
	}
	if (i->lock_first && !i->handing) {
		i->handing = true;
		i->hand.resume = hand_over;
		reactor_post(&i->hand, 0);
	}
}

enum op_state
inode_wait_unlocked(struct inode *i, struct op_wait *w, struct op *op)
{
	assert(shard_owns(i->ino) && i->refs > 0);
	if (!i->locked)
		return op_done(op, 0);
	*w = (struct op_wait){ .op = op };
	*i->unlock_last = w;
	i->unlock_last = &w->next;
	return OP_PENDING;
}

static enum op_state
lock_queue(struct inode_lock *l)
{
	struct inode *i = l->inode;

	if (!i->locked && !i->handing) {
		assert(!i->lock_first);
		i->locked = true;
		return OP_DONE;
	}
	l->link = (struct op_wait){ .op = &l->step };
	*i->lock_last = &l->link;
	i->lock_last = &l->link.next;
	return OP_PENDING;
}

static void
lock_resume(struct op *step)
{
	struct inode_lock *l = container_of(step, struct inode_lock, step);
	int res = step->res;

	switch (l->stage) {
	case LOCK_GOT:
		if (res < 0)
			break;
		l->inode = l->get.inode;
		l->stage = LOCK_TURN;
		if (lock_queue(l) == OP_PENDING)
			return;
		fallthrough;
	case LOCK_TURN:
		l->stage = LOCK_QUIET;
		res = l->inode->gone ? -ESTALE : 0; /* by who had it before */
		if (res == 0 && l->inode->file) {
			if (file_quiesce(l->inode, step) == OP_PENDING)
				return;
			res = step->res;
		}
		fallthrough;
	case LOCK_QUIET:
		if (res >= 0)
			break;
		lock_release(l->inode);
		inode_put(l->inode);
		break;
	default:
		assert(false && "a stage");
	}
	if (res >= 0) {
		l->attr = l->was = l->inode->attr;
		l->held = true;
	}
	shard_reply(&l->call, MIN(res, 0));
}

static void
lock_run(struct shard_call *c)
{
	struct inode_lock *l = container_of(c, struct inode_lock, call);

	l->step.resume = lock_resume;
	l->stage = LOCK_GOT;
	if (inode_get(&l->get, l->ino, l->gen, &l->step) == OP_DONE)
		lock_resume(&l->step);
}

enum op_state
inode_lock(struct inode_lock *l, uint64_t ino, uint64_t gen, struct op *op)
{
	l->ino = ino;
	l->gen = gen;
	l->inode = NULL;
	l->trunc = NULL;
	l->nnames = 0;
	l->held = l->changed = l->removed = l->forgotten = false;
	return shard_call(shard_owner(ino), &l->call, lock_run, op);
}

/* On the directory's core.  Of a change that failed RocksDB knows how it went. */
static void
names_install(const struct inode_lock *l)
{
	for (uint32_t n = 0; n < l->nnames; n++) {
		changed_note(l->name[n].id.tag);
		if (l->changed)
			namecache_put(&l->name[n].id, &l->name[n].d);
		else
			namecache_drop(&l->name[n].id);
	}
}

static void
unlock_run(struct shard_call *c)
{
	struct inode_lock *l = container_of(c, struct inode_lock, call);
	struct inode *i = l->inode;

	assert(l->held);
	if (l->changed || l->removed)
		inode_hide(i);
	if (l->changed && l->trunc)
		file_truncated(l->trunc);
	if (l->changed) {
		i->attr = l->attr;
		i->dirty_times = false;
		if (i->file && !l->removed)
			file_unlocked(i);
		l->attr.dirty = i->attr.dirty; /* replies show these */
	}
	names_install(l);
	l->held = false;
	i->gone = l->removed;
	lock_release(i);
	l->forgotten = l->removed && !i->file;
	if (!l->removed || l->forgotten)
		inode_put(i);
	shard_reply(c, 0);
}

enum op_state
inode_unlock(struct inode_lock *l, struct op *op)
{
	return shard_call(shard_owner(l->ino), &l->call, unlock_run, op);
}

static void
forget_run(struct shard_call *c)
{
	inode_put(container_of(c, struct inode_lock, call)->inode);
	shard_reply(c, 0);
}

static void
abandon_run(struct shard_call *c)
{
	inode_drop(container_of(c, struct inode_lock, call)->inode, false);
	shard_reply(c, 0);
}

enum op_state
inode_forget(struct inode_lock *l, bool durable, struct op *op)
{
	assert(l->removed && !l->held && !l->forgotten);
	return shard_call(shard_owner(l->ino), &l->call, durable ? forget_run : abandon_run, op);
}
