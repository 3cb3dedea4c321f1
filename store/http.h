/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 requests by libcurl, driven by the reactor: a core's `struct http`
 * is one curl multi handle whose sockets are polled by the core's ring and whose
 * timeouts are the core's timers.  Nothing blocks; names are resolved on a thread of libcurl's.
 * Connections are kept alive, at most `connections` of them, one request each at a
 * time; more requests wait in line.
 *
 * The process ignores SIGPIPE: OpenSSL writes to sockets that the server has closed.
 * Everything belongs to the core that called http_init.  http*.c are the one place that knows curl.
 */
#ifndef STORE_HTTP_H
#define STORE_HTTP_H

#include <sys/uio.h>

#include "reactor/base.h"
#include "reactor/op.h"

#define HTTP_HEADERS 24 /* of a request, at most */

struct http;

struct http_opts {
	uint32_t connections;     /* of this core */
	uint32_t reserved;        /* so many of them are for urgent requests only */
	const char *ca_file;      /* certificates of who signs servers; NULL: the system's */
	const char *congestion;   /* TCP_CONGESTION; NULL: the system's, cubic on loopback, where bbr is slow */
	uint32_t connect_timeout_ms;
};

struct http_req {
	/* Lent until the op resumes; the caller fills these. */
	const char *method;
	const char *url;          /* as it goes on the wire: nothing is encoded or normalized */
	const char *header[HTTP_HEADERS]; /* "name: value" */
	int nheaders;
	const struct iovec *body; /* NULL: none */
	int nbody;
	uint64_t body_len;
	bool urgent;              /* a reader waits for it */
	bool once;                /* never sent twice: libcurl does so by itself where a kept connection dies without an answer */
	uint32_t timeout_ms;      /* for all of it, once it has left the line */
	uint32_t stall_s;         /* no byte either way for so long ends it; 0: no matter */
	/*
	 * Called from within libcurl: start and cancel nothing.  A header is one line
	 * without its end; "HTTP/1.1 ..." begins an answer (again, behind a 1xx).
	 * on_body: 0, or a negative errno that ends the request and becomes its result.
	 */
	void (*on_header)(struct http_req *r, const char *line, size_t len);
	int (*on_body)(struct http_req *r, const uint8_t *p, size_t len);

	/* Results. */
	int status;               /* of the last answer, 0: none came */
	bool reached;             /* the server may have seen the request */
	uint64_t bytes_in, bytes_out;
	char why[128];            /* where res < 0: what libcurl says */

	/* Private. */
	struct http_req *next;
	struct op *wait;
	void *slot;
};

/* -errno and a sentence in why[]. */
int  http_init(struct http **out, const struct http_opts *o, char why[256]);
/* No request may be under way.  Laps may have ended. */
void http_fini(struct http *h);

/*
 * Always OP_PENDING.  op->res: 0 when a whole answer came, whatever its status, or:
 * -EHOSTUNREACH no such name, -ECONNREFUSED no connection, -ETIMEDOUT no answer in
 * time or stalled, -ECONNRESET ended early, -EPROTO no HTTP, -EKEYREJECTED the server's
 * certificate (or ca_file) is not good, -ENOMEM, or what on_body said.
 */
enum op_state http_start(struct http *h, struct http_req *r, struct op *op);
/* It has left the line: a connection is its own. */
bool http_under_way(const struct http_req *r);
/*
 * Ends it at once: true, and its op will not resume; false when it has ended already and the
 * op is about to.  Not from within on_header or on_body.
 */
bool http_cancel(struct http *h, struct http_req *r);

#endif
