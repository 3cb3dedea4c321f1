/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From uploaded objects to the file's new truth.  All files of the flush are
 * locked, so nothing moves; one batch says where the bytes are now.  The
 * extents stay until the batch is durable, and with them the records in
 * the journal: at every instant a crash finds the bytes in one of the two.
 *
 * What has happened since the snapshot wins: a truncation has cut what the slices show (file->cut);
 * newer writes are extents of their own and lie over the slices.
 */
#include <stdlib.h>

#include "meta/flush_impl.h"
#include "meta/garbage.h"
#include "meta/trash.h"
#include "meta/usage.h"
#include "reactor/log.h"
#include "store/diskcache.h"

/* Bytes that are copied to become whole frames of the cache, a flush. */
#define CACHE_COPY_BYTES (4 * MIB)

/* Of the chunk that the batch is at. */
static __thread struct slice_rec new_rec[FLUSH_SLICES];

static bool
is_out(const struct flush_file *ff)
{
	return ff->gone || ff->bad;
}

/* ---- the batch */

static void
put_block(struct flush *fl, const struct upload_block *u)
{
	uint8_t key[KV_KEY_MAX], val[BLOCK_REC_BYTES_MAX];

	kv_batch_put(fl->batch, key, key_block(key, u->slice, u->index), val, block_encode(val, &u->rec));
}

static void
put_blocks(struct flush *fl, const struct flush_slice *s)
{
	for (uint32_t i = 0; i < s->nown; i++)
		put_block(fl, &fl->own[s->first_own + i]);
	if (s->small >= 0)
		put_block(fl, &fl->small[s->small]);
}

/* Live blocks, live bytes, bytes in all: the slices that are garbage at once count until the deleter has been there. */
static void
put_pack(struct flush *fl)
{
	uint8_t key[KV_KEY_MAX], val[24];
	uint64_t live = 0, n = 0;

	for (uint32_t i = 0; i < fl->nsmall; i++) {
		n += fl->small[i].plain > 0;
		live += fl->small[i].plain > 0 ? fl->small[i].rec.stored : 0;
	}
	if (n == 0)
		return;
	put_le64(val, n);
	put_le64(val + 8, live);
	put_le64(val + 16, fl->object[fl->nobjects - 1].upload.stored);
	kv_batch_put(fl->batch, key, key_pack(key, fl->pack), val, sizeof(val));
}

/* The chunk's pieces with the new slices over them; those that show no more are garbage. */
static int
put_chunk(struct flush *fl, struct flush_chunk *c, int64_t *used)
{
	const struct flush_file *ff = &fl->file[c->file];
	uint32_t n = 0;
	int res;

	for (uint32_t i = c->first_slice; i < c->first_slice + c->nslices; i++) {
		const struct flush_slice *s = &fl->slice[i];
		uint64_t end = MIN(s->off + s->len, ff->file->cut);

		if (s->len == 0) /* shrunk to nothing */
			continue;
		put_blocks(fl, s);
		if (end <= s->off) {
			garbage_slice(fl->batch, s->id, fl->share);
			continue;
		}
		new_rec[n++] = (struct slice_rec){ .pos = (uint32_t)(s->off % CHUNK_BYTES),
			                           .len = (uint32_t)(end - s->off), .slice = s->id };
	}
	if (n == 0)
		return 0;
	res = chunk_change_put(&c->next, c->chunk, &ff->lock.attr, new_rec, n, fl->batch);
	if (res == 0)
		*used += (int64_t)pieces_covered(&c->next.pieces) - (int64_t)pieces_covered(&c->chunk->pieces);
	return res;
}

/* Nobody wants its bytes any more: they are there, and garbage. */
static void
put_out(struct flush *fl, const struct flush_file *ff)
{
	for (uint32_t i = ff->first_slice; i < ff->first_slice + ff->nslices; i++) {
		if (fl->slice[i].len == 0)
			continue;
		put_blocks(fl, &fl->slice[i]);
		garbage_slice(fl->batch, fl->slice[i].id, fl->share);
	}
}

static int
put_file(struct flush *fl, struct flush_file *ff)
{
	uint8_t key[KV_KEY_MAX], val[ATTR_BYTES_MAX];
	struct attr *a = &ff->lock.attr;
	int64_t used = 0;
	int res;

	if (is_out(ff)) {
		put_out(fl, ff);
		return 0;
	}
	for (uint32_t i = ff->first_chunk; i < ff->first_chunk + ff->nchunks; i++) {
		res = put_chunk(fl, &fl->chunk[i], &used);
		if (res < 0)
			return res;
	}
	a->used += (uint64_t)used;
	fl->used += used;
	if (trash_holds(a))
		fl->trash_used += used;
	ff->lock.changed = true;
	kv_batch_put(fl->batch, key, key_inode(key, a->ino), val, attr_encode(val, a));
	return 0;
}

static int
build(struct flush *fl)
{
	int res;

	kv_batch_clear(fl->batch);
	fl->used = fl->trash_used = 0;
	for (uint32_t i = 0; i < fl->nfiles; i++) {
		res = put_file(fl, &fl->file[i]);
		if (res < 0)
			return res;
	}
	put_pack(fl);
	fl->tail = journal_tail_now();
	journal_tail_put(fl->batch, fl->tail);
	usage_add(fl->batch, fl->share, fl->used, 0);
	usage_add_trash(fl->batch, fl->share, fl->trash_used, 0);
	return 0;
}

/* ---- after it is applied */

/* The frames of a slice go into memory and disk cache, without a copy where a buffer is a frame. */
static void
cache_slice(struct flush *fl, const struct flush_slice *s, uint64_t *copies)
{
	const struct bufref *r = &fl->ref[s->first_ref];
	uint32_t in = 0; /* used up of r */

	for (uint32_t at = 0; at < s->len; at += FRAME_BYTES) {
		uint32_t len = MIN(FRAME_BYTES, s->len - at), done = 0;
		struct buf *b = NULL;

		if (in == 0 && r->off == 0 && r->len >= len)
			b = buf_keep(r->buf);
		else if (*copies >= len)
			b = buf_get(buf_class_for(len), BUF_CACHE);
		while (done < len) {
			uint32_t n = MIN(len - done, r->len - in);

			if (b && b != r->buf) {
				memcpy(b->data + done, r->buf->data + r->off + in, n);
				*copies -= n;
			}
			done += n;
			in += n;
			if (in == r->len) {
				r++;
				in = 0;
			}
		}
		if (b) {
			cache_insert(s->id, at / FRAME_BYTES, b, len);
			diskcache_insert(s->id, at / FRAME_BYTES, fl->file[s->file].inode->ino, b, len, true);
			buf_put(b);
		}
	}
}

static void
apply(struct flush *fl)
{
	uint64_t copies = CACHE_COPY_BYTES;

	for (uint32_t i = 0; i < fl->nchunks; i++) {
		struct flush_chunk *c = &fl->chunk[i];

		if (c->next.pieces.v)
			chunkmap_set(c->chunk, &c->next.pieces, c->next.nrecs);
	}
	for (uint32_t i = 0; i < fl->nfiles; i++)
		fl->file[i].file->map_gen++;
	for (uint32_t i = 0; i < fl->nslices; i++) {
		const struct flush_slice *s = &fl->slice[i];
		struct flush_file *ff = &fl->file[s->file];

		if (is_out(ff))
			continue;
		cache_slice(fl, s, &copies);
		/* Used from the unlock on: not to be shown as dirty too. */
		if (ff->file->cut > s->off)
			ff->file->landed += MIN(s->len, ff->file->cut - s->off);
	}
}

static bool
has_old(const struct file *f)
{
	for (struct extent *e = extent_at(&f->dirty, 0); e; e = extent_next(&f->dirty, e))
		if (e->seq <= file_old_seq())
			return true;
	return false;
}

/* The batch is durable: neither memory nor journal need the bytes any more. */
static void
retire(struct flush *fl)
{
	for (uint32_t i = 0; i < fl->nslices; i++) {
		const struct flush_slice *s = &fl->slice[i];

		if (s->len > 0 && !is_out(&fl->file[s->file]))
			extent_drop(&fl->file[s->file].file->dirty, s->off, s->len, s->upto);
	}
	for (uint32_t i = 0; i < fl->nfiles; i++) {
		struct file *f = fl->file[i].file;

		f->landed = 0;
		if (f->replayed && !has_old(f))
			file_replayed(f, false);
	}
	journal_tail_applied(fl->tail);
	fl->retired = true;
	crash_point("flush.retired");
}

/* ---- the steps */

/* A chunk is loaded, or is not. */
static int
mapped(struct flush *fl, int res)
{
	struct flush_chunk *c = &fl->chunk[fl->at];
	struct flush_file *ff = &fl->file[c->file];

	switch (res) {
	case 0:
		c->chunk = fl->chunk_get.chunk;
		return 0;
	case -ESTALE:
		ff->gone = true;
		return 0;
	case -E_DAMAGED:
	case -E_FORMAT:
		ff->bad = true; /* and was logged */
		return 0;
	default:
		return res;
	}
}

static enum op_state
map_chunks(struct flush *fl)
{
	for (; fl->at < fl->nchunks; fl->at++) {
		struct flush_chunk *c = &fl->chunk[fl->at];
		int res;

		if (c->chunk || is_out(&fl->file[c->file]))
			continue;
		if (chunkmap_get(&fl->chunk_get, fl->file[c->file].file, c->index, false, &fl->step) == OP_PENDING)
			return OP_PENDING;
		res = mapped(fl, fl->step.res);
		if (res < 0)
			return op_done(&fl->step, res);
	}
	return op_done(&fl->step, 0);
}

static int
locked(struct flush *fl, int res)
{
	struct flush_file *ff = &fl->file[fl->order[fl->at]];

	if (res == -ESTALE)
		ff->gone = true;
	else if (res == -EIO) /* the journal is broken (and has said so), and will never have all of it */
		ff->bad = true;
	else
		return res;
	return 0;
}

static enum op_state
lock_files(struct flush *fl)
{
	for (; fl->at < fl->nfiles; fl->at++) {
		struct flush_file *ff = &fl->file[fl->order[fl->at]];
		int res;

		if (is_out(ff))
			continue;
		if (inode_lock(&ff->lock, ff->inode->ino, ff->inode->attr.gen, &fl->step) == OP_PENDING)
			return OP_PENDING;
		res = locked(fl, fl->step.res);
		if (res < 0)
			return op_done(&fl->step, res);
	}
	return op_done(&fl->step, 0);
}

static enum op_state
unlock_files(struct flush *fl)
{
	for (; fl->at < fl->nfiles; fl->at++)
		if (fl->file[fl->at].lock.held &&
		    inode_unlock(&fl->file[fl->at].lock, &fl->step) == OP_PENDING)
			return OP_PENDING;
	return OP_DONE;
}

/* Not now: the locks are given back, and all of it is tried again from the chunk maps on. */
static void
give_up(struct flush *fl, int res)
{
	flush_failed("the metadata", res);
	for (uint32_t i = 0; i < fl->nfiles; i++)
		fl->file[i].lock.changed = false;
	for (uint32_t i = 0; i < fl->nchunks; i++)
		pieces_fini(&fl->chunk[i].next.pieces);
	fl->stage = FLUSH_GIVE_UP;
	fl->at = 0;
}

static void
commit_run(struct flush *fl)
{
	int res;

	for (;;) {
		res = fl->step.res;
		switch (fl->stage) {
		case FLUSH_MAP:
			if (map_chunks(fl) == OP_PENDING)
				return;
			res = fl->step.res;
			if (res < 0) {
				give_up(fl, res);
				break;
			}
			fl->stage = FLUSH_LOCK;
			fl->at = 0;
			fallthrough;
		case FLUSH_LOCK:
			if (lock_files(fl) == OP_PENDING)
				return;
			res = fl->step.res < 0 ? fl->step.res : build(fl);
			if (res < 0) {
				give_up(fl, res);
				break;
			}
			fl->stage = FLUSH_WRITE;
			if (kv_write(&fl->write, fl->batch, &fl->step) == OP_PENDING)
				return;
			res = fl->step.res;
			fallthrough;
		case FLUSH_WRITE:
			if (res < 0) {
				usage_add(fl->batch, fl->share, -fl->used, 0);
				usage_add_trash(fl->batch, fl->share, -fl->trash_used, 0);
				give_up(fl, res);
				break;
			}
			crash_point("flush.batch_applied");
			apply(fl);
			fl->stage = FLUSH_UNLOCK;
			fl->at = 0;
			fallthrough;
		case FLUSH_UNLOCK:
			if (unlock_files(fl) == OP_PENDING)
				return;
			fl->stage = FLUSH_SYNC;
			if (kv_sync(&fl->write, &fl->step) == OP_PENDING)
				return;
			res = fl->step.res;
			fallthrough;
		case FLUSH_SYNC:
			if (res < 0) {
				/* Nobody knows what is on disk: the journal keeps its records for the next start. */
				flush_failed("the metadata", res);
			} else {
				crash_point("flush.synced");
				retire(fl);
				flush_worked();
			}
			flush_end(fl);
			flush_kick();
			write_kick();
			return;
		case FLUSH_GIVE_UP:
			if (unlock_files(fl) == OP_PENDING)
				return;
			fl->stage = FLUSH_WAIT;
			return;
		case FLUSH_LOAD:
		case FLUSH_UPLOAD:
		case FLUSH_WAIT:
			assert(!"a stage of the commit");
		}
	}
}

/* What the loops waited for is here. */
static void
commit_resume(struct op *step)
{
	struct flush *fl = container_of(step, struct flush, step);
	int res = 0;

	if (fl->stage == FLUSH_MAP)
		res = mapped(fl, step->res);
	else if (fl->stage == FLUSH_LOCK)
		res = locked(fl, step->res);
	if (res < 0)
		give_up(fl, res);
	else if (fl->stage == FLUSH_MAP || fl->stage == FLUSH_LOCK || fl->stage == FLUSH_UNLOCK ||
	         fl->stage == FLUSH_GIVE_UP)
		fl->at++;
	commit_run(fl);
	flush_pump();
}

void
flush_commit(struct flush *fl)
{
	for (uint32_t i = 0; i < fl->nfiles; i++)
		fl->file[i].lock.held = false;
	fl->stage = FLUSH_MAP;
	fl->at = 0;
	fl->step.resume = commit_resume;
	commit_run(fl);
}
