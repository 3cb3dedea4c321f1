/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READ.  A walk over the range takes what is in memory: dirty extents, over
 * frames of the chunks' pieces, over holes.  What it misses is brought and held,
 * and the walk begins again; the last walk, which misses nothing, does not wait,
 * so the answer is the file as it is at one instant.
 *
 * Nobody stands in line for memory with memory in his hands: a READ that holds
 * something, or brings several things, takes what there is at once.  Where that is not enough it lets go, waits
 * for the first thing alone, and answers short.
 */
#include "meta/chunkmap.h"
#include "meta/fetch.h"
#include "meta/file_core.h"
#include "meta/perm.h"
#include "meta/readahead.h"
#include "meta/recread.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define READS     1024 /* at once, a core */
#define FETCHES   8    /* at once, a READ */
#define RECORDS   8    /* read back from the journal at once, a READ */
#define CHUNKS    2    /* a READ touches at most so many */
#define HELD_MAX  (READ_PIECES_MAX + FRAMES_PER_BLOCK)
#define STALE_MAX 4    /* times that a READ begins again because what it fetched is gone */

static_assert(FILE_IO_MAX <= CHUNK_BYTES, "a READ touches two chunks at most");

/* A buffer that was brought for this READ: a frame, or a record of the journal (seg). */
struct held {
	const struct jseg *seg;
	uint64_t id;   /* slice, or place in the segment */
	uint32_t frame;
	struct buf *buf;
};

struct extent_read {
	struct record_read read;
	uint64_t at;       /* of the extent, in the file */
};

struct file_read_priv {
	struct inode_get get;
	struct file *file;
	struct chunk_get chunk_get;
	struct chunk *chunk[CHUNKS];
	uint64_t gen;              /* map_gen at the walk */
	int stale;
	uint64_t end;              /* of the range, in the file */

	bool noted;                /* by readahead */
	bool poor;                 /* memory is short: one thing at a time, and answer short */
	/* what the walk misses */
	bool miss, miss_chunk;
	int have_pieces;           /* before the first miss */
	uint32_t have;
	uint64_t chunk_index;
	uint32_t nfetch, nrecord, nheld;
	struct op_join join;
	struct op_part part[FETCHES + RECORDS];
	struct fetch fetch[FETCHES];
	struct extent_read record[RECORDS];
	struct held held[HELD_MAX];
};

static __thread struct slab slab;
static __thread struct runq queue; /* READs that wait for a priv */

enum { READ_BEGIN, READ_INODE, READ_WALK, READ_CHUNK, READ_FETCHED };

int
read_init(void)
{
	int res = slab_init(&slab, "reads", sizeof(struct file_read_priv), READS);

	runq_init(&queue);
	return res;
}

void
read_fini(void)
{
	slab_fini(&slab);
}

/* ---- what is held until the READ has all */

static struct buf *
held_find(const struct file_read_priv *p, const struct jseg *seg, uint64_t id, uint32_t frame)
{
	for (uint32_t i = 0; i < p->nheld; i++)
		if (p->held[i].id == id && p->held[i].frame == frame && p->held[i].seg == seg)
			return buf_keep(p->held[i].buf);
	return NULL;
}

static void
held_add(struct file_read_priv *p, const struct jseg *seg, uint64_t id, uint32_t frame, struct buf *b)
{
	if (p->nheld == HELD_MAX) /* the map has changed again and again: what is held is old */
		buf_put(b);
	else
		p->held[p->nheld++] = (struct held){ seg, id, frame, b };
}

static void
held_put(struct file_read_priv *p)
{
	while (p->nheld > 0)
		buf_put(p->held[--p->nheld].buf);
}

/* ---- the walk */

static void
piece_add(struct file_read *r, struct buf *b, uint32_t off, uint32_t len)
{
	r->piece[r->npieces++] = (struct bufref){ b, off, len };
	r->len += len;
}

/* The walk passes what it misses as if it were there, to learn all that is missing. */
static void
piece_miss(struct file_read *r, uint32_t len)
{
	struct file_read_priv *p = r->priv;

	if (!p->miss) {
		p->have_pieces = r->npieces;
		p->have = r->len;
	}
	p->miss = true;
	piece_add(r, NULL, 0, len);
}

/* Bytes of a dirty extent: n from file offset `at` on. */
static void
walk_extent(struct file_read *r, const struct extent *e, uint64_t at, uint32_t n)
{
	struct file_read_priv *p = r->priv;
	struct buf *b = e->buf ? buf_keep(e->buf) : held_find(p, e->loc.seg, e->loc.off, 0);

	if (b) {
		piece_add(r, b, e->boff + (uint32_t)(at - e->off), n);
		return;
	}
	for (uint32_t i = 0; i < p->nrecord; i++)
		if (p->record[i].read.loc.seg == e->loc.seg && p->record[i].read.loc.off == e->loc.off) {
			piece_miss(r, n);
			return;
		}
	if (p->nrecord < RECORDS) {
		p->record[p->nrecord].read.loc = e->loc;
		p->record[p->nrecord++].at = e->off;
	}
	piece_miss(r, n);
}

/* Frame `frame` of the slice is missing, and must be there up to `end` bytes of the slice. */
static void
want_frame(struct file_read_priv *p, uint64_t slice, uint32_t frame, uint32_t end)
{
	struct fetch *f = p->nfetch ? &p->fetch[p->nfetch - 1] : NULL;

	if (f && f->slice == slice && frame == f->first + f->n && frame % FRAMES_PER_BLOCK != 0) {
		f->n++;
		f->end = end;
	} else if (p->nfetch < FETCHES) {
		f = &p->fetch[p->nfetch++];
		f->slice = slice;
		f->first = frame;
		f->n = 1;
		f->end = end;
	}
}

/* Bytes [off, off + len) of a slice, frame by frame. */
static void
walk_slice(struct file_read *r, uint64_t slice, uint32_t off, uint32_t len)
{
	struct file_read_priv *p = r->priv;

	while (len > 0 && r->npieces < READ_PIECES_MAX) {
		uint32_t frame = off / FRAME_BYTES, in = off % FRAME_BYTES, n = MIN(len, FRAME_BYTES - in);
		struct buf *b = cache_find(slice, frame);

		if (!b)
			b = held_find(p, NULL, slice, frame);
		if (b) {
			piece_add(r, b, in, n);
		} else {
			want_frame(p, slice, frame, off + n);
			piece_miss(r, n);
		}
		off += n;
		len -= n;
	}
}

static void
walk_hole(struct file_read *r, uint64_t len)
{
	while (len > 0 && r->npieces < READ_PIECES_MAX) {
		uint32_t n = (uint32_t)MIN(len, BUF_LARGE_BYTES);

		piece_add(r, NULL, 0, n);
		len -= n;
	}
}

/* [at, end), where nothing is dirty.  Returns how far it came; less than `end` when a chunk is not in memory. */
static uint64_t
walk_chunks(struct file_read *r, uint64_t at, uint64_t end)
{
	struct file_read_priv *p = r->priv;

	while (at < end && r->npieces < READ_PIECES_MAX) {
		uint64_t index = at / CHUNK_BYTES, base = index * CHUNK_BYTES;
		uint64_t stop = MIN(end, base + CHUNK_BYTES);
		const struct chunk *c = chunkmap_find(p->file, index);

		if (!c) {
			p->miss_chunk = true;
			p->chunk_index = index;
			return at;
		}
		for (uint32_t k = pieces_find(&c->pieces, (uint32_t)(at - base));
		     at < stop && r->npieces < READ_PIECES_MAX; k++) {
			const struct slice_rec *s = k < c->pieces.n ? &c->pieces.v[k] : NULL;
			uint64_t start = s ? base + s->pos : stop, n;

			if (start > at)
				walk_hole(r, MIN(start, stop) - at);
			at = r->off + r->len;
			if (!s || at >= stop || at < start)
				break;
			n = MIN(start + s->len, stop) - at;
			walk_slice(r, s->slice, s->off + (uint32_t)(at - start), (uint32_t)n);
			at = r->off + r->len;
		}
	}
	return at;
}

static void
pieces_put(struct file_read *r)
{
	for (int i = 0; i < r->npieces; i++)
		if (r->piece[i].buf)
			buf_put(r->piece[i].buf);
	r->npieces = 0;
}

/* True: everything is here. */
static bool
walk(struct file_read *r)
{
	struct file_read_priv *p = r->priv;
	uint64_t at = r->off;

	pieces_put(r);
	r->len = 0;
	p->miss = p->miss_chunk = false;
	p->nfetch = p->nrecord = 0;
	p->gen = p->file->map_gen;
	/* The file may have become shorter or longer while this waited. */
	p->end = MIN(r->off + MIN(r->count, FILE_IO_MAX), MAX(p->file->inode->attr.size, r->off));
	while (at < p->end && r->npieces < READ_PIECES_MAX && !p->miss_chunk) {
		const struct extent *e = extent_at(&p->file->dirty, at);

		if (e && e->off <= at) {
			walk_extent(r, e, at, (uint32_t)(MIN(p->end, e->off + e->len) - at));
			at = r->off + r->len;
		} else {
			at = walk_chunks(r, at, e ? MIN(p->end, e->off) : p->end);
		}
	}
	return !p->miss && !p->miss_chunk;
}

/* What comes before the first miss is enough. */
static bool
cut_short(struct file_read *r)
{
	struct file_read_priv *p = r->priv;

	if (!p->poor || !p->miss || p->have == 0)
		return false;
	for (int i = p->have_pieces; i < r->npieces; i++)
		if (r->piece[i].buf)
			buf_put(r->piece[i].buf);
	r->npieces = p->have_pieces;
	r->len = p->have;
	return true;
}

/* ---- bringing what was missed */

/* A record of the journal: where the extent is still the same, it has its bytes in memory again. */
static void
record_take(struct file_read_priv *p, const struct extent_read *x)
{
	const struct jloc *loc = &x->read.loc;
	struct extent *e = p->file->inode ? extent_at(&p->file->dirty, x->at) : NULL;

	if (e && e->off == x->at && !e->buf && e->loc.seg == loc->seg && e->loc.off == loc->off)
		e->buf = buf_keep(x->read.buf);
	held_add(p, loc->seg, loc->off, 0, x->read.buf);
}

static enum op_state
fetch_all(struct file_read *r)
{
	struct file_read_priv *p = r->priv;
	const char *prefix = share_prefix(p->file->inode->attr.share);
	struct op_part *part = p->part;
	bool nowait;

	pieces_put(r);
	if (p->poor) {
		held_put(p);
		p->nfetch = MIN(p->nfetch, 1u);
		p->nrecord = p->nfetch ? 0 : 1;
	}
	nowait = p->nheld > 0 || p->nfetch + p->nrecord > 1;
	op_join_start(&p->join, &r->step);
	for (uint32_t i = 0; i < p->nfetch; i++, part++) {
		struct op *op = op_join_part(&p->join, part);

		p->fetch[i].ino = r->req.f.ino;
		p->fetch[i].cache.nowait = nowait;
		op_join_add(&p->join, part, fetch_run(&p->fetch[i], file_options()->store, prefix, op));
	}
	for (uint32_t i = 0; i < p->nrecord; i++, part++) {
		struct op *op = op_join_part(&p->join, part);

		op_join_add(&p->join, part, record_read(&p->record[i].read, &p->record[i].read.loc, BUF_CACHE, nowait, op));
	}
	return op_join_wait(&p->join);
}

/* Takes what came, each by its own result. */
static void
fetched(struct file_read_priv *p)
{
	const struct op_part *part = p->part;

	for (uint32_t i = 0; i < p->nfetch; i++, part++)
		for (uint32_t k = 0; part->op.res >= 0 && k < p->fetch[i].n; k++)
			held_add(p, NULL, p->fetch[i].slice, p->fetch[i].first + k, p->fetch[i].cache.out[k]);
	for (uint32_t i = 0; i < p->nrecord; i++, part++)
		if (part->op.res >= 0)
			record_take(p, &p->record[i]);
}

/* ---- the operation */

static void
priv_give(struct file_read *r, struct file_read_priv *p)
{
	r->priv = p;
	p->file = NULL;
	p->get.inode = NULL;
	memset(p->chunk, 0, sizeof(p->chunk));
	p->nheld = 0;
	p->stale = 0;
	p->poor = p->noted = false;
}

static bool
priv_get(struct file_read *r)
{
	struct file_read_priv *p = slab_get(&slab);

	if (p)
		priv_give(r, p);
	return p;
}

/* To who stands in line first. */
static void
priv_put(struct file_read *r)
{
	struct op *step = queue.head;

	if (step) {
		queue.head = step->next;
		if (!queue.head)
			queue.tail = &queue.head;
		priv_give(container_of(step, struct file_read, step), r->priv);
		reactor_post(step, 0);
	} else {
		slab_put(&slab, r->priv);
	}
	r->priv = NULL;
}

/* It is kept only as far as somebody can see that the file was read since it changed, or in a day. */
bool
file_atime_stays(const struct attr *a)
{
	return a->atime_ns > a->mtime_ns && a->atime_ns > a->ctime_ns &&
	       reactor_wall_ns() < a->atime_ns + 24 * 3600 * SEC_NS;
}

static void
touch_atime(struct inode *i)
{
	if (file_atime_stays(&i->attr))
		return;
	inode_hide(i);
	i->attr.atime_ns = reactor_wall_ns();
	i->dirty_times = true;
}

static int
read_check(struct file_read *r)
{
	const struct inode *i = r->priv->get.inode;
	int res = file_check_type(&i->attr);

	r->attr = i->attr;
	r->has_attr = true;
	if (res < 0)
		return res;
	return perm_may_io(&i->attr, &r->req.cred, MAY_READ) ? 0 : -EACCES;
}

/* Once, as soon as it is known what this READ itself must wait for. */
static void
note_reader(struct file_read *r)
{
	struct file_read_priv *p = r->priv;

	if (!p->noted && p->file->inode && p->end > r->off)
		readahead_note(p->file, r->off, (uint32_t)(p->end - r->off));
	p->noted = true;
}

static enum op_state
read_finish(struct file_read *r, int res)
{
	struct file_read_priv *p = r->priv;
	struct inode *i = p->get.inode;

	if (i && i->gone)
		res = -ESTALE;
	if (res == 0) {
		touch_atime(i);
		r->attr = i->attr;
		r->eof = r->off + r->len >= i->attr.size;
		file_count()->read_bytes += r->len;
		note_reader(r);
		file_read_show(r, i);
	} else {
		pieces_put(r);
		r->len = 0;
	}
	file_count()->reads++;
	held_put(p);
	for (int k = 0; k < CHUNKS; k++)
		if (p->chunk[k])
			chunkmap_put(p->chunk[k]);
	if (p->file)
		file_put(p->file);
	if (i)
		inode_put(i);
	priv_put(r);
	return op_done(r->wait, res);
}

static void
hold_chunk(struct file_read_priv *p)
{
	int k = (int)(p->chunk_get.index % CHUNKS);

	if (p->chunk[k])
		chunkmap_put(p->chunk[k]);
	p->chunk[k] = p->chunk_get.chunk;
}

static int
read_open(struct file_read *r)
{
	struct file_read_priv *p = r->priv;
	int res = r->step.res < 0 ? r->step.res : read_check(r);

	if (res < 0)
		return res;
	p->file = file_get(p->get.inode);
	return p->file ? 0 : -E_JUKEBOX;
}

static enum op_state
read_run(struct file_read *r)
{
	struct file_read_priv *p = r->priv;
	enum op_state s;
	int res;

	for (;;) {
		switch (r->stage) {
		case READ_BEGIN:
			r->stage = READ_INODE;
			if (inode_get(&p->get, r->req.f.ino, r->req.f.gen, &r->step) == OP_PENDING)
				return OP_PENDING;
			fallthrough;
		case READ_INODE:
			res = read_open(r);
			if (res < 0)
				return read_finish(r, res);
			r->stage = READ_WALK;
			fallthrough;
		case READ_WALK:
			if (!p->file->inode || walk(r) || cut_short(r))
				return read_finish(r, 0);
			if (p->nfetch + p->nrecord > 0) {
				r->stage = READ_FETCHED;
				s = fetch_all(r);
				note_reader(r);
			} else {
				r->stage = READ_CHUNK;
				s = chunkmap_get(&p->chunk_get, p->file, p->chunk_index, false, &r->step);
			}
			if (s == OP_PENDING)
				return OP_PENDING;
			break;
		case READ_CHUNK:
			if (r->step.res < 0)
				return read_finish(r, r->step.res);
			hold_chunk(p);
			r->stage = READ_WALK;
			break;
		case READ_FETCHED:
			fetched(p);
			r->stage = READ_WALK;
			if (r->step.res == -E_JUKEBOX && !p->poor) {
				p->poor = true;
				break;
			}
			/* What was deleted while it was read is no error: it is not what shows any more. */
			if (r->step.res < 0 && (p->gen == p->file->map_gen || ++p->stale > STALE_MAX))
				return read_finish(r, r->step.res);
			break;
		}
	}
}

static void
read_resume(struct op *step)
{
	struct file_read *r = container_of(step, struct file_read, step);

	if (read_run(r) == OP_DONE)
		r->wait->resume(r->wait);
}

enum op_state
file_read(struct file_read *r, struct op *op)
{
	assert(shard_owns(r->req.f.ino));
	r->wait = op;
	r->len = 0;
	r->npieces = 0;
	r->has_attr = r->eof = false;
	r->step.resume = read_resume;
	r->stage = READ_BEGIN;
	if (queue.head || !priv_get(r)) {
		runq_push(&queue, &r->step, 0);
		return OP_PENDING;
	}
	return read_run(r);
}

void
file_read_put(struct file_read *r)
{
	pieces_put(r);
}
