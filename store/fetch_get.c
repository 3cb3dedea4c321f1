/* SPDX-License-Identifier: Apache-2.0 */
/* One ranged GET of frames that follow each other: what came is checked, decoded, kept on the cache disks, and landed. */
#include "store/fetch_impl.h"

#include <inttypes.h>

#include "reactor/latency.h"
#include "reactor/log.h"
#include "reactor/probe.h"

/* What came damaged is fetched again, each time by another connection, if the store has any: most often it was so on its way. */
#ifndef REFETCHES /* each is so many plans more for a test */
#define REFETCHES 2
#endif
/* So many encoded frames of a GET are decoded on the spot, 20 to 80 us each; more go to a worker, which costs two wake-ups. */
#define DECODE_HERE 2
#define SAY_NS  ((uint64_t)1000000000)

static __thread struct hist *get_time;
static struct log_limit came_damaged;

static int
failed(const struct run *r, int err)
{
	const struct cache_fetch *f = r->by->f;
	unsigned first = f->first + r->first;

	count_up(&cache_count()->errors, 1);
	switch (-err) {
	case ENOENT:
		log_error("object %s is missing: slice %" PRIu64 " frames %u to %u cannot be read",
		          r->req.name, f->slice, first, first + r->n - 1);
		return -EIO;
	case E_DAMAGED:
		log_error("object %s is too short: slice %" PRIu64 " frames %u to %u cannot be read",
		          r->req.name, f->slice, first, first + r->n - 1);
		return -E_DAMAGED;
	case E_JUKEBOX: /* away, or it refuses us until a setting is mended: readers wait, and the store has said why */
	case EACCES:
		return -E_JUKEBOX;
	default:
		log_error("object %s: %s: slice %" PRIu64 " frames %u to %u cannot be read", r->req.name,
		          strerror(-err), f->slice, first, first + r->n - 1);
		return -EIO;
	}
}

/* ---- from what is in the object to plain bytes */

static const struct frame_rec *
frame_of(const struct fetch *x, uint32_t k)
{
	return &x->f->rec.frame[(x->f->first + k) % FRAMES_PER_BLOCK];
}

static bool
is_sealed(const struct fetch *x)
{
	return x->f->rec.key_epoch != 0;
}

static const uint8_t *
trailer_of(const struct fetch *x, uint32_t k)
{
	return is_sealed(x) ? x->trailer[k] : NULL;
}

static int
decode_frame(const struct fetch *x, uint32_t k)
{
	const struct cache_fetch *f = x->f;
	const struct frame_place at = { .epoch = f->rec.key_epoch, .slice = f->slice, .index = f->index, .block_plain = f->rec.plain,
	                                .frame = (f->first + k) % FRAMES_PER_BLOCK };

	return frame_decode(frame_of(x, k), &at, x->buf[k]->data, trailer_of(x, k), frame_plain(&f->rec, at.frame));
}

static void
decode(struct run *r)
{
	const struct fetch *x = r->by;
	uint32_t end = r->first + r->n;
	int err;

	r->damaged = r->wrong = r->later = 0;
	for (uint32_t k = r->first; k < end; k++)
		if (!frame_is_whole(frame_of(x, k), x->buf[k]->data, trailer_of(x, k)))
			r->damaged |= 1ull << k;
	if (r->damaged && r->again < REFETCHES)
		return; /* it comes once more */
	for (uint32_t k = r->first; k < end; k++)
		if (!(r->damaged >> k & 1) && (err = decode_frame(x, k)) < 0)
			*(err == -ENOMEM ? &r->later : &r->wrong) |= 1ull << k;
}

static int
decode_run(struct work *w)
{
	decode(container_of(w, struct run, work));
	return 0;
}

static bool
is_long(const struct run *r)
{
	uint32_t encoded = 0;

	for (uint32_t k = r->first; k < r->first + r->n; k++)
		encoded += is_sealed(r->by) || frame_of(r->by, k)->codec != CODEC_RAW;
	return encoded > DECODE_HERE;
}

static void run_get(struct run *r);

static int
frame_end(const struct run *r, uint32_t k)
{
	const struct cache_fetch *f = r->by->f;

	if (r->later >> k & 1)
		return -E_JUKEBOX;
	if (!((r->damaged | r->wrong) >> k & 1))
		return 0;
	log_error("object %s is damaged: slice %" PRIu64 " frame %u %s", r->req.name, f->slice, f->first + k,
	          r->damaged >> k & 1 ? "does not match its checksum" :
	          is_sealed(r->by) ? "is not what was encrypted for this place, though it matches its checksum" :
	          "cannot be decoded, though it matches its checksum");
	count_up(&cache_count()->errors, 1);
	return -E_DAMAGED;
}

/* A frame that is whole is good, whatever its neighbours are. */
static void
run_decoded(struct run *r)
{
	struct fetch *x = r->by;
	const struct cache_fetch *f = x->f;
	uint64_t more;

	if (r->damaged && r->again < REFETCHES) {
		if (log_turn(&came_damaged, SAY_NS, &more))
			log_warn("object %s came damaged: fetched again, perhaps it was so on its way only (%" PRIu64
			         " more like it)", r->req.name, more);
		r->again++;
		run_get(r);
		return;
	}
	for (uint32_t k = r->first; k < r->first + r->n; k++) {
		int err = frame_end(r, k);

		if (err == 0)
			diskcache_insert(f->slice, f->first + k, f->ino, x->buf[k],
			                 frame_plain(&f->rec, (f->first + k) % FRAMES_PER_BLOCK), false);
		fetch_land(x, k, err);
	}
	fetch_less_left(x);
}

static void
run_decode_resumed(struct op *op)
{
	run_decoded(container_of(op, struct run, op));
}

static void
run_landed(struct run *r, int res)
{
	struct fetch *x = r->by;
	uint64_t ns = reactor_clock_ns() - r->sent_ns;
	int err;

	hist_record(get_time, ns);
	PROBE_OBJECT_GOT(r->req.name, res, ns);
	if (res < 0) {
		err = failed(r, res);
		for (uint32_t k = r->first; k < r->first + r->n; k++)
			fetch_land(x, k, err);
		fetch_less_left(x);
		return;
	}
	if (is_long(r)) {
		r->op.resume = run_decode_resumed;
		worker_run(&r->work, decode_run, &r->op);
		return;
	}
	decode(r);
	run_decoded(r);
}

static void
run_resumed(struct op *op)
{
	run_landed(container_of(op, struct run, op), op->res);
}

/* Again, too: the store has used up the array of pieces. */
static void
run_get(struct run *r)
{
	struct fetch *x = r->by;
	const struct cache_fetch *f = x->f;
	uint32_t block_first = f->first % FRAMES_PER_BLOCK;

	memset(&r->req, 0, sizeof(r->req));
	object_name(r->req.name, f->prefix, f->slice, f->index, &f->rec);
	r->op.resume = run_resumed;
	r->req.store = f->store;
	r->req.afresh = r->again > 0;
	r->req.iov = &x->iov[2 * r->first];
	r->req.off = f->rec.off;
	for (uint32_t k = 0; k < block_first + r->first; k++)
		r->req.off += f->rec.frame[k].stored;
	for (uint32_t k = r->first; k < r->first + r->n; k++) {
		const struct frame_rec *frame = frame_of(x, k);

		r->req.iov[r->req.niov++] = (struct iovec){ x->buf[k]->data, frame_body_bytes(frame, is_sealed(x)) };
		if (is_sealed(x))
			r->req.iov[r->req.niov++] = (struct iovec){ x->trailer[k], SEAL_BYTES };
		r->req.len += frame->stored;
	}
	count_up(&cache_count()->fetches, 1);
	count_up(&cache_count()->fetched_bytes, r->req.len);
	r->sent_ns = reactor_clock_ns();
	PROBE_OBJECT_GET(r->req.name, r->req.len);
	if (f->store->ops->get(&r->req, &r->op) == OP_DONE)
		run_landed(r, r->op.res);
}

void
fetch_get(struct fetch *x, uint32_t first, uint32_t n)
{
	struct run *r;

	assert(x->nruns < RUNS);
	r = &x->run[x->nruns++];
	r->by = x;
	r->first = first;
	r->n = n;
	r->again = 0;
	x->left++; /* for run_landed */
	run_get(r);
}

void
fetch_get_init(void)
{
	get_time = latency_hist("object get");
}
