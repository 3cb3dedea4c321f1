/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/client/rpc_impl.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256 }; /* of one wait */

uint64_t
rpc_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int
rpc_loop_init(struct rpc_loop *loop, uint32_t max_calls, uint32_t first_xid)
{
	uint32_t slots = 64;

	while (slots < 2 * max_calls)
		slots *= 2;
	*loop = (struct rpc_loop){ .epfd = epoll_create1(EPOLL_CLOEXEC), .xid = first_xid,
		                   .mask = slots - 1 };
	if (loop->epfd < 0)
		return -errno;
	loop->open = calloc(slots, sizeof(*loop->open));
	loop->scratch = malloc(RPC_SCRATCH);
	if (!loop->open || !loop->scratch) {
		rpc_loop_fini(loop);
		return -ENOMEM;
	}
	loop->now_ns = rpc_now_ns();
	return 0;
}

void
rpc_loop_fini(struct rpc_loop *loop)
{
	for (uint32_t i = 0; loop->open && i <= loop->mask; i++)
		assert(!loop->open[i]);
	while (loop->spare) {
		struct rpc_block *b = loop->spare;

		loop->spare = b->next;
		free(b);
	}
	free(loop->open);
	free(loop->scratch);
	close(loop->epfd);
}

void
rpc_cred_sys(struct rpc_cred *cred, uint32_t uid, uint32_t gid, const uint32_t *gids, uint32_t n)
{
	struct wire_out w = { .p = cred->bytes, .end = cred->bytes + sizeof(cred->bytes) };

	assert(n <= 16);
	wire_put_u32(&w, 1);                 /* AUTH_SYS */
	wire_put_u32(&w, 4 + 4 + 4 + 12 + 4 * n);
	wire_put_u32(&w, 0);                 /* stamp */
	wire_put_string(&w, "test");
	wire_put_u32(&w, uid);
	wire_put_u32(&w, gid);
	wire_put_u32(&w, n);
	for (uint32_t i = 0; i < n; i++)
		wire_put_u32(&w, gids[i]);
	wire_put_u64(&w, 0);                 /* verifier: AUTH_NONE, no bytes */
	assert(!w.bad);
	cred->len = (uint32_t)(w.p - cred->bytes);
}

void
rpc_conn_init(struct rpc_conn *conn, struct rpc_loop *loop)
{
	*conn = (struct rpc_conn){ .loop = loop, .fd = -1 };
}

static void
conn_arm(struct rpc_conn *conn, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = conn };

	if (conn->events == events)
		return;
	conn->events = events;
	epoll_ctl(conn->loop->epfd, EPOLL_CTL_MOD, conn->fd, &ev);
}

/* cubic: a system's default may be bbr, which slows loopback down several times. */
static void
conn_tune(struct rpc_conn *conn)
{
	const char *congestion = conn->congestion ? conn->congestion : "cubic";
	int one = 1;

	setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (*congestion)
		setsockopt(conn->fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion));
	if (conn->rcvbuf)
		setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &conn->rcvbuf, sizeof(conn->rcvbuf));
}

static int
conn_bind(struct rpc_conn *conn)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(conn->local_port) };
	int one = 1;

	if (!conn->local_port)
		return 0;
	setsockopt(conn->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(conn->fd, (struct sockaddr *)&sin, sizeof(sin)) < 0)
		return -errno;
	return 0;
}

int
rpc_conn_open(struct rpc_conn *conn, const struct sockaddr_in *addr)
{
	struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = conn };
	int err;

	assert(conn->state == RPC_CLOSED);
	conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (conn->fd < 0)
		return -errno;
	conn_tune(conn);
	err = conn_bind(conn);
	if (!err && connect(conn->fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
	    errno != EINPROGRESS)
		err = -errno;
	if (!err && epoll_ctl(conn->loop->epfd, EPOLL_CTL_ADD, conn->fd, &ev) < 0)
		err = -errno;
	if (err) {
		close(conn->fd);
		conn->fd = -1;
		return err;
	}
	conn->events = EPOLLOUT;
	conn->state = RPC_CONNECTING;
	for (struct rpc_call *c = conn->first; c; c = c->next)
		c->sent = false;
	conn->unsent = conn->first;
	conn->unsent_off = 0;
	return 0;
}

static void
conn_undirty(struct rpc_conn *conn)
{
	struct rpc_conn **pp = &conn->loop->dirty;

	if (!conn->dirty)
		return;
	while (*pp != conn)
		pp = &(*pp)->next_dirty;
	*pp = conn->next_dirty;
	conn->dirty = false;
}

void
rpc_conn_close(struct rpc_conn *conn)
{
	if (conn->state == RPC_CLOSED)
		return;
	conn_undirty(conn);
	close(conn->fd);
	conn->fd = -1;
	conn->state = RPC_CLOSED;
	conn->unsent = NULL;
	if (conn->part)
		rpc_block_put(conn->loop, conn->part);
	conn->part = NULL;
}

void
rpc_conn_fail(struct rpc_conn *conn, int err)
{
	rpc_conn_close(conn);
	if (conn->on_close)
		conn->on_close(conn, err);
}

void
rpc_call_unlink(struct rpc_call *call)
{
	struct rpc_conn *conn = call->conn;

	*(call->prev ? &call->prev->next : &conn->first) = call->next;
	*(call->next ? &call->next->prev : &conn->last) = call->prev;
	conn->loop->open[call->xid & conn->loop->mask] = NULL;
	conn->nopen--;
}

void
rpc_conn_abandon(struct rpc_conn *conn)
{
	assert(conn->state == RPC_CLOSED);
	/* only those there are now: a done() may start others */
	for (uint32_t n = conn->nopen; n > 0; n--) {
		struct rpc_call *call = conn->first;

		rpc_call_unlink(call);
		call->res = -ECONNRESET;
		call->done(call);
	}
}

void
rpc_conn_keep_port(struct rpc_conn *conn)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	if (conn->fd >= 0 && getsockname(conn->fd, (struct sockaddr *)&sin, &len) == 0)
		conn->local_port = ntohs(sin.sin_port);
}

void
rpc_conn_pause(struct rpc_conn *conn, bool paused)
{
	conn->paused = paused;
	if (conn->state == RPC_OPEN)
		conn_arm(conn, (conn->events & ~(uint32_t)EPOLLIN) | (paused ? 0 : EPOLLIN));
}

int
rpc_conn_send_raw(struct rpc_conn *conn, const void *data, size_t len)
{
	ssize_t n = send(conn->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	return n < 0 ? -errno : (int)n;
}

struct wire_out
rpc_call_begin(struct rpc_call *call, struct rpc_conn *conn, uint32_t prog, uint32_t vers,
               uint32_t proc)
{
	struct rpc_loop *loop = conn->loop;
	struct wire_out w = { .p = call->head + RPC_MARK, .end = call->head + RPC_HEAD };

	/* an xid whose slot an older call still holds is passed over */
	while (loop->open[loop->xid & loop->mask])
		loop->xid++;
	call->xid = loop->xid++;
	call->conn = conn;
	call->sent = false;
	call->prog = prog;
	call->proc = proc;
	memcpy(w.p, (uint32_t[]){ htobe32(call->xid), 0 /* CALL */, htobe32(2) /* RPC version */,
	                          htobe32(prog), htobe32(vers), htobe32(proc) }, 24);
	w.p += 24;
	if (conn->cred) {
		memcpy(w.p, conn->cred->bytes, conn->cred->len);
		w.p += conn->cred->len;
	} else {
		wire_put_u64(&w, 0); /* AUTH_NONE, twice */
		wire_put_u64(&w, 0);
	}
	return w;
}

static void
conn_dirty(struct rpc_conn *conn)
{
	if (conn->dirty)
		return;
	conn->dirty = true;
	conn->next_dirty = conn->loop->dirty;
	conn->loop->dirty = conn;
}

void
rpc_call_start(struct rpc_call *call, const struct wire_out *args)
{
	struct rpc_conn *conn = call->conn;
	struct rpc_loop *loop = conn->loop;
	uint32_t mark;

	assert(!args->bad && call->done);
	call->head_len = (uint32_t)(args->p - call->head);
	mark = htobe32(RPC_LAST_FRAGMENT | (call->head_len - RPC_MARK + call->data_len +
	                                (uint32_t)wire_pad(call->data_len)));
	memcpy(call->head, &mark, RPC_MARK);
	call->start_ns = loop->now_ns;
	call->next = NULL;
	call->prev = conn->last;
	*(conn->last ? &conn->last->next : &conn->first) = call;
	conn->last = call;
	conn->nopen++;
	assert(!loop->open[call->xid & loop->mask]);
	loop->open[call->xid & loop->mask] = call;
	if (conn->state == RPC_CLOSED)
		return; /* the next rpc_conn_open sends it */
	if (!conn->unsent) {
		conn->unsent = call;
		conn->unsent_off = 0;
	}
	conn_dirty(conn);
}

static uint32_t
call_bytes(const struct rpc_call *call)
{
	return call->head_len + call->data_len + (uint32_t)wire_pad(call->data_len);
}

/* Adds the part of p[0..len) that lies behind *skip bytes, to the last piece where it lies right behind that. */
static int
iov_add(struct iovec *iov, int n, const void *p, uint32_t len, uint32_t *skip)
{
	uint32_t cut = *skip < len ? *skip : len;
	uint8_t *from = (uint8_t *)(uintptr_t)p + cut;

	*skip -= cut;
	if (cut == len)
		return n;
	if (n > 0 && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == from) {
		iov[n - 1].iov_len += len - cut;
		return n;
	}
	iov[n] = (struct iovec){ .iov_base = from, .iov_len = len - cut };
	return n + 1;
}

int
rpc_conn_gather(const struct rpc_conn *conn, uint8_t *heads, struct iovec *iov, uint32_t *bytes)
{
	static const uint8_t zeros[4];
	const struct rpc_call *c = conn->unsent;
	uint32_t skip = conn->unsent_off, used = 0;
	int n = 0;

	for (*bytes = 0; c && n + 3 <= RPC_IOVS && used + c->head_len <= RPC_GATHER; c = c->next) {
		memcpy(heads + used, c->head, c->head_len);
		n = iov_add(iov, n, heads + used, c->head_len, &skip);
		used += c->head_len;
		n = iov_add(iov, n, c->data, c->data_len, &skip);
		n = iov_add(iov, n, zeros, (uint32_t)wire_pad(c->data_len), &skip);
		*bytes += call_bytes(c);
	}
	*bytes -= conn->unsent_off;
	return n;
}

void
rpc_conn_sent(struct rpc_conn *conn, size_t n)
{
	conn->bytes_out += n;
	while (n > 0) {
		uint32_t left = call_bytes(conn->unsent) - conn->unsent_off;

		if (n < left) {
			conn->unsent_off += (uint32_t)n;
			return;
		}
		n -= left;
		conn->unsent->sent = true;
		conn->unsent = conn->unsent->next;
		conn->unsent_off = 0;
	}
}

/* A failed send does not close: replies that came before it may still be read. */
static void
conn_flush(struct rpc_conn *conn)
{
	struct iovec iov[RPC_IOVS];

	while (conn->unsent) {
		uint32_t bytes;
		struct msghdr msg = { .msg_iov = iov };
		ssize_t sent;

		msg.msg_iovlen = (size_t)rpc_conn_gather(conn, conn->loop->scratch, iov, &bytes);
		sent = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (sent < 0) {
			if (errno == EAGAIN)
				conn_arm(conn, conn->events | EPOLLOUT);
			return;
		}
		rpc_conn_sent(conn, (size_t)sent);
	}
	conn_arm(conn, conn->events & ~(uint32_t)EPOLLOUT);
}

static void
conn_connected(struct rpc_conn *conn)
{
	socklen_t len = sizeof(int);
	int err = 0;

	getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &err, &len);
	if (err) {
		rpc_conn_fail(conn, -err);
		return;
	}
	conn->state = RPC_OPEN;
	conn->last_reply_ns = conn->loop->now_ns;
	conn_arm(conn, conn->paused ? 0 : EPOLLIN);
	if (conn->on_open)
		conn->on_open(conn);
	if (conn->state == RPC_OPEN)
		conn_flush(conn);
}

static void
conn_event(struct rpc_conn *conn, uint32_t events)
{
	if (conn->state == RPC_CLOSED)
		return; /* by another event of this turn */
	if (conn->state == RPC_CONNECTING) {
		conn_connected(conn);
		return;
	}
	if (conn->paused && events & (EPOLLERR | EPOLLHUP)) {
		rpc_conn_fail(conn, -ECONNRESET);
		return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		rpc_conn_read(conn);
	if (events & EPOLLOUT && conn->state == RPC_OPEN)
		conn_flush(conn);
}

struct rpc_conn *
rpc_loop_dirty(struct rpc_loop *loop)
{
	struct rpc_conn *conn = loop->dirty;

	if (!conn)
		return NULL;
	loop->dirty = conn->next_dirty;
	conn->dirty = false;
	return conn;
}

static void
loop_flush(struct rpc_loop *loop)
{
	struct rpc_conn *conn;

	while ((conn = rpc_loop_dirty(loop)) != NULL) {
		if (conn->state == RPC_OPEN && !(conn->events & EPOLLOUT))
			conn_flush(conn);
	}
}

void
rpc_loop_run(struct rpc_loop *loop, int timeout_ms)
{
	rpc_loop_run_ns(loop, (uint64_t)timeout_ms * 1000000u);
}

void
rpc_loop_run_ns(struct rpc_loop *loop, uint64_t timeout_ns)
{
	struct timespec ts = { .tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u) };
	struct epoll_event ev[EVENTS];
	int n;

	loop_flush(loop);
	n = epoll_pwait2(loop->epfd, ev, EVENTS, &ts, NULL);
	loop->now_ns = rpc_now_ns();
	for (int i = 0; i < n; i++)
		conn_event(ev[i].data.ptr, ev[i].events);
	loop_flush(loop);
}

int
rpc_loop_until(struct rpc_loop *loop, const bool *flag, int timeout_ms)
{
	uint64_t end = rpc_now_ns() + (uint64_t)timeout_ms * 1000000u;

	while (!*flag) {
		if (loop->now_ns > end)
			return -ETIMEDOUT;
		rpc_loop_run(loop, 10);
	}
	return 0;
}
