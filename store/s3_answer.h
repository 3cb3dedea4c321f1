/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer of S3 as far as anybody looks at it: some headers, and of an error its
 * code; and what is to be done about it.  Pure; fed with bytes from outside.
 */
#ifndef STORE_S3_ANSWER_H
#define STORE_S3_ANSWER_H

#include <time.h>

#include "reactor/base.h"

struct s3_answer {
	int status;
	bool has_length, has_range, encrypted; /* by a key of the store's: then the ETag is no MD5 */
	uint64_t length;
	uint64_t first, last, total; /* Content-Range */
	time_t date;                 /* the server's clock; 0: it did not say */
	uint32_t retry_after_s;
	char etag[72];               /* without its quotes; "": none, or too long */
	char crc32c[12];             /* base64, of what was put, by a store that has compared it; "": none */
	char region[32];             /* where the bucket is */
	char location[256];
	char code[48], message[160]; /* of an error */
	char expected[32];           /* the region that the error names */
	uint32_t text_len;
	char text[2048];             /* the body of an error, as far as it fits */
};

enum s3_class {
	S3_OK,
	S3_MISSING,     /* no such key */
	S3_EXISTS,      /* the condition of a conditional PUT does not hold */
	S3_SHORT,       /* the range begins behind the object's end */
	S3_RETRY,       /* it may work the next time */
	S3_SLOW,        /* so it may, but not at once */
	S3_SKEW,        /* our clock is wrong: again with the server's */
	S3_ELSEWHERE,   /* 307: at `location`, for now */
	S3_CREDENTIALS, /* not valid: others may be in the file by now */
	S3_REFUSED,     /* a setting is wrong */
	S3_FULL,        /* quota */
	S3_WRONG,       /* a request that it cannot take: a fault of ours, or no S3 */
};

void s3_answer_start(struct s3_answer *a);
/* A header line without its end, the status line too (which starts over). */
void s3_answer_header(struct s3_answer *a, const char *line, size_t len);
/* Bytes of the body of an answer that is no success. */
void s3_answer_text(struct s3_answer *a, const void *p, size_t len);
/* All of it is here. */
void s3_answer_end(struct s3_answer *a);
enum s3_class s3_answer_class(const struct s3_answer *a);
/* Of an error code alone, as in the answer of a multi-object DELETE. */
enum s3_class s3_code_class(const char *code);

#endif
