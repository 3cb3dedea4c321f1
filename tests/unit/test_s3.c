/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 store in front of a server that answers as the test says: every way to fail, one result each. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "crypto/digest.h"
#include "reactor/log.h"
#include "store/objcount.h"
#include "store/s3_impl.h"
#include "tests/fake/http_fake.h"
#include "tests/fake/s3_store.h"

#define OBJECT "0123456789"

static struct s3_opts opts;
static char endpoint[64];

/* ---- the script: what the n-th request is answered, the last for all that follow */

static struct fake_answer script[8];
static int nscript;
static struct fake_request seen[16]; /* body and all */
static void (*on_answer)(const struct fake_request *r, struct fake_answer *a);

static void
answer(const struct fake_request *r, struct fake_answer *a)
{
	if (r->n < (int)ARRAY_LEN(seen)) {
		free(seen[r->n].body);
		seen[r->n] = *r;
		seen[r->n].body = r->body ? memcpy(malloc(r->len + 1), r->body, r->len + 1) : NULL;
	}
	if (nscript > 0)
		*a = script[MIN(r->n, nscript - 1)];
	if (on_answer)
		on_answer(r, a);
}

static void
say(struct fake_answer a)
{
	cr_assert(nscript < (int)ARRAY_LEN(script));
	script[nscript++] = a;
}

static struct fake_answer
with(int status, const char *headers, const char *body)
{
	struct fake_answer a = { .status = status, .body = body, .len = strlen(body) };

	snprintf(a.headers, sizeof(a.headers), "%s", headers);
	return a;
}

static struct fake_answer
error_of(int status, const char *code)
{
	static char body[8][256];
	static int at;
	char *b = body[at++ % 8];

	snprintf(b, sizeof(body[0]), "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message></Message></Error>", code);
	return with(status, "", b);
}

/* Bytes 2 to 5 of OBJECT. */
static struct fake_answer
good_range(void)
{
	return with(206, "Content-Range: bytes 2-5/10\r\nETag: \"781e5e245d69b566979b86e28d23f2c7\"\r\n", "2345");
}

/* ---- the store */

static void
open_store(void)
{
	store_open("s3://bucket/a/prefix", &opts, 1);
}

static void
setup(void)
{
	log_set_level(getenv("S3_TEST_LOG") ? LOG_DEBUG : (enum log_level)-1);
	setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI", 1);
	unsetenv("AWS_SESSION_TOKEN");
	http_fake_start(answer);
	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", http_fake.port);
	opts = (struct s3_opts){
		.endpoint = endpoint, .region = "eu-west-1", .credentials_file = "", .profile = "", .ca_file = "",
		.congestion = "", .connections = 4, .cores = 1, .timeout_ns = 60000000000,
	};
}

static void
teardown(void)
{
	store_close();
	http_fake_stop();
	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		free(seen[i].body);
}

TestSuite(s3, .init = setup, .fini = teardown, .timeout = 600);

/* ---- calls */

static struct obj_req req;
static struct iovec iov[4];
static char got[64];

static void
request(const char *name)
{
	memset(&req, 0, sizeof(req));
	req.store = store;
	snprintf(req.name, sizeof(req.name), "%s", name);
}

#define START(verb) \
	static enum op_state start_##verb(void *arg, struct op *op) \
	{ \
		return store->ops->verb(arg, op); \
	}
START(get)
START(put)
START(head)
START(del)
START(list)

static int
get(uint64_t off, uint64_t len)
{
	request("export/chunks/0A/0/10_0_65536");
	memset(got, '?', sizeof(got));
	iov[0] = (struct iovec){ got, MIN(len, 1) };
	iov[1] = (struct iovec){ got + 1, len - iov[0].iov_len };
	req.iov = iov;
	req.niov = 2;
	req.off = off;
	req.len = len;
	return rig_call(0, start_get, &req);
}

static int
put(const void *p, size_t len, bool exclusive)
{
	request("export/dittofs.json");
	iov[0] = (struct iovec){ (void *)p, len / 2 };
	iov[1] = (struct iovec){ (char *)p + len / 2, len - len / 2 };
	req.iov = iov;
	req.niov = 2;
	req.len = len;
	req.exclusive = exclusive;
	return rig_call(0, start_put, &req);
}

static bool
begins(const char *s, const char *start)
{
	return strncmp(s, start, strlen(start)) == 0;
}

/* ---- GET */

Test(s3, get)
{
	say(good_range());
	open_store();
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(strncmp(got, "2345?", 5) == 0, "%.5s", got);
	cr_expect(strcmp(seen[0].target, "/bucket/a/prefix/export/chunks/0A/0/10_0_65536") == 0, "%s", seen[0].target);
	cr_expect(strcmp(fake_header(&seen[0], "range"), "bytes=2-5") == 0);
	cr_expect(begins(fake_header(&seen[0], "authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
	cr_expect(strcmp(fake_header(&seen[0], "host"), endpoint + 7) == 0);
	cr_expect(eq(int, http_fake.requests, 1));
}

/* Once badly, then well: never seen by the caller. */
static const struct bad {
	const char *what;
	struct fake_answer a;
} bad[] = {
	{ "SlowDown", { .status = 503, .body = "<Error><Code>SlowDown</Code></Error>", .len = 36 } },
	{ "a proxy's page", { .status = 502, .body = "<html><p>Bad Gateway", .len = 20 } },
	{ "junk XML", { .status = 500, .body = "<Error><Code>Int", .len = 16 } },
	{ "a document type", { .status = 500, .body = "<!DOCTYPE x [<!ENTITY a 'b'>]><Error/>", .len = 38 } },
	{ "nothing at all", { .status = 500 } },
	{ "too many requests", { .status = 429 } },
	{ "half a status line", { .status = 206, .body = "2345", .len = 4, .cut = 7 } },
	{ "half a header", { .status = 206, .body = "2345", .len = 4, .cut = 30 } },
	{ "an RST for an answer", { .status = 206, .body = "2345", .len = 4, .cut = 1, .reset = true } },
	{ "half a body", { .status = 206, .headers = "Content-Range: bytes 2-5/10\r\n", .body = "2345", .len = 4, .cut = 75 } },
	{ "an RST in the body", { .status = 206, .headers = "Content-Range: bytes 2-5/10\r\n", .body = "2345", .len = 4, .cut = 75, .reset = true } },
	{ "a length too long", { .status = 206, .headers = "Content-Range: bytes 2-5/10\r\n", .body = "2345", .len = 4, .claim = 5, .close = true } },
	{ "a length too short", { .status = 206, .headers = "Content-Range: bytes 2-5/10\r\n", .body = "2345", .len = 4, .claim = 3, .close = true } },
	{ "no length, and short", { .status = 206, .headers = "Content-Range: bytes 2-5/10\r\n", .body = "234", .len = 3, .no_length = true } },
	{ "no length, and long", { .status = 206, .headers = "Content-Range: bytes 2-5/10\r\n", .body = "23456", .len = 5, .no_length = true } },
	{ "another range", { .status = 206, .headers = "Content-Range: bytes 3-6/10\r\n", .body = "3456", .len = 4 } },
	{ "a shorter range inside", { .status = 206, .headers = "Content-Range: bytes 2-4/10\r\n", .body = "234", .len = 3 } },
	{ "a longer range", { .status = 206, .headers = "Content-Range: bytes 2-6/10\r\n", .body = "23456", .len = 5 } },
	{ "no range", { .status = 206, .body = "2345", .len = 4 } },
	{ "junk for a range", { .status = 206, .headers = "Content-Range: bytes 2-99999999999999999999/x\r\n", .body = "2345", .len = 4 } },
	{ "all of it", { .status = 200, .body = OBJECT, .len = 10 } },
	{ "another protocol", { .raw = true, .body = "SSH-2.0-OpenSSH_9.2\r\n", .len = 21 } },
	{ "an old HTTP", { .raw = true, .body = "HTTP/0.9 haha\r\n\r\n", .len = 17 } },
	{ "a request timeout", { .status = 400, .body = "<Error><Code>RequestTimeout</Code></Error>", .len = 42 } },
};

Test(s3, get_again)
{
	open_store();
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		http_fake.requests = nscript = 0;
		say(bad[i].a);
		say(good_range());
		cr_expect(eq(int, get(2, 4), 0), "%s", bad[i].what);
		cr_expect(strncmp(got, "2345?", 5) == 0, "%s: %.5s", bad[i].what, got);
		cr_expect(eq(int, http_fake.requests, 2), "%s", bad[i].what);
	}
}

/* Requests as they were asked for; on the wire the bodies of repeats and errors too. */
Test(s3, counted)
{
	struct objcount was[2], get_now, put_now;

	say(bad[0].a);
	say(good_range());
	open_store();
	was[0] = objcount_get(OBJ_GET);
	was[1] = objcount_get(OBJ_PUT);
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(eq(int, put(OBJECT, 10, false), 0));
	get_now = objcount_get(OBJ_GET);
	put_now = objcount_get(OBJ_PUT);
	cr_expect(eq(u64, get_now.requests - was[0].requests, 1));
	cr_expect(eq(u64, get_now.retries - was[0].retries, 1));
	cr_expect(eq(u64, get_now.errors, was[0].errors));
	cr_expect(eq(u64, get_now.bytes - was[0].bytes, 4));
	cr_expect(eq(u64, get_now.received - was[0].received, bad[0].a.len + 4));
	cr_expect(eq(u64, get_now.sent, was[0].sent));
	cr_expect(get_now.ns - was[0].ns > 10000000); /* a pause, at least */
	cr_expect(eq(u64, put_now.sent - was[1].sent, 10));
	cr_expect(eq(u64, put_now.bytes - was[1].bytes, 10));
}

/* What is not tried again. */
Test(s3, get_refused)
{
	static const struct {
		const char *what;
		int status;
		const char *headers, *body;
		int res;
	} of[] = {
		{ "missing", 404, "", "<Error><Code>NoSuchKey</Code></Error>", -ENOENT },
		{ "missing, no reason", 404, "", "", -ENOENT },
		{ "no bucket", 404, "", "<Error><Code>NoSuchBucket</Code></Error>", -EACCES },
		{ "secret", 403, "", "<Error><Code>SignatureDoesNotMatch</Code></Error>", -EACCES },
		{ "key", 403, "", "<Error><Code>InvalidAccessKeyId</Code></Error>", -EACCES },
		{ "token", 400, "", "<Error><Code>ExpiredToken</Code></Error>", -EACCES },
		{ "forbidden", 403, "", "<Error><Code>AccessDenied</Code></Error>", -EACCES },
		{ "forbidden, no reason", 403, "", "", -EACCES },
		{ "region", 301, "x-amz-bucket-region: us-west-2\r\n", "<Error><Code>PermanentRedirect</Code></Error>", -EACCES },
		{ "region again", 400, "", "<Error><Code>AuthorizationHeaderMalformed</Code><Region>us-west-2</Region></Error>", -EACCES },
		{ "behind its end", 416, "Content-Range: bytes */2\r\n", "<Error><Code>InvalidRange</Code></Error>", -E_DAMAGED },
		{ "short", 206, "Content-Range: bytes 2-3/4\r\n", "23", -E_DAMAGED },
		{ "no S3", 400, "", "<html>Bad Request", -EIO },
		{ "quota", 403, "", "<Error><Code>QuotaExceeded</Code></Error>", -ENOSPC },
	};

	open_store();
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		http_fake.requests = nscript = 0;
		say(with(of[i].status, of[i].headers, of[i].body));
		say(good_range());
		cr_expect(eq(int, get(2, 4), of[i].res), "%s", of[i].what);
		cr_expect(eq(int, http_fake.requests, 1), "%s", of[i].what);
		if (of[i].res == -EACCES)
			cr_expect(eq(int, objstore_health(store), -EACCES), "%s", of[i].what);
	}
}

/* A server without ranges is good enough for whole objects, and a small one's ETag is compared. */
Test(s3, get_whole)
{
	say(with(200, "ETag: \"ffffffffffffffffffffffffffffffff\"\r\n", OBJECT));
	say(with(200, "ETag: \"781e5e245d69b566979b86e28d23f2c7\"\r\n", OBJECT));
	say(with(200, "ETag: \"ffffffffffffffffffffffffffffffff\"\r\nx-amz-server-side-encryption: aws:kms\r\n", OBJECT));
	open_store();
	cr_expect(eq(int, get(0, 10), 0));
	cr_expect(eq(int, http_fake.requests, 2));
	cr_expect(strncmp(got, OBJECT, 10) == 0);
	cr_expect(eq(int, get(0, 10), 0)); /* no MD5, then */
	cr_expect(eq(int, http_fake.requests, 3));
	cr_expect(eq(int, get(0, 11), -E_DAMAGED));
}

/* It is away for longer than a request may take. */
Test(s3, away)
{
	opts.timeout_ns = 1500000000;
	say(error_of(503, "SlowDown"));
	open_store();
	cr_expect(eq(int, get(2, 4), -E_JUKEBOX));
	cr_expect(lt(int, 2, http_fake.requests));
	cr_expect(eq(int, objstore_health(store), -E_JUKEBOX));
	/* And back. */
	nscript = 0;
	say(good_range());
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(eq(int, objstore_health(store), 0));
}

Test(s3, no_connection)
{
	snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:1");
	opts.timeout_ns = 1000000000;
	open_store();
	cr_expect(eq(int, get(2, 4), -E_JUKEBOX));
}

Test(s3, no_such_host)
{
	snprintf(endpoint, sizeof(endpoint), "http://no-such-host.invalid");
	opts.timeout_ns = 1000000000;
	open_store();
	cr_expect(eq(int, get(2, 4), -E_JUKEBOX));
}

/* Silence in the middle ends an attempt, not the request. */
Test(s3, stall)
{
	struct fake_answer a = good_range();

	opts.timeout_ns = 3000000000;
	a.stall_ms = 20000;
	say(a);
	say(good_range());
	open_store();
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(eq(int, http_fake.requests, 2));
}

/* Our clock is an hour late: signed again with the server's, and so from then on. */
Test(s3, clock)
{
	char date[64], stamp[16];
	time_t later = time(NULL) + 3600;
	struct fake_answer a = error_of(403, "RequestTimeTooSkewed");

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime(&later));
	snprintf(a.headers, sizeof(a.headers), "Date: %s\r\n", date);
	say(a);
	say(good_range());
	open_store();
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(eq(int, http_fake.requests, 3));
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H", gmtime(&later));
	for (int i = 1; i < 3; i++) {
		struct tm tm = { 0 };

		strptime(fake_header(&seen[i], "x-amz-date"), "%Y%m%dT%H%M%SZ", &tm);
		cr_expect(lt(long, labs(timegm(&tm) - later), 120));
	}
}

/* A HEAD is refused without a reason: the clock is the reason that can be seen. */
Test(s3, clock_of_head)
{
	struct fake_answer a = with(403, "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n", "");

	say(a);
	say(with(200, "", OBJECT));
	open_store();
	request("x");
	cr_expect(eq(int, rig_call(0, start_head, &req), 0));
	cr_expect(eq(u64, req.size, 10));
	cr_expect(begins(fake_header(&seen[1], "x-amz-date"), "20260101T0000"), "%s", fake_header(&seen[1], "x-amz-date"));
}

/* Elsewhere for this request, signed for that host. */
Test(s3, redirect)
{
	struct fake_answer a = error_of(307, "TemporaryRedirect");
	char host[64];

	snprintf(a.headers, sizeof(a.headers), "Location: http://localhost:%d/whatever?x\r\n", http_fake.port);
	say(a);
	say(good_range());
	open_store();
	cr_expect(eq(int, get(2, 4), 0));
	snprintf(host, sizeof(host), "localhost:%d", http_fake.port);
	cr_expect(strcmp(fake_header(&seen[1], "host"), host) == 0);
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(strcmp(fake_header(&seen[2], "host"), endpoint + 7) == 0);
}

Test(s3, redirect_without_end)
{
	struct fake_answer a = error_of(307, "TemporaryRedirect");

	opts.timeout_ns = 1000000000;
	snprintf(a.headers, sizeof(a.headers), "Location: http://127.0.0.1:%d/\r\n", http_fake.port);
	say(a);
	open_store();
	cr_expect(eq(int, get(2, 4), -E_JUKEBOX));
}

/* ---- hedges */

/* The first says nothing: the second brings it, and the first is left. */
Test(s3, hedge)
{
	struct fake_answer a = good_range();

	opts.hedge_after_ns = 20000000;
	a.delay_ms = 30000;
	say(a);
	say(good_range());
	open_store();
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(strncmp(got, "2345?", 5) == 0);
	cr_expect(eq(int, http_fake.requests, 2));
}

/* The second is refused, the first brings it after all; and the other way round. */
Test(s3, hedge_fails)
{
	struct fake_answer late = good_range(), bad_late = error_of(500, "InternalError");

	opts.hedge_after_ns = 20000000;
	late.delay_ms = bad_late.delay_ms = 300;
	say(late);
	say(error_of(500, "InternalError"));
	open_store();
	cr_expect(eq(int, get(2, 4), 0));
	nscript = http_fake.requests = 0;
	say(bad_late);
	say(good_range());
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(strncmp(got, "2345?", 5) == 0);
}

/* Both are refused: one result. */
Test(s3, hedge_refused)
{
	struct fake_answer a = error_of(404, "NoSuchKey");

	opts.hedge_after_ns = 20000000;
	a.delay_ms = 200;
	say(a);
	open_store();
	cr_expect(eq(int, get(2, 4), -ENOENT));
}

/* ---- PUT */

Test(s3, put)
{
	static char big[300000];
	uint8_t sha[DIGEST_SHA256];
	char hex[65];

	memset(big, 'b', sizeof(big));
	say(with(200, "ETag: \"x\"\r\n", ""));
	open_store();
	for (size_t len = 0, n = 0; len <= sizeof(big); len += sizeof(big) / 2, n++) {
		struct iovec v = { big, len };

		cr_expect(eq(int, put(big, len, len == 0), 0));
		cr_expect(strcmp(seen[n].method, "PUT") == 0);
		cr_expect(eq(sz, seen[n].len, len));
		cr_expect(memcmp(seen[n].body, big, len) == 0);
		digest_sha256(&v, 1, sha);
		digest_hex(sha, sizeof(sha), hex);
		cr_expect(strcmp(fake_header(&seen[n], "x-amz-content-sha256"), hex) == 0);
		cr_expect(strcmp(fake_header(&seen[n], "if-none-match"), len == 0 ? "*" : "") == 0);
		cr_expect(strcmp(fake_header(&seen[n], "expect"), "") == 0);
	}
	cr_expect(eq(int, http_fake.connections, 1));
}

Test(s3, put_again)
{
	static const struct fake_answer of[] = {
		{ .status = 503, .body = "<Error><Code>SlowDown</Code></Error>", .len = 36 },
		{ .status = 400, .body = "<Error><Code>BadDigest</Code></Error>", .len = 37 },
		{ .status = 400, .body = "<Error><Code>XAmzContentSHA256Mismatch</Code></Error>", .len = 53 },
		{ .status = 400, .body = "<Error><Code>IncompleteBody</Code></Error>", .len = 42 },
		{ .status = 409, .body = "<Error><Code>OperationAborted</Code></Error>", .len = 44 },
		{ .status = 200, .cut = 1 },
		{ .status = 200, .cut = 1, .reset = true },
		{ .status = 500 },
	};

	open_store();
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		http_fake.requests = nscript = 0;
		say(of[i]);
		say(with(200, "", ""));
		cr_expect(eq(int, put(OBJECT, 10, false), 0), "%zu", i);
		cr_expect(eq(int, http_fake.requests, 2), "%zu", i);
		cr_expect(strcmp(seen[1].body, OBJECT) == 0, "%zu", i);
	}
}

/* The answer comes before the body has been read. */
Test(s3, put_refused_early)
{
	static char big[4 << 20];

	http_fake.early = true;
	say(error_of(403, "InvalidAccessKeyId"));
	open_store();
	/* Whether the answer is seen before the connection breaks is TCP's business. */
	opts.timeout_ns = 1000000000;
	cr_expect(eq(int, put(big, sizeof(big), false), -EACCES));
}

Test(s3, put_exclusive)
{
	say(error_of(412, "PreconditionFailed"));
	open_store();
	cr_expect(eq(int, put(OBJECT, 10, true), -EEXIST));
	cr_expect(eq(int, http_fake.requests, 1));
}

/* An answer that was lost: what is there is ours, or it is not. */
Test(s3, put_exclusive_in_doubt)
{
	open_store();
	for (int ours = 0; ours < 2; ours++) {
		http_fake.requests = nscript = 0;
		say((struct fake_answer){ .status = 200, .cut = 1 });
		say(error_of(412, "PreconditionFailed"));
		say(with(200, ours ? "ETag: \"781e5e245d69b566979b86e28d23f2c7\"\r\n" : "ETag: \"00000000000000000000000000000000\"\r\n", OBJECT));
		cr_expect(eq(int, put(OBJECT, 10, true), ours ? 0 : -EEXIST));
		cr_expect(strcmp(seen[2].method, "HEAD") == 0, "%d %s %s %s", http_fake.requests, seen[0].method, seen[1].method, seen[2].method);
		cr_expect(eq(int, http_fake.requests, 3));
	}
}

Test(s3, put_md5)
{
	opts.checksum = S3_MD5;
	say(with(200, "ETag: \"00000000000000000000000000000000\"\r\n", ""));
	say(with(200, "ETag: \"781e5e245d69b566979b86e28d23f2c7\"\r\n", ""));
	open_store();
	cr_expect(eq(int, put(OBJECT, 10, false), 0));
	cr_expect(eq(int, http_fake.requests, 2));
	cr_expect(strcmp(fake_header(&seen[0], "content-md5"), "eB5eJF1ptWaXm4bijSPyxw==") == 0);
	cr_expect(strcmp(fake_header(&seen[0], "x-amz-content-sha256"), "UNSIGNED-PAYLOAD") == 0);
}

/* 123456789: RFC 3720 B.4's check value, big-endian. */
#define CRC_HEADER "x-amz-checksum-crc32c: 4waSgw==\r\n"

static bool
sent_with_crc(int i)
{
	return strcmp(fake_header(&seen[i], "x-amz-checksum-crc32c"), "4waSgw==") == 0 &&
	       strcmp(fake_header(&seen[i], "x-amz-content-sha256"), "UNSIGNED-PAYLOAD") == 0;
}

static bool
sent_with_sha256(int i)
{
	return strcmp(fake_header(&seen[i], "x-amz-checksum-crc32c"), "") == 0 &&
	       strcmp(fake_header(&seen[i], "x-amz-content-sha256"),
	              "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225") == 0;
}

Test(s3, put_crc32c)
{
	opts.checksum = S3_CRC32C;
	say(with(200, CRC_HEADER, ""));
	say(with(200, "x-amz-checksum-crc32c: AAAAAA==\r\n", "")); /* it has something else: again */
	say(with(200, CRC_HEADER, ""));
	say(with(200, "", ""));
	open_store();
	cr_expect(eq(int, put("123456789", 9, false), 0));
	cr_expect(eq(int, http_fake.requests, 1));
	cr_expect(eq(int, put("123456789", 9, false), 0));
	cr_expect(eq(int, http_fake.requests, 3));
	cr_expect(sent_with_crc(0) && sent_with_crc(1) && sent_with_crc(2));
	cr_expect(eq(int, put("123456789", 9, true), 0));
	cr_expect(sent_with_sha256(3), "one that cannot be sent again");
}

/* A store that says nothing of the CRC has not looked at it. */
Test(s3, put_crc32c_that_nobody_checks)
{
	opts.checksum = S3_CRC32C;
	say(with(200, "", ""));
	say(error_of(503, "SlowDown"));
	say(with(200, "", ""));
	say(with(200, "", ""));
	open_store();
	cr_expect(eq(int, put("123456789", 9, false), 0));
	cr_expect(eq(int, http_fake.requests, 3));
	cr_expect(sent_with_crc(0) && sent_with_sha256(1) && sent_with_sha256(2));
	cr_expect(eq(int, put("123456789", 9, false), 0));
	cr_expect(eq(int, http_fake.requests, 4));
	cr_expect(sent_with_sha256(3));
}

/* Over https nobody on the way can change both the bytes and their CRC. */
Test(s3, put_auto)
{
	struct s3_opts o = opts;
	struct objstore *tls;
	char why[256];

	opts.checksum = o.checksum = S3_AUTOSUM;
	o.endpoint = "https://127.0.0.1:1";
	cr_assert(eq(int, s3_open(&tls, "s3://bucket", &o, why), 0), "%s", why);
	cr_expect(eq(int, (int)s3_of(tls)->checksum, S3_CRC32C));
	tls->ops->close(tls);
	say(with(200, "", ""));
	open_store();
	cr_expect(eq(int, put("123456789", 9, false), 0));
	cr_expect(sent_with_sha256(0));
}

/* ---- DELETE */

static char names[DEL_MAX][OBJ_NAME];

static int
del(int n)
{
	request("");
	for (int i = 0; i < n; i++)
		snprintf(names[i], sizeof(names[i]), "export/chunks/%02X/0/%d_0_4194304", i % 256, i);
	req.names = names;
	req.nnames = n;
	return rig_call(0, start_del, &req);
}

Test(s3, del)
{
	say(with(200, "", "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>"));
	open_store();
	cr_expect(eq(int, del(2), 0));
	cr_expect(strcmp(seen[0].method, "POST") == 0);
	cr_expect(strcmp(seen[0].target, "/bucket?delete=") == 0, "%s", seen[0].target);
	cr_expect(strcmp(fake_header(&seen[0], "content-md5"), "") != 0);
	cr_expect(strcmp(seen[0].body, "<Delete><Quiet>true</Quiet><Object><Key>a/prefix/export/chunks/00/0/0_0_4194304</Key></Object>"
	                               "<Object><Key>a/prefix/export/chunks/01/0/1_0_4194304</Key></Object></Delete>") == 0);
	cr_expect(eq(int, del(DEL_MAX), 0));
	cr_expect(eq(int, http_fake.requests, 2));
}

Test(s3, del_errors)
{
	static const struct {
		const char *what, *first;
		int res, requests;
	} of[] = {
		{ "one has trouble", "<DeleteResult><Error><Key>a</Key><Code>InternalError</Code></Error></DeleteResult>", 0, 2 },
		{ "one is missing", "<DeleteResult><Error><Key>a</Key><Code>NoSuchKey</Code></Error></DeleteResult>", 0, 1 },
		{ "one is forbidden", "<DeleteResult><Error><Key>a</Key><Code>AccessDenied</Code></Error></DeleteResult>", -EACCES, 1 },
		{ "one is odd", "<DeleteResult><Error><Key>a</Key><Code>Odd</Code></Error></DeleteResult>", -EIO, 1 },
		{ "an error with status 200", "<Error><Code>SlowDown</Code></Error>", 0, 2 },
		{ "junk", "<DeleteResult><Err", 0, 2 },
		{ "nothing", "", 0, 2 },
	};

	open_store();
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		http_fake.requests = nscript = 0;
		say(with(200, "", of[i].first));
		say(with(200, "", "<DeleteResult></DeleteResult>"));
		cr_expect(eq(int, del(3), of[i].res), "%s", of[i].what);
		cr_expect(eq(int, http_fake.requests, of[i].requests), "%s", of[i].what);
	}
}

/* ---- list */

static struct obj_entry entry[LIST_MAX];

static int
list(const char *prefix, const char *after, int n)
{
	request(prefix);
	snprintf(req.after, sizeof(req.after), "%s", after);
	req.entry = entry;
	req.nentries = n;
	return rig_call(0, start_list, &req);
}

#define CONTENTS(key, size) "<Contents><Key>" key "</Key><LastModified>2026-11-26T07:52:35.042Z</LastModified><Size>" size "</Size></Contents>"
#define LISTED(truncated, contents) \
	"<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><IsTruncated>" truncated "</IsTruncated>" \
	contents "</ListBucketResult>"

Test(s3, list)
{
	/* Others' objects stand between ours: left out, and gone on behind where a page has no other. */
	say(with(200, "", LISTED("true", CONTENTS("a%2Fprefix%2Fx%2F%20odd", "1") CONTENTS("a%2Fprefix%2Fx%2F%25", "1"))));
	say(with(200, "", LISTED("true", CONTENTS("a/prefix/x/1", "7") CONTENTS("a%2Fprefix%2Fx%2F2", "8"))));
	say(with(200, "", LISTED("false", CONTENTS("a/prefix/x/3", "9"))));
	open_store();
	cr_expect(eq(int, list("x/", "x/", 10), 0));
	cr_expect(eq(int, req.nentries, 2));
	cr_expect(req.more);
	cr_expect(strcmp(entry[0].name, "x/1") == 0 && entry[0].size == 7);
	cr_expect(strcmp(entry[1].name, "x/2") == 0 && entry[1].mtime_s == 1795679555, "%lu", entry[1].mtime_s);
	cr_expect(strcmp(seen[0].target, "/bucket?encoding-type=url&list-type=2&max-keys=10&prefix=a%2Fprefix%2Fx%2F&start-after=a%2Fprefix%2Fx%2F") == 0,
	          "%s", seen[0].target);
	cr_expect(strstr(seen[1].target, "start-after=a%2Fprefix%2Fx%2F%25") != NULL, "%s", seen[1].target);
	cr_expect(eq(int, list("x/", entry[1].name, 10), 0));
	cr_expect(eq(int, req.nentries, 1));
	cr_expect(not(req.more));
}

Test(s3, list_again)
{
	static const char *const of[] = {
		LISTED("true", ""),                                              /* more, but from where? */
		LISTED("false", CONTENTS("a/prefix/b", "1") CONTENTS("a/prefix/a", "1")), /* out of order */
		LISTED("false", CONTENTS("a/prefix/a", "1") CONTENTS("a/prefix/b", "1") CONTENTS("a/prefix/c", "1")), /* more than asked for */
		LISTED("false", CONTENTS("a/prefix/%zz", "1")),
		"<ListBucketResult><IsTruncated>false</IsTruncated>",
		"<Error><Code>InternalError</Code></Error>",
		"",
	};

	open_store();
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		http_fake.requests = nscript = 0;
		say(with(200, "", of[i]));
		say(with(200, "", LISTED("false", "")));
		cr_expect(eq(int, list("", "", 2), 0), "%s", of[i]);
		cr_expect(eq(int, req.nentries, 0), "%s", of[i]);
		cr_expect(eq(int, http_fake.requests, 2), "%s", of[i]);
	}
}

/* ---- credentials */

static char cred_path[256];

static void
write_cred(const char *key)
{
	FILE *f = fopen(cred_path, "we");

	fchmod(fileno(f), 0600);
	fprintf(f, "[default]\naws_access_key_id = %s\naws_secret_access_key = secret\naws_session_token = token-%s\n", key, key);
	fclose(f);
}

static void
only_new(const struct fake_request *r, struct fake_answer *a)
{
	bool is_new = strstr(fake_header(r, "authorization"), "Credential=NEW/") != NULL;

	*a = is_new ? good_range() : error_of(403, "InvalidAccessKeyId");
	if (r->n == 0)
		write_cred("NEW");
}

/* The file has others by the time the old ones are refused. */
Test(s3, credentials_change)
{
	snprintf(cred_path, sizeof(cred_path), "%s/credentials", rig_dir());
	write_cred("OLD");
	opts.credentials_file = cred_path;
	on_answer = only_new;
	open_store();
	usleep(1100000); /* they are not read more than once a second */
	cr_expect(eq(int, get(2, 4), 0));
	cr_expect(eq(int, http_fake.requests, 2));
	cr_expect(strcmp(fake_header(&seen[0], "x-amz-security-token"), "token-OLD") == 0);
	cr_expect(strcmp(fake_header(&seen[1], "x-amz-security-token"), "token-NEW") == 0);
	rig_dir_remove();
}

/* ---- many */

#define MANY 64

struct many {
	struct op op, *wait;
	struct obj_req req[MANY];
	struct op each[MANY];
	struct iovec iov[MANY];
	char got[MANY][4];
	int left, failed;
};
static struct many many;

static void
one_done(struct op *op)
{
	many.failed += op->res != 0;
	if (--many.left == 0) {
		many.wait->res = 0;
		many.wait->resume(many.wait);
	}
}

static enum op_state
start_many(void *arg, struct op *op)
{
	(void)arg;
	many.wait = op;
	many.left = MANY;
	for (int i = 0; i < MANY; i++) {
		many.iov[i] = (struct iovec){ many.got[i], 4 };
		many.each[i].resume = one_done;
		many.req[i] = (struct obj_req){ .store = store, .iov = &many.iov[i], .niov = 1, .off = 2, .len = 4 };
		snprintf(many.req[i].name, sizeof(many.req[i].name), "x/%d", i);
		if (store->ops->get(&many.req[i], &many.each[i]) == OP_DONE)
			one_done(&many.each[i]);
	}
	return OP_PENDING;
}

/* More than there are connections and calls: they wait in line, and all come. */
Test(s3, many)
{
	say(good_range());
	open_store();
	cr_expect(eq(int, rig_call(0, start_many, NULL), 0));
	cr_expect(eq(int, many.failed, 0));
	cr_expect(eq(int, http_fake.requests, MANY));
	cr_expect(le(int, http_fake.connections, 4));
	for (int i = 0; i < MANY; i++)
		cr_expect(memcmp(many.got[i], "2345", 4) == 0);
}

/* ---- what the settings say, and no request */

Test(s3_open, refused)
{
	static const struct {
		const char *url, *endpoint, *says;
	} of[] = {
		{ "s3://", "", "no place" },
		{ "s3://b", "", "no place" },
		{ "s3://bucket/../x", "", "no place" },
		{ "s3://bucket/a//b", "", "no place" },
		{ "s3://buck et/a", "", "no place" },
		{ "s3://bucket/a&b", "", "no place" },
		{ "s3://bucket/a", "127.0.0.1:80", "no endpoint" },
		{ "s3://bucket/a", "ftp://host", "no endpoint" },
		{ "s3://bucket/a", "http://", "no endpoint" },
		{ "s3://bucket/a", "http://host/path", "no endpoint" },
		{ "s3://bucket/a", "http://user@host", "no endpoint" },
	};
	struct s3_opts o = { .region = "", .credentials_file = "", .profile = "", .ca_file = "", .congestion = "", .connections = 4, .cores = 1,
		             .timeout_ns = 1000000000 };
	char why[256];

	setenv("AWS_ACCESS_KEY_ID", "a", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "b", 1);
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		o.endpoint = of[i].endpoint;
		cr_expect(eq(int, s3_open(&store, of[i].url, &o, why), -EINVAL), "%s %s", of[i].url, of[i].endpoint);
		cr_expect(strstr(why, of[i].says) != NULL, "%s", why);
	}
}
