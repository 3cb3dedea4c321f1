/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the S3 store know of each other.  The outside is store/s3.h.
 *
 * s3.c opens it; s3_request.c signs, sends, retries and hedges one request (whatever it
 * is); s3_health.c keeps whether the store is there, and says so in the log; s3_object.c has GET, PUT and
 * HEAD, s3_delete.c, s3_list.c and s3_multipart.c the rest.
 */
#ifndef STORE_S3_IMPL_H
#define STORE_S3_IMPL_H

#include <stdatomic.h>

#include "crypto/sigv4.h"
#include "reactor/buf.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "reactor/worker.h"
#include "store/http.h"
#include "store/objcount.h"
#include "store/s3.h"
#include "store/s3_answer.h"
#include "store/s3_cred.h"

#define S3_PREFIX   128
#define S3_KEY_MAX  (S3_PREFIX + 1 + OBJ_NAME)
#define S3_URL_MAX  6144 /* a list has a key of 1,024 bytes in its query, each of them perhaps %XX */
#define S3_ONE_PUT_BYTES (64 * MIB) /* larger objects are put in parts */
#define S3_PART_BYTES    (16 * MIB)
/* Of GETs one in so many is sent twice at most, beyond a few: where all of them are slow, more of them do not help. */
#define S3_HEDGE_COST   8
#define S3_HEDGE_CREDIT (16 * S3_HEDGE_COST)
#define S3_TEXT_MAX 5632 /* header lines of a request; the token is most of it */

enum s3_health { S3_UP, S3_AWAY, S3_REFUSES };

/* One store; what is not atomic does not change after s3_open. */
struct s3 {
	struct objstore base;
	char bucket[64], prefix[S3_PREFIX]; /* prefix "": none */
	char scheme[8], host[256];          /* host: as the header has it, of virtual-host style where that is used */
	char endpoint[272];
	char region[64];
	bool path_style;
	enum s3_checksum checksum;
	char credentials_file[512], profile[64], ca_file[512], congestion[16];
	uint32_t connections; /* a core */
	uint64_t timeout_ns, hedge_after_ns;
	struct s3_core *core[REACTOR_MAX_CORES];
	_Atomic int64_t skew_s; /* the server's clock is so far ahead of ours */
	_Atomic bool no_crc;    /* it took a PUT without a word about its CRC32C */
	/* s3_health.c */
	_Atomic int health;
	_Atomic uint64_t health_since_ns, last_good_ns, last_bad_ns;
	_Atomic bool said;                /* that it is not up */
	_Atomic uint64_t said_ns;         /* when that was last said */
	_Atomic uint64_t minute_ns;       /* the summary counts from here; 0: nothing failed yet */
	_Atomic uint64_t worked, failed;  /* attempts since */
	struct log_limit wrong;           /* answers that are none of S3's */
};

/* A core's part. */
struct s3_core {
	struct s3 *s3;
	struct http *http;
	struct slab calls;
	struct obj_req *line, **line_end; /* for a call */
	struct sigv4 signer;
	struct s3_cred cred;
	uint64_t cred_loaded_ns;
	uint32_t cred_serial; /* one more with each that differs */
	uint64_t rand;
	uint32_t hedge_credit; /* one for each request that may be hedged; a hedge costs several */
	/* Credentials are read again once for all who wait for that. */
	struct work reload;
	struct op reloaded;
	bool reloading;
	struct s3_request *reload_line;
	struct s3_cred fresh;
	char why[256];
};

struct s3_request;

struct s3_leg {
	struct http_req http;
	struct op op;
	struct s3_request *q;
	bool running;
	int res;
	struct s3_answer answer;
};

/*
 * One request of any kind, sent until it is answered, or refused, or time is up.
 * The caller fills the first part and keeps all of it until `wait` resumes.
 */
struct s3_request {
	struct s3_core *core;
	enum objclass class;
	const char *method;
	char key[S3_KEY_MAX]; /* "": the bucket */
	const char *query;    /* as sigv4.h has it; may be "" */
	struct sigv4_header extra[4]; /* more headers, signed */
	int nextra;
	const struct iovec *body;
	int nbody;
	uint64_t body_len;
	char payload[SIGV4_HEX]; /* hash of the body */
	bool urgent, hedge, once; /* once: on a connection of its own (http.h) */
	uint32_t stall_s;
	/*
	 * Of an answer that is a success, else NULL: accept looks at the headers before the first byte of the
	 * body (and at the end where there is none), restart drops what an attempt had brought, body takes bytes, check says whether all is
	 * well.  They return 0, or -errno: -EPROTO is tried again, others are the result.
	 */
	int (*accept)(struct s3_request *q, const struct s3_answer *a);
	void (*restart)(struct s3_request *q);
	int (*on_body)(struct s3_request *q, const uint8_t *p, size_t len);
	int (*check)(struct s3_request *q, const struct s3_answer *a);

	/* Results. */
	const struct s3_answer *answer; /* the last */
	bool doubtful;                  /* an attempt that failed may have been carried out */

	/* Private. */
	struct op *wait;
	struct s3_request *next;
	struct s3_leg leg[2], *winner;
	struct timer timer;
	struct op tick;
	enum { REQ_SENT, REQ_PAUSE } stage; /* what the tick is for: a hedge, or the next attempt */
	bool skewed;
	uint32_t attempt, moves, reloads, cred_serial;
	uint64_t deadline_ns;
	char elsewhere[256];            /* host of a temporary redirect */
	char url[S3_URL_MAX], text[S3_TEXT_MAX];
	char auth[SIGV4_AUTH + 32];
};

/* op->res: 0, or an error of objstore.h; -EEXIST where a condition does not hold, -E_DAMAGED where a range is too long. */
enum op_state s3_request_run(struct s3_request *q, struct op *op);
/* Clears it and sets what all requests need. */
void s3_request_init(struct s3_request *q, struct s3_core *core, enum objclass class, const char *method);
void s3_request_name(struct s3_request *q, const char *name);
void s3_request_header(struct s3_request *q, const char *name, const char *value);

/* One operation of the store: from the slab, one for each obj_req under way. */
struct s3_call {
	struct s3_request q;
	struct obj_req *r;
	int stage;
	int iov;          /* GET: where the next byte goes */
	size_t off;
	uint64_t done;
	enum s3_checksum sum; /* PUT: what it is sent with */
	uint8_t md5[16];
	char range[64], md5_text[40], crc_text[16];
	char *big;        /* DELETE and list: what they need beside */
	struct iovec iov1;
	int first, n;     /* DELETE: names of this request */
	int err;
	enum objclass class;
};

enum op_state s3_put(struct obj_req *r, struct op *op);
enum op_state s3_get(struct obj_req *r, struct op *op);
enum op_state s3_head(struct obj_req *r, struct op *op);
enum op_state s3_del(struct obj_req *r, struct op *op);
enum op_state s3_list(struct obj_req *r, struct op *op);

/* s3_multipart.c: the step of a PUT in parts (s3_call_start). */
void s3_multipart_step(struct op *op);

static inline struct s3 *
s3_of(struct objstore *base)
{
	return container_of(base, struct s3, base);
}

/*
 * Begins an operation: `step` runs, from the run queue, as r->step's function when r has a call of its own (r->priv);
 * s3_call_end gives that back and resumes who waits for r.
 */
enum op_state s3_call_start(struct obj_req *r, enum objclass class, void (*step)(struct op *op), struct op *op);
void s3_call_end(struct obj_req *r, int res);

/* Credentials again, for s3_request.c: resumes q (s3_request_reloaded) when that is done. */
void s3_reload(struct s3_request *q);
void s3_request_reloaded(struct s3_request *q);

/* s3_health.c: what a request met.  `why` is for the log. */
int  s3_health(const struct objstore *base); /* objstore_health */
void s3_health_good(struct s3 *s);
void s3_health_bad(struct s3 *s, enum s3_health what, const char *why);
/* An attempt failed and is perhaps made again. */
void s3_health_failed(struct s3 *s, const char *why);
/* It has been away for so long that nobody should wait for retries. */
bool s3_health_gone(const struct s3 *s);
/* A sentence about an answer that refuses, naming the setting. */
void s3_health_sentence(const struct s3 *s, const struct s3_cred *c, const struct s3_request *q, char why[320]);

#endif
