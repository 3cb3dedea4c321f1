/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/repack_impl.h"

#include <stdlib.h>

#include "meta/flush.h"
#include "reactor/latency.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define LATER_NS  (500 * MSEC_NS)
#define FAILED_NS (10 * SEC_NS)

static struct repack *mine; /* core 0's */

/* ---- tail */

static void
ask_for(struct repack *r, uint64_t off, uint64_t len, int niov)
{
	struct block_rec rec = { .pack = r->found[r->at].pack };

	memset(&r->req, 0, sizeof(r->req));
	object_name(r->req.name, share_prefix_at(r->share), 0, 0, &rec);
	r->req.store = file_options()->store;
	r->req.iov = r->iov;
	r->req.niov = niov;
	r->req.off = off;
	r->req.len = len;
}

static enum op_state
get_tail(struct repack *r)
{
	uint64_t total = r->found[r->at].bytes, len = MIN(total, REPACK_TAIL_MAX);

	if (!r->tail && !(r->tail = buf_get(BUF_LARGE, BUF_CACHE)))
		return op_done(&r->step, -E_JUKEBOX);
	r->iov[0] = (struct iovec){ r->tail->data, len };
	ask_for(r, total - len, len, 1);
	return r->req.store->ops->get(&r->req, &r->step);
}

static int
see_block(void *arg, const struct object_block *b)
{
	struct repack *r = arg;

	if (r->nhad == UPLOAD_BLOCKS_MAX)
		return -E_DAMAGED;
	r->had[r->nhad].slice = b->slice;
	r->had[r->nhad++].index = b->index;
	return 0;
}

/* The last bytes of the pack are here. */
static int
take_tail(struct repack *r)
{
	uint64_t total = r->found[r->at].bytes, len = MIN(total, REPACK_TAIL_MAX), off;
	const uint8_t *end = r->tail->data + len;
	uint32_t index_len, crc, n;
	struct object_seal seal;
	uint8_t uuid[16];
	int err = len < FOOTER_BYTES ? -E_DAMAGED : object_footer_decode(end - FOOTER_BYTES, total, uuid, &seal, &off, &index_len, &crc, &n);

	if (err == 0 && (memcmp(uuid, file_volume()->uuid, sizeof(uuid)) != 0 || off < total - len))
		err = -E_DAMAGED;
	r->nhad = r->next = 0;
	return err < 0 ? err : object_index_decode(end - FOOTER_BYTES - index_len, index_len, crc, n, off, see_block, r);
}

/* ---- which blocks live */

/* The new pack has no room for it: first that. */
static bool
is_full(const struct repack *r, const struct block_rec *rec)
{
	return r->nblocks == UPLOAD_BLOCKS_MAX || r->bytes + rec->stored > BLOCK_BYTES || r->plain + rec->plain > BLOCK_BYTES ||
	       r->nsources == REPACK_SOURCES;
}

static int
take_block(struct repack *r, int res)
{
	struct moved *m = &r->block[r->nblocks];
	struct block_rec rec = { 0 };

	if (res == -ENOENT)
		return 0;
	if (res < 0 || res > (int)sizeof(r->val) || block_decode(&rec, r->val, (size_t)res) < 0)
		return res < 0 && res != -E_DAMAGED ? res : -E_DAMAGED;
	if (rec.pack != r->found[r->at].pack)
		return 0;
	if (rec.stored > BLOCK_BYTES || rec.off > r->found[r->at].bytes || rec.stored > r->found[r->at].bytes - rec.off)
		return -E_DAMAGED;
	if (is_full(r, &rec))
		return r->nsources > 0 ? -ENOSPC : -E_DAMAGED; /* one alone has room */
	r->old_off[r->nblocks++] = rec.off;
	*m = (struct moved){ .slice = r->had[r->next].slice, .index = r->had[r->next].index, .rec = rec };
	m->rec.off = r->bytes;
	r->bytes += rec.stored;
	r->plain += rec.plain;
	return 0;
}

/* Until all of the pack's were looked up. */
static enum op_state
look_up(struct repack *r)
{
	uint8_t key[KV_KEY_MAX];
	size_t klen = key_block(key, r->had[r->next].slice, r->had[r->next].index);

	return kv_get(&r->get, key, klen, r->val, sizeof(r->val), &r->step);
}

/* ---- bytes */

/* Blocks that are neighbours in the old pack come with one request. */
static enum op_state
get_bytes(struct repack *r)
{
	uint32_t i = r->fetched;
	uint64_t off = r->old_off[i], at = r->block[i].rec.off, len = 0;
	int niov = 0;

	while (i < r->nblocks && r->old_off[i] == off + len)
		len += r->block[i++].rec.stored;
	while (r->nbufs * BUF_LARGE_BYTES < at + len) {
		r->buf[r->nbufs] = buf_get(BUF_LARGE, BUF_CACHE);
		if (!r->buf[r->nbufs])
			return op_done(&r->step, -E_JUKEBOX); /* never waits for memory: clients do */
		r->nbufs++;
	}
	r->fetched = i;
	for (uint64_t done = 0; done < len; done += r->iov[niov++].iov_len)
		r->iov[niov] = repack_room(r, at + done, len - done);
	ask_for(r, off, len, niov);
	return r->req.store->ops->get(&r->req, &r->step);
}

static bool
is_whole(const struct repack *r, const struct moved *m)
{
	uint64_t at = m->rec.off;

	for (int i = 0; i < m->rec.nframes; i++) {
		uint32_t crc = 0;

		for (uint32_t left = m->rec.frame[i].stored; left > 0;) {
			struct iovec v = repack_room(r, at, left);

			crc = crc32c(crc, v.iov_base, v.iov_len);
			at += v.iov_len;
			left -= (uint32_t)v.iov_len;
		}
		if (crc != m->rec.frame[i].crc)
			return false;
	}
	return at == m->rec.off + m->rec.stored;
}

/* All of the pack that lives is here: it is one of the sources. */
static int
source_add(struct repack *r)
{
	struct source *s = &r->source[r->nsources];

	for (uint32_t i = r->before; i < r->nblocks; i++)
		if (!is_whole(r, &r->block[i]))
			return -E_DAMAGED;
	*s = (struct source){ .pack = r->found[r->at].pack, .n = r->nblocks - r->before, .bytes = r->bytes - r->before_bytes };
	r->nsources += s->n > 0;
	r->before = r->nblocks;
	r->before_bytes = r->bytes;
	r->before_plain = r->plain;
	r->into_share = r->share;
	return 0;
}

/* Forgets what it has of the pack that is looked at. */
static void
source_drop(struct repack *r)
{
	r->nblocks = r->fetched = r->before;
	r->bytes = r->before_bytes;
	r->plain = r->before_plain;
}

/* ---- a turn */

static void
bufs_put(struct repack *r)
{
	while (r->nbufs > 0)
		buf_put(r->buf[--r->nbufs]);
	if (r->tail)
		buf_put(r->tail);
	r->tail = NULL;
}

static void
group_drop(struct repack *r)
{
	r->before = r->nsources = 0;
	r->before_bytes = r->before_plain = 0;
	source_drop(r);
	bufs_put(r);
}

static void
count(struct repack *r)
{
	struct file_stats *s = file_count();
	uint64_t took = reactor_clock_ns() - r->start_ns;

	s->repacked += r->nsources;
	s->repacked_into++;
	s->repacked_bytes += r->bytes;
	hist_record(r->time, took);
	r->not_before_ns = reactor_now_ns() + MAX(took, r->bytes * SEC_NS / r->rate);
}

/* The pack is left as it is; for the rest there is another turn. */
static void
skip(struct repack *r, int err)
{
	uint64_t pack = r->found[r->at].pack;

	log_error("pack %lu, of which little lives, is not written anew: %s", pack,
		err == -ENOENT ? "it is missing" : err == -E_FORMAT ? "it is of a newer version" : "it is damaged");
	repack_leave_alone(r, pack);
	source_drop(r);
	r->from = pack + 1;
}

/* The turn has failed: what it has gathered is found again. */
static void
give_up(struct repack *r, int err)
{
	bool its_own = r->stage >= REPACK_TAIL && r->stage <= REPACK_BYTES &&
	               (err == -ENOENT || err == -E_DAMAGED || err == -E_FORMAT);

	if (its_own) {
		skip(r, err);
		return;
	}
	if (r->nsources > 0)
		r->thinned = true;
	group_drop(r);
	r->not_before_ns = reactor_now_ns() + (err == -E_JUKEBOX ? LATER_NS : FAILED_NS);
}

static bool
is_due(struct repack *r)
{
	uint64_t now = reactor_now_ns();

	return r->ratio > 0 && !r->stopping && now >= r->not_before_ns && !flush_is_behind() && repack_pass_begin(r);
}

static enum op_state
turn(struct repack *r)
{
	enum op_state state = OP_DONE;
	int res;

	for (;;) {
		if (state == OP_PENDING)
			return OP_PENDING;
		res = r->step.res;
		if (res < 0 && res != -ENOENT)
			break;
		switch (r->stage) {
		case REPACK_BEGIN: /* what was found in an earlier turn may have gone since */
			r->stage = REPACK_NEXT;
			state = repack_find(r);
			continue;
		case REPACK_NEXT: /* of the packs that were found */
			if (r->at == r->n)
				r->from = r->seen;
			if (r->stopping || (r->at == r->n && r->n == REPACK_PACKS))
				return op_done(&r->step, 0); /* the next ones in another turn */
			if (r->at == r->n) {
				repack_pass_end(r);
				r->stage = REPACK_FULL;
				continue;
			}
			r->share = 0;
			r->stage = REPACK_TAIL;
			state = get_tail(r);
			continue;
		case REPACK_TAIL:
			if (res == -ENOENT && ++r->share < share_count()) {
				state = get_tail(r);
				continue;
			}
			res = res < 0 ? res : take_tail(r);
			if (res < 0)
				break;
			r->stage = r->nsources > 0 && r->share != r->into_share ? REPACK_FULL : REPACK_BLOCK;
			if (r->stage == REPACK_BLOCK)
				state = look_up(r);
			continue;
		case REPACK_BLOCK:
			res = take_block(r, res);
			if (res == -ENOSPC && r->nsources > 0) {
				source_drop(r);
				r->stage = REPACK_FULL;
				continue;
			}
			if (res < 0)
				break;
			if (++r->next < r->nhad) {
				state = look_up(r);
				continue;
			}
			op_done(&r->step, 0);
			r->stage = REPACK_BYTES;
			continue;
		case REPACK_BYTES: /* those that were asked for are here */
			if (res < 0)
				break;
			if (r->fetched < r->nblocks) {
				state = get_bytes(r);
				continue;
			}
			res = source_add(r);
			if (res < 0)
				break;
			r->from = r->found[r->at++].pack + 1;
			r->stage = REPACK_NEXT;
			continue;
		case REPACK_FULL: /* or the pass is over */
			if (r->nsources == 0)
				return op_done(&r->step, 0);
			r->stage = REPACK_PUT;
			state = repack_put(r);
			continue;
		case REPACK_PUT:
			crash_point("repack.uploaded");
			r->stage = REPACK_WRITTEN;
			state = repack_commit(r);
			continue;
		case REPACK_WRITTEN:
			crash_point("repack.written");
			count(r);
			group_drop(r);
			return op_done(&r->step, 0);
		}
		break;
	}
	give_up(r, res);
	return op_done(&r->step, 0);
}

static void
turn_resume(struct op *step)
{
	struct repack *r = container_of(step, struct repack, step);

	if (turn(r) == OP_DONE)
		op_done(r->wait, 0), r->wait->resume(r->wait);
}

enum op_state
repack_run(struct op *op)
{
	struct repack *r = mine;

	if (!is_due(r))
		return op_done(op, 0);
	r->wait = op;
	r->stage = REPACK_BEGIN;
	r->start_ns = reactor_clock_ns();
	op_done(&r->step, 0);
	return turn(r) == OP_DONE ? op_done(op, 0) : OP_PENDING;
}

void
repack_thinned(void)
{
	mine->thinned = true;
}

void
repack_quit(void)
{
	mine->stopping = true;
}

void
repack_tune(void)
{
	const struct file_opts *o = file_options();
	struct repack *r = mine;

	if (!r || reactor_core() != 0)
		return;
	r->ratio = o->repack_below;
	r->rate = MAX(o->compact_rate / (uint64_t)reactor_cores(), MIB);
	r->delay_ns = o->compact_delay_ns;
}

int
repack_init(void)
{
	struct repack *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->thinned = true; /* by the last run, perhaps */
	r->time = latency_hist("repack");
	r->batch = kv_batch_new();
	r->step.resume = turn_resume;
	mine = r;
	repack_tune();
	return 0;
}

void
repack_fini(void)
{
	struct repack *r = mine;

	group_drop(r);
	kv_batch_free(r->batch);
	free(r);
	mine = NULL;
}
