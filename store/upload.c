/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An object from pieces of buffers: frames, which do not end where the pieces do, then index and footer, and one
 * PUT of all of it by iovec.  What is stored as it is goes out from where it lies; what frame_encode has changed, and
 * what follows that, is packed into buffers of the upload's own, which it waits for before it begins and puts when the
 * object is there.  So an upload that is run again begins anew.
 *
 * Encoding runs on a worker, in grains, so that those who wait for a worker to read something need not wait for a block.
 */
#include "store/blockio.h"

#include "reactor/latency.h"
#include "reactor/probe.h"
#include "reactor/worker.h"
#include "store/claim.h"

/* Less than this is checksummed on the spot: a worker costs two wake-ups. */
#define ENCODE_HERE_BYTES (256 * KIB)
/* Of encoding at a time, of which a frame takes 0.1 to 0.5 ms, and 20 with the highest levels. */
#define GRAIN_NS  ((uint64_t)2000000)

#define FRAMES    (UPLOAD_BLOCKS_MAX + BLOCK_BYTES / FRAME_BYTES)
#define OUT_MAX   ((BLOCK_BYTES + FRAMES * SEAL_BYTES + BUF_LARGE_BYTES - 1) / BUF_LARGE_BYTES)
/* The pieces, cut once more by each frame and each 64 KiB of zeros; encoded bytes; the tail. */
#define IOVS      (UPLOAD_PARTS_MAX + (int)FRAMES + 2 * (int)(BLOCK_BYTES / BUF_LARGE_BYTES) + 1)
#define TAIL_MAX  (FOOTER_BYTES + UPLOAD_BLOCKS_MAX * INDEX_BLOCK_BYTES + FRAMES * INDEX_FRAME_BYTES)

/* Where in the pieces of a block. */
struct cursor {
	int part;
	uint32_t at;
};

struct context {
	struct work work;
	struct upload *u;
	enum { UPLOAD_START, UPLOAD_ROOM, UPLOAD_ENCODE, UPLOAD_PUT } stage;
	uint64_t put_ns;
	uint32_t epoch;              /* of the key that frames are sealed with; 0: none */
	/* what encoding has come to */
	int block;
	struct cursor at;
	struct frame_luck luck;      /* of the block */
	uint64_t end;                /* of the frames so far, in the object */
	struct object_tail index;
	/* encoded bytes */
	struct buf_wait room;
	struct buf *out[OUT_MAX];
	int nout;
	uint64_t out_len;
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

static void
add_iov(struct context *x, const uint8_t *p, size_t len)
{
	struct iovec *last = x->niov > 0 ? &x->iov[x->niov - 1] : NULL;

	/* Neighbours in memory are one piece. */
	if (last && (uint8_t *)last->iov_base + last->iov_len == p) {
		last->iov_len += len;
		return;
	}
	assert(x->niov < IOVS);
	x->iov[x->niov++] = (struct iovec){ (uint8_t *)p, len };
}

/* The next bytes that lie side by side, `most` at most; 0: the block has ended. */
static uint32_t
piece(const struct upload_block *b, struct cursor *c, uint32_t most, const uint8_t **p)
{
	while (c->part < b->nparts) {
		const struct bufref *part = &b->part[c->part];
		uint32_t n = MIN(part->len - c->at, most);

		if (n == 0) {
			*c = (struct cursor){ .part = c->part + 1 };
			continue;
		}
		*p = buf_zeros;
		if (part->buf)
			*p = part->buf->data + part->off + c->at;
		else
			n = MIN(n, BUF_LARGE_BYTES);
		c->at += n;
		return n;
	}
	return 0;
}

/* The frame as it is: one PUT sends it from where it lies. */
static void
frame_as_is(struct context *x, const struct upload_block *b, uint32_t len, struct frame_rec *rec)
{
	const uint8_t *p;

	*rec = (struct frame_rec){ .stored = len, .codec = CODEC_RAW };
	while (len > 0) {
		uint32_t n = piece(b, &x->at, len, &p);

		assert(n > 0);
		rec->crc = crc32c(rec->crc, p, n);
		add_iov(x, p, n);
		len -= n;
	}
}

/* Its bytes in one piece. */
static const uint8_t *
frame_plain(struct context *x, const struct upload_block *b, uint32_t len)
{
	const uint8_t *p;
	uint8_t *all;
	uint32_t n = piece(b, &x->at, len, &p), got = n;

	if (n == len)
		return p;
	all = frame_gather();
	memcpy(all, p, n);
	for (; got < len; got += n) {
		n = piece(b, &x->at, len - got, &p);
		assert(n > 0);
		memcpy(all + got, p, n);
	}
	return all;
}

/* Behind what was encoded before. */
static void
out_add(struct context *x, const uint8_t *p, uint32_t len)
{
	while (len > 0) {
		uint32_t in = (uint32_t)(x->out_len % BUF_LARGE_BYTES), n = MIN(len, BUF_LARGE_BYTES - in);
		struct buf *b = x->out[x->out_len / BUF_LARGE_BYTES];

		assert(x->out_len / BUF_LARGE_BYTES < (uint64_t)x->nout);
		memcpy(b->data + in, p, n);
		add_iov(x, b->data + in, n);
		x->out_len += n;
		p += n;
		len -= n;
	}
}

static int
frame_add(struct context *x, const struct upload_block *b, uint32_t len, struct frame_rec *rec)
{
	const struct frame_place place = { .epoch = x->epoch, .slice = b->slice, .index = b->index, .block_plain = b->plain,
	                                   .frame = b->rec.nframes };
	struct cursor from = x->at;
	struct frame_how how = x->u->how;
	const uint8_t *plain, *stored;
	bool tried = frame_try(&x->luck);

	if (x->nout == 0) {
		frame_as_is(x, b, len, rec);
		return 0;
	}
	if (!tried)
		how.choice.codec = CODEC_RAW;
	plain = frame_plain(x, b, len);
	stored = frame_encode(&how, &place, plain, len, rec);
	if (!stored)
		return -E_JUKEBOX; /* memory for a cipher's context */
	if (tried)
		frame_tried(&x->luck, rec->codec != CODEC_RAW);
	if (stored != plain || x->out_len > 0) {
		/* Copying is a hundredth of encoding, and O_DIRECT wants no gaps between whole pages. */
		out_add(x, stored, rec->stored);
		return 0;
	}
	x->at = from;
	frame_as_is(x, b, len, rec);
	return 0;
}

static void
encode_start(struct context *x)
{
	object_tail_start(&x->index, x->tail, sizeof(x->tail));
	x->index.seal = (struct object_seal){ (uint16_t)seal_cipher(x->epoch), x->epoch };
	x->niov = x->block = 0;
	x->at = (struct cursor){ 0 };
	x->end = x->out_len = 0;
	for (int i = 0; i < x->u->nblocks; i++)
		memset(&x->u->block[i].rec, 0, sizeof(x->u->block[i].rec));
}

/* The next frame of the block; 1: that was the last. */
static int
encode_frame(struct context *x, struct upload_block *b)
{
	struct block_rec *rec = &b->rec;
	struct frame_rec *f = &rec->frame[rec->nframes];
	int err;

	assert(b->plain > 0 && rec->nframes < FRAMES_PER_BLOCK);
	if (rec->nframes == 0) {
		x->luck = (struct frame_luck){ 0 };
		rec->pack = x->u->pack;
		rec->off = x->end;
		rec->plain = b->plain;
		rec->key_epoch = x->epoch;
	}
	err = frame_add(x, b, MIN(FRAME_BYTES, b->plain - rec->nframes * FRAME_BYTES), f);
	if (err < 0)
		return err;
	rec->nframes++;
	rec->stored += f->stored;
	x->end += f->stored;
	return rec->nframes * FRAME_BYTES >= b->plain;
}

static void
encode_end(struct context *x)
{
	struct upload *u = x->u;
	size_t len = object_tail_finish(&x->index, u->uuid, x->end);

	add_iov(x, x->tail, len);
	u->stored = x->end + len;
}

/* 1: there is more to be done. */
static int
encode_run(struct work *w)
{
	struct context *x = container_of(w, struct context, work);
	struct upload *u = x->u;
	uint64_t until = x->nout > 0 ? reactor_clock_ns() + GRAIN_NS : UINT64_MAX;
	const uint8_t *p;

	while (x->block < u->nblocks) {
		struct upload_block *b = &u->block[x->block];

		int end = encode_frame(x, b);

		if (end < 0)
			return end;
		if (end > 0) {
			uint32_t more = piece(b, &x->at, 1, &p);

			assert(more == 0); /* its pieces are its plain bytes */
			object_tail_add(&x->index, b->slice, b->index, &b->rec);
			x->at = (struct cursor){ 0 };
			x->block++;
		}
		if (reactor_clock_ns() >= until && x->block < u->nblocks)
			return 1;
	}
	encode_end(x);
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
	x->nout = 0;
	u->priv = x;
	u->step = (struct op){ .resume = upload_step };
	return x;
}

/* The buffers behind the first `keep`. */
static void
out_put(struct context *x, int keep)
{
	while (x->nout > keep)
		buf_put(x->out[--x->nout]);
}

static void
release(struct context *x)
{
	struct upload *u = mine.line;

	out_put(x, 0);
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

/* For all that encoding may come to; none where it changes nothing. */
static enum op_state
get_room(struct context *x)
{
	struct upload *u = x->u;
	uint64_t bytes = 0;

	x->epoch = seal_epoch();
	for (int i = 0; i < u->nblocks; i++)
		bytes += frame_room_bytes(&u->how, u->block[i].plain);
	x->nout = (int)((bytes + BUF_LARGE_BYTES - 1) / BUF_LARGE_BYTES);
	assert(x->nout <= (int)OUT_MAX);
	if (x->nout == 0)
		return op_done(&u->step, 0);
	return buf_get_many(&x->room, x->out, x->nout, BUF_LARGE, BUF_DRAIN, &u->step);
}

static enum op_state
encode(struct context *x)
{
	struct upload *u = x->u;

	if (x->nout > 0 || plain_bytes(u) > ENCODE_HERE_BYTES)
		return worker_run(&x->work, encode_run, &u->step);
	return op_done(&u->step, encode_run(&x->work));
}

/* OP_DONE: the result is in step. */
static enum op_state
run(struct upload *u)
{
	struct context *x = u->priv;

	switch (x->stage) {
	case UPLOAD_START:
		x->stage = UPLOAD_ROOM;
		if (get_room(x) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UPLOAD_ROOM: /* the buffers are here */
		encode_start(x);
		x->stage = UPLOAD_ENCODE;
		if (encode(x) == OP_PENDING)
			return OP_PENDING;
		fallthrough;
	case UPLOAD_ENCODE: /* a grain of it, or all */
		if (u->step.res < 0)
			break;
		if (u->step.res > 0)
			return encode(x);
		out_put(x, (int)((x->out_len + BUF_LARGE_BYTES - 1) / BUF_LARGE_BYTES));
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
