/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of size.  A file that grows gets a hole, which needs nothing.  One
 * that shrinks gets a TRUNC record in the journal, where that may still hold records of it; then the
 * slices that nothing shows any more become garbage, in the caller's batch.
 *
 * A file of very many chunks loses them over several batches of our own, before
 * the caller's: the record in the journal makes sure that a crash between ends the work.
 */
#include "meta/file_trunc.h"

#include <stdlib.h>

#include "meta/chunkmap.h"
#include "meta/flush.h"
#include "meta/garbage.h"
#include "meta/usage.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define TRUNCS 64 /* at once, a core */

enum { TRUNC_BEGIN, TRUNC_BOUNDARY, TRUNC_SCANNED, TRUNC_SYNCED, TRUNC_WRITTEN };

struct trunc_priv {
	struct file *file;
	struct chunk_get chunk;
	struct trunc_scan scan;
	struct kv_batch *batch;     /* our own */
	struct kv_write write;
	bool recorded;
};

static __thread struct slab slab;
static __thread struct runq queue;

int
trunc_init(void)
{
	runq_init(&queue);
	return slab_init(&slab, "truncations", sizeof(struct trunc_priv), TRUNCS);
}

void
trunc_fini(void)
{
	assert(!queue.head);
	slab_fini(&slab);
}

/* ---- the batch */

void
trunc_scan_reset(void *arg)
{
	struct trunc_scan *s = arg;

	s->nchunks = s->nslices = 0;
	s->covered = 0;
	s->more = false;
}

void
trunc_scan_fini(struct trunc_scan *s)
{
	free(s->slice);
	s->slice = NULL;
	s->cap = 0;
}

static int
id_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Each slice once: a slice lies in one chunk only. */
static int
add_slices(struct trunc_scan *s, const struct pieces *p)
{
	uint32_t first = s->nslices, n = first;

	if (p->n == 0)
		return 0;
	if (s->nslices + p->n > s->cap) {
		uint32_t cap = 2 * (s->nslices + p->n);
		uint64_t *more = realloc(s->slice, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->slice = more;
		s->cap = cap;
	}
	for (uint32_t i = 0; i < p->n; i++)
		s->slice[s->nslices++] = p->v[i].slice;
	qsort(s->slice + first, s->nslices - first, sizeof(*s->slice), id_cmp);
	for (uint32_t i = first; i < s->nslices; i++)
		if (n == first || s->slice[n - 1] != s->slice[i])
			s->slice[n++] = s->slice[i];
	s->nslices = n;
	return 0;
}

/* Any thread. */
static int
see_chunk(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct trunc_scan *s = arg;
	struct pieces p = { 0 };
	int res;

	if (s->nchunks == TRUNC_CHUNKS) {
		s->more = true;
		return 1;
	}
	res = chunk_decode(val, vlen, &p);
	if (res == 0)
		res = add_slices(s, &p);
	if (res == 0) {
		s->chunk[s->nchunks++] = get_be64((const uint8_t *)key + klen - 8);
		s->covered += pieces_covered(&p);
	}
	pieces_fini(&p);
	return res;
}

void
trunc_scan_start(struct trunc_scan *s, uint64_t ino, uint64_t first)
{
	trunc_scan_reset(s);
	s->scan.from_len = (uint16_t)key_chunk(s->scan.from, ino, first);
	s->scan.to_len = (uint16_t)key_chunk(s->scan.to, ino + 1, 0);
	s->scan.fn = see_chunk;
	s->scan.arg = s;
}

uint64_t
trunc_chunks(const struct trunc_scan *s, const struct attr *a, struct kv_batch *b)
{
	uint8_t key[KV_KEY_MAX];

	for (uint32_t i = 0; i < s->nchunks; i++)
		kv_batch_del(b, key, key_chunk(key, a->ino, s->chunk[i]));
	for (uint32_t i = 0; i < s->nslices; i++)
		garbage_slice(b, s->slice[i], a->share);
	return s->covered;
}

int64_t
trunc_boundary(const struct pieces *p, uint64_t chunk, uint32_t end, const struct attr *a,
               struct kv_batch *b)
{
	struct slice_rec hole = { .pos = end, .len = (uint32_t)CHUNK_BYTES - end };
	uint8_t key[KV_KEY_MAX], val[SLICE_REC_BYTES];
	uint64_t *lost;
	int64_t cut = 0;
	uint32_t n;

	for (uint32_t i = pieces_find(p, end); i < p->n; i++)
		cut += p->v[i].pos + p->v[i].len - MAX(p->v[i].pos, end);
	if (cut == 0)
		return 0;
	lost = malloc(p->n * sizeof(*lost));
	if (!lost)
		return -ENOMEM;
	n = pieces_lost(p, &hole, 1, lost);
	for (uint32_t i = 0; i < n; i++)
		garbage_slice(b, lost[i], a->share);
	free(lost);
	slice_encode(val, &hole);
	kv_batch_merge(b, key, key_chunk(key, a->ino, chunk), val, sizeof(val));
	return cut;
}

/* ---- the operation */

static void
account(struct attr *a, uint64_t cut, struct kv_batch *b)
{
	if (cut > a->used) {
		log_error("inode %lu: %lu bytes are cut where %lu are used", a->ino, cut, a->used);
		cut = a->used;
	}
	a->used -= cut;
	usage_add(b, a->share, -(int64_t)cut, 0);
}

static void
priv_put(struct file_trunc *t)
{
	struct trunc_priv *p = t->priv;
	struct op *step = queue.head;

	trunc_scan_fini(&p->scan);
	if (p->chunk.chunk)
		chunkmap_put(p->chunk.chunk);
	if (p->batch)
		kv_batch_free(p->batch);
	if (p->file)
		file_put(p->file);
	slab_put(&slab, p);
	t->priv = NULL;
	if (step) {
		queue.head = step->next;
		if (!queue.head)
			queue.tail = &queue.head;
		reactor_post(step, 0);
	}
}

static enum op_state
trunc_finish(struct file_trunc *t, int res)
{
	priv_put(t);
	if (res == 0) {
		t->attr->size = t->size;
		crash_point("trunc.prepared");
	}
	return op_done(t->wait, res);
}

/* Does the next start of the server find records of this file? */
static bool
needs_record(const struct file_trunc *t)
{
	return t->attr->jseq >= journal_kept_from() || (t->attr->size - t->size) / CHUNK_BYTES > TRUNC_CHUNKS;
}

static int
append(struct file_trunc *t)
{
	struct jloc loc;
	int res = journal_append(file_journal(), J_TRUNC, t->inode->ino, t->size, reactor_wall_ns(), NULL,
	                         &t->attr->jseq, &loc);

	/* It must not wait for the uploader, who may wait for the lock that is held here. */
	if (res == -EAGAIN) {
		flush_pressure();
		return -E_JUKEBOX;
	}
	return res;
}

/* The record, durable; after everything that could make the truncation fail. */
static enum op_state
record(struct file_trunc *t)
{
	struct trunc_priv *p = t->priv;
	int res = p->recorded || !needs_record(t) ? 0 : append(t);

	p->recorded = true;
	if (res < 0 || t->attr->jseq <= journal_durable(file_journal()))
		return op_done(&t->step, res);
	return journal_sync(file_journal(), t->attr->jseq, &t->step);
}

static enum op_state
scan_chunks(struct file_trunc *t)
{
	struct trunc_priv *p = t->priv;

	trunc_scan_start(&p->scan, t->inode->ino, (t->size + CHUNK_BYTES - 1) / CHUNK_BYTES);
	return kv_scan(&p->scan.scan, trunc_scan_reset, &t->step);
}

/* More chunks than a batch should have: these go first, under the size that the file still has. */
static enum op_state
write_some(struct file_trunc *t)
{
	struct trunc_priv *p = t->priv;
	uint8_t key[KV_KEY_MAX], val[ATTR_BYTES_MAX];
	struct attr *a = &t->inode->attr;

	if (!p->batch)
		p->batch = kv_batch_new();
	kv_batch_clear(p->batch);
	account(a, trunc_chunks(&p->scan, a, p->batch), p->batch);
	t->attr->used = a->used;
	kv_batch_put(p->batch, key, key_inode(key, a->ino), val, attr_encode(val, a));
	return kv_write(&p->write, p->batch, &t->step);
}

static int
fill_batch(struct file_trunc *t)
{
	struct trunc_priv *p = t->priv;
	int64_t cut = 0;

	if (p->chunk.chunk)
		cut = trunc_boundary(&p->chunk.chunk->pieces, p->chunk.index,
		                     (uint32_t)(t->size % CHUNK_BYTES), t->attr, t->batch);
	if (cut < 0)
		return -E_JUKEBOX;
	account(t->attr, (uint64_t)cut + trunc_chunks(&p->scan, t->attr, t->batch), t->batch);
	return 0;
}

static int
trunc_open(struct file_trunc *t)
{
	struct trunc_priv *p = t->priv;

	*p = (struct trunc_priv){ .file = file_get(t->inode) };
	return p->file ? 0 : -E_JUKEBOX;
}

/* Nothing of it in the object store: then its chunks show nothing. */
static bool
is_only_dirty(const struct file_trunc *t)
{
	return t->attr->used == 0;
}

static enum op_state
trunc_run(struct file_trunc *t)
{
	struct trunc_priv *p = t->priv;
	int res;

	for (;;) {
		switch (t->stage) {
		case TRUNC_BEGIN:
			p = t->priv = slab_get(&slab);
			if (!p) {
				runq_push(&queue, &t->step, 0);
				return OP_PENDING;
			}
			res = trunc_open(t);
			if (res < 0)
				return trunc_finish(t, res);
			t->stage = TRUNC_BOUNDARY;
			t->step.res = 0;
			if (!is_only_dirty(t) && t->size % CHUNK_BYTES != 0 &&
			    chunkmap_get(&p->chunk, p->file, t->size / CHUNK_BYTES, true, &t->step) == OP_PENDING)
				return OP_PENDING;
			fallthrough;
		case TRUNC_BOUNDARY:
			if (t->step.res < 0)
				return trunc_finish(t, t->step.res);
			t->stage = TRUNC_SCANNED;
			if (!is_only_dirty(t) && scan_chunks(t) == OP_PENDING)
				return OP_PENDING;
			fallthrough;
		case TRUNC_SCANNED:
			if (t->step.res < 0)
				return trunc_finish(t, t->step.res == -ENOMEM ? -E_JUKEBOX : -EIO);
			t->stage = TRUNC_SYNCED;
			if (record(t) == OP_PENDING)
				return OP_PENDING;
			fallthrough;
		case TRUNC_SYNCED:
			if (t->step.res < 0)
				return trunc_finish(t, t->step.res);
			crash_point("trunc.journaled");
			if (!p->scan.more)
				return trunc_finish(t, fill_batch(t));
			t->stage = TRUNC_WRITTEN;
			if (write_some(t) == OP_PENDING)
				return OP_PENDING;
			fallthrough;
		case TRUNC_WRITTEN:
			if (t->step.res < 0)
				return trunc_finish(t, t->step.res);
			crash_point("trunc.some_chunks_gone");
			p->file->map_gen++;
			trunc_scan_reset(&p->scan);
			t->stage = TRUNC_BOUNDARY; /* the next ones */
			break;
		default:
			assert(!"a stage");
		}
	}
}

static void
trunc_resume(struct op *step)
{
	struct file_trunc *t = container_of(step, struct file_trunc, step);

	if (trunc_run(t) == OP_DONE)
		t->wait->resume(t->wait);
}

enum op_state
file_trunc_prepare(struct file_trunc *t, struct op *op)
{
	assert(shard_owns(t->inode->ino) && t->inode->locked);
	t->wait = op;
	t->priv = NULL;
	if (t->size > FILE_SIZE_MAX)
		return op_done(op, -EFBIG);
	if (t->size >= t->attr->size) {
		t->attr->size = t->size;
		return op_done(op, 0);
	}
	t->step.resume = trunc_resume;
	t->stage = TRUNC_BEGIN;
	return trunc_run(t);
}

void
file_truncated(struct file_trunc *t)
{
	struct file *f = t->inode->file;
	uint64_t size = t->attr->size;

	crash_point("trunc.applied");
	if (!f)
		return;
	retire_hold(f, size);
	extent_cut(&f->dirty, size);
	chunkmap_cut(f, size);
	f->cut = MIN(f->cut, size);
	write_kick();
}
