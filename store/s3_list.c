/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One page of ListObjectsV2.  Pages begin behind a key (start-after) and not with a
 * continuation token, so that whoever lists keeps nothing but a name, as long as he likes.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/s3_impl.h"
#include "store/s3_xml.h"

#define KEY_MAX 1025

/* What a list needs beside its call; not on the data path, so from the heap. */
struct lists {
	struct s3_xml xml;
	bool parsing, truncated, answered;
	struct obj_req *r;
	int room, n;
	int err;
	char key[KEY_MAX];    /* of the element that is being read, decoded */
	uint64_t size, mtime_s;
	char after[KEY_MAX];  /* where this page begins, whole key */
	char last[KEY_MAX];   /* the last key that was read, whoever's it is */
	char home[S3_PREFIX + 2];
	char query[S3_URL_MAX];
};

enum { LIST_START, LIST_SENT };

static struct lists *
lists_of(struct s3_request *q)
{
	return (struct lists *)(void *)container_of(q, struct s3_call, q)->big;
}

/* ---- the answer */

/* %XX and '+' (encoding-type=url).  -EBADMSG: it does not end, or not in time. */
static int
decode(char *out, size_t room, const char *s)
{
	size_t n = 0;

	for (; *s; s++) {
		int c = *s == '+' ? ' ' : (unsigned char)*s;
		char hex[3] = { 0 };

		if (c == '%') {
			if (!isxdigit((unsigned char)s[1]) || !isxdigit((unsigned char)s[2]))
				return -EBADMSG;
			memcpy(hex, s + 1, 2);
			c = (int)strtoul(hex, NULL, 16);
			s += 2;
		}
		if (c == 0 || n + 1 == room)
			return -EBADMSG;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

static uint64_t
take_time(const char *text)
{
	struct tm tm = { 0 };
	time_t t = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : 0;

	return t < 0 ? 0 : (uint64_t)t;
}

/* A whole <Contents>: ours, or somebody else's in between. */
static void
take_entry(struct lists *l)
{
	size_t home = strlen(l->home);
	const char *name = l->key + home;
	struct obj_entry *e;

	if (strcmp(l->key, l->last) <= 0 || l->n == l->room) { /* not in order, or more than we asked for */
		l->err = -EPROTO;
		return;
	}
	snprintf(l->last, sizeof(l->last), "%s", l->key);
	if (strncmp(l->key, l->home, home) || !objstore_name_ok(name))
		return;
	e = &l->r->entry[l->n++];
	snprintf(e->name, sizeof(e->name), "%s", name);
	e->size = l->size;
	e->mtime_s = l->mtime_s;
}

static void
on_element(void *arg, const char *parent, const char *name, const char *value)
{
	struct lists *l = arg;

	if (!strcmp(name, "ListBucketResult"))
		l->answered = true;
	if (value && !strcmp(parent, "ListBucketResult") && !strcmp(name, "IsTruncated"))
		l->truncated = !strcmp(value, "true");
	if (!value && !strcmp(name, "Contents"))
		take_entry(l);
	if (!value || strcmp(parent, "Contents"))
		return;
	if (!strcmp(name, "Key") && decode(l->key, sizeof(l->key), value) < 0)
		l->err = -EPROTO;
	else if (!strcmp(name, "Size"))
		l->size = strtoull(value, NULL, 10);
	else if (!strcmp(name, "LastModified"))
		l->mtime_s = take_time(value);
}

static void
parse_end(struct lists *l)
{
	if (l->parsing)
		s3_xml_fini(&l->xml);
	l->parsing = false;
}

static void
list_restart(struct s3_request *q)
{
	struct lists *l = lists_of(q);

	parse_end(l);
	l->truncated = l->answered = false;
	l->err = 0;
	l->n = 0;
	l->key[0] = '\0';
	l->size = l->mtime_s = 0;
	snprintf(l->last, sizeof(l->last), "%s", l->after);
}

static int
list_body(struct s3_request *q, const uint8_t *p, size_t len)
{
	struct lists *l = lists_of(q);

	if (!l->parsing) {
		int err = s3_xml_init(&l->xml, on_element, l);

		if (err < 0)
			return err;
		l->parsing = true;
	}
	s3_xml_feed(&l->xml, p, len);
	return 0;
}

static int
list_check(struct s3_request *q, const struct s3_answer *a)
{
	struct lists *l = lists_of(q);

	(void)a;
	if (!l->parsing || s3_xml_end(&l->xml) < 0 || !l->answered)
		return -EPROTO;
	if (l->truncated && strcmp(l->last, l->after) == 0)
		return -EPROTO; /* more, and nothing to go on from: that would not end */
	return l->err;
}

/* ---- the request */

static enum op_state
send(struct s3_call *c)
{
	struct lists *l = (struct lists *)(void *)c->big;
	struct s3_request *q = &c->q;
	char prefix[S3_KEY_MAX];
	size_t n = 0;
	int k;

	s3_request_init(q, q->core, OBJ_LIST, "GET");
	q->restart = list_restart;
	q->on_body = list_body;
	q->check = list_check;
	snprintf(prefix, sizeof(prefix), "%s%s", l->home, c->r->name);
	n += (size_t)sprintf(l->query, "encoding-type=url&list-type=2&max-keys=%d&prefix=", l->room);
	k = sigv4_encode(l->query + n, sizeof(l->query) - n, prefix, false);
	if (k >= 0 && l->after[0]) {
		n += (size_t)k;
		n += (size_t)snprintf(l->query + n, sizeof(l->query) - n, "&start-after=");
		k = n < sizeof(l->query) ? sigv4_encode(l->query + n, sizeof(l->query) - n, l->after, false) : -ENOSPC;
	}
	if (k < 0)
		return op_done(&c->r->step, -EINVAL);
	q->query = l->query;
	return s3_request_run(q, &c->r->step);
}

static struct lists *
lists_new(const struct s3 *s, struct obj_req *r)
{
	struct lists *l = malloc(sizeof(*l));

	if (!l)
		return NULL;
	l->parsing = false;
	l->r = r;
	l->room = MIN(r->nentries, LIST_MAX);
	snprintf(l->home, sizeof(l->home), "%s%s", s->prefix, s->prefix[0] ? "/" : "");
	l->after[0] = '\0';
	if (r->after[0])
		snprintf(l->after, sizeof(l->after), "%s%s", l->home, r->after);
	return l;
}

static void
list_step(struct op *op)
{
	struct obj_req *r = container_of(op, struct obj_req, step);
	struct s3_call *c = r->priv;
	struct lists *l;

	switch (c->stage) {
	case LIST_START:
		l = lists_new(c->q.core->s3, r);
		if (!l) {
			s3_call_end(r, -E_JUKEBOX);
			return;
		}
		c->big = (char *)l;
		c->stage = LIST_SENT;
		if (send(c) == OP_PENDING)
			return;
		fallthrough;
	case LIST_SENT:
		l = (struct lists *)(void *)c->big;
		if (op->res == 0 && l->n == 0 && l->truncated) { /* others' only */
			snprintf(l->after, sizeof(l->after), "%s", l->last);
			if (send(c) == OP_PENDING)
				return;
		}
		break;
	}
	l = (struct lists *)(void *)c->big;
	parse_end(l);
	r->nentries = op->res == 0 ? l->n : 0;
	r->more = op->res == 0 && l->truncated;
	free(l);
	s3_call_end(r, op->res == -ENOENT ? -EIO : op->res);
}

enum op_state
s3_list(struct obj_req *r, struct op *op)
{
	assert(r->nentries > 0);
	return s3_call_start(r, OBJ_LIST, list_step, op);
}
