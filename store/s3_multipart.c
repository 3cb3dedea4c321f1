/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT of an object that is too large for one request: in parts, one after the other.
 * Nothing on the data path is that large.  What cannot be completed is aborted, so that its parts
 * do not stay and cost.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/digest.h"
#include "reactor/log.h"
#include "store/s3_impl.h"
#include "store/s3_xml.h"

#define PARTS_MAX 1000
#define ID_MAX    1024

enum { MULTI_START, MULTI_CREATED, MULTI_HASHED, MULTI_PART, MULTI_COMPLETED, MULTI_LOOKED, MULTI_ABORTED };

/* What it needs beside its call; not on the data path, so from the heap. */
struct multi {
	struct s3_xml xml;
	bool parsing, ok;
	char id[ID_MAX];          /* of the upload */
	uint64_t part_bytes, off; /* of the part that is under way */
	int nparts, part;
	struct iovec *iov;        /* its bytes */
	int niov;
	char query[3 * ID_MAX + 64];
	char hash[SIGV4_HEX];
	char etag[PARTS_MAX][72];
	char body[PARTS_MAX * 160 + 128]; /* of the last request */
};

static struct multi *
multi_of(struct s3_request *q)
{
	return (struct multi *)(void *)container_of(q, struct s3_call, q)->big;
}

/* ---- answers that are XML */

static void
on_element(void *arg, const char *parent, const char *name, const char *value)
{
	struct multi *m = arg;

	if (value && !strcmp(parent, "InitiateMultipartUploadResult") && !strcmp(name, "UploadId"))
		snprintf(m->id, sizeof(m->id), "%s", value);
	if (!parent[0] && strcmp(name, "Error")) /* S3 may say 200, and what went wrong in the body */
		m->ok = true;
}

static void
parse_end(struct multi *m)
{
	if (m->parsing)
		s3_xml_fini(&m->xml);
	m->parsing = false;
}

static void
xml_restart(struct s3_request *q)
{
	struct multi *m = multi_of(q);

	parse_end(m);
	m->ok = false;
}

static int
xml_body(struct s3_request *q, const uint8_t *p, size_t len)
{
	struct multi *m = multi_of(q);

	if (!m->parsing) {
		int err = s3_xml_init(&m->xml, on_element, m);

		if (err < 0)
			return err;
		m->parsing = true;
	}
	s3_xml_feed(&m->xml, p, len);
	return 0;
}

static int
xml_check(struct s3_request *q, const struct s3_answer *a)
{
	struct multi *m = multi_of(q);

	(void)a;
	return m->parsing && s3_xml_end(&m->xml) == 0 && m->ok && m->id[0] ? 0 : -EPROTO;
}

/* ---- requests */

static void
init_request(struct s3_call *c, const char *method, const char *query)
{
	s3_request_init(&c->q, c->q.core, OBJ_MULTIPART, method);
	s3_request_name(&c->q, c->r->name);
	c->q.query = query;
}

static enum op_state
create(struct s3_call *c)
{
	init_request(c, "POST", "uploads=");
	c->q.body = &c->iov1; /* none, and it has a length */
	c->iov1 = (struct iovec){ NULL, 0 };
	c->q.restart = xml_restart;
	c->q.on_body = xml_body;
	c->q.check = xml_check;
	return s3_request_run(&c->q, &c->r->step);
}

/* The bytes of the part at m->off as pieces. */
static uint64_t
slice(const struct obj_req *r, struct multi *m)
{
	uint64_t at = 0, from = m->off, to = MIN(from + m->part_bytes, r->len);

	m->niov = 0;
	for (int i = 0; i < r->niov && at < to; at += r->iov[i++].iov_len) {
		uint64_t end = at + r->iov[i].iov_len, a = MAX(at, from), b = MIN(end, to);

		if (a < b)
			m->iov[m->niov++] = (struct iovec){ (char *)r->iov[i].iov_base + (a - at), b - a };
	}
	return to - from;
}

static int
hash_run(struct work *w)
{
	struct obj_req *r = container_of(w, struct obj_req, work);
	struct s3_call *c = r->priv;
	struct multi *m = (struct multi *)(void *)c->big;
	uint8_t sha[DIGEST_SHA256];

	slice(r, m);
	digest_sha256(m->iov, m->niov, sha);
	digest_hex(sha, sizeof(sha), m->hash);
	return 0;
}

static void
part_query(struct multi *m, int part)
{
	size_t n = part > 0 ? (size_t)sprintf(m->query, "partNumber=%d&uploadId=", part) : (size_t)sprintf(m->query, "uploadId=");

	/* It fits: each byte of the id three times. */
	(void)sigv4_encode(m->query + n, sizeof(m->query) - n, m->id, false);
}

static int
part_accept(struct s3_request *q, const struct s3_answer *a)
{
	struct multi *m = multi_of(q);

	if (!a->etag[0] || strpbrk(a->etag, "<>&"))
		return -EPROTO;
	memcpy(m->etag[m->part], a->etag, sizeof(m->etag[0]));
	return 0;
}

static enum op_state
put_part(struct s3_call *c)
{
	struct multi *m = (struct multi *)(void *)c->big;

	part_query(m, m->part + 1);
	init_request(c, "PUT", m->query);
	memcpy(c->q.payload, m->hash, sizeof(c->q.payload));
	c->q.body = m->iov;
	c->q.nbody = m->niov;
	c->q.body_len = MIN(m->part_bytes, c->r->len - m->off);
	c->q.accept = part_accept;
	return s3_request_run(&c->q, &c->r->step);
}

static enum op_state
complete(struct s3_call *c)
{
	struct multi *m = (struct multi *)(void *)c->big;
	size_t n = (size_t)sprintf(m->body, "<CompleteMultipartUpload>");
	uint8_t sha[DIGEST_SHA256];

	for (int i = 0; i < m->nparts; i++)
		n += (size_t)sprintf(m->body + n, "<Part><PartNumber>%d</PartNumber><ETag>\"%s\"</ETag></Part>", i + 1, m->etag[i]);
	n += (size_t)sprintf(m->body + n, "</CompleteMultipartUpload>");
	part_query(m, 0);
	init_request(c, "POST", m->query);
	c->iov1 = (struct iovec){ m->body, n };
	digest_sha256(&c->iov1, 1, sha);
	digest_hex(sha, sizeof(sha), c->q.payload);
	c->q.body = &c->iov1;
	c->q.nbody = 1;
	c->q.body_len = n;
	c->q.restart = xml_restart;
	c->q.on_body = xml_body;
	c->q.check = xml_check;
	return s3_request_run(&c->q, &c->r->step);
}

/* An answer was lost, perhaps: the upload is gone, because it is complete? */
static enum op_state
look(struct s3_call *c)
{
	init_request(c, "HEAD", "");
	return s3_request_run(&c->q, &c->r->step);
}

static enum op_state
drop(struct s3_call *c)
{
	struct multi *m = (struct multi *)(void *)c->big;

	part_query(m, 0);
	init_request(c, "DELETE", m->query);
	return s3_request_run(&c->q, &c->r->step);
}

/* ---- the operation */

static struct multi *
multi_new(const struct obj_req *r)
{
	struct multi *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->iov = calloc((size_t)r->niov, sizeof(*m->iov));
	if (!m->iov) {
		free(m);
		return NULL;
	}
	m->part_bytes = MAX(S3_PART_BYTES, ROUND_UP(r->len / PARTS_MAX + 1, MIB));
	m->nparts = (int)((r->len + m->part_bytes - 1) / m->part_bytes);
	return m;
}

static void
finish(struct s3_call *c, int res)
{
	struct multi *m = (struct multi *)(void *)c->big;

	parse_end(m);
	free(m->iov);
	free(m);
	s3_call_end(c->r, res == -ENOENT ? -EIO : res);
}

void
s3_multipart_step(struct op *op)
{
	struct obj_req *r = container_of(op, struct obj_req, step);
	struct s3_call *c = r->priv;
	struct multi *m = (struct multi *)(void *)c->big;
	int res = op->res;

	switch (c->stage) {
	case MULTI_START:
		m = multi_new(r);
		if (!m) {
			s3_call_end(r, -E_JUKEBOX);
			return;
		}
		c->big = (char *)m;
		c->stage = MULTI_CREATED;
		(void)create(c);
		return;
	case MULTI_CREATED:
		if (res < 0)
			break;
		c->stage = MULTI_HASHED;
		(void)worker_run(&r->work, hash_run, &r->step);
		return;
	case MULTI_HASHED:
		c->stage = MULTI_PART;
		(void)put_part(c);
		return;
	case MULTI_PART:
		if (res < 0)
			break;
		m->off += m->part_bytes;
		m->part++;
		c->stage = m->part < m->nparts ? MULTI_HASHED : MULTI_COMPLETED;
		if (m->part < m->nparts)
			(void)worker_run(&r->work, hash_run, &r->step);
		else
			(void)complete(c);
		return;
	case MULTI_COMPLETED:
		if (res == 0) {
			finish(c, 0);
			return;
		}
		if (res != -ENOENT || !c->q.doubtful)
			break;
		c->stage = MULTI_LOOKED;
		(void)look(c);
		return;
	case MULTI_LOOKED:
		finish(c, res < 0 ? res : c->q.answer->has_length && c->q.answer->length == r->len ? 0 : -EIO);
		return;
	case MULTI_ABORTED:
		finish(c, c->err);
		return;
	}
	/* It failed: what is there of it goes. */
	c->err = res;
	if (!m->id[0]) {
		finish(c, res);
		return;
	}
	c->stage = MULTI_ABORTED;
	(void)drop(c);
}
