/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: extents of one or many files become slices, slices blocks, blocks
 * objects.  Buffers are held, so whatever happens to the extents meanwhile, what is
 * uploaded is what was picked.  Some need not be durable in the journal yet: the commit locks
 * their inode, which waits for that.
 */
#include <stdlib.h>

#include "meta/flush_impl.h"
#include "meta/sliceid.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

/* ---- references to bytes */

/* False: no room. */
static bool
load_add(struct flush *fl, const struct extent *e)
{
	struct flush_load *l = fl->nloads ? &fl->load[fl->nloads - 1] : NULL;

	if (l && l->loc.seg == e->loc.seg && l->loc.off == e->loc.off &&
	    l->first_ref + l->nrefs == fl->nrefs) {
		l->nrefs++;
		return true;
	}
	if (fl->nloads == FLUSH_LOADS ||
	    (fl->nloads > 0 && fl->load_bytes + record_buf_bytes(e->loc.len) > flush_core->load_budget))
		return false;
	jloc_get(&e->loc);
	fl->load_bytes += record_buf_bytes(e->loc.len);
	fl->load[fl->nloads++] = (struct flush_load){ .loc = e->loc, .first_ref = fl->nrefs, .nrefs = 1 };
	return true;
}

static bool
ref_add(struct flush *fl, const struct extent *e, uint64_t at, uint32_t n)
{
	if (fl->nrefs == FLUSH_REFS || (!e->buf && !load_add(fl, e)))
		return false;
	fl->ref[fl->nrefs++] = (struct bufref){
		.buf = e->buf ? buf_keep(e->buf) : NULL,
		.off = e->boff + (uint32_t)(at - e->off),
		.len = n,
	};
	return true;
}

static void
refs_undo(struct flush *fl, uint32_t to)
{
	while (fl->nrefs > to) {
		struct bufref *r = &fl->ref[--fl->nrefs];
		struct flush_load *l;

		if (r->buf) {
			buf_put(r->buf);
			continue;
		}
		l = &fl->load[fl->nloads - 1];
		if (--l->nrefs > 0)
			continue;
		fl->load_bytes -= record_buf_bytes(l->loc.len);
		jloc_put(&l->loc);
		fl->nloads--;
	}
}

/* ---- slices */

/* The last part of a slice, too small for an object of its own. */
static bool
small_add(struct flush *fl, struct flush_slice *s, uint32_t bytes, uint32_t refs)
{
	if (fl->small_bytes + bytes > BLOCK_BYTES || fl->nsmall == FLUSH_SMALL ||
	    fl->small_refs + refs > UPLOAD_PARTS_MAX)
		return false;
	fl->small_bytes += bytes;
	fl->small_refs += refs;
	s->small = (int32_t)fl->nsmall++;
	return true;
}

/* The blocks of a slice, now that its refs are final. */
static void
blocks_set(struct flush *fl, struct flush_slice *s)
{
	const struct bufref *ref = &fl->ref[s->first_ref];
	uint32_t left = s->len;

	for (uint32_t index = 0; left > 0; index++) {
		bool small = index == s->nown;
		struct upload_block *b = small ? &fl->small[s->small] : &fl->own[s->first_own + index];
		uint32_t bytes = 0;

		*b = (struct upload_block){ .index = index, .plain = MIN(left, (uint32_t)BLOCK_BYTES),
			                    .part = ref };
		for (; bytes < b->plain; b->nparts++)
			bytes += (ref++)->len;
		assert(bytes == b->plain);
		left -= b->plain;
	}
}

/* For one more object, of a slice that has `bytes` already. */
static bool
own_room(const struct flush *fl, const struct flush_slice *s, uint64_t bytes)
{
	return fl->nown + s->nown < FLUSH_OWN && fl->own_bytes + bytes < flush_core->own_budget;
}

/*
 * One slice: what is dirty and without a gap from byte `from` of e on, up to `to`.  Returns where it ends; `from` itself when the flush has no room for it.
 */
static uint64_t
slice_add(struct flush *fl, uint32_t file, struct extent *e, uint64_t from, uint64_t to)
{
	const struct extents *t = &fl->file[file].file->dirty;
	struct flush_slice *s = &fl->slice[fl->nslices];
	uint32_t block_ref = fl->nrefs, rest; /* the first of the block that is being filled */
	uint64_t at = from;

	*s = (struct flush_slice){ .off = from, .file = file, .first_ref = fl->nrefs, .first_own = fl->nown,
		                   .small = -1 };
	const uint32_t pack_below = file_options()->pack_below;

	to = MIN(to, ROUND_DOWN(from, CHUNK_BYTES) + CHUNK_BYTES);
	while (e && at < to && e->off <= at) {
		uint32_t filled = (uint32_t)(at - from) % BLOCK_BYTES;
		uint64_t end = MIN(MIN(e->off + e->len, to), at + BLOCK_BYTES - filled);

		/* No object left of its own: one byte more would not fit anywhere. */
		if (filled == 0 && !own_room(fl, s, at - from))
			to = MIN(to, at + pack_below);
		end = MIN(end, to);
		if (fl->nrefs - block_ref == UPLOAD_PARTS_MAX || !ref_add(fl, e, at, (uint32_t)(end - at)))
			break;
		s->upto = MAX(s->upto, e->seq);
		at = end;
		if ((at - from) % BLOCK_BYTES == 0) {
			s->nown++;
			block_ref = fl->nrefs;
		}
		if (at == e->off + e->len)
			e = extent_next(t, e);
	}
	rest = (uint32_t)(at - from) % BLOCK_BYTES;
	if (rest >= pack_below && own_room(fl, s, at - from - rest)) {
		s->nown++;
	} else if (rest > 0 && (rest >= pack_below ||
	                        !small_add(fl, s, rest, fl->nrefs - block_ref))) {
		refs_undo(fl, block_ref);
		at -= rest;
	}
	if (at == from)
		return from;
	s->len = (uint32_t)(at - from);
	s->nrefs = fl->nrefs - s->first_ref;
	blocks_set(fl, s);
	fl->nown += s->nown;
	fl->own_bytes += s->small < 0 ? s->len : s->len - rest;
	fl->nslices++;
	return at;
}

/* Everything dirty in [from, to).  False: the flush is full. */
static bool
range_add(struct flush *fl, uint32_t file, uint64_t from, uint64_t to)
{
	struct file *f = fl->file[file].file;
	struct extent *e = extent_at(&f->dirty, from);

	while (e && e->off < to) {
		uint64_t start = MAX(e->off, from), index = start / CHUNK_BYTES;
		struct flush_chunk *c = fl->nchunks ? &fl->chunk[fl->nchunks - 1] : NULL;

		if (!c || c->file != file || c->index != index)
			c = fl->nchunks < FLUSH_CHUNKS ? &fl->chunk[fl->nchunks] : NULL;
		if (!c || fl->nslices == FLUSH_SLICES)
			return false;
		from = slice_add(fl, file, e, start, to);
		if (from == start)
			return false;
		if (c == &fl->chunk[fl->nchunks]) {
			fl->nchunks++;
			*c = (struct flush_chunk){ .index = index, .file = file, .first_slice = fl->nslices - 1 };
		}
		c->nslices++;
		fl->slice[fl->nslices - 1].chunk = (uint32_t)(c - fl->chunk);
		e = extent_at(&f->dirty, from);
	}
	return true;
}

/* ---- files */

static bool
file_fits(const struct flush *fl, const struct file *f)
{
	return !f->flush && !f->stuck && (fl->nfiles == 0 || fl->share == f->inode->attr.share);
}

static void
file_begin(struct flush *fl, struct file *f)
{
	struct flush_file *ff = &fl->file[fl->nfiles];

	ff->file = f;
	ff->inode = f->inode;
	ff->first_slice = fl->nslices;
	ff->first_chunk = fl->nchunks;
	ff->in_pass = ff->gone = ff->bad = false;
}

/* It stays in this flush if something of it was taken. */
static void
file_end(struct flush *fl, struct file *f)
{
	struct flush_file *ff = &fl->file[fl->nfiles];

	ff->nslices = fl->nslices - ff->first_slice;
	ff->nchunks = fl->nchunks - ff->first_chunk;
	if (ff->nslices == 0)
		return;
	fl->nfiles++;
	fl->share = f->inode->attr.share;
	f->flush = fl;
	wanted_remove(f);
	f->cut = UINT64_MAX;
	f->users++;
	inode_keep(f->inode);
	file_changed(f, &f->inode->attr);
}

static bool
block_is_whole(const struct file *f, uint64_t block)
{
	uint64_t at = block * BLOCK_BYTES, end = at + BLOCK_BYTES;

	for (struct extent *e = extent_at(&f->dirty, at); at < end; e = extent_next(&f->dirty, e)) {
		if (!e || e->off > at)
			return false;
		at = e->off + e->len;
	}
	return true;
}

static int
number_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The first block from `first` on that the flush did not take as a whole. */
static uint64_t
taken_blocks(const struct flush *fl, uint64_t first)
{
	const struct flush_slice *s = &fl->slice[fl->nslices - 1];

	if (fl->nslices == fl->file[fl->nfiles].first_slice)
		return first;
	return MAX(first, (s->off + s->len) / BLOCK_BYTES);
}

/* The file's whole blocks, neighbours as one slice.  False: the flush is full. */
static bool
blocks_add(struct flush *fl, struct file *f)
{
	uint32_t kept = 0, i = 0;
	uint64_t taken;
	bool room = true;

	qsort(f->ready, f->nready, sizeof(f->ready[0]), number_cmp);
	while (i < f->nready) {
		uint64_t first = f->ready[i];
		bool whole = block_is_whole(f, first);
		uint32_t n = 1;

		if (!whole || !room) {
			if (whole)
				f->ready[kept++] = first;
			i++;
			continue;
		}
		while (i + n < f->nready && f->ready[i + n] == first + n && block_is_whole(f, first + n))
			n++;
		room = range_add(fl, fl->nfiles, first * BLOCK_BYTES, (first + n) * BLOCK_BYTES);
		taken = room ? first + n : taken_blocks(fl, first);
		for (; taken < first + n; taken++)
			f->ready[kept++] = taken;
		i += n;
	}
	f->nready = kept;
	return room;
}

static bool
pick_ready(struct flush *fl)
{
	bool room = true;
	struct file *f, *next;

	for (f = flush_core->ready; f && room && fl->nfiles < FLUSH_FILES; f = next) {
		next = f->ready_next;
		if (!file_fits(fl, f))
			continue;
		file_begin(fl, f);
		room = blocks_add(fl, f);
		file_end(fl, f);
		if (f->nready == 0)
			ready_remove(f);
	}
	return room;
}

uint64_t
flush_linger_ns(void)
{
	return MIN(SEC_NS, file_options()->upload_delay_ns / 5);
}

bool
flush_is_due(const struct file *f)
{
	const struct flush_core *c = flush_core;
	/* With so many whole blocks noted it has more that are not. */
	uint64_t delay_ns = f->nready == READY_MAX ? flush_linger_ns() : file_options()->upload_delay_ns;

	/* What an earlier run left (born at 0) keeps all cores' journals from being used again. */
	return f->since_ns <= c->urgent_ns || c->pressure || f->since_ns + delay_ns <= reactor_now_ns();
}

/* The file from where its pass is on.  False: the flush is full. */
static bool
pass_add(struct flush *fl, struct file *f)
{
	struct flush_file *ff = &fl->file[fl->nfiles];
	const struct flush_slice *last;
	bool room;

	file_begin(fl, f);
	ff->in_pass = true;
	if (f->pass_at > 0 && !extent_at(&f->dirty, f->pass_at))
		pass_end(f); /* what it had yet to come to was cut meanwhile */
	if (f->pass_at == 0) {
		f->pass_seq = journal_last(file_journal());
		f->pass_ns = reactor_now_ns();
	}
	room = range_add(fl, fl->nfiles, f->pass_at, UINT64_MAX);
	last = &fl->slice[fl->nslices - 1];
	if (fl->nslices > ff->first_slice)
		ff->pass_at = room ? 0 : last->off + last->len;
	file_end(fl, f);
	return room;
}

static void
pick_due(struct flush *fl)
{
	bool room = true;
	struct file *f, *next;

	for (f = file_dirty_list()->head; f && room && flush_is_due(f) && fl->nfiles < FLUSH_FILES; f = next) {
		next = f->next;
		if (file_fits(fl, f))
			room = pass_add(fl, f);
	}
}

/*
 * A round: small files share it; a large one, which takes longer than others should
 * wait, has one for itself, and not all rounds may be of this kind.
 */
static void
pick_wanted(struct flush *fl)
{
	bool room = true;
	struct file *f, *next;

	for (f = flush_core->wanted; f && room && !fl->bulky && fl->nfiles < FLUSH_FILES; f = next) {
		bool large = f->dirty.bytes >= BLOCK_BYTES / 4;

		next = f->want_next;
		if (!file_fits(fl, f) || (large && (fl->nfiles > 0 || flush_core->nbulky == FLUSH_BULKY)))
			continue;
		fl->bulky = large;
		room = pass_add(fl, f);
	}
}

/* ---- objects */

static void
objects_set(struct flush *fl, uint64_t id)
{
	struct upload_block *one = NULL;

	for (uint32_t i = 0; i < fl->nslices; i++) {
		struct flush_slice *s = &fl->slice[i];

		s->id = id++;
		for (uint32_t k = 0; k < s->nown; k++)
			fl->own[s->first_own + k].slice = s->id;
		if (s->small >= 0)
			fl->small[s->small].slice = s->id;
	}
	fl->pack = fl->nsmall ? id : 0;
	fl->nobjects = fl->nown + (fl->nsmall ? 1 : 0);
	for (uint32_t i = 0; i < fl->nobjects; i++) {
		struct flush_object *o = &fl->object[i];
		bool pack = i == fl->nown;

		one = pack ? fl->small : &fl->own[i];
		o->flush = fl;
		o->state = OBJECT_TODO;
		memset(&o->upload, 0, sizeof(o->upload));
		o->upload.store = file_options()->store;
		o->upload.prefix = share_prefix(fl->share);
		o->upload.uuid = file_volume()->uuid;
		o->upload.how = *share_how(fl->share);
		o->upload.pack = pack ? fl->pack : 0;
		o->upload.block = one;
		o->upload.nblocks = pack ? (int)fl->nsmall : 1;
	}
}

static int
ino_cmp(const void *a, const void *b, void *arg)
{
	const struct flush *fl = arg;
	uint64_t x = fl->file[*(const uint32_t *)a].inode->ino, y = fl->file[*(const uint32_t *)b].inode->ino;

	return (x < y) - (x > y);
}

bool
flush_pick(struct flush *fl)
{
	uint64_t id;

	if (fl->round)
		pick_wanted(fl);
	else if (pick_ready(fl))
		pick_due(fl);
	if (fl->nslices == 0)
		return false;
	id = slice_id_take(fl->nslices + 1, &flush_core->ids_ready);
	if (id == 0)
		return false;
	objects_set(fl, id);
	for (uint32_t i = 0; i < fl->nfiles; i++)
		fl->order[i] = i;
	qsort_r(fl->order, fl->nfiles, sizeof(fl->order[0]), ino_cmp, fl);
	return true;
}
