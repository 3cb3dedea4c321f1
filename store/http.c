/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in line for easy handles, and what becomes of them; see http_impl.h. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/http_impl.h"

/* ---- requests */

static void
put_slot(struct http *h, struct slot *s)
{
	s->r->slot = NULL;
	s->r = NULL;
	s->next = h->free;
	h->free = s;
	h->nfree++;
}

static void
begin(struct http *h, struct http_req *r)
{
	struct slot *s = h->free;

	h->free = s->next;
	h->nfree--;
	s->r = r;
	r->slot = s;
	http_transfer_set(s);
	curl_multi_add_handle(h->multi, s->easy); /* asks for a timeout of 0: the kick */
}

static struct http_req *
line_pop(struct line *l)
{
	struct http_req *r = l->head;

	l->head = r->next;
	if (!l->head)
		l->tail = &l->head;
	return r;
}

static void
begin_waiting(struct http *h)
{
	while (h->nfree > 0 && h->urgent.head)
		begin(h, line_pop(&h->urgent));
	while (h->nfree > h->opts.reserved && h->others.head)
		begin(h, line_pop(&h->others));
}

static void
end(struct http *h, struct slot *s, CURLcode code)
{
	struct http_req *r = s->r;
	int res = http_transfer_end(s, code);

	curl_multi_remove_handle(h->multi, s->easy);
	put_slot(h, s);
	reactor_post(r->wait, res);
}

void
http_act(struct http *h, curl_socket_t fd, int events)
{
	CURLMsg *msg;
	int n;

	h->inside = true;
	curl_multi_socket_action(h->multi, fd, events, &n);
	h->inside = false;
	while ((msg = curl_multi_info_read(h->multi, &n)) != NULL) {
		struct slot *s = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &s);
		end(h, s, msg->data.result);
	}
	begin_waiting(h);
}

enum op_state
http_start(struct http *h, struct http_req *r, struct op *op)
{
	struct line *l = r->urgent ? &h->urgent : &h->others;

	assert(!h->inside && r->nheaders <= HTTP_HEADERS);
	r->wait = op;
	r->slot = NULL;
	r->next = NULL;
	r->status = 0;
	r->reached = false;
	r->bytes_in = r->bytes_out = 0;
	r->why[0] = '\0';
	*l->tail = r;
	l->tail = &r->next;
	begin_waiting(h);
	return OP_PENDING;
}

bool
http_under_way(const struct http_req *r)
{
	return r->slot != NULL;
}

static bool
line_remove(struct line *l, struct http_req *r)
{
	for (struct http_req **p = &l->head; *p; p = &(*p)->next) {
		if (*p != r)
			continue;
		*p = r->next;
		if (!*p)
			l->tail = p;
		return true;
	}
	return false;
}

bool
http_cancel(struct http *h, struct http_req *r)
{
	struct slot *s = r->slot;

	assert(!h->inside);
	if (!s)
		return line_remove(r->urgent ? &h->urgent : &h->others, r);
	(void)http_transfer_end(s, CURLE_ABORTED_BY_CALLBACK); /* what it has moved counts */
	curl_multi_remove_handle(h->multi, s->easy); /* and closes the connection, which is in the middle of something */
	put_slot(h, s);
	begin_waiting(h);
	return true;
}

/* ---- life */

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
init_curl(void)
{
	CURLcode ok = curl_global_init(CURL_GLOBAL_DEFAULT);

	assert(ok == CURLE_OK);
}

static int
make_slots(struct http *h)
{
	h->slot = calloc(h->opts.connections, sizeof(*h->slot));
	if (!h->slot)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->opts.connections; i++) {
		struct slot *s = &h->slot[i];

		s->http = h;
		s->easy = curl_easy_init();
		if (!s->easy)
			return -ENOMEM;
		s->next = h->free;
		h->free = s;
		h->nfree++;
		h->nslots++;
	}
	return 0;
}

int
http_init(struct http **out, const struct http_opts *o, char why[256])
{
	struct http *h = calloc(1, sizeof(*h));
	int err;

	assert(o->connections > 0 && o->reserved < o->connections);
	if (!h)
		return -ENOMEM;
	pthread_once(&once, init_curl);
	h->opts = *o;
	h->opts.ca_file = h->opts.congestion = NULL; /* the caller's */
	snprintf(h->ca_file, sizeof(h->ca_file), "%s", o->ca_file ? o->ca_file : "");
	snprintf(h->congestion, sizeof(h->congestion), "%s", o->congestion ? o->congestion : "");
	h->urgent.tail = &h->urgent.head;
	h->others.tail = &h->others.head;
	err = h->congestion[0] ? http_check_congestion(h->congestion, why) : 0;
	if (err < 0)
		goto fail;
	h->multi = curl_multi_init();
	h->share = curl_share_init();
	err = h->multi && h->share ? make_slots(h) : -ENOMEM;
	if (err < 0) {
		snprintf(why, 256, "no memory for %u connections", o->connections);
		goto fail;
	}
	curl_share_setopt(h->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
	http_poll_init(h);
	curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)o->connections);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)o->connections);
	*out = h;
	return 0;
fail:
	http_fini(h);
	return err;
}

void
http_fini(struct http *h)
{
	assert(h->nfree == h->nslots);
	for (uint32_t i = 0; i < h->nslots; i++)
		curl_easy_cleanup(h->slot[i].easy);
	free(h->slot);
	if (h->multi) {
		http_poll_stop(h);
		curl_multi_cleanup(h->multi);
	}
	if (h->share)
		curl_share_cleanup(h->share);
	http_poll_fini(h);
	free(h);
}
