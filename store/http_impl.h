/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of store/http.h know of each other.  http.c keeps the requests in line and the handle's life,
 * http_transfer.c is one transfer as libcurl sees it, http_poll.c its sockets and timers as the reactor
 * sees them.  Easy handles are made at start, one a connection, so libcurl's own queue
 * for connections is never used: requests wait in ours, where readers go first.
 */
#ifndef STORE_HTTP_IMPL_H
#define STORE_HTTP_IMPL_H

#include <curl/curl.h>

#include "reactor/reactor.h"
#include "store/http.h"

struct watch;

struct slot {
	CURL *easy;
	struct http *http;
	struct http_req *r;
	struct slot *next; /* free */
	struct curl_slist list[HTTP_HEADERS + 1];
	uint64_t at;       /* of the body: bytes given to libcurl */
	int iov;           /* and where that is */
	size_t off;
	int err;           /* of on_body */
	char why[CURL_ERROR_SIZE];
};

struct line {
	struct http_req *head, **tail;
};

struct http {
	CURLM *multi;
	CURLSH *share; /* TLS sessions, of all easy handles */
	struct http_opts opts;
	char ca_file[512], congestion[16];
	struct slot *slot, *free;
	uint32_t nslots, nfree;
	struct line urgent, others;
	struct watch *watches;
	struct timer timer;
	struct op tick, kick;
	bool kicked;
	bool inside;   /* below libcurl on the stack */
};

/* http.c: something has happened to this socket, or CURL_SOCKET_TIMEOUT: libcurl goes on, and what has ended is told. */
void http_act(struct http *h, curl_socket_t fd, int events);

/* http_poll.c: libcurl's sockets and timeout are the reactor's from now on. */
void http_poll_init(struct http *h);
/* Before the multi handle is freed, and after. */
void http_poll_stop(struct http *h);
void http_poll_fini(struct http *h);

/* http_transfer.c: s->r is what this easy handle is about to do. */
void http_transfer_set(struct slot *s);
/* What it came to, in s->r.  Returns the request's result. */
int  http_transfer_end(struct slot *s, CURLcode code);
/* Is there such a congestion control here?  -errno and a sentence. */
int  http_check_congestion(const char *name, char why[256]);

#endif
