/* SPDX-License-Identifier: Apache-2.0 */
/* GET, PUT and HEAD of one object. */
#include <inttypes.h>
#include <stdio.h>

#include "crypto/digest.h"
#include "store/block.h"
#include "store/s3_impl.h"

/* Less than this is hashed on the spot: a worker costs two wake-ups. */
#define HASH_HERE_BYTES (64 * KIB)
#define LOOK_BYTES      (1 * MIB) /* a conditional PUT in doubt is compared up to this size */

static struct s3_call *
call_of(struct s3_request *q)
{
	return container_of(q, struct s3_call, q);
}

static bool
is_md5(const char *etag)
{
	return strspn(etag, "0123456789abcdef") == 32 && etag[32] == '\0';
}

static bool
same_md5(const char *etag, const uint8_t md5[DIGEST_MD5])
{
	char hex[2 * DIGEST_MD5 + 1];

	digest_hex(md5, DIGEST_MD5, hex);
	return strcmp(etag, hex) == 0;
}

/* ---- PUT */

enum { PUT_START, PUT_HASHED, PUT_SENT, PUT_LOOKED };

/*
 * A store that knows nothing of x-amz-checksum-crc32c takes whatever came, so it gets no PUT without a hash in its
 * signature any more.  Whether it knows is seen by its answer; a conditional PUT could not be sent again to that end.
 */
static enum s3_checksum
sum_of(const struct obj_req *r, struct s3 *s)
{
	if (s->checksum != S3_CRC32C)
		return s->checksum;
	return r->exclusive || atomic_load_explicit(&s->no_crc, memory_order_relaxed) ? S3_SHA256 : S3_CRC32C;
}

static bool
was_checked(const struct s3_call *c)
{
	return c->sum != S3_CRC32C || c->q.answer->crc32c[0];
}

static void
give_up_crc(struct s3 *s)
{
	if (!atomic_exchange(&s->no_crc, true))
		log_info("%s: it does not say that it checks CRC32C (s3.checksum): objects are sent with their SHA-256", s->base.url);
}

static int
hash_run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);
	struct s3_call *c = r->priv;
	uint8_t sha[DIGEST_SHA256], be[4];
	uint32_t crc = 0;

	switch (c->sum) {
	case S3_SHA256:
		digest_sha256(r->iov, r->niov, sha);
		digest_hex(sha, sizeof(sha), c->q.payload);
		break;
	case S3_MD5:
		digest_md5(r->iov, r->niov, c->md5);
		digest_base64(c->md5, sizeof(c->md5), c->md5_text);
		break;
	case S3_CRC32C:
		for (int i = 0; i < r->niov; i++)
			crc = crc32c(crc, r->iov[i].iov_base, r->iov[i].iov_len);
		put_be32(be, crc);
		digest_base64(be, sizeof(be), c->crc_text);
		break;
	case S3_NOSUM:
	case S3_AUTOSUM: /* is one of the others by now */
		break;
	}
	return 0;
}

/* What the store says it has is what we sent, where that can be said. */
static int
put_check(struct s3_request *q, const struct s3_answer *a)
{
	struct s3_call *c = call_of(q);

	if (c->sum == S3_MD5 && !a->encrypted && is_md5(a->etag) && !same_md5(a->etag, c->md5))
		return -EPROTO;
	if (c->sum == S3_CRC32C && a->crc32c[0] && strcmp(a->crc32c, c->crc_text) != 0)
		return -EPROTO;
	return 0;
}

static enum op_state
put_send(struct s3_call *c)
{
	struct obj_req *r = c->r;
	struct s3_request *q = &c->q;

	if (c->md5_text[0])
		s3_request_header(q, "content-md5", c->md5_text);
	if (c->crc_text[0])
		s3_request_header(q, "x-amz-checksum-crc32c", c->crc_text);
	if (r->exclusive)
		s3_request_header(q, "if-none-match", "*");
	q->once = r->exclusive; /* so that it is known when there is doubt (put_look) */
	q->body = r->iov;
	q->nbody = r->niov;
	q->body_len = r->len;
	q->check = put_check;
	return s3_request_run(q, &r->step);
}

/*
 * Our own PUT that seemed to have failed may be what is there now: then it has
 * worked.  What is there says by its ETag whether it is ours.
 */
static enum op_state
put_look(struct s3_call *c)
{
	struct obj_req *r = c->r;

	digest_md5(r->iov, r->niov, c->md5);
	s3_request_init(&c->q, c->q.core, OBJ_HEAD, "HEAD");
	s3_request_name(&c->q, r->name);
	c->q.urgent = true;
	return s3_request_run(&c->q, &r->step);
}

static void
put_step(struct op *op)
{
	struct obj_req *r = container_of(op, struct obj_req, step);
	struct s3_call *c = r->priv;
	struct s3_request *q = &c->q;
	int res = op->res;

	switch (c->stage) {
	case PUT_START:
		s3_request_init(q, q->core, OBJ_PUT, "PUT");
		s3_request_name(q, r->name);
		c->md5_text[0] = c->crc_text[0] = '\0';
		c->sum = sum_of(r, q->core->s3);
		if (c->sum != S3_SHA256)
			strcpy(q->payload, SIGV4_UNSIGNED);
		c->stage = PUT_HASHED;
		if (r->len > HASH_HERE_BYTES && worker_run(&r->work, hash_run, &r->step) == OP_PENDING)
			return;
		if (r->len <= HASH_HERE_BYTES)
			hash_run(&r->work);
		fallthrough;
	case PUT_HASHED:
		c->stage = PUT_SENT;
		if (put_send(c) == OP_PENDING)
			return;
		fallthrough;
	case PUT_SENT:
		if (res == 0 && !was_checked(c)) {
			give_up_crc(q->core->s3);
			c->stage = PUT_START;
			put_step(op); /* once more, as it should have been */
			return;
		}
		if (res != -EEXIST || !q->doubtful || r->len > LOOK_BYTES)
			break;
		c->stage = PUT_LOOKED;
		if (put_look(c) == OP_PENDING)
			return;
		fallthrough;
	case PUT_LOOKED:
		if (res == 0 && (!same_md5(q->answer->etag, c->md5) || q->answer->length != r->len))
			res = -EEXIST;
		else if (res == -ENOENT)
			res = -E_JUKEBOX; /* there, and gone again */
		break;
	}
	s3_call_end(r, res == -ENOENT ? -EIO : res);
}

enum op_state
s3_put(struct obj_req *r, struct op *op)
{
	if (!objstore_name_ok(r->name))
		return op_done(op, -EINVAL);
	/* Servers ignore conditions where an upload in parts is completed. */
	if (r->len > S3_ONE_PUT_BYTES && !r->exclusive)
		return s3_call_start(r, OBJ_MULTIPART, s3_multipart_step, op);
	return s3_call_start(r, OBJ_PUT, put_step, op);
}

/* ---- GET */

static int
get_accept(struct s3_request *q, const struct s3_answer *a)
{
	const struct obj_req *r = call_of(q)->r;
	uint64_t n;

	if (a->status == 206 && a->has_range) {
		n = a->last - a->first + 1;
		if (a->first != r->off || n > r->len || (n < r->len && a->total != UINT64_MAX && a->last + 1 != a->total))
			return -EPROTO;
		if (a->has_length && a->length != n)
			return -EPROTO;
	} else if (a->status == 200 && r->off == 0 && a->has_length) {
		n = a->length; /* it knows no ranges, but this is all of it */
	} else {
		return -EPROTO;
	}
	return n == r->len ? 0 : n < r->len ? -E_DAMAGED : -EPROTO;
}

static void
get_restart(struct s3_request *q)
{
	struct s3_call *c = call_of(q);

	c->iov = 0;
	c->off = 0;
	c->done = 0;
}

static int
get_body(struct s3_request *q, const uint8_t *p, size_t len)
{
	struct s3_call *c = call_of(q);
	const struct obj_req *r = c->r;

	if (len > r->len - c->done)
		return -EPROTO;
	c->done += len;
	while (len > 0) {
		const struct iovec *v = &r->iov[c->iov];
		size_t n = MIN(len, v->iov_len - c->off);

		memcpy((char *)v->iov_base + c->off, p, n);
		p += n;
		len -= n;
		c->off += n;
		if (c->off == v->iov_len) {
			c->iov++;
			c->off = 0;
		}
	}
	return 0;
}

/* All of it; and of a small object that came whole the checksum, which blocks have of their own. */
static int
get_check(struct s3_request *q, const struct s3_answer *a)
{
	struct s3_call *c = call_of(q);
	const struct obj_req *r = c->r;
	uint8_t md5[DIGEST_MD5];

	if (c->done != r->len)
		return -EPROTO;
	if (q->core->s3->checksum == S3_NOSUM || a->encrypted || r->len > HASH_HERE_BYTES || r->off != 0 ||
	    (a->has_range && a->total != r->len) || !is_md5(a->etag))
		return 0;
	digest_md5(r->iov, r->niov, md5);
	return same_md5(a->etag, md5) ? 0 : -EPROTO;
}

enum { GET_START, GET_SENT };

static void
get_step(struct op *op)
{
	struct obj_req *r = container_of(op, struct obj_req, step);
	struct s3_call *c = r->priv;
	struct s3_request *q = &c->q;

	if (c->stage == GET_START) {
		s3_request_init(q, q->core, OBJ_GET, "GET");
		s3_request_name(q, r->name);
		snprintf(c->range, sizeof(c->range), "bytes=%" PRIu64 "-%" PRIu64, r->off, r->off + r->len - 1);
		s3_request_header(q, "range", c->range);
		q->urgent = q->hedge = true;
		q->once = r->afresh;
		q->accept = get_accept;
		q->restart = get_restart;
		q->on_body = get_body;
		q->check = get_check;
		c->stage = GET_SENT;
		if (s3_request_run(q, &r->step) == OP_PENDING)
			return;
	}
	s3_call_end(r, op->res);
}

enum op_state
s3_get(struct obj_req *r, struct op *op)
{
	if (!objstore_name_ok(r->name))
		return op_done(op, -EINVAL);
	if (r->len == 0) /* there is no range of no bytes: is the object there? */
		return s3_head(r, op);
	return s3_call_start(r, OBJ_GET, get_step, op);
}

/* ---- HEAD */

enum { HEAD_START, HEAD_SENT };

static int
head_accept(struct s3_request *q, const struct s3_answer *a)
{
	(void)q;
	return a->has_length ? 0 : -EPROTO;
}

static void
head_step(struct op *op)
{
	struct obj_req *r = container_of(op, struct obj_req, step);
	struct s3_call *c = r->priv;
	struct s3_request *q = &c->q;

	if (c->stage == HEAD_START) {
		s3_request_init(q, q->core, OBJ_HEAD, "HEAD");
		s3_request_name(q, r->name);
		q->urgent = true;
		q->accept = head_accept;
		c->stage = HEAD_SENT;
		if (s3_request_run(q, &r->step) == OP_PENDING)
			return;
	}
	if (op->res == 0)
		r->size = q->answer->length;
	s3_call_end(r, op->res);
}

enum op_state
s3_head(struct obj_req *r, struct op *op)
{
	if (!objstore_name_ok(r->name))
		return op_done(op, -EINVAL);
	return s3_call_start(r, OBJ_HEAD, head_step, op);
}
