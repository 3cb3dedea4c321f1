/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcurl says which sockets it waits for (on_socket) and until when (on_timer); each
 * socket has a watch, a one-shot poll that is armed again while libcurl wants it.
 * What happens is handed to curl_multi_socket_action, and nothing else calls into transfers.
 * Idle connections are not watched: an idle core has no poll and no timer.
 *
 * Easy handles are made at start, one a connection, so libcurl's own queue
 * for connections is never used: requests wait in ours, where readers go first.
 */
#include "store/http.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reactor/log.h"
#include "reactor/poll.h"
#include "reactor/reactor.h"

#define RECV_BYTES (256L * 1024)
#define SEND_BYTES (256L * 1024)
#define IDLE_S     50L /* servers close idle connections after a minute or so; later ones are not tried */

struct watch {
	struct op op;
	struct http *http;
	struct watch *next; /* free */
	int fd;
	uint32_t want;
	bool armed, inside, dead;
};

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
	bool ticking, kicked;
	long later_ms; /* asked for while the tick is on its way; -1: nothing */
	bool inside;   /* below libcurl on the stack */
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

static void act(struct http *h, curl_socket_t fd, int events);

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
		act(w->http, w->fd, events);
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
	h->later_ms = -1;
	if (ms == 0) {
		if (!h->kicked)
			reactor_post(&h->kick, 0);
		h->kicked = true;
		return 0;
	}
	if (h->ticking && timer_stop(&h->timer))
		h->ticking = false;
	if (ms < 0)
		return 0;
	if (h->ticking) { /* it is in the run queue */
		h->later_ms = ms;
		return 0;
	}
	h->ticking = true;
	timer_start(&h->timer, (uint64_t)ms * 1000000, &h->tick);
	return 0;
}

static void
on_tick(struct op *op)
{
	struct http *h = container_of(op, struct http, tick);

	h->ticking = false;
	if (h->later_ms > 0)
		on_timer(h->multi, h->later_ms, h);
	act(h, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_kick(struct op *op)
{
	struct http *h = container_of(op, struct http, kick);

	h->kicked = false;
	act(h, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- a transfer */

static void
rewind_body(struct slot *s)
{
	s->at = 0;
	s->iov = 0;
	s->off = 0;
}

static size_t
on_read(char *to, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	size_t room = size * n, done = 0;

	while (done < room && s->at < s->r->body_len) {
		const struct iovec *v = &s->r->body[s->iov];
		size_t len = MIN(room - done, v->iov_len - s->off);

		memcpy(to + done, (const char *)v->iov_base + s->off, len);
		done += len;
		s->at += len;
		s->off += len;
		if (s->off == v->iov_len) {
			s->iov++;
			s->off = 0;
		}
	}
	return done;
}

/* A kept connection turned out to be dead: libcurl sends again, from the start. */
static int
on_seek(void *arg, curl_off_t off, int origin)
{
	struct slot *s = arg;

	if (off != 0 || origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	rewind_body(s);
	return CURL_SEEKFUNC_OK;
}

static size_t
on_write(char *p, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;

	s->err = s->r->on_body ? s->r->on_body(s->r, (const uint8_t *)p, size * n) : 0;
	return s->err < 0 ? 0 : size * n;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	size_t len = size * n;

	while (len > 0 && (p[len - 1] == '\n' || p[len - 1] == '\r'))
		len--;
	if (len > 0 && s->r->on_header)
		s->r->on_header(s->r, p, len);
	return size * n;
}

static bool
is_loopback(const struct sockaddr *a)
{
	static const struct in6_addr mapped = { { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127 } } };
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)a;

	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) || memcmp(&in6->sin6_addr, &mapped, 13) == 0);
}

static curl_socket_t
on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http *h = arg;
	const char *congestion = h->congestion[0] ? h->congestion : is_loopback(&a->addr) ? "cubic" : NULL;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);

	(void)purpose;
	/* Refused where the name is unknown: http_init has looked at the one from the config. */
	if (fd >= 0 && congestion)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion));
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int
as_errno(const struct slot *s, CURLcode code)
{
	switch ((int)code) {
	case CURLE_OK:
		return 0;
	case CURLE_WRITE_ERROR:
		return s->err < 0 ? s->err : -EIO;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_ISSUER_ERROR:
		return -EKEYREJECTED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_HTTP2:
		return -EPROTO;
	default:
		return -ECONNRESET;
	}
}

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
set_options(struct slot *s)
{
	struct http *h = s->http;
	struct http_req *r = s->r;
	CURL *e = s->easy;

	curl_easy_reset(e); /* keeps connections, TLS sessions and names */
	for (int i = 0; i < r->nheaders; i++)
		s->list[i] = (struct curl_slist){ (char *)r->header[i], &s->list[i + 1] };
	/* The body of a PUT follows at once: one round trip less. */
	s->list[r->nheaders] = (struct curl_slist){ (char *)"Expect:", NULL };
	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, s->list);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	/* Without this, ending a request whose name is being resolved waits for that. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_PRIVATE, s);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->why);
	curl_easy_setopt(e, CURLOPT_SHARE, h->share);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, RECV_BYTES);
	curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, IDLE_S);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, h);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->opts.connect_timeout_ms);
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	if (r->once)
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	if (r->stall_s > 0) {
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)r->stall_s);
	}
	if (h->ca_file[0])
		curl_easy_setopt(e, CURLOPT_CAINFO, h->ca_file);
	if (r->body) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, SEND_BYTES);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body_len);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
		curl_easy_setopt(e, CURLOPT_READDATA, s);
		curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
		curl_easy_setopt(e, CURLOPT_SEEKDATA, s);
	}
	if (strcmp(r->method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else if (strcmp(r->method, r->body ? "PUT" : "GET") != 0)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
}

static void
begin(struct http *h, struct http_req *r)
{
	struct slot *s = h->free;

	h->free = s->next;
	h->nfree--;
	s->r = r;
	s->err = 0;
	s->why[0] = '\0';
	r->slot = s;
	rewind_body(s);
	set_options(s);
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
	curl_off_t in = 0, out = 0;
	long status = 0, size = 0;
	int res = as_errno(s, code);

	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(s->easy, CURLINFO_REQUEST_SIZE, &size);
	curl_easy_getinfo(s->easy, CURLINFO_SIZE_DOWNLOAD_T, &in);
	curl_easy_getinfo(s->easy, CURLINFO_SIZE_UPLOAD_T, &out);
	curl_multi_remove_handle(h->multi, s->easy);
	r->status = (int)status;
	r->reached = size > 0;
	r->bytes_in = (uint64_t)in;
	r->bytes_out = (uint64_t)out;
	if (res < 0)
		snprintf(r->why, sizeof(r->why), "%s", s->why[0] ? s->why : curl_easy_strerror(code));
	put_slot(h, s);
	reactor_post(r->wait, res);
}

static void
act(struct http *h, curl_socket_t fd, int events)
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
check_congestion(const char *name, char why[256])
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return 0;
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name)) < 0) {
		err = -errno;
		snprintf(why, 256, "no TCP congestion control \"%s\" here: %s (see "
		         "/proc/sys/net/ipv4/tcp_available_congestion_control)", name, strerror(errno));
	}
	close(fd);
	return err;
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
	h->tick.resume = on_tick;
	h->kick.resume = on_kick;
	h->later_ms = -1;
	err = h->congestion[0] ? check_congestion(h->congestion, why) : 0;
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
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
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
	struct watch *w;

	assert(h->nfree == h->nslots);
	for (uint32_t i = 0; i < h->nslots; i++)
		curl_easy_cleanup(h->slot[i].easy);
	free(h->slot);
	if (h->multi) {
		curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, NULL);
		curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, NULL);
		curl_multi_cleanup(h->multi);
	}
	if (h->share)
		curl_share_cleanup(h->share);
	while ((w = h->watches) != NULL) {
		h->watches = w->next;
		free(w);
	}
	free(h);
}
