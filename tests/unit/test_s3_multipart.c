/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An upload in parts on every plan of answers: each of its requests works, or fails in one of the ways that
 * s3_request_run has.  What must come of it: the caller is told once, what cannot be completed is aborted, and an
 * answer that was lost is not taken for a failure.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

/* Renamed before any header declares them, as plan.h does. */
#define s3_request_init fake_request_init
#define s3_request_name fake_request_name
#define s3_request_run fake_request_run
#define s3_call_end fake_call_end

#include "tests/fake/plan.h"

#include "store/s3_multipart.c"

#define PARTS 2

static struct s3_core core;
static struct s3_call call;
static struct obj_req req;
static struct iovec iov[3];
static struct s3_answer answer;
static int ends, result;

/* ---- what the store is asked, as letters: C create, P part, F finish, H head, A abort */

static char asked[16];
static int nasked;
static int bad;        /* how the one that failed did */
static bool doubtful;  /* and whether it may have been carried out */
static uint64_t there; /* length of the object that HEAD sees */

enum how { WELL, GONE, AWAY, REFUSED, HOWS };
static const int result_of[HOWS] = { 0, -ENOENT, -E_JUKEBOX, -EACCES };

void
s3_request_init(struct s3_request *q, struct s3_core *c, enum objclass class, const char *method)
{
	memset(q, 0, offsetof(struct s3_request, wait));
	q->core = c;
	q->class = class;
	q->method = method;
}

void
s3_request_name(struct s3_request *q, const char *name)
{
	strcpy(q->key, name);
}

static char
letter_of(const struct s3_request *q)
{
	switch (q->method[0]) {
	case 'H': return 'H';
	case 'D': return 'A';
	default: return q->method[1] == 'U' ? 'P' : strcmp(q->query, "uploads=") == 0 ? 'C' : 'F';
	}
}

static int
say(struct s3_request *q, const char *text)
{
	int err = 0;

	memset(&answer, 0, sizeof(answer));
	answer.status = 200;
	strcpy(answer.etag, "e");
	answer.has_length = true;
	answer.length = there;
	q->answer = &answer;
	if (q->restart)
		q->restart(q);
	if (q->accept)
		err = q->accept(q, &answer);
	for (; err == 0 && q->on_body && *text; text++)
		err = q->on_body(q, (const uint8_t *)text, 1);
	return err == 0 && q->check ? q->check(q, &answer) : err;
}

enum op_state
s3_request_run(struct s3_request *q, struct op *op)
{
	char letter = letter_of(q);
	enum how how = letter == 'A' ? WELL : plan_choice(HOWS);
	int res = result_of[how];

	cr_assert(nasked + 1 < (int)sizeof(asked));
	asked[nasked++] = letter;
	if (letter == 'P')
		cr_assert(strcmp(q->query, asked[nasked - 2] == 'C' ? "partNumber=1&uploadId=id%2F1" : "partNumber=2&uploadId=id%2F1") == 0);
	if (letter == 'A')
		cr_assert(strcmp(q->query, "uploadId=id%2F1") == 0);
	if (how == WELL && letter == 'H') /* is it this one? */
		there = plan_choice(2) ? req.len : 1;
	if (how == WELL)
		res = say(q, letter == 'C' ? "<InitiateMultipartUploadResult><UploadId>id/1</UploadId></InitiateMultipartUploadResult>"
		                           : "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
	else
		bad = bad ? bad : res;
	q->doubtful = how != WELL && letter == 'F' && plan_choice(2);
	doubtful |= q->doubtful;
	reactor_post(op, res);
	return OP_PENDING;
}

void
s3_call_end(struct obj_req *r, int res)
{
	cr_assert(r == &req);
	ends++;
	result = res;
}

/* ---- the plans */

static void
run(void)
{
	static uint8_t byte[1];

	memset(asked, 0, sizeof(asked));
	nasked = ends = bad = 0;
	doubtful = false;
	memset(&call, 0, sizeof(call));
	for (size_t i = 0; i < ARRAY_LEN(iov); i++) /* nobody looks at them here but the hash: short pieces, and a long way */
		iov[i] = (struct iovec){ byte, 1 };
	req = (struct obj_req){ .name = "name", .iov = iov, .niov = 3, .len = S3_PART_BYTES + 1, .priv = &call };
	req.step.resume = s3_multipart_step;
	call.r = &req;
	call.q.core = &core;
	reactor_post(&req.step, 0);
	fake_laps();
}

static void
check(void)
{
	bool looked = strchr(asked, 'H') != NULL;

	cr_assert(eq(int, ends, 1), "%s", asked);
	cr_assert(strncmp("CPPF", asked, MIN(strcspn(asked, "AH"), 4)) == 0, "%s", asked);
	if (!bad) {
		cr_assert(strcmp(asked, "CPPF") == 0 && result == 0, "%s: %d", asked, result);
	} else if (looked) {
		/* It was complete, and the answer was lost; or it is another's object. */
		cr_assert(bad == -ENOENT && doubtful && strcmp(asked, "CPPFH") == 0, "%s", asked);
		cr_assert(answer.length == req.len || result < 0);
	} else {
		cr_assert(eq(int, result, bad == -ENOENT ? -EIO : bad), "%s", asked);
		cr_assert(asked[nasked - 1] == 'A' || strcmp(asked, "C") == 0, "%s", asked);
		cr_assert(bad != -ENOENT || doubtful == false);
	}
}

Test(s3_multipart, every_plan)
{
	int plans = 0, completed = 0;

	do {
		run();
		check();
		plans++;
		completed += result == 0;
	} while (plan_again());
	cr_expect(lt(int, 15, plans));
	cr_expect(eq(int, completed, 2)); /* seen to the end, and lost and looked at */
}
