/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/chunkmap.h"

#include <stdlib.h>

#include "reactor/log.h"
#include "reactor/reactor.h"

struct chunkmap {
	struct slab slab;
	struct chunk **bucket;
	uint32_t mask;
	struct chunk lru; /* head of the ring, next is the longest unused */
	uint64_t piece_bytes, max_piece_bytes;
	void (*watch)(const struct file *f, uint64_t index, uint32_t npieces);
};

static __thread struct chunkmap *mine;

int
chunkmap_init(uint32_t max_chunks, uint64_t max_piece_bytes)
{
	uint32_t buckets = 1;
	int res;

	while (buckets < max_chunks)
		buckets *= 2;
	mine = calloc(1, sizeof(*mine));
	if (!mine)
		return -ENOMEM;
	mine->bucket = calloc(buckets, sizeof(struct chunk *));
	mine->mask = buckets - 1;
	mine->max_piece_bytes = max_piece_bytes;
	mine->lru.lru_next = mine->lru.lru_prev = &mine->lru;
	res = mine->bucket ? slab_init(&mine->slab, "chunks", sizeof(struct chunk), max_chunks) : -ENOMEM;
	if (res == 0)
		return 0;
	free(mine->bucket);
	free(mine);
	mine = NULL;
	return res;
}

void
chunkmap_fini(void)
{
	slab_fini(&mine->slab); /* every file has dropped its own */
	assert(mine->piece_bytes == 0);
	free(mine->bucket);
	free(mine);
	mine = NULL;
}

void
chunkmap_watch(void (*fn)(const struct file *f, uint64_t index, uint32_t npieces))
{
	mine->watch = fn;
}

static struct chunk **
bucket(const struct file *f, uint64_t index)
{
	return &mine->bucket[mix64((uintptr_t)f ^ mix64(index)) & mine->mask];
}

static uint64_t
pieces_bytes(const struct pieces *p)
{
	return p->cap * sizeof(*p->v);
}

struct chunk *
chunkmap_find(const struct file *f, uint64_t index)
{
	struct chunk *c = *bucket(f, index);

	while (c && (c->file != f || c->index != index))
		c = c->hash_next;
	return c;
}

static void
lru_remove(struct chunk *c)
{
	c->lru_prev->lru_next = c->lru_next;
	c->lru_next->lru_prev = c->lru_prev;
}

static void
lru_append(struct chunk *c)
{
	c->lru_prev = mine->lru.lru_prev;
	c->lru_next = &mine->lru;
	c->lru_prev->lru_next = c;
	mine->lru.lru_prev = c;
}

static struct chunk *
chunk_keep(struct chunk *c)
{
	if (c->refs++ == 0)
		lru_remove(c);
	return c;
}

static void
chunk_free(struct chunk *c)
{
	mine->piece_bytes -= pieces_bytes(&c->pieces);
	pieces_fini(&c->pieces);
	slab_put(&mine->slab, c);
}

/* Nobody finds it from now on. */
static void
chunk_unlink(struct chunk *c)
{
	struct chunk **at = bucket(c->file, c->index);

	while (*at != c)
		at = &(*at)->hash_next;
	*at = c->hash_next;
	if (c->file_prev)
		c->file_prev->file_next = c->file_next;
	else
		c->file->chunks = c->file_next;
	if (c->file_next)
		c->file_next->file_prev = c->file_prev;
	c->file = NULL;
}

static void
chunk_drop(struct chunk *c)
{
	chunk_unlink(c);
	if (c->refs > 0)
		return; /* the last chunkmap_put frees it */
	lru_remove(c);
	chunk_free(c);
}

void
chunkmap_put(struct chunk *c)
{
	assert(c->refs > 0);
	if (--c->refs > 0)
		return;
	if (c->file)
		lru_append(c);
	else
		chunk_free(c);
}

/* Keeps the bound; the chunks in use may exceed it. */
static void
shrink(void)
{
	while (mine->piece_bytes > mine->max_piece_bytes && mine->lru.lru_next != &mine->lru)
		chunk_drop(mine->lru.lru_next);
}

void
chunkmap_set(struct chunk *c, struct pieces *pieces, uint32_t nrecs)
{
	mine->piece_bytes -= pieces_bytes(&c->pieces);
	pieces_fini(&c->pieces);
	c->pieces = *pieces;
	c->nrecs = nrecs;
	*pieces = (struct pieces){ 0 };
	mine->piece_bytes += pieces_bytes(&c->pieces);
	if (c->file && mine->watch)
		mine->watch(c->file, c->index, c->pieces.n);
	shrink();
}

/* With one reference, linked; NULL: all are in use. */
static struct chunk *
chunk_new(struct file *f, uint64_t index)
{
	struct chunk *c = slab_get(&mine->slab), **b = bucket(f, index);

	if (!c && mine->lru.lru_next != &mine->lru) {
		chunk_drop(mine->lru.lru_next);
		c = slab_get(&mine->slab);
	}
	if (!c)
		return NULL;
	*c = (struct chunk){ .file = f, .index = index, .refs = 1 };
	/* After the eviction: that may have changed the chain. */
	c->hash_next = *b;
	*b = c;
	c->file_next = f->chunks;
	if (f->chunks)
		f->chunks->file_prev = c;
	f->chunks = c;
	return c;
}

/* The value is here: makes a chunk of it. */
static int
loaded(struct chunk_get *g, int res)
{
	struct pieces pieces = { 0 };

	if (res == -ENOENT)
		res = 0; /* never written: all hole */
	else if (res >= 0)
		res = chunk_decode(g->kv.out, g->kv.len, &pieces);
	if (res == -E_DAMAGED || res == -E_FORMAT)
		log_error("inode %lu: the records of chunk %lu are damaged", g->file->inode->ino, g->index);
	if (res < 0)
		return res;
	g->chunk = chunk_new(g->file, g->index);
	if (!g->chunk) {
		pieces_fini(&pieces);
		return -E_JUKEBOX;
	}
	chunkmap_set(g->chunk, &pieces, (uint32_t)(g->kv.len / SLICE_REC_BYTES));
	return 0;
}

/*
 * What was read may be from before or after a change that somebody commits
 * meanwhile: so it counts only when no change has ended since, and none is under way.
 */
static bool
is_current(const struct chunk_get *g)
{
	return g->gen == g->file->map_gen && (g->locked || !g->file->inode->locked);
}

static enum op_state
chunk_get_run(struct chunk_get *g)
{
	struct file *f = g->file;
	uint8_t key[KV_KEY_MAX];
	bool stale;
	int res;

	for (;;) {
		switch (g->stage) {
		case CHUNK_LOOK:
			if (!f->inode)
				return op_done(g->wait, -ESTALE);
			g->chunk = chunkmap_find(f, g->index);
			if (g->chunk) {
				chunk_keep(g->chunk);
				return op_done(g->wait, 0);
			}
			g->gen = f->map_gen;
			g->stage = CHUNK_READ;
			if (kv_get_any(&g->kv, key, key_chunk(key, f->inode->ino, g->index), &g->step) ==
			    OP_PENDING)
				return OP_PENDING;
			fallthrough;
		case CHUNK_READ:
			stale = f->inode && !is_current(g);
			res = stale || !f->inode || chunkmap_find(f, g->index) ? -EAGAIN
			                                                       : loaded(g, g->step.res);
			free(g->kv.out);
			g->kv.out = NULL;
			if (res != -EAGAIN)
				return op_done(g->wait, res);
			g->stage = CHUNK_LOOK;
			/* Readahead has no reference to the inode; one that is locked has its holder's. */
			if (stale && !g->locked && f->inode->locked &&
			    inode_wait_unlocked(f->inode, &g->link, &g->step) == OP_PENDING)
				return OP_PENDING;
			break;
		}
	}
}

static void
chunk_get_resume(struct op *step)
{
	struct chunk_get *g = container_of(step, struct chunk_get, step);

	if (chunk_get_run(g) == OP_DONE)
		g->wait->resume(g->wait);
}

enum op_state
chunkmap_get(struct chunk_get *g, struct file *f, uint64_t index, bool locked, struct op *op)
{
	assert(f->users > 0);
	g->step.resume = chunk_get_resume;
	g->wait = op;
	g->file = f;
	g->index = index;
	g->locked = locked;
	g->stage = CHUNK_LOOK;
	return chunk_get_run(g);
}

/* In place: cutting needs no memory, so it cannot fail. */
static void
cut_one(struct chunk *c, uint32_t end)
{
	struct pieces *p = &c->pieces;
	uint32_t n = pieces_find(p, end);

	if (n < p->n && p->v[n].pos < end) {
		p->v[n].len = end - p->v[n].pos;
		n++;
	}
	p->n = n;
	c->nrecs++; /* the hole */
}

void
chunkmap_cut(struct file *f, uint64_t size)
{
	f->map_gen++;
	for (struct chunk *c = f->chunks; c; c = c->file_next) {
		uint64_t start = c->index * CHUNK_BYTES;

		if (start >= size)
			c->nrecs = c->pieces.n = 0;
		else if (start + CHUNK_BYTES > size)
			cut_one(c, (uint32_t)(size - start));
	}
}

void
chunkmap_drop(struct file *f)
{
	f->map_gen++;
	while (f->chunks)
		chunk_drop(f->chunks);
}
