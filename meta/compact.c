/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/compact.h"

#include <stdlib.h>

#include "meta/chunk_change.h"
#include "meta/compact_plan.h"
#include "meta/compact_queue.h"
#include "meta/fetch.h"
#include "meta/flush.h"
#include "meta/garbage.h"
#include "meta/sliceid.h"
#include "reactor/latency.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "store/diskcache.h"

#define PARTS       8                /* of sources, at once */
#define PART_FRAMES 16               /* of all of them */
#define LATER_NS    (500 * MSEC_NS)  /* memory is short, uploads are behind */
#define FAILED_NS   (5 * SEC_NS)

/* Bytes of one block of a source, on their way to byte `at` of the new slice. */
struct part {
	uint32_t at, off, len;
	uint32_t nframes;
	bool cached;                     /* then buf, else .fetch */
	struct buf *buf;
	struct fetch fetch;
	struct op_part op;
};

enum compact_stage {
	COMPACT_INODE, COMPACT_CHUNK, COMPACT_COPY, COMPACT_UPLOADED, COMPACT_LOCKED, COMPACT_WRITTEN, COMPACT_UNLOCKED,
	COMPACT_SYNCED,
};

struct compact {
	struct compact_rule rule;
	uint64_t rate, delay_ns;         /* bytes a second; how long a chunk rests before its turn */
	uint32_t max_bytes;
	struct hist *time;
	struct compact_queue queue;
	struct timer timer;
	struct op tick;
	uint64_t not_before_ns;
	bool stopping, running;

	/* the chunk that is being looked at */
	struct compact_candidate at;     /* taken out of the queue; ino 0: none */
	bool again;                      /* it has changed meanwhile: another look at it later */
	struct compact_plan plan;

	/* the merge that is under way */
	enum compact_stage stage;
	uint64_t start_ns;
	uint64_t map_gen;                /* when it was planned */
	uint32_t share;
	struct inode_get get;
	struct file *file;
	struct chunk_get chunk_get;
	struct chunk *chunk;
	uint64_t slice;
	uint32_t nbufs, copied;
	uint64_t warm;                   /* set of its frames that somebody reads */
	struct buf *buf[FRAMES_PER_BLOCK];
	uint32_t src, in;                /* the source that is copied next, and from which byte of it on */
	uint32_t nparts;
	struct part part[PARTS];
	struct op_join join;
	struct bufref ref[FRAMES_PER_BLOCK];
	struct upload_block block;
	struct upload upload;
	struct inode_lock lock;
	struct slice_rec rec[PLAN_RECORDS];
	uint32_t nrecs;
	struct chunk_change change;
	struct kv_batch *batch;
	struct kv_write write;
	int written;
	struct op step;
};

static __thread struct compact *mine;

/* ---- candidates */

static void
arm(struct compact *c, uint64_t due_ns)
{
	if (!c->stopping && !c->running)
		timer_start_by(&c->timer, MAX(due_ns, c->not_before_ns), &c->tick);
}

static void
pending_changed(const struct compact *c)
{
	__atomic_store_n(&file_count()->compact_pending, c->queue.n + (c->at.ino != 0), __ATOMIC_RELAXED);
}

static bool
candidate_add(struct compact *c, const struct compact_candidate *new)
{
	const struct compact_candidate *x = compact_queue_add(&c->queue, new, reactor_now_ns(), c->delay_ns);

	if (x) {
		pending_changed(c);
		arm(c, x->due_ns);
	}
	return x != NULL;
}

/* Cheap: it is told of every chunk that is loaded or written. */
static void
note(const struct file *f, uint64_t chunk, uint32_t npieces)
{
	struct compact *c = mine;

	if (c->stopping || !f->inode || !compact_may(npieces, &c->rule))
		return;
	if (c->at.ino == f->inode->ino && c->at.chunk == chunk)
		c->again = true;
	else
		candidate_add(c, &(struct compact_candidate){ .ino = f->inode->ino, .gen = f->inode->attr.gen, .chunk = chunk,
			                                      .since_ns = reactor_now_ns() });
}

bool
compact_ask(uint64_t ino, uint64_t gen, uint64_t chunk)
{
	struct compact *c = mine;

	assert(shard_owns(ino));
	if (c->stopping)
		return true;
	if (c->at.ino == ino && c->at.chunk == chunk)
		return false;
	return candidate_add(c, &(struct compact_candidate){ .ino = ino, .gen = gen, .chunk = chunk,
		                                             .since_ns = reactor_now_ns(), .asked = true });
}

uint32_t
compact_asked(void)
{
	return mine->queue.asked + (mine->at.ino != 0 && mine->at.asked);
}

/* ---- sources into buffers */

static void
bufs_put(struct compact *c)
{
	while (c->nbufs > 0)
		buf_put(c->buf[--c->nbufs]);
}

/* Never waits for memory: clients do. */
static int
bufs_get(struct compact *c)
{
	uint32_t n = (c->plan.bytes + FRAME_BYTES - 1) / FRAME_BYTES;

	while (c->nbufs < n) {
		c->buf[c->nbufs] = buf_get(BUF_LARGE, BUF_CACHE);
		if (!c->buf[c->nbufs])
			return -E_JUKEBOX;
		c->nbufs++;
	}
	return 0;
}

/* The next bytes of the sources, as much as may be read at once. */
static void
parts_take(struct compact *c)
{
	uint32_t frames = 0;

	for (c->nparts = 0; c->nparts < PARTS && frames < PART_FRAMES && c->src < c->plan.n; c->nparts++) {
		const struct slice_rec *s = &c->plan.src[c->src];
		struct part *p = &c->part[c->nparts];
		uint32_t off = s->off + c->in, first = off / FRAME_BYTES;
		uint32_t stop = MIN(s->off + s->len, ROUND_DOWN(off, (uint32_t)BLOCK_BYTES) + (uint32_t)BLOCK_BYTES);

		stop = MIN(stop, (first + PART_FRAMES - frames) * FRAME_BYTES);
		p->at = c->copied;
		p->off = off;
		p->len = stop - off;
		p->nframes = (stop - 1) / FRAME_BYTES - first + 1;
		p->fetch.slice = s->slice;
		p->fetch.ino = c->at.ino;
		p->fetch.first = first;
		p->fetch.n = p->nframes;
		p->fetch.end = stop;
		p->fetch.cache.nowait = true;
		frames += p->nframes;
		c->copied += p->len;
		c->in += p->len;
		if (c->in == s->len) {
			c->src++;
			c->in = 0;
		}
	}
}

static void
part_warm(struct compact *c, const struct part *p)
{
	bool warm = false;

	for (uint32_t k = 0; k < p->nframes && !warm; k++)
		warm = cache_has(p->fetch.slice, p->fetch.first + k);
	for (uint32_t k = p->at / FRAME_BYTES; warm && k <= (p->at + p->len - 1) / FRAME_BYTES; k++)
		c->warm |= (uint64_t)1 << k;
}

static enum op_state
parts_fetch(struct compact *c)
{
	const char *prefix = share_prefix(c->share);

	op_join_start(&c->join, &c->step);
	for (uint32_t i = 0; i < c->nparts; i++) {
		struct part *p = &c->part[i];
		struct op *op = op_join_part(&c->join, &p->op);

		part_warm(c, p);
		p->buf = p->nframes == 1 ? cache_find(p->fetch.slice, p->fetch.first) : NULL;
		p->cached = p->buf != NULL;
		if (p->cached)
			op->res = 0;
		else
			op_join_add(&c->join, &p->op, fetch_run(&p->fetch, file_options()->store, prefix, op));
	}
	return op_join_wait(&c->join);
}

static void
copy_in(struct compact *c, uint32_t at, const uint8_t *from, uint32_t n)
{
	while (n > 0) {
		uint32_t in = at % FRAME_BYTES, m = MIN(n, FRAME_BYTES - in);

		memcpy(c->buf[at / FRAME_BYTES]->data + in, from, m);
		at += m;
		from += m;
		n -= m;
	}
}

/* Takes what has come, and gives it back.  An error: some of it has not. */
static int
parts_copy(struct compact *c)
{
	int res = 0;

	for (uint32_t i = 0; i < c->nparts; i++) {
		struct part *p = &c->part[i];
		uint32_t off = p->off, at = p->at;

		if (p->op.op.res < 0) {
			res = res < 0 ? res : p->op.op.res;
			continue;
		}
		for (uint32_t k = 0; k < p->nframes; k++) {
			struct buf *b = p->cached ? p->buf : p->fetch.cache.out[k];
			uint32_t in = off % FRAME_BYTES, n = MIN(FRAME_BYTES - in, p->off + p->len - off);

			copy_in(c, at, b->data + in, n);
			buf_put(b);
			off += n;
			at += n;
		}
	}
	c->nparts = 0;
	return res;
}

/* ---- the merge */

/* True: the file is written to, so what is merged now would be overwritten soon. */
static bool
is_busy(const struct compact *c)
{
	const struct file *f = c->file;

	return (f->flush || f->dirty.count > 0) && c->at.since_ns + COMPACT_BUSY_NS > reactor_now_ns();
}

/* The inode is here. */
static int
open_file(struct compact *c)
{
	if (c->get.inode->attr.type != FT_REG)
		return -ESTALE;
	c->file = file_get(c->get.inode);
	return !c->file ? -E_JUKEBOX : is_busy(c) ? -EBUSY : 0;
}

/* The chunk is here: what is to be done.  -ENOENT: nothing is worth it. */
static int
plan(struct compact *c)
{
	c->chunk = c->chunk_get.chunk;
	if (!c->file->inode)
		return -ESTALE;
	if (!compact_next(&c->chunk->pieces, &c->rule, c->plan.upto, c->max_bytes, &c->plan))
		return -ENOENT;
	c->share = c->file->inode->attr.share;
	c->map_gen = c->file->map_gen;
	c->src = c->in = c->copied = 0;
	c->warm = 0;
	c->slice = slice_id_take(1, NULL);
	return c->slice ? bufs_get(c) : -E_JUKEBOX;
}

static enum op_state
upload(struct compact *c)
{
	for (uint32_t k = 0; k < c->nbufs; k++)
		c->ref[k] = (struct bufref){ c->buf[k], 0, MIN(FRAME_BYTES, c->plan.bytes - k * FRAME_BYTES) };
	c->block = (struct upload_block){ .slice = c->slice, .plain = c->plan.bytes, .part = c->ref,
		                          .nparts = (int)c->nbufs };
	c->upload = (struct upload){ .store = file_options()->store, .prefix = share_prefix(c->share),
		                     .uuid = file_volume()->uuid, .how = *share_how(c->share), .block = &c->block, .nblocks = 1 };
	return upload_run(&c->upload, &c->step);
}

/* The new slice where it still belongs; it is garbage where nothing does. */
static int
build(struct compact *c)
{
	uint8_t key[KV_KEY_MAX], val[BLOCK_REC_BYTES_MAX];

	kv_batch_clear(c->batch);
	kv_batch_put(c->batch, key, key_block(key, c->slice, 0), val, block_encode(val, &c->block.rec));
	c->nrecs = c->lock.held ? compact_records(&c->plan, &c->chunk->pieces, c->slice, c->rec) : 0;
	if (c->nrecs > 0)
		return chunk_change_put(&c->change, c->chunk, &c->lock.attr, c->rec, c->nrecs, c->batch);
	garbage_slice(c->batch, c->slice, c->share);
	return 0;
}

/* The batch is applied: reads go on without a gap. */
static void
apply(struct compact *c)
{
	struct file_stats *s = file_count();

	if (c->nrecs == 0)
		return;
	assert(c->chunk->file == c->file);
	chunkmap_set(c->chunk, &c->change.pieces, c->change.nrecs);
	c->file->map_gen++;
	for (uint32_t k = 0; k < c->nbufs; k++) {
		if (c->warm >> k & 1)
			cache_insert(c->slice, k, c->buf[k], c->ref[k].len);
		diskcache_insert(c->slice, k, c->at.ino, c->buf[k], c->ref[k].len, true);
	}
	s->compactions++;
	s->compacted_bytes += c->plan.bytes;
	s->compacted_pieces += c->plan.n;
	s->compacted_into += c->nrecs;
	c->again = true;
}

/* ---- the end of a merge, and what is next */

static void
release(struct compact *c)
{
	bufs_put(c);
	pieces_fini(&c->change.pieces);
	if (c->chunk)
		chunkmap_put(c->chunk);
	if (c->file)
		file_put(c->file);
	if (c->get.inode)
		inode_put(c->get.inode);
	c->chunk = NULL;
	c->file = NULL;
	c->get.inode = NULL;
}

/* The chunk is done, also for who asked for it, or its turn comes again. */
static void
leave(struct compact *c, bool later, uint64_t since_ns)
{
	struct compact_candidate at = c->at;

	c->at.ino = 0;
	at.since_ns = since_ns;
	at.asked = false;
	if (later && !c->stopping)
		candidate_add(c, &at);
	pending_changed(c);
}

static void
finish(struct compact *c, int res)
{
	uint64_t now = reactor_now_ns(), took = reactor_clock_ns() - c->start_ns, wait_ns = 0;
	bool changed = c->file && c->file->map_gen != c->map_gen;

	release(c);
	c->running = false;
	if (res < 0 && c->stage >= COMPACT_UPLOADED)
		res = -EAGAIN; /* whatever the object store or RocksDB have */
	switch (-res) {
	case 0: /* the next of the chunk */
		hist_record(c->time, took);
		wait_ns = MAX(took, (uint64_t)c->plan.bytes * SEC_NS / c->rate);
		break;
	case ENOENT:
		leave(c, c->again, now);
		break;
	case EBUSY:
		leave(c, true, c->at.since_ns);
		break;
	case ESTALE:
		leave(c, false, 0);
		break;
	case E_JUKEBOX:
		c->plan.upto = 0; /* what was merged is not found again */
		wait_ns = LATER_NS;
		break;
	default:
		file_count()->compact_errors++;
		/* What it read may have been deleted meanwhile, as a reader's is. */
		leave(c, changed || res == -EAGAIN, now);
		wait_ns = FAILED_NS;
	}
	c->not_before_ns = now + wait_ns;
	arm(c, now); /* tick finds out when the next is due */
}

static void
compact_run(struct compact *c)
{
	int res;

	for (;;) {
		res = c->step.res;
		switch (c->stage) {
		case COMPACT_INODE:
			res = res < 0 ? res : open_file(c);
			if (res < 0)
				goto out;
			c->stage = COMPACT_CHUNK;
			if (chunkmap_get(&c->chunk_get, c->file, c->at.chunk, false, &c->step) == OP_PENDING)
				return;
			res = c->step.res;
			fallthrough;
		case COMPACT_CHUNK:
			res = res < 0 ? res : plan(c);
			if (res < 0)
				goto out;
			c->stage = COMPACT_COPY;
			fallthrough;
		case COMPACT_COPY: /* parts are here */
			res = parts_copy(c);
			if (res == 0 && c->stopping)
				res = -ESTALE;
			if (res < 0)
				goto out;
			if (c->src < c->plan.n) {
				parts_take(c);
				if (parts_fetch(c) == OP_DONE)
					reactor_post(&c->step, 0); /* others first */
				return;
			}
			c->stage = COMPACT_UPLOADED;
			if (upload(c) == OP_PENDING)
				return;
			res = c->step.res;
			fallthrough;
		case COMPACT_UPLOADED:
			if (res < 0)
				goto out;
			crash_point("compact.uploaded");
			c->stage = COMPACT_LOCKED;
			if (inode_lock(&c->lock, c->at.ino, c->at.gen, &c->step) == OP_PENDING)
				return;
			fallthrough;
		case COMPACT_LOCKED: /* or not: it is gone */
			c->stage = COMPACT_WRITTEN;
			if (op_done(&c->step, build(c)) == OP_DONE && c->step.res == 0 &&
			    kv_write(&c->write, c->batch, &c->step) == OP_PENDING)
				return;
			res = c->step.res;
			fallthrough;
		case COMPACT_WRITTEN:
			c->written = res;
			if (res == 0) {
				crash_point("compact.applied");
				apply(c);
			}
			c->stage = COMPACT_UNLOCKED;
			if (c->lock.held && inode_unlock(&c->lock, &c->step) == OP_PENDING)
				return;
			fallthrough;
		case COMPACT_UNLOCKED:
			res = c->written;
			if (res < 0)
				goto out;
			c->stage = COMPACT_SYNCED;
			if (kv_sync(&c->write, &c->step) == OP_PENDING)
				return;
			res = c->step.res;
			fallthrough;
		case COMPACT_SYNCED:
			crash_point("compact.synced");
			goto out;
		}
	}
out:
	finish(c, MIN(res, 0));
}

static void
compact_resume(struct op *step)
{
	compact_run(container_of(step, struct compact, step));
}

/* One merge of the chunk that is looked at, or of the next one. */
static void
tick(struct op *op)
{
	struct compact *c = container_of(op, struct compact, tick);
	const struct compact_candidate *x;
	uint64_t now = reactor_now_ns();

	if (c->stopping || c->running)
		return;
	if (flush_is_behind()) {
		c->not_before_ns = now + LATER_NS;
		arm(c, now);
		return;
	}
	if (c->at.ino == 0) {
		x = compact_queue_first(&c->queue);
		if (!x || x->due_ns > now) {
			if (x)
				arm(c, x->due_ns);
			return;
		}
		c->at = compact_queue_take(&c->queue, x);
		c->again = false;
		c->plan.upto = 0;
	}
	c->running = true;
	c->start_ns = reactor_clock_ns();
	c->stage = COMPACT_INODE;
	if (inode_get(&c->get, c->at.ino, c->at.gen, &c->step) == OP_DONE)
		compact_run(c);
}

bool
compact_quit(void)
{
	struct compact *c = mine;

	c->stopping = true;
	timer_stop(&c->timer);
	return !c->running;
}

void
compact_tune(void)
{
	const struct file_opts *o = file_options();
	struct compact *c = mine;

	c->rule = (struct compact_rule){ .merge = o->compact_merge, .gathered = o->compact_gathered };
	c->rate = MAX(o->compact_rate / (uint64_t)reactor_cores(), MIB);
	c->delay_ns = o->compact_delay_ns;
}

int
compact_init(uint64_t arena_bytes)
{
	struct compact *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->max_bytes = (uint32_t)MAX(PLAN_BYTES_LEAST, MIN(arena_bytes / 16, BLOCK_BYTES));
	c->time = latency_hist("compaction");
	c->batch = kv_batch_new();
	c->tick.resume = tick;
	c->step.resume = compact_resume;
	mine = c;
	compact_tune();
	chunkmap_watch(note);
	return 0;
}

void
compact_fini(void)
{
	struct compact *c = mine;

	assert(!c->running); /* file_stop was waited for */
	chunkmap_watch(NULL);
	timer_stop(&c->timer);
	kv_batch_free(c->batch);
	free(c);
	mine = NULL;
}
