/* SPDX-License-Identifier: Apache-2.0 */
/* DELETE of many objects, as many in a request as fit into its body (DeleteObjects; at most 1,000). */
#include <stdio.h>
#include <stdlib.h>

#include "crypto/digest.h"
#include "reactor/log.h"
#include "store/s3_impl.h"
#include "store/s3_xml.h"

#define BODY_BYTES (192 * KIB)

/* What a DELETE needs beside its call; not on the data path, so from the heap. */
struct deletes {
	struct s3_xml xml;
	uint8_t md5[DIGEST_MD5];
	char md5_text[40];
	char key[S3_KEY_MAX], code[48]; /* of the error that is being read */
	int err;                        /* the worst of this answer: -EPROTO tries again */
	bool parsing;
	char body[BODY_BYTES];
};

enum { DEL_START, DEL_SENT };

static struct deletes *
deletes_of(struct s3_request *q)
{
	return (struct deletes *)(void *)container_of(q, struct s3_call, q)->big;
}

/* ---- the answer: quiet, so that it names only what failed */

static void
failed(struct deletes *d)
{
	switch (s3_code_class(d->code)) {
	case S3_OK:
	case S3_MISSING:
		return;
	case S3_RETRY:
	case S3_SLOW:
	case S3_SKEW:
	case S3_ELSEWHERE:
		if (d->err == 0)
			d->err = -EPROTO;
		return;
	case S3_CREDENTIALS:
	case S3_REFUSED:
		d->err = -EACCES;
		break;
	case S3_EXISTS:
	case S3_SHORT:
	case S3_FULL:
	case S3_WRONG:
		d->err = -EIO;
		break;
	}
	log_error("object %s: delete: %s", d->key, d->code);
}

static void
on_element(void *arg, const char *parent, const char *name, const char *value)
{
	struct deletes *d = arg;

	if (!value && !strcmp(name, "Error"))
		failed(d);
	if (!value || strcmp(parent, "Error"))
		return;
	if (!strcmp(name, "Key"))
		snprintf(d->key, sizeof(d->key), "%s", value);
	else if (!strcmp(name, "Code"))
		snprintf(d->code, sizeof(d->code), "%s", value);
}

static void
parse_end(struct deletes *d)
{
	if (d->parsing)
		s3_xml_fini(&d->xml);
	d->parsing = false;
}

static void
del_restart(struct s3_request *q)
{
	struct deletes *d = deletes_of(q);

	parse_end(d);
	d->err = 0;
	d->key[0] = d->code[0] = '\0';
}

static int
del_body(struct s3_request *q, const uint8_t *p, size_t len)
{
	struct deletes *d = deletes_of(q);

	if (!d->parsing) {
		int err = s3_xml_init(&d->xml, on_element, d);

		if (err < 0)
			return err;
		d->parsing = true;
	}
	s3_xml_feed(&d->xml, p, len);
	return 0;
}

static int
del_check(struct s3_request *q, const struct s3_answer *a)
{
	struct deletes *d = deletes_of(q);

	(void)a;
	if (!d->parsing || s3_xml_end(&d->xml) < 0)
		return -EPROTO;
	return d->err;
}

/* ---- the request */

/* Names from `first` on: how many fit.  None of them has a character that XML would want escaped (objstore.h, s3.c). */
static int
fill(struct s3_call *c, struct deletes *d)
{
	static const char head[] = "<Delete><Quiet>true</Quiet>", tail[] = "</Delete>";
	const struct s3 *s = c->q.core->s3;
	size_t n = (size_t)sprintf(d->body, "%s", head);
	int i = c->first;

	for (; i < c->r->nnames && i - c->first < DEL_MAX; i++) {
		size_t room = sizeof(d->body) - n - sizeof(tail);
		int k = snprintf(d->body + n, room, "<Object><Key>%s%s%s</Key></Object>", s->prefix, s->prefix[0] ? "/" : "",
		                 c->r->names[i]);

		if ((size_t)k >= room)
			break;
		n += (size_t)k;
	}
	n += (size_t)sprintf(d->body + n, "%s", tail);
	c->iov1 = (struct iovec){ d->body, n };
	return i - c->first;
}

static enum op_state
send(struct s3_call *c)
{
	struct deletes *d = (struct deletes *)(void *)c->big;
	struct s3_request *q = &c->q;
	uint8_t sha[DIGEST_SHA256];

	c->n = fill(c, d);
	s3_request_init(q, q->core, OBJ_DELETE, "POST");
	q->key[0] = '\0';
	q->query = "delete=";
	q->body = &c->iov1;
	q->nbody = 1;
	q->body_len = c->iov1.iov_len;
	q->restart = del_restart;
	q->on_body = del_body;
	q->check = del_check;
	digest_sha256(&c->iov1, 1, sha);
	digest_hex(sha, sizeof(sha), q->payload);
	digest_md5(&c->iov1, 1, d->md5);
	digest_base64(d->md5, sizeof(d->md5), d->md5_text);
	s3_request_header(q, "content-md5", d->md5_text); /* AWS and Swift insist on it */
	return s3_request_run(q, &c->r->step);
}

static void
del_step(struct op *op)
{
	struct obj_req *r = container_of(op, struct obj_req, step);
	struct s3_call *c = r->priv;
	struct deletes *d;
	int res = op->res;

	switch (c->stage) {
	case DEL_START:
		d = malloc(sizeof(*d));
		if (!d) {
			s3_call_end(r, -E_JUKEBOX);
			return;
		}
		d->parsing = false;
		c->big = (char *)d;
		c->first = 0;
		c->stage = DEL_SENT;
		if (send(c) == OP_PENDING)
			return;
		fallthrough;
	case DEL_SENT:
		if (res < 0)
			break;
		c->first += c->n;
		if (c->first < r->nnames && send(c) == OP_PENDING)
			return;
		break;
	}
	d = (struct deletes *)(void *)c->big;
	parse_end(d);
	free(d);
	/* The bucket is missing, then, not a name. */
	s3_call_end(r, res == -ENOENT ? -EIO : res);
}

enum op_state
s3_del(struct obj_req *r, struct op *op)
{
	assert(r->nnames > 0 && r->nnames <= DEL_MAX);
	for (int i = 0; i < r->nnames; i++)
		if (!objstore_name_ok(r->names[i]))
			return op_done(op, -EINVAL);
	return s3_call_start(r, OBJ_DELETE, del_step, op);
}
