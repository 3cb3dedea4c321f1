/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl says which sockets it waits for (on_socket) and until when (on_timer); each
 * socket has a watch, a one-shot poll that is armed again while libcurl wants it.
 * What happens is handed to curl_multi_socket_action (http_act), and nothing else calls into transfers.
 * Idle connections are not watched: an idle core has no poll and no timer.
 */
#include <poll.h>
#include <stdlib.h>

#include "reactor/poll.h"
#include "store/http_impl.h"

struct watch {
	struct op op;
	struct http *http;
	struct watch *next; /* free */
	int fd;
	uint32_t want;
	bool armed, inside, dead;
};

/* ---- watches */

static void watch_resume(struct op *op);

static struct watch *
watch_get(struct http *h)
{
	struct watch *w = h->watches;

	if (w)
		h->watches = w->next;
	else
		w = malloc(sizeof(*w)); /* a few for each connection, then never again */
	if (w)
		*w = (struct watch){ .op.resume = watch_resume, .http = h };
	return w;
}

static void
watch_put(struct watch *w)
{
	w->next = w->http->watches;
	w->http->watches = w;
}

static void
watch_arm(struct watch *w)
{
	w->armed = true;
	(void)poll_start(w->fd, w->want, &w->op);
}

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
	struct http *h = arg;
	struct watch *w = of_socket;
	uint32_t want = 0;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (!w)
			return 0;
		curl_multi_assign(h->multi, fd, NULL);
		w->dead = true;
		if (w->armed)
			poll_stop(&w->op);
		else if (!w->inside)
			watch_put(w);
		return 0;
	}
	if (!w) {
		w = watch_get(h);
		if (!w)
			return -1;
		w->fd = fd;
		curl_multi_assign(h->multi, fd, w);
	}
	if (what & CURL_POLL_IN)
		want |= POLLIN;
	if (what & CURL_POLL_OUT)
		want |= POLLOUT;
	if (want == w->want)
		return 0;
	w->want = want;
	if (w->armed)
		poll_stop(&w->op); /* its end arms it anew */
	else if (!w->inside)
		watch_arm(w);
	return 0;
}

static void
watch_resume(struct op *op)
{
	struct watch *w = container_of(op, struct watch, op);
	int events = 0;

	w->armed = false;
	if (!w->dead && op->res != -ECANCELED) {
		if (op->res < 0 || op->res & POLLERR)
			events |= CURL_CSELECT_ERR;
		if (op->res > 0 && op->res & (POLLIN | POLLHUP))
			events |= CURL_CSELECT_IN;
		if (op->res > 0 && op->res & POLLOUT)
			events |= CURL_CSELECT_OUT;
		w->inside = true;
		http_act(w->http, w->fd, events);
		w->inside = false;
	}
	if (w->dead)
		watch_put(w);
	else
		watch_arm(w);
}

/* ---- timers */

static int
on_timer(CURLM *multi, long ms, void *arg)
{
	struct http *h = arg;

	(void)multi;
	if (ms == 0) {
		if (!h->kicked)
			reactor_post(&h->kick, 0);
		h->kicked = true;
		return 0;
	}
	timer_stop(&h->timer);
	if (ms > 0)
		timer_start(&h->timer, (uint64_t)ms * 1000000, &h->tick);
	return 0;
}

static void
on_tick(struct op *op)
{
	struct http *h = container_of(op, struct http, tick);

	http_act(h, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_kick(struct op *op)
{
	struct http *h = container_of(op, struct http, kick);

	h->kicked = false;
	http_act(h, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- life */

void
http_poll_init(struct http *h)
{
	h->tick.resume = on_tick;
	h->kick.resume = on_kick;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
}

void
http_poll_stop(struct http *h)
{
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, NULL);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, NULL);
}

void
http_poll_fini(struct http *h)
{
	struct watch *w;

	while ((w = h->watches) != NULL) {
		h->watches = w->next;
		free(w);
	}
}
