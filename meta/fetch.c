/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/fetch.h"

#include "reactor/log.h"

#define MOVES_MAX 3

/* What 'B' says of the block: never believed without a check. */
static int
block_take(struct fetch *f, int res)
{
	struct block_rec *rec = &f->cache.rec;
	uint32_t first = f->first % FRAMES_PER_BLOCK;
	uint64_t start = (uint64_t)f->cache.index * BLOCK_BYTES;

	if (res > (int)sizeof(f->val))
		res = -E_DAMAGED;
	else if (res >= 0)
		res = block_decode(rec, f->val, (size_t)res);
	if (res == 0 && (first + f->n > rec->nframes || f->end > start + rec->plain))
		res = -E_DAMAGED;
	if (res == 0)
		return 0;
	log_error("slice %lu: the record of block %u is %s", f->slice, f->cache.index,
	          res == -ENOENT ? "missing" : res == -E_DAMAGED || res == -E_FORMAT ? "damaged" : "not readable");
	return res == -ENOENT ? -EIO : res;
}

static enum op_state
look_up(struct fetch *f)
{
	uint8_t key[KV_KEY_MAX];

	return kv_get(&f->kv, key, key_block(key, f->slice, f->cache.index), f->val, sizeof(f->val), &f->step);
}

static enum op_state
fetch_step(struct fetch *f)
{
	uint64_t pack = f->cache.rec.pack;
	int res;

	for (;;) {
		switch (f->stage) {
		case FETCH_AGAIN:
		case FETCH_BLOCK:
			res = block_take(f, f->step.res);
			if (res == 0 && f->stage == FETCH_AGAIN && f->cache.rec.pack == pack)
				res = -EIO; /* where it was, and missing */
			if (res < 0)
				return op_done(f->wait, res);
			f->stage = FETCH_FRAMES;
			if (cache_fetch(&f->cache, &f->step) == OP_PENDING)
				return OP_PENDING;
			fallthrough;
		case FETCH_FRAMES:
			pack = f->cache.rec.pack;
			if (f->step.res != -EIO || pack == 0 || ++f->moves > MOVES_MAX)
				return op_done(f->wait, f->step.res);
			f->stage = FETCH_AGAIN;
			if (look_up(f) == OP_PENDING)
				return OP_PENDING;
		}
	}
}

static void
fetch_resume(struct op *step)
{
	struct fetch *f = container_of(step, struct fetch, step);

	if (fetch_step(f) == OP_DONE)
		f->wait->resume(f->wait);
}

enum op_state
fetch_run(struct fetch *f, struct objstore *store, const char *prefix, struct op *op)
{
	assert(f->n > 0 && f->first / FRAMES_PER_BLOCK == (f->first + f->n - 1) / FRAMES_PER_BLOCK);
	f->wait = op;
	f->step.resume = fetch_resume;
	f->cache.store = store;
	f->cache.prefix = prefix;
	f->cache.slice = f->slice;
	f->cache.ino = f->ino;
	f->cache.first = f->first;
	f->cache.n = f->n;
	f->cache.index = f->first / FRAMES_PER_BLOCK;
	f->stage = FETCH_BLOCK;
	f->moves = 0;
	return look_up(f) == OP_PENDING ? OP_PENDING : fetch_step(f);
}
