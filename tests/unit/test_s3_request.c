/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to S3 on every plan of answers: what each class of answer makes of it at each attempt, how long
 * it pauses, when it gives up; and with a hedge, in every order in which two legs can bring bytes and end.
 * Time, HTTP and the store's health are the test's own.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

/* Renamed before any header declares them, as plan.h does. */
#define reactor_now_ns fake_now_ns
#define reactor_wall_ns fake_wall_ns
#define timer_start fake_timer_start
#define timer_stop fake_timer_stop
#define http_start fake_http_start
#define http_cancel fake_http_cancel
#define http_under_way fake_http_under_way
#define s3_reload fake_reload
#define s3_health_good fake_health_good
#define s3_health_bad fake_health_bad
#define s3_health_failed fake_health_failed
#define s3_health_gone fake_health_gone
#define s3_health_sentence fake_health_sentence

#include "tests/fake/plan.h"

#include "store/s3_request.c"

#define SECOND (1000 * MS)

/* ---- time */

static uint64_t now_ns, due_ns;
static struct timer *timer;

uint64_t reactor_now_ns(void) { return now_ns; }
uint64_t reactor_wall_ns(void) { return 1700000000 * SECOND + now_ns; }

void
timer_start(struct timer *t, uint64_t delay_ns, struct op *op)
{
	cr_assert(timer == NULL);
	timer = t;
	t->op = op;
	due_ns = now_ns + delay_ns;
}

bool
timer_stop(struct timer *t)
{
	bool ran = timer == t;

	timer = NULL;
	return ran;
}

/* The timer is due: its op is resumed as it is taken out (timer_stop in reactor.h). */
static void
ring(void)
{
	struct op *op = timer->op;

	now_ns = MAX(now_ns, due_ns);
	timer = NULL;
	op->res = 0;
	op->resume(op);
}

/* ---- HTTP: legs in the order in which they were started */

static struct { struct http_req *r; struct op *op, end; bool ended; } leg[2];
static int sent; /* requests, all attempts */
static char host[8][64];

enum op_state
http_start(struct http *h, struct http_req *r, struct op *op)
{
	int i = leg[0].r ? 1 : 0;

	(void)h;
	cr_assert(leg[i].r == NULL);
	leg[i].r = r;
	leg[i].op = op;
	leg[i].ended = false;
	r->status = 0;
	r->reached = false;
	r->bytes_in = r->bytes_out = 0;
	r->why[0] = '\0';
	snprintf(host[sent % 8], sizeof(host[0]), "%.60s", r->header[0]);
	sent++;
	return OP_PENDING;
}

bool
http_cancel(struct http *h, struct http_req *r)
{
	int i = leg[0].r == r ? 0 : 1;

	(void)h;
	cr_assert(leg[i].r == r);
	if (leg[i].ended)
		return false;
	leg[i].r = NULL;
	return true;
}

static bool in_line; /* they wait for a connection */

bool
http_under_way(const struct http_req *r)
{
	(void)r;
	return !in_line;
}

static void
on_end(struct op *end)
{
	int i = end == &leg[0].end ? 0 : 1;
	struct op *op = leg[i].op;

	leg[i].r = NULL; /* what follows may start the next */
	op->res = end->res;
	op->resume(op);
}

/* It has ended, and its op is about to resume. */
static void
end_leg(int i, int res)
{
	leg[i].ended = true;
	leg[i].r->reached = res != -ECONNREFUSED;
	leg[i].end.resume = on_end;
	reactor_post(&leg[i].end, res);
}

/* ---- the store: what it was told */

static struct s3 s3 = { .scheme = "http", .host = "here", .bucket = "bucket", .prefix = "p", .region = "r", .path_style = true,
	                .base.url = "s3://bucket/p" };
static struct s3_core core = { .s3 = &s3 };
static bool gone;
static bool others; /* credentials, when they are read again */
static int complaints; /* that the store is away */

void s3_health_good(struct s3 *s) { (void)s; }
void s3_health_bad(struct s3 *s, enum s3_health what, const char *why) { (void)s; (void)why; complaints += what == S3_AWAY; }
void s3_health_failed(struct s3 *s, const char *why) { (void)s; (void)why; }
bool s3_health_gone(const struct s3 *s) { (void)s; return gone; }

void
s3_health_sentence(const struct s3 *s, const struct s3_cred *c, const struct s3_request *q, char why[320])
{
	(void)s;
	(void)c;
	(void)q;
	why[0] = '\0';
}

void
s3_reload(struct s3_request *q)
{
	core.cred_serial += others;
	s3_request_reloaded(q);
}

/* ---- the request */

static struct s3_request q;
static int replies, result;
static char body[16];
static size_t body_len;

static void
on_reply(struct op *op)
{
	replies++;
	result = op->res;
}

static struct op reply = { .resume = on_reply };

static void
body_restart(struct s3_request *r)
{
	(void)r;
	body_len = 0;
}

static int
body_take(struct s3_request *r, const uint8_t *p, size_t len)
{
	(void)r;
	cr_assert(body_len + len <= sizeof(body));
	memcpy(body + body_len, p, len);
	body_len += len;
	return 0;
}

static int
body_check(struct s3_request *r, const struct s3_answer *a)
{
	(void)r;
	(void)a;
	return body_len == 4 ? 0 : -EPROTO;
}

static void
begin(bool hedge)
{
	memset(leg, 0, sizeof(leg));
	timer = NULL;
	sent = replies = 0;
	gone = false;
	s3.timeout_ns = 30 * SECOND;
	s3.hedge_after_ns = hedge ? SECOND : 0;
	atomic_store(&s3.skew_s, 0);
	core.rand = mix64(now_ns);
	core.hedge_credit = S3_HEDGE_CREDIT;
	in_line = false;
	complaints = 0;
	s3_request_init(&q, &core, OBJ_GET, "GET");
	s3_request_name(&q, "name");
	q.hedge = hedge;
	q.restart = body_restart;
	q.on_body = body_take;
	q.check = body_check;
	cr_assert(s3_request_run(&q, &reply) == OP_PENDING);
}

static void
setup(void)
{
	now_ns = SECOND;
	if (!s3.region[1])
		cr_assert(sigv4_init(&core.signer, "AKID", "secret", "r", "s3") == 0);
}

TestSuite(s3_request, .init = setup, .timeout = 600);

/* ---- answers */

enum then { DONE, PAUSE, PAUSE_SLOW, AT_ONCE, ELSEWHERE, SKEW, CREDENTIALS };

static const struct answer {
	const char *what;
	int status;          /* 0: none came */
	const char *header, *text;
	int res;             /* of the leg */
	enum then then;
	int result;          /* where it is the last */
} answers[] = {
	{ "good", 206, "ETag: \"x\"", "abcd", 0, DONE, 0 },
	{ "no connection", 0, NULL, NULL, -ECONNREFUSED, PAUSE, 0 },
	{ "no answer", 0, NULL, NULL, -ETIMEDOUT, PAUSE, 0 },
	{ "half a body", 206, "ETag: \"x\"", "ab", -ECONNRESET, PAUSE, 0 },
	{ "a short body", 206, "ETag: \"x\"", "ab", 0, PAUSE, 0 },
	{ "500", 500, "x: y", "<Error><Code>InternalError</Code></Error>", 0, PAUSE, 0 },
	{ "503", 503, "x: y", "<Error><Code>SlowDown</Code></Error>", 0, PAUSE_SLOW, 0 },
	{ "503, wait", 503, "Retry-After: 3", "<Error><Code>SlowDown</Code></Error>", 0, PAUSE_SLOW, 0 },
	{ "elsewhere", 307, "Location: http://there/x", "<Error><Code>TemporaryRedirect</Code></Error>", 0, ELSEWHERE, 0 },
	{ "nowhere", 307, "Location: ftp://there/x", "<Error><Code>TemporaryRedirect</Code></Error>", 0, PAUSE, 0 },
	{ "clock", 403, "Date: Thu, 01 Jan 2026 00:00:00 GMT", "<Error><Code>RequestTimeTooSkewed</Code></Error>", 0, SKEW, -EACCES },
	{ "key", 403, "x: y", "<Error><Code>InvalidAccessKeyId</Code></Error>", 0, CREDENTIALS, -EACCES },
	{ "denied", 403, "x: y", "<Error><Code>AccessDenied</Code></Error>", 0, DONE, -EACCES },
	{ "missing", 404, "x: y", "<Error><Code>NoSuchKey</Code></Error>", 0, DONE, -ENOENT },
	{ "exists", 412, "x: y", "<Error><Code>PreconditionFailed</Code></Error>", 0, DONE, -EEXIST },
	{ "short", 416, "x: y", "<Error><Code>InvalidRange</Code></Error>", 0, DONE, -E_DAMAGED },
	{ "full", 403, "x: y", "<Error><Code>QuotaExceeded</Code></Error>", 0, DONE, -ENOSPC },
	{ "no S3", 400, "x: y", "<html>", 0, DONE, -EIO },
	{ "certificate", 0, NULL, NULL, -EKEYREJECTED, DONE, -EACCES },
};

static void
bring(int i, const struct answer *a, const char *text)
{
	struct http_req *r = leg[i].r;
	char line[64];

	if (a->status) {
		snprintf(line, sizeof(line), "HTTP/1.1 %d X", a->status);
		r->on_header(r, line, strlen(line));
		r->on_header(r, a->header, strlen(a->header));
		r->status = a->status;
		for (size_t k = 0; text[k]; k++) /* in pieces */
			if (r->on_body(r, (const uint8_t *)&text[k], 1) < 0)
				break;
	}
}

static void
give(const struct answer *a)
{
	bring(0, a, a->status ? a->text : "");
	end_leg(0, a->res);
	fake_laps();
}

/* ---- every plan */

static void
expect_pause(const struct answer *a, uint32_t attempt)
{
	uint64_t most = MIN((a->then == PAUSE_SLOW ? PAUSE_SLOW_NS : PAUSE_FIRST_NS) << attempt, PAUSE_MAX_NS), ns = due_ns - now_ns;

	cr_assert(timer != NULL, "%s: no pause", a->what);
	if (strncmp(a->header ? a->header : "", "Retry-After", 11) == 0)
		cr_assert(eq(u64, ns, MAX(3 * SECOND, ns)));
	else
		cr_assert(ns >= most / 2 && ns <= most, "%s at attempt %u: a pause of %lu ms", a->what, attempt, ns / MS);
	cr_assert(replies == 0 && !leg[0].r);
	ring();
	fake_laps();
}

/* What must come of it, as the header says, said once more. */
static void
one_plan(void)
{
	uint32_t attempts = 0;
	int moves = 0, reloads = 0;
	bool skewed = false, doubtful = false, there = false;

	others = plan_choice(2);
	begin(false);
	for (;;) {
		const struct answer *a = &answers[sent <= 3 ? plan_choice(ARRAY_LEN(answers)) : 0];
		enum then then = a->then;

		cr_assert(leg[0].r && !timer);
		cr_assert(eq(int, sent, (int)attempts + 1));
		cr_assert(strcmp(host[(sent - 1) % 8], there ? "host: there" : "host: here") == 0, "%s", host[(sent - 1) % 8]);
		give(a);
		doubtful = doubtful || (a->res < 0 && a->res != -ECONNREFUSED) || a->status >= 500;
		if (then == ELSEWHERE) {
			there = true;
			then = moves++ < MOVES_MAX ? AT_ONCE : PAUSE;
		} else if (a->status == 307) {
			there = false; /* where it points to is no place */
		} else if (then == SKEW) {
			then = skewed ? DONE : AT_ONCE;
			skewed = true;
		} else if (then == CREDENTIALS) {
			then = reloads++ > 0 || !others ? DONE : AT_ONCE;
		}
		if (then == DONE) {
			cr_assert(eq(int, replies, 1), "%s", a->what);
			cr_assert(eq(int, result, a->result), "%s", a->what);
			cr_assert(result < 0 || (body_len == 4 && memcmp(body, "abcd", 4) == 0));
			break;
		}
		if (then != AT_ONCE)
			expect_pause(a, attempts);
		attempts++;
	}
	cr_assert(timer == NULL && !leg[0].r && !leg[1].r);
	cr_assert(eq(int, q.doubtful, doubtful));
}

Test(s3_request, every_plan)
{
	int plans = 0;

	do {
		one_plan();
		plans++;
	} while (plan_again());
	cr_expect(lt(int, 4000, plans));
}

/* Whatever it is that goes on: the caller hears of it before the deadline, and no request goes out behind it. */
Test(s3_request, deadline)
{
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		const struct answer *a = &answers[i];
		uint64_t start = now_ns;

		if (a->then != PAUSE && a->then != PAUSE_SLOW && a->then != ELSEWHERE)
			continue;
		begin(false);
		while (replies == 0) {
			cr_assert(now_ns <= start + s3.timeout_ns);
			give(a);
			if (timer) {
				ring();
				fake_laps();
			}
		}
		cr_expect(eq(int, result, -E_JUKEBOX), "%s", a->what);
		cr_expect(lt(int, 0, complaints), "%s", a->what);
		cr_expect(now_ns + PAUSE_MAX_NS >= start + s3.timeout_ns, "%s: it gave up after %lu s", a->what, (now_ns - start) / SECOND);
		cr_expect(lt(int, 5, sent), "%s", a->what);
		now_ns += SECOND;
	}
}

/* The store has been away for long: one try, no pause. */
Test(s3_request, gone)
{
	begin(false);
	gone = true;
	give(&answers[1]);
	cr_expect(eq(int, replies, 1));
	cr_expect(eq(int, result, -E_JUKEBOX));
	cr_expect(timer == NULL);
}

/* It asks for more time than there is. */
Test(s3_request, retry_after_the_deadline)
{
	struct answer a = answers[7];

	a.header = "Retry-After: 31";
	begin(false);
	give(&a);
	cr_expect(eq(int, result, -E_JUKEBOX));
	cr_expect(timer == NULL);
}

/* Many who failed together come back spread over half of the pause. */
Test(s3_request, jitter)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (int i = 0; i < 1000; i++) {
		begin(false);
		give(&answers[6]);
		cr_assert(eq(int, complaints, 0)); /* one that failed is no outage */
		least = MIN(least, due_ns - now_ns);
		most = MAX(most, due_ns - now_ns);
		now_ns += MS;
	}
	cr_expect(least >= PAUSE_SLOW_NS / 2 && least < PAUSE_SLOW_NS * 6 / 10);
	cr_expect(most <= PAUSE_SLOW_NS && most > PAUSE_SLOW_NS * 9 / 10);
}

/* ---- hedges: two legs, each step of either in every order */

enum fate { WHOLE, TORN, SILENT, REFUSED, FATES }; /* of a leg: all bytes; some of them; none, and broken; 503 */

static void
leg_step(int i, enum fate fate, int step)
{
	struct http_req *r = leg[i].r;
	const char *mine = i == 0 ? "aaaa" : "bbbb";

	if (fate == REFUSED && step == 0) {
		bring(i, &answers[6], answers[6].text);
	} else if (fate != SILENT && step == 0) {
		bring(i, &answers[0], "");
		(void)r->on_body(r, (const uint8_t *)mine, 2);
	} else if (step == 1) {
		int err = fate == WHOLE ? r->on_body(r, (const uint8_t *)mine + 2, 2) : 0;

		end_leg(i, err < 0 ? err : fate == TORN || fate == SILENT ? -ECONNRESET : 0);
	}
}

/* Both are under way: their steps in any order, some of them in one lap. */
static void
legs_go(const enum fate fate[2])
{
	int step[2] = { 0, 0 };

	while (replies == 0 && !timer) {
		bool can[2];
		int i;

		for (i = 0; i < 2; i++)
			can[i] = leg[i].r && !leg[i].ended;
		cr_assert(can[0] || can[1]);
		i = can[0] && can[1] ? (int)plan_choice(2) : can[1];
		leg_step(i, fate[i], step[i]++);
		if (!can[!i] || plan_choice(2) == 0)
			fake_laps();
	}
}

/* All of one leg's bytes and none of the other's, or the next attempt, which goes well. */
static void
expect_whole(bool may_fail)
{
	if (timer) {
		cr_assert(may_fail && replies == 0 && !leg[0].r && !leg[1].r);
		ring();
		fake_laps();
		give(&answers[0]);
		fake_laps();
		cr_assert(body_len == 4 && memcmp(body, "abcd", 4) == 0);
	} else {
		cr_assert(body_len == 4 && (memcmp(body, "aaaa", 4) == 0 || memcmp(body, "bbbb", 4) == 0), "%.4s", body);
	}
	cr_assert(eq(int, replies, 1));
	cr_assert(eq(int, result, 0));
	cr_assert(timer == NULL && !leg[0].r && !leg[1].r);
}

Test(s3_request, hedged_every_order)
{
	int plans = 0;

	do {
		enum fate fate[2];

		begin(true);
		cr_assert(timer && due_ns == now_ns + SECOND);
		ring(); /* nothing came: a second one goes out */
		fake_laps();
		cr_assert(eq(int, sent, 2));
		fate[0] = plan_choice(FATES);
		fate[1] = plan_choice(FATES);
		legs_go(fate);
		/* Two that bring all of it leave nothing to try again. */
		expect_whole(fate[0] != WHOLE || fate[1] != WHOLE);
		plans++;
	} while (plan_again());
	cr_expect(lt(int, 200, plans));
}

/* The time for a hedge comes in the lap in which the first leg begins or ends. */
Test(s3_request, hedge_in_the_same_lap)
{
	do {
		enum fate fate = plan_choice(FATES);

		begin(true);
		if (plan_choice(2))
			leg_step(0, fate, 0);
		if (plan_choice(2))
			ring();
		if (leg[0].r->status == 0)
			leg_step(0, fate, 0);
		leg_step(0, fate, 1);
		if (timer)
			ring();
		fake_laps();
		if (replies == 0 && leg[1].r && !leg[0].r) {
			leg_step(1, WHOLE, 0);
			leg_step(1, WHOLE, 1);
			fake_laps();
		}
		expect_whole(fate != WHOLE);
	} while (plan_again());
}

/* Once one has brought bytes, nothing that the other says counts. */
Test(s3_request, bytes_beat_an_error)
{
	for (int winner = 0; winner < 2; winner++) {
		begin(true);
		ring();
		fake_laps();
		leg_step(winner, WHOLE, 0);
		bring(!winner, &answers[13], answers[13].text); /* missing */
		end_leg(!winner, 0);
		fake_laps();
		cr_assert(replies == 0 && leg[winner].r);
		leg_step(winner, WHOLE, 1);
		fake_laps();
		expect_whole(false);
	}
}

/* An answer that comes in time needs no second one. */
Test(s3_request, no_hedge_without_need)
{
	begin(true);
	bring(0, &answers[0], "ab");
	ring(); /* bytes flow already */
	fake_laps();
	cr_expect(eq(int, sent, 1));
	(void)leg[0].r->on_body(leg[0].r, (const uint8_t *)"cd", 2);
	end_leg(0, 0);
	fake_laps();
	cr_expect(eq(int, replies, 1));
	cr_expect(eq(int, result, 0));
	begin(true);
	give(&answers[0]);
	cr_expect(timer == NULL);
	cr_expect(eq(int, sent, 1));
}

/* Nor does one that has not left the line; later it may be hedged. */
Test(s3_request, no_hedge_in_line)
{
	begin(true);
	in_line = true;
	for (int i = 0; i < 3; i++) {
		ring();
		fake_laps();
		cr_assert(timer != NULL && sent == 1);
	}
	in_line = false;
	ring();
	fake_laps();
	cr_expect(eq(int, sent, 2));
	leg_step(1, WHOLE, 0);
	leg_step(1, WHOLE, 1);
	fake_laps();
	cr_expect(eq(int, result, 0));
}

/* Where all are slow few are sent twice. */
Test(s3_request, hedges_are_few)
{
	int hedges = 0;
	uint32_t credit = S3_HEDGE_CREDIT;

	for (int i = 0; i < 1000; i++) {
		begin(true);
		core.hedge_credit = MIN(credit + 1, (uint32_t)S3_HEDGE_CREDIT);
		ring();
		fake_laps();
		hedges += sent - 1;
		credit = core.hedge_credit;
		give(&answers[0]);
		cr_assert(replies == 1 && result == 0);
	}
	cr_expect(hedges > 100 && hedges <= 1000 / S3_HEDGE_COST + S3_HEDGE_CREDIT / S3_HEDGE_COST, "%d", hedges);
}
