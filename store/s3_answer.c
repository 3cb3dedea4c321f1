/* SPDX-License-Identifier: Apache-2.0 */
#include "store/s3_answer.h"

#include <stdio.h>
#include <strings.h>

#include "store/s3_xml.h"

void
s3_answer_start(struct s3_answer *a)
{
	memset(a, 0, sizeof(*a));
}

/* ---- headers */

/* Digits up to `end` or another byte; false: none, or too many. */
static bool
number(const char **p, const char *end, uint64_t *out)
{
	const char *at = *p;
	uint64_t v = 0;

	for (; at < end && *at >= '0' && *at <= '9'; at++) {
		if (at - *p == 18)
			return false;
		v = v * 10 + (uint64_t)(*at - '0');
	}
	if (at == *p)
		return false;
	*p = at;
	*out = v;
	return true;
}

/* Printable bytes only: it may be logged. */
static void
text(char *out, size_t room, const char *p, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < room; i++)
		if (p[i] >= ' ' && p[i] <= '~')
			out[n++] = p[i];
	out[n] = '\0';
}

/* bytes 0-9/100 (RFC 9110 §14.4) */
static void
content_range(struct s3_answer *a, const char *p, const char *end)
{
	a->has_range = false; /* where there are two, the last counts, whatever it is */
	if (end - p < 6 || strncasecmp(p, "bytes ", 6))
		return;
	p += 6;
	if (!number(&p, end, &a->first) || p == end || *p++ != '-' || !number(&p, end, &a->last) || p == end || *p++ != '/')
		return;
	if (p == end - 1 && *p == '*')
		a->total = UINT64_MAX;
	else if (!number(&p, end, &a->total) || p != end)
		return;
	a->has_range = a->first <= a->last && a->last < a->total;
}

static void
etag(struct s3_answer *a, const char *p, size_t len)
{
	if (len >= 2 && p[0] == '"' && p[len - 1] == '"') {
		p++;
		len -= 2;
	}
	if (len < sizeof(a->etag))
		text(a->etag, sizeof(a->etag), p, len);
}

static void
date(struct s3_answer *a, const char *p, size_t len)
{
	char s[40];
	struct tm tm = { 0 };

	snprintf(s, sizeof(s), "%.*s", (int)MIN(len, sizeof(s) - 1), p);
	if (strptime(s, "%a, %d %b %Y %H:%M:%S GMT", &tm))
		a->date = timegm(&tm);
}

/* HTTP/1.1 200 OK: also an answer behind a 100 Continue. */
static void
status_line(struct s3_answer *a, const char *p, const char *end)
{
	uint64_t v;

	s3_answer_start(a);
	while (p < end && *p != ' ')
		p++;
	while (p < end && *p == ' ')
		p++;
	if (number(&p, end, &v) && v < 1000)
		a->status = (int)v;
}

void
s3_answer_header(struct s3_answer *a, const char *line, size_t len)
{
	const char *end = line + len, *colon = memchr(line, ':', len), *v;
	size_t name, n;
	uint64_t value;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		status_line(a, line, end);
		return;
	}
	if (!colon)
		return;
	name = (size_t)(colon - line);
	for (v = colon + 1; v < end && (*v == ' ' || *v == '\t'); v++)
		;
	n = (size_t)(end - v);
#define IS(s) (name == sizeof(s) - 1 && strncasecmp(line, s, name) == 0)
	if (IS("content-length")) {
		a->has_length = number(&v, end, &a->length) && v == end;
	} else if (IS("content-range")) {
		content_range(a, v, end);
	} else if (IS("etag")) {
		etag(a, v, n);
	} else if (IS("x-amz-checksum-crc32c")) {
		text(a->crc32c, sizeof(a->crc32c), v, n);
	} else if (IS("date")) {
		date(a, v, n);
	} else if (IS("retry-after")) {
		if (number(&v, end, &value))
			a->retry_after_s = (uint32_t)MIN(value, 3600);
	} else if (IS("x-amz-bucket-region")) {
		text(a->region, sizeof(a->region), v, n);
	} else if (IS("x-amz-server-side-encryption") || IS("x-amz-server-side-encryption-customer-algorithm")) {
		a->encrypted = n != 6 || strncasecmp(v, "AES256", 6);
	} else if (IS("location")) {
		if (n < sizeof(a->location))
			text(a->location, sizeof(a->location), v, n);
	}
#undef IS
}

/* ---- the body of an error */

void
s3_answer_text(struct s3_answer *a, const void *p, size_t len)
{
	size_t n = MIN(len, sizeof(a->text) - a->text_len);

	memcpy(a->text + a->text_len, p, n);
	a->text_len += (uint32_t)n;
}

static void
on_element(void *arg, const char *parent, const char *name, const char *value)
{
	struct s3_answer *a = arg;

	if (!value || strcmp(parent, "Error"))
		return;
	if (!strcmp(name, "Code"))
		text(a->code, sizeof(a->code), value, strlen(value));
	else if (!strcmp(name, "Message"))
		text(a->message, sizeof(a->message), value, strlen(value));
	else if (!strcmp(name, "Region"))
		text(a->expected, sizeof(a->expected), value, strlen(value));
}

void
s3_answer_end(struct s3_answer *a)
{
	struct s3_xml x;

	if (a->text_len == 0 || s3_xml_init(&x, on_element, a) < 0)
		return;
	s3_xml_feed(&x, a->text, a->text_len);
	s3_xml_end(&x); /* the code stands at its beginning: it may be cut or end in junk */
	s3_xml_fini(&x);
}

/* ---- classes */

static const struct code {
	const char *name;
	enum s3_class class;
} codes[] = {
	{ "AccessDenied", S3_REFUSED },
	{ "AccountProblem", S3_REFUSED },
	{ "AllAccessDisabled", S3_REFUSED },
	{ "AuthorizationHeaderMalformed", S3_REFUSED },
	{ "BadDigest", S3_RETRY },
	{ "ConditionalRequestConflict", S3_RETRY },
	{ "EntityTooLarge", S3_WRONG },
	{ "ExpiredToken", S3_CREDENTIALS },
	{ "IllegalLocationConstraintException", S3_REFUSED },
	{ "IncompleteBody", S3_RETRY },
	{ "InternalError", S3_RETRY },
	{ "InvalidAccessKeyId", S3_CREDENTIALS },
	{ "InvalidBucketName", S3_REFUSED },
	{ "InvalidDigest", S3_RETRY },
	{ "InvalidRange", S3_SHORT },
	{ "InvalidSecurity", S3_CREDENTIALS },
	{ "InvalidToken", S3_CREDENTIALS },
	{ "NoSuchBucket", S3_REFUSED },
	{ "NoSuchKey", S3_MISSING },
	{ "OperationAborted", S3_RETRY },
	{ "PermanentRedirect", S3_REFUSED },
	{ "PreconditionFailed", S3_EXISTS },
	{ "QuotaExceeded", S3_FULL },
	{ "RequestLimitExceeded", S3_SLOW },
	{ "RequestTimeTooSkewed", S3_SKEW },
	{ "RequestTimeout", S3_RETRY },
	{ "ServiceUnavailable", S3_SLOW },
	{ "SignatureDoesNotMatch", S3_CREDENTIALS },
	{ "SlowDown", S3_SLOW },
	{ "TemporaryRedirect", S3_ELSEWHERE },
	{ "TokenRefreshRequired", S3_CREDENTIALS },
	{ "TooManyRequests", S3_SLOW },
	{ "XAmzContentSHA256Mismatch", S3_RETRY },
};

static const struct code *
find_code(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(codes); i++)
		if (!strcmp(name, codes[i].name))
			return &codes[i];
	return NULL;
}

enum s3_class
s3_code_class(const char *code)
{
	const struct code *c = find_code(code);

	return c ? c->class : S3_WRONG;
}

enum s3_class
s3_answer_class(const struct s3_answer *a)
{
	const struct code *c = find_code(a->code);

	if (a->status >= 200 && a->status < 300)
		return S3_OK;
	if (c)
		return c->class;
	switch (a->status) {
	case 301:
		return S3_REFUSED;
	case 401:
	case 403: /* to a HEAD there is no code */
		return S3_CREDENTIALS;
	case 307:
		return a->location[0] ? S3_ELSEWHERE : S3_RETRY;
	case 404:
		return S3_MISSING;
	case 408:
	case 409:
		return S3_RETRY;
	case 412:
		return S3_EXISTS;
	case 416:
		return S3_SHORT;
	case 429:
	case 503:
		return S3_SLOW;
	case 501:
		return S3_WRONG;
	case 507:
		return S3_FULL;
	default:
		return a->status >= 500 || a->status < 200 ? S3_RETRY : S3_WRONG;
	}
}
