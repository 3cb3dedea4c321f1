/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object from pieces of buffers: checksums of the frames, which do not end
 * where the pieces do, then index and footer, and one PUT of all of it by iovec;
 * nothing is copied.  Encoding is one step of its own (encode_run), on a worker when there is
 * much of it: the place where frames will be compressed and sealed.
 */
#include "store/blockio.h"

#include "reactor/latency.h"
#include "reactor/probe.h"
#include "reactor/worker.h"
#include "store/claim.h"

/* Less than this is checksummed on the spot: a worker costs two wake-ups. */
#define ENCODE_HERE_BYTES (256 * KIB)

/* Zeros take one iovec for each 64 KiB, the tail one more. */
#define IOVS      (UPLOAD_PARTS_MAX + (int)(BLOCK_BYTES / BUF_LARGE_BYTES) + 1)
#define FRAMES    (UPLOAD_BLOCKS_MAX + BLOCK_BYTES / FRAME_BYTES)
#define TAIL_MAX  (FOOTER_BYTES + UPLOAD_BLOCKS_MAX * INDEX_BLOCK_BYTES + FRAMES * INDEX_FRAME_BYTES)

struct context {
	struct work work;
	struct upload *u;
	enum { UPLOAD_START, UPLOAD_ENCODE, UPLOAD_PUT } stage;
	uint64_t put_ns;
	int niov;
	struct iovec iov[IOVS];
	uint8_t tail[TAIL_MAX];
};

struct uploads {
	struct slab slab;
	struct upload *line, **line_end; /* for a context */
	struct hist *put_time;
};

static __thread struct uploads mine;

/* ---- encode: touches no state of the core, so that any thread may run it */

/* The checksum of the frame that is being filled. */
struct framer {
	struct block_rec *rec;
	uint32_t crc, len;
};

static void
frame_end(struct framer *f)
{
	struct block_rec *rec = f->rec;

	if (f->len == 0)
		return;
	assert(rec->nframes < FRAMES_PER_BLOCK);
	rec->frame[rec->nframes++] = (struct frame_rec){ f->len, f->crc, CODEC_RAW };
	f->crc = f->len = 0;
}

static void
frame_add(struct framer *f, const uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t n = MIN(len, FRAME_BYTES - f->len);

		f->crc = crc32c(f->crc, p, n);
		f->len += (uint32_t)n;
		p += n;
		len -= n;
		if (f->len == FRAME_BYTES)
			frame_end(f);
	}
}

static void
add_iov(struct context *x, uint8_t *p, size_t len)
{
	struct iovec *last = x->niov > 0 ? &x->iov[x->niov - 1] : NULL;

	/* Neighbours in memory are one piece. */
	if (last && (uint8_t *)last->iov_base + last->iov_len == p) {
		last->iov_len += len;
		return;
	}
	assert(x->niov < IOVS);
	x->iov[x->niov++] = (struct iovec){ p, len };
}

static void
encode_block(struct context *x, struct upload_block *b, uint64_t off)
{
	struct framer framer = { .rec = &b->rec };
	uint64_t bytes = 0;

	memset(&b->rec, 0, sizeof(b->rec));
	b->rec.pack = x->u->pack;
	b->rec.off = off;
	b->rec.plain = b->rec.stored = b->plain;
	for (int i = 0; i < b->nparts; i++) {
		const struct bufref *part = &b->part[i];

		bytes += part->len;
		for (uint32_t at = 0; at < part->len;) {
			uint32_t n = part->buf ? part->len : MIN(part->len - at, BUF_LARGE_BYTES);
			uint8_t *p = part->buf ? part->buf->data + part->off : buf_zeros;

			frame_add(&framer, p, n);
			add_iov(x, p, n);
			at += n;
		}
	}
	frame_end(&framer);
	assert(bytes == b->plain && b->plain > 0);
}

static int
encode_run(struct work *w)
{
	struct context *x = container_of(w, struct context, work);
	struct upload *u = x->u;
	struct object_tail tail;
	uint64_t end = 0;
	size_t tail_len;

	object_tail_start(&tail, x->tail, sizeof(x->tail));
	x->niov = 0;
	for (int i = 0; i < u->nblocks; i++) {
		struct upload_block *b = &u->block[i];

		encode_block(x, b, end);
		object_tail_add(&tail, b->slice, b->index, &b->rec);
		end += b->rec.stored;
	}
	tail_len = object_tail_finish(&tail, u->uuid, end);
	add_iov(x, x->tail, tail_len);
	u->stored = end + tail_len;
	return 0;
}

/* ---- the upload */

static void upload_step(struct op *op);

static struct context *
context(struct upload *u)
{
	struct context *x = slab_get(&mine.slab);

	if (!x)
		return NULL;
	x->u = u;
	x->stage = UPLOAD_START;
	u->priv = x;
	u->step = (struct op){ .resume = upload_step };
	return x;
}

static void
release(struct context *x)
{
	struct upload *u = mine.line;

	x->u->priv = NULL;
	slab_put(&mine.slab, x);
	if (!u)
		return;
	mine.line = u->next;
	if (!mine.line)
		mine.line_end = &mine.line;
	(void)context(u); /* there is one: we have just put it */
	reactor_post(&u->step, 0);
}

static enum op_state
put_object(struct context *x)
{
	struct upload *u = x->u;

	memset(&u->req, 0, sizeof(u->req));
	object_name(u->req.name, u->prefix, u->block[0].slice, u->block[0].index, &u->block[0].rec);
	u->req.store = u->store;
	u->req.iov = x->iov;
	u->req.niov = x->niov;
	u->req.len = u->stored;
	x->put_ns = reactor_clock_ns();
	PROBE_OBJECT_PUT(u->req.name, u->stored);
	return claim_put(&u->req, &u->step);
}

static void
put_done(const struct context *x)
{
	uint64_t ns = reactor_clock_ns() - x->put_ns;

	hist_record(mine.put_time, ns);
	PROBE_OBJECT_STORED(x->u->req.name, x->u->step.res, ns);
}

static uint64_t
plain_bytes(const struct upload *u)
{
	uint64_t bytes = 0;
	int parts = 0;

	for (int i = 0; i < u->nblocks; i++) {
		bytes += u->block[i].plain;
		parts += u->block[i].nparts;
	}
	assert(bytes <= BLOCK_BYTES && parts <= UPLOAD_PARTS_MAX);
	return bytes;
}

/* OP_DONE: the result is in step. */
static enum op_state
run(struct upload *u)
{
	struct context *x = u->priv;

	switch (x->stage) {
	case UPLOAD_START:
		x->stage = UPLOAD_ENCODE;
		if (plain_bytes(u) > ENCODE_HERE_BYTES)
			return worker_run(&x->work, encode_run, &u->step);
		op_done(&u->step, encode_run(&x->work));
		fallthrough;
	case UPLOAD_ENCODE:
		if (u->step.res < 0)
			break;
		x->stage = UPLOAD_PUT;
		if (put_object(x) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UPLOAD_PUT:
		put_done(x);
		break;
	}
	release(x);
	return OP_DONE;
}

static void
upload_step(struct op *op)
{
	struct upload *u = container_of(op, struct upload, step);
	struct op *wait = u->wait;

	if (run(u) == OP_DONE) {
		wait->res = u->step.res;
		wait->resume(wait);
	}
}

enum op_state
upload_run(struct upload *u, struct op *op)
{
	assert(u->nblocks > 0 && u->nblocks <= UPLOAD_BLOCKS_MAX && (u->pack != 0 || u->nblocks == 1));
	u->wait = op;
	if (!context(u)) { /* never before those in line: release gives it to them */
		u->next = NULL;
		*mine.line_end = u;
		mine.line_end = &u->next;
		return OP_PENDING;
	}
	return run(u) == OP_DONE ? op_done(op, u->step.res) : OP_PENDING;
}

int
upload_init(uint32_t max_uploads)
{
	mine.line = NULL;
	mine.line_end = &mine.line;
	mine.put_time = latency_hist("object put");
	return slab_init(&mine.slab, "uploads", sizeof(struct context), max_uploads);
}

void
upload_fini(void)
{
	assert(!mine.line);
	slab_fini(&mine.slab);
}
