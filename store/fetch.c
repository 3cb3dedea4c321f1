/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that are not in memory: from the disk cache, and what that has not, or not whole, from the object store.  A frame is in flight for
 * the fetch that first missed it; others that want it meanwhile wait for that
 * flight, each for just the frames that they share.
 *
 * No deadlock over memory: a fetch that stands in line for buffers holds none, and
 * nobody waits for it, because a frame is in flight only once its buffer is
 * there.  From then on it needs nothing more to complete.
 */
#include "store/fetch_impl.h"

#include <inttypes.h>

#include "reactor/log.h"

#define FETCHES 256 /* under way at once, a core; more wait in line */
#define BUCKETS 256

struct fetches {
	struct slab slab;
	struct fetch *bucket[BUCKETS];
	struct cache_fetch *line, **line_end; /* for a context */
};

static __thread struct fetches mine;

static struct fetch **
bucket_of(const struct cache_fetch *f)
{
	return &mine.bucket[mix64(f->slice * 16 + f->index) % BUCKETS];
}

/* ---- what the block record says */

/* It comes from a database: what does not fit together must not become a length in memory. */
static int
check_rec(const struct cache_fetch *f)
{
	const struct block_rec *rec = &f->rec;
	uint32_t first = f->first % FRAMES_PER_BLOCK;

	if (rec->plain == 0 || rec->plain > BLOCK_BYTES || rec->off > INT64_MAX - 2 * BLOCK_BYTES ||
	    rec->nframes != (rec->plain + FRAME_BYTES - 1) / FRAME_BYTES || first + f->n > rec->nframes)
		return -E_DAMAGED;
	if (rec->key_epoch && seal_cipher(rec->key_epoch) == AEAD_NONE)
		return -ENOKEY;
	for (uint32_t k = 0; k < first + f->n; k++) {
		int err = frame_check(&rec->frame[k], rec->key_epoch != 0, frame_plain(rec, k));

		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- the end of a fetch */

static void
put_all(struct buf **b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (b[i])
			buf_put(b[i]);
		b[i] = NULL;
	}
}

static void fetch_step(struct op *op);

static struct fetch *
context(struct cache_fetch *f)
{
	struct fetch *x = slab_get(&mine.slab);

	if (!x)
		return NULL;
	x->f = f;
	x->stage = FETCH_START;
	x->step = (struct op){ .resume = fetch_step };
	x->now = x->all = false;
	x->err = 0;
	x->left = x->nroom = x->nruns = 0;
	x->flying = 0;
	memset(x->got, 0, sizeof(x->got));
	f->priv = x;
	return x;
}

static void
release(struct fetch *x)
{
	struct cache_fetch *f = mine.line;

	slab_put(&mine.slab, x);
	if (!f)
		return;
	mine.line = f->next;
	if (!mine.line)
		mine.line_end = &mine.line;
	x = context(f);
	reactor_post(&x->step, 0); /* not from here: each could end at once and start the next */
}

/* Answers: the result for cache_fetch to return, or by way of the run queue. */
static enum op_state
fetch_finish(struct fetch *x)
{
	struct cache_fetch *f = x->f;
	struct op *wait = f->wait;
	int err = x->err;
	bool now = x->now;

	assert(x->flying == 0);
	if (x->stage == FETCH_FLY) {
		struct fetch **at = bucket_of(f);

		while (*at != x)
			at = &(*at)->next;
		*at = x->next;
	}
	if (err < 0)
		put_all(f->out, f->n);
	f->priv = NULL;
	release(x);
	if (now)
		return op_done(wait, err);
	reactor_post(wait, err);
	return OP_PENDING;
}

/* One of what it waits for has come. */
void
fetch_less_left(struct fetch *x)
{
	assert(x->left > 0);
	if (--x->left == 0)
		fetch_finish(x);
}

/* ---- flights */

/* Who brings this frame, and which of its frames it is; NULL: nobody. */
static struct fetch *
flight_of(const struct cache_fetch *f, uint32_t frame, uint32_t *k)
{
	struct fetch *x = *bucket_of(f);

	for (; x; x = x->next) {
		*k = frame - x->f->first;
		if (x->f->slice == f->slice && *k < x->f->n && (x->flying >> *k & 1))
			return x;
	}
	return NULL;
}

/* Frame k is here, or will not come: everybody who waits for it is told. */
void
fetch_land(struct fetch *x, uint32_t k, int err)
{
	struct buf *b = x->buf[k];
	struct waiter *w = x->waiters[k];
	uint32_t frame = x->f->first + k;

	x->flying &= ~(1ull << k);
	if (err == 0)
		cache_insert(x->f->slice, frame, b,
		             frame_plain(&x->f->rec, frame % FRAMES_PER_BLOCK));
	while (w) {
		struct waiter *next = w->next;
		struct fetch *y = w->by;

		if (err == 0)
			y->f->out[w - y->wait] = buf_keep(b);
		else if (y->err == 0)
			y->err = err;
		w = next;
		fetch_less_left(y);
	}
	buf_put(b);
}

static void
near_resumed(struct op *op)
{
	struct near *n = container_of(op, struct near, op);

	if (op->res == 0)
		fetch_land(n->by, n->k, 0);
	else
		fetch_get(n->by, n->k, 1);
	fetch_less_left(n->by);
}

/* Those of `todo` that the disk cache does not have. */
static uint64_t
start_near(struct fetch *x, uint64_t todo)
{
	const struct cache_fetch *f = x->f;
	uint64_t far = todo;

	for (; todo; todo &= todo - 1) {
		uint32_t k = (uint32_t)__builtin_ctzll(todo), frame = f->first + k;
		struct near *n = &x->near[k];

		n->op = (struct op){ .resume = near_resumed };
		n->by = x;
		n->k = k;
		if (diskcache_read(&n->disk, f->slice, frame, frame_plain(&f->rec, frame % FRAMES_PER_BLOCK), x->buf[k],
		                   f->n == f->rec.nframes, &n->op)) {
			x->left++;
			far &= ~(1ull << k);
		}
	}
	return far;
}

static void
start_runs(struct fetch *x)
{
	uint64_t todo = start_near(x, x->flying);

	while (todo) {
		uint32_t first = (uint32_t)__builtin_ctzll(todo);
		uint64_t from = todo >> first;
		uint32_t n = ~from ? (uint32_t)__builtin_ctzll(~from) : FETCH_FRAMES_MAX;

		todo &= n < 64 ? ~(((1ull << n) - 1) << first) : 0;
		fetch_get(x, first, n);
	}
}

/* Joins flights, and sends its own for the rest, with the buffers that it has got. */
static void
fly(struct fetch *x)
{
	struct cache_fetch *f = x->f;
	uint32_t missed = 0;

	x->stage = FETCH_FLY;
	x->left = 1; /* for this call's caller */
	for (uint32_t i = 0; i < f->n; i++) {
		uint32_t k;
		struct fetch *by;

		if (f->out[i])
			continue;
		missed++;
		x->left++;
		by = flight_of(f, f->first + i, &k);
		if (!by) {
			by = x;
			k = i;
			assert(x->nroom > 0);
			x->buf[i] = x->got[--x->nroom];
			x->got[x->nroom] = NULL;
			x->waiters[i] = NULL;
			x->flying |= 1ull << i;
		}
		x->wait[i] = (struct waiter){ .next = by->waiters[k], .by = x };
		by->waiters[k] = &x->wait[i];
	}
	count_up(&cache_count()->misses, missed);
	count_up(&cache_count()->hits, f->n - missed);
	put_all(x->got, x->nroom); /* others brought some while it stood in line */
	x->nroom = 0;
	x->next = *bucket_of(f);
	*bucket_of(f) = x;
	start_runs(x);
}

/* ---- the fetch */

/* Holds what is cached; returns how many frames nobody has or brings. */
static uint32_t
collect(struct cache_fetch *f)
{
	uint32_t missing = 0;

	for (uint32_t i = 0; i < f->n; i++) {
		uint32_t k;

		if (!f->out[i])
			f->out[i] = cache_peek(f->slice, f->first + i);
		if (!f->out[i] && !flight_of(f, f->first + i, &k))
			missing++;
	}
	return missing;
}

/* The only frame of a small file, or of a piece of one, takes as little memory as it can. */
static enum buf_class
class_of(const struct cache_fetch *f)
{
	return f->n == 1 ? buf_class_for(frame_plain(&f->rec, f->first % FRAMES_PER_BLOCK)) : BUF_LARGE;
}

/* Buffers for `n` frames.  Who holds others already must not stand in line. */
static enum op_state
get_room(struct fetch *x, uint32_t n)
{
	x->nroom = n;
	if (!x->f->nowait)
		return buf_get_many(&x->room, x->got, (int)n, class_of(x->f), BUF_CACHE, &x->step);
	for (uint32_t i = 0; i < n; i++) {
		x->got[i] = buf_get(class_of(x->f), BUF_CACHE);
		if (!x->got[i]) {
			put_all(x->got, i);
			x->nroom = 0;
			return op_done(&x->step, -E_JUKEBOX);
		}
	}
	return op_done(&x->step, 0);
}

static enum op_state
fetch_run(struct fetch *x)
{
	struct cache_fetch *f = x->f;
	uint32_t missing;

	for (;;) {
		switch (x->stage) {
		case FETCH_START:
			x->stage = FETCH_ROOM;
			missing = collect(f);
			op_done(&x->step, 0);
			if (missing > 0 && get_room(x, x->all ? f->n : missing) == OP_PENDING) {
				put_all(f->out, f->n);
				x->now = false;
				return OP_PENDING;
			}
			continue;
		case FETCH_ROOM:
			if (x->step.res < 0) {
				x->err = x->step.res;
				return fetch_finish(x);
			}
			if (collect(f) > x->nroom) {
				put_all(x->got, x->nroom);
				put_all(f->out, f->n);
				x->nroom = 0;
				x->all = true;
				x->stage = FETCH_START;
				continue;
			}
			fly(x);
			if (--x->left == 0)
				return fetch_finish(x);
			x->now = false;
			return OP_PENDING;
		case FETCH_FLY:
			assert(!"a fetch in flight is resumed by its runs");
		}
	}
}

static void
fetch_step(struct op *op)
{
	(void)fetch_run(container_of(op, struct fetch, step)); /* now is false: it posts */
}

enum op_state
cache_fetch(struct cache_fetch *f, struct op *op)
{
	struct fetch *x;
	uint32_t i;
	int err;

	assert(f->n > 0 && f->n <= FETCH_FRAMES_MAX && f->index == f->first / FRAMES_PER_BLOCK &&
	       f->index == (f->first + f->n - 1) / FRAMES_PER_BLOCK);
	memset(f->out, 0, f->n * sizeof(f->out[0]));
	f->wait = op;
	f->priv = NULL;
	err = check_rec(f);
	if (err == -ENOKEY) {
		log_error("slice %" PRIu64 ": block %u is encrypted with key epoch %" PRIu32 ", and the volume has no such key", f->slice, f->index,
		          f->rec.key_epoch);
		count_up(&cache_count()->errors, 1);
		return op_done(op, -EIO);
	}
	if (err < 0) {
		log_error("slice %" PRIu64 ": the record of block %u is %s", f->slice, f->index,
		          err == -E_FORMAT ? "of a kind that this version cannot read" : "damaged");
		count_up(&cache_count()->errors, 1);
		return op_done(op, err);
	}
	for (i = 0; i < f->n && (f->out[i] = cache_peek(f->slice, f->first + i)) != NULL; i++)
		;
	if (i == f->n) {
		count_up(&cache_count()->hits, f->n);
		return op_done(op, 0);
	}
	x = context(f); /* never before those in line: release gives it to them */
	if (!x) {
		put_all(f->out, f->n);
		f->next = NULL;
		*mine.line_end = f;
		mine.line_end = &f->next;
		return OP_PENDING;
	}
	x->now = true;
	return fetch_run(x);
}

int
cache_fetch_init(void)
{
	memset(&mine, 0, sizeof(mine));
	mine.line_end = &mine.line;
	fetch_get_init();
	return slab_init(&mine.slab, "fetches", sizeof(struct fetch), FETCHES);
}

void
cache_fetch_fini(void)
{
	assert(!mine.line);
	slab_fini(&mine.slab);
}
