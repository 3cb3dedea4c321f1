/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4, in the Authorization header (AWS General Reference,
 * "Signature Version 4 signing process"), with the rules of S3: the path is encoded
 * once and not normalized.  libcurl's own signer leaves paths and queries as they are,
 * sorts headers wrongly and never sends x-amz-content-sha256, so here is ours.
 *
 * One `struct sigv4` per core and credential: it caches the signing key of the
 * day.  Holds secrets: keep it out of logs and dumps; sigv4_fini wipes it.
 */
#ifndef CRYPTO_SIGV4_H
#define CRYPTO_SIGV4_H

#include <time.h>

#include "reactor/base.h"

#define SIGV4_HEX        65 /* of a SHA-256, with the final zero */
#define SIGV4_DATE       17 /* 20150830T123600Z */
#define SIGV4_AUTH       512
#define SIGV4_HEADERS    24 /* of a request, at most */
#define SIGV4_UNSIGNED   "UNSIGNED-PAYLOAD"
/* The SHA-256 of no bytes. */
#define SIGV4_EMPTY      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct sigv4 {
	char access[132], secret[132];
	char region[64], service[16];
	char day[9];     /* of the cached key; "": none */
	uint8_t key[32];
};

struct sigv4_header {
	const char *name; /* lower case */
	const char *value;
};

struct sigv4_request {
	const char *method;
	const char *path;    /* encoded (sigv4_encode with `slash`), begins with a slash */
	const char *query;   /* encoded, sorted, without the question mark; a key alone has its '=' */
	const char *payload; /* hex SHA-256 of the body, or SIGV4_UNSIGNED; the value of x-amz-content-sha256 where that is sent */
	/* All of these are signed: host, x-amz-date and what else is sent.  Sorted in place by name. */
	struct sigv4_header *header;
	int nheaders;
	const char *date;    /* the value of x-amz-date */
};

/* -EINVAL: a credential or region that is too long, or empty. */
int  sigv4_init(struct sigv4 *s, const char *access, const char *secret, const char *region, const char *service);
void sigv4_fini(struct sigv4 *s);
/* The value of the Authorization header.  -ENOSPC: more than SIGV4_AUTH bytes. */
int  sigv4_sign(struct sigv4 *s, struct sigv4_request *r, char out[SIGV4_AUTH]);

void sigv4_date(time_t t, char out[SIGV4_DATE]);

/*
 * RFC 3986 as S3 wants it: all but A-Z a-z 0-9 - . _ ~ (and '/' with `slash`) as %XX in
 * capitals.  Returns the length, or -ENOSPC where it has no room with its final zero.
 */
int sigv4_encode(char *out, size_t room, const char *s, bool slash);

#endif
