/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request until it is answered.  An attempt has one leg, or two where it is
 * hedged: when the first has no byte for a while, a second is sent, and who brings the first byte of
 * a body wins; the other may not write any more.  An attempt ends when no leg and no timer is left.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "reactor/log.h"
#include "store/s3_impl.h"

#define MS 1000000ull
#define PAUSE_FIRST_NS  (50 * MS)
#define PAUSE_SLOW_NS   (250 * MS) /* it asks for less */
#define PAUSE_MAX_NS    (4000 * MS)
#define SAY_NS          (1000 * MS)
#define SLOWEST_BYTES_S (64 * KIB) /* a request that moves is given time for its bytes at this speed */
#define MOVES_MAX       3
#define SKEW_S          300

static void attempt_end(struct s3_request *q);

void
s3_request_init(struct s3_request *q, struct s3_core *core, enum objclass class, const char *method)
{
	/* What is large and written by each attempt stays as it is. */
	memset(q, 0, offsetof(struct s3_request, wait));
	q->core = core;
	q->class = class;
	q->method = method;
	q->query = "";
	strcpy(q->payload, SIGV4_EMPTY);
	q->stall_s = (uint32_t)MAX(core->s3->timeout_ns / 3 / 1000000000, 1);
}

void
s3_request_name(struct s3_request *q, const char *name)
{
	const char *prefix = q->core->s3->prefix;

	snprintf(q->key, sizeof(q->key), "%s%s%s", prefix, prefix[0] ? "/" : "", name);
}

void
s3_request_header(struct s3_request *q, const char *name, const char *value)
{
	assert(q->nextra < (int)ARRAY_LEN(q->extra));
	q->extra[q->nextra++] = (struct sigv4_header){ name, value };
}

/* ---- signing */

/* Where it goes: url, and the path in it as it is signed. */
static int
make_url(struct s3_request *q, const char **path)
{
	const struct s3 *s = q->core->s3;
	const char *host = q->elsewhere[0] ? q->elsewhere : s->host;
	int n = snprintf(q->url, sizeof(q->url), "%s://%s", s->scheme, host), k;
	size_t at = (size_t)n;

	n = snprintf(q->url + at, sizeof(q->url) - at, s->path_style ? "/%s" : "%s", s->path_style ? s->bucket : "");
	k = sigv4_encode(q->url + at + n + 1, sizeof(q->url) - at - (size_t)n - 1, q->key, true);
	if (k < 0)
		return k;
	/* The bucket itself: "/bucket" or "/". */
	if (q->key[0] || !s->path_style)
		q->url[at + (size_t)n] = '/';
	else
		q->url[at + (size_t)n] = '\0';
	*path = q->url + at;
	return 0;
}

/* Appends "name: value" to the text; the line. */
static const char *
line(struct s3_request *q, size_t *used, const char *name, const char *value)
{
	char *at = q->text + *used;
	int n = snprintf(at, sizeof(q->text) - *used, "%s: %s", name, value);

	*used += (size_t)n + 1;
	return *used <= sizeof(q->text) ? at : NULL;
}

/* The headers of both legs, signed for now. */
static int
sign(struct s3_request *q)
{
	struct s3_core *c = q->core;
	struct sigv4_header h[SIGV4_HEADERS];
	struct sigv4_request r = { .method = q->method, .query = q->query, .payload = q->payload, .header = h };
	struct http_req *to = &q->leg[0].http;
	char date[SIGV4_DATE], *auth = q->auth;
	time_t now = (time_t)(reactor_wall_ns() / 1000000000) +
	             (time_t)atomic_load_explicit(&c->s3->skew_s, memory_order_relaxed);
	size_t used = 0, at;
	int err;

	if ((err = make_url(q, &r.path)) < 0)
		return err;
	sigv4_date(now, date);
	r.date = date;
	h[r.nheaders++] = (struct sigv4_header){ "host", q->elsewhere[0] ? q->elsewhere : c->s3->host };
	h[r.nheaders++] = (struct sigv4_header){ "x-amz-date", date };
	h[r.nheaders++] = (struct sigv4_header){ "x-amz-content-sha256", q->payload };
	if (c->cred.token[0])
		h[r.nheaders++] = (struct sigv4_header){ "x-amz-security-token", c->cred.token };
	for (int i = 0; i < q->nextra; i++)
		h[r.nheaders++] = q->extra[i];
	at = (size_t)sprintf(auth, "authorization: ");
	if ((err = sigv4_sign(&c->signer, &r, auth + at)) < 0)
		return err;
	q->cred_serial = c->cred_serial;
	to->nheaders = 0;
	for (int i = 0; i < r.nheaders; i++)
		if (!(to->header[to->nheaders++] = line(q, &used, h[i].name, h[i].value)))
			return -ENOSPC;
	to->header[to->nheaders++] = auth;
	if (q->query[0]) {
		at = strlen(q->url);
		if ((size_t)snprintf(q->url + at, sizeof(q->url) - at, "?%s", q->query) >= sizeof(q->url) - at)
			return -ENOSPC;
	}
	return 0;
}

/* ---- legs */

static struct s3_leg *
leg_of(struct http_req *r)
{
	return container_of(r, struct s3_leg, http);
}

static void
on_header(struct http_req *r, const char *text, size_t len)
{
	s3_answer_header(&leg_of(r)->answer, text, len);
}

static int
on_body(struct http_req *r, const uint8_t *p, size_t len)
{
	struct s3_leg *l = leg_of(r);
	struct s3_request *q = l->q;
	int err;

	if (s3_answer_class(&l->answer) != S3_OK) {
		s3_answer_text(&l->answer, p, len);
		return 0;
	}
	if (q->winner && q->winner != l)
		return -ECANCELED;
	if (!q->winner) {
		q->winner = l;
		err = q->accept ? q->accept(q, &l->answer) : 0;
		if (err < 0)
			return err;
	}
	return q->on_body ? q->on_body(q, p, len) : 0;
}

static void leg_resume(struct op *op);

static void
leg_start(struct s3_request *q, int i)
{
	struct s3_leg *l = &q->leg[i];
	struct http_req *r = &l->http;
	const struct s3 *s = q->core->s3;

	if (i > 0) {
		memcpy(r->header, q->leg[0].http.header, sizeof(r->header));
		r->nheaders = q->leg[0].http.nheaders;
	}
	r->method = q->method;
	r->url = q->url;
	r->body = q->body;
	r->nbody = q->nbody;
	r->body_len = q->body_len;
	r->urgent = q->urgent;
	r->once = q->once;
	r->stall_s = q->stall_s;
	r->timeout_ms = (uint32_t)(s->timeout_ns / MS + q->body_len * 1000 / SLOWEST_BYTES_S);
	r->on_header = on_header;
	r->on_body = on_body;
	if (i > 0)
		objcount_retry(q->class);
	l->q = q;
	l->op.resume = leg_resume;
	l->running = true;
	l->res = 0;
	s3_answer_start(&l->answer);
	(void)http_start(q->core->http, r, &l->op);
}

static void
attempt_start(struct s3_request *q)
{
	int err = sign(q);

	if (err < 0) { /* a key or a token beyond all bounds: nothing is sent */
		log_error("object %s: the request is too long", q->key);
		reactor_post(q->wait, -EINVAL);
		return;
	}
	q->stage = REQ_SENT;
	q->winner = NULL;
	q->leg[1].running = false;
	if (q->restart)
		q->restart(q);
	leg_start(q, 0);
	if (!q->hedge || q->core->s3->hedge_after_ns == 0)
		return;
	q->core->hedge_credit = MIN(q->core->hedge_credit + 1, (uint32_t)S3_HEDGE_CREDIT);
	timer_start(&q->timer, q->core->s3->hedge_after_ns, &q->tick);
}

/* Does this leg's answer need no other? */
static bool
is_good(const struct s3_leg *l)
{
	enum s3_class c = s3_answer_class(&l->answer);

	return (l->res == 0 && (c == S3_OK || c == S3_MISSING || c == S3_SHORT || c == S3_EXISTS)) || l->res == -E_DAMAGED;
}

static void
leg_resume(struct op *op)
{
	struct s3_leg *l = container_of(op, struct s3_leg, op), *other;
	struct s3_request *q = l->q;

	l->running = false;
	l->res = op->res;
	objcount_wire(q->class, l->http.bytes_out, l->http.bytes_in);
	s3_answer_end(&l->answer);
	if (l->res == 0 && !q->winner && s3_answer_class(&l->answer) == S3_OK) { /* an answer without a body */
		q->winner = l;
		if (q->accept)
			l->res = q->accept(q, &l->answer);
	}
	other = l == &q->leg[0] ? &q->leg[1] : &q->leg[0];
	if (other->running) {
		if (q->winner == other)
			return; /* whatever this one says, the bytes are coming */
		if (!is_good(l)) {
			if (q->winner == l) { /* it broke off: the other may bring it all */
				q->winner = NULL;
				if (q->restart)
					q->restart(q);
			}
			return;
		}
		if (!http_cancel(q->core->http, &other->http)) {
			q->winner = l;
			return; /* it ends by itself now */
		}
		objcount_wire(q->class, other->http.bytes_out, other->http.bytes_in);
		other->running = false;
		other->res = -ECANCELED;
	}
	if (q->winner != l && (!q->winner || !is_good(q->winner)))
		q->winner = l;
	timer_stop(&q->timer);
	attempt_end(q);
}

/* ---- what came of it */

static void
finish(struct s3_request *q, int res)
{
	q->wait->res = res;
	q->wait->resume(q->wait);
}

/* Half of it and a random part of the rest: many who failed together do not come back together. */
static uint64_t
jitter(struct s3_request *q, uint64_t ns)
{
	q->core->rand = mix64(q->core->rand + 0x9e3779b97f4a7c15ull);
	return ns / 2 + q->core->rand % (ns / 2 + 1);
}

static void
again(struct s3_request *q)
{
	q->attempt++;
	objcount_retry(q->class);
	attempt_start(q);
}

/* Later, or no more. */
static void
pause_or_give_up(struct s3_request *q, uint64_t first_ns, const char *why)
{
	struct s3 *s = q->core->s3;
	uint64_t ns = jitter(q, MIN(first_ns << MIN(q->attempt, 10u), PAUSE_MAX_NS)), now = reactor_now_ns();

	s3_health_failed(s, why);
	if (q->answer->retry_after_s > 0)
		ns = MAX(ns, (uint64_t)q->answer->retry_after_s * 1000 * MS);
	if (q->attempt >= 2 || now + ns > q->deadline_ns)
		s3_health_bad(s, S3_AWAY, why);
	if (now + ns > q->deadline_ns || s3_health_gone(s)) {
		finish(q, -E_JUKEBOX);
		return;
	}
	q->stage = REQ_PAUSE;
	timer_start(&q->timer, ns, &q->tick);
}

static void
refused(struct s3_request *q)
{
	char why[320];

	s3_health_sentence(q->core->s3, &q->core->cred, q, why);
	s3_health_bad(q->core->s3, S3_REFUSES, why);
	finish(q, -EACCES);
}

/* The host of a Location; "" where there is none that we follow. */
static void
take_location(struct s3_request *q)
{
	const char *p = q->answer->location, *scheme = q->core->s3->scheme;
	size_t n = strlen(scheme), len;

	q->elsewhere[0] = '\0';
	if (strncmp(p, scheme, n) || strncmp(p + n, "://", 3))
		return;
	p += n + 3;
	len = strcspn(p, "/?#");
	if (len > 0 && len < sizeof(q->elsewhere) && strcspn(p, "@ ") >= len)
		snprintf(q->elsewhere, sizeof(q->elsewhere), "%.*s", (int)len, p);
}

/* It said what time it has: is ours so wrong that it may refuse us for that? */
static bool
is_skewed(const struct s3_request *q)
{
	const struct s3_answer *a = q->answer;
	int64_t ours = (int64_t)(reactor_wall_ns() / 1000000000) +
	               atomic_load_explicit(&q->core->s3->skew_s, memory_order_relaxed);
	int64_t off = (int64_t)a->date - ours;

	return a->date != 0 && (off > SKEW_S || off < -SKEW_S);
}

static void
take_time(struct s3_request *q)
{
	struct s3 *s = q->core->s3;
	int64_t skew = (int64_t)q->answer->date - (int64_t)(reactor_wall_ns() / 1000000000);

	if (q->skewed || q->answer->date == 0) {
		refused(q);
		return;
	}
	q->skewed = true;
	log_warn("%s: the clock of this machine is %" PRIi64 " s off the store's; requests are signed with the store's time",
	         s->base.url, -skew);
	atomic_store_explicit(&s->skew_s, skew, memory_order_relaxed);
	again(q);
}

static void
bad_credentials(struct s3_request *q)
{
	if (q->cred_serial != q->core->cred_serial) {
		again(q); /* they are others by now */
		return;
	}
	if (q->reloads++ > 0) {
		refused(q);
		return;
	}
	s3_reload(q);
}

void
s3_request_reloaded(struct s3_request *q)
{
	if (q->cred_serial != q->core->cred_serial)
		again(q);
	else
		refused(q);
}

/* No whole answer came. */
static void
broken(struct s3_request *q, const struct s3_leg *l)
{
	char why[320];

	if (l->res == -E_DAMAGED) {
		finish(q, -E_DAMAGED);
	} else if (l->res == -EKEYREJECTED) {
		snprintf(why, sizeof(why), "%s; see s3.ca_file and s3.endpoint", l->http.why);
		s3_health_bad(q->core->s3, S3_REFUSES, why);
		finish(q, -EACCES);
	} else {
		snprintf(why, sizeof(why), "%s", l->http.why[0] ? l->http.why : "an answer that does not fit its request");
		pause_or_give_up(q, PAUSE_FIRST_NS, why);
	}
}

static void
answered(struct s3_request *q)
{
	struct s3 *s = q->core->s3;
	const struct s3_answer *a = q->answer;
	enum s3_class class = s3_answer_class(a);
	char why[320];
	uint64_t more;
	int err;

	if (class == S3_CREDENTIALS && !a->code[0] && is_skewed(q))
		class = S3_SKEW;
	snprintf(why, sizeof(why), "HTTP %d%s%s", a->status, a->code[0] ? ", " : "", a->code);
	switch (class) {
	case S3_OK:
		err = q->check ? q->check(q, a) : 0;
		if (err == -EPROTO) {
			pause_or_give_up(q, PAUSE_FIRST_NS, "an answer that does not fit its request");
			break;
		}
		s3_health_good(s);
		finish(q, err);
		break;
	case S3_MISSING:
		s3_health_good(s);
		finish(q, -ENOENT);
		break;
	case S3_EXISTS:
		s3_health_good(s);
		finish(q, -EEXIST);
		break;
	case S3_SHORT:
		s3_health_good(s);
		finish(q, -E_DAMAGED);
		break;
	case S3_RETRY:
		pause_or_give_up(q, PAUSE_FIRST_NS, why);
		break;
	case S3_SLOW:
		pause_or_give_up(q, PAUSE_SLOW_NS, why);
		break;
	case S3_SKEW:
		take_time(q);
		break;
	case S3_ELSEWHERE:
		take_location(q);
		if (q->elsewhere[0] && q->moves++ < MOVES_MAX)
			again(q);
		else
			pause_or_give_up(q, PAUSE_FIRST_NS, "it sends us from one place to the next");
		break;
	case S3_CREDENTIALS:
		bad_credentials(q);
		break;
	case S3_REFUSED:
		refused(q);
		break;
	case S3_FULL:
		s3_health_bad(s, S3_REFUSES, "the quota is used up");
		finish(q, -ENOSPC);
		break;
	case S3_WRONG:
		if (log_turn(&s->wrong, SAY_NS, &more))
			log_error("%s: %s of %s: %s%s%s; is this S3? (%" PRIu64 " more like it)", s->base.url, q->method, q->key, why,
			          a->message[0] ? ", " : "", a->message, more);
		finish(q, -EIO);
		break;
	}
}

static void
attempt_end(struct s3_request *q)
{
	struct s3_leg *l = q->winner;

	q->answer = &l->answer;
	if (l->res < 0 || l->answer.status == 0) {
		q->doubtful = q->doubtful || l->http.reached;
		broken(q, l);
		return;
	}
	if (l->answer.status >= 500)
		q->doubtful = true;
	answered(q);
}

/* No byte came for a while; of one that still stands in line none could. */
static void
hedge(struct s3_request *q)
{
	struct s3_core *c = q->core;

	if (!http_under_way(&q->leg[0].http)) {
		timer_start(&q->timer, c->s3->hedge_after_ns, &q->tick);
	} else if (c->hedge_credit >= S3_HEDGE_COST) {
		c->hedge_credit -= S3_HEDGE_COST;
		leg_start(q, 1);
	}
}

static void
on_tick(struct op *op)
{
	struct s3_request *q = container_of(op, struct s3_request, tick);

	if (q->stage == REQ_PAUSE)
		again(q);
	else if (!q->winner)
		hedge(q);
}

enum op_state
s3_request_run(struct s3_request *q, struct op *op)
{
	q->wait = op;
	q->tick.resume = on_tick;
	q->skewed = false;
	q->timer.slot = 0;
	q->attempt = q->moves = q->reloads = 0;
	q->elsewhere[0] = '\0';
	q->doubtful = false;
	q->deadline_ns = reactor_now_ns() + q->core->s3->timeout_ns;
	attempt_start(q);
	return OP_PENDING;
}
