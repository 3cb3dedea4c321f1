/* SPDX-License-Identifier: Apache-2.0 */
/* A core's listener, and the life of its connections. */
#include "reactor/net.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/conn.h"
#include "reactor/core.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define ACCEPT_RETRY_NS (100 * 1000000ull) /* no descriptor left: someone may close one */
#define LOG_EVERY_NS    1000000000ull
#define LOOPBACK_SNDBUF (512 * KIB) /* the kernel doubles it */

struct padded_stats {
	_Alignas(CACHELINE) struct net_stats s;
};

static struct padded_stats stats[REACTOR_MAX_CORES];
static _Atomic uint16_t port;

__thread struct net_core net_core;

static __thread struct {
	int fd; /* listener, -1: none */
	bool accepting; /* the kernel has an accept */
	bool stopped;   /* for good */
	bool cancelled; /* the multishot accept, which has not ended yet */
	uint32_t backlog;
	struct ring_req accept;
	struct timer retry, idle;
	struct op retry_op, idle_op;
	struct slab conns, holds, packs;
	struct conn *all;
	uint32_t count;
	struct conn *dirty, **dirty_tail;
	struct op *close_wait;
	uint64_t logged_ns;
} net;

/* ---- connections */

void
net_dirty(struct conn *c)
{
	if (c->dirty)
		return;
	c->dirty = true;
	c->dirty_next = NULL;
	*net.dirty_tail = c;
	net.dirty_tail = &c->dirty_next;
}

int
net_flush(void)
{
	int n = 0;

	while (net.dirty) {
		struct conn *c = net.dirty;

		net.dirty = c->dirty_next;
		if (!net.dirty)
			net.dirty_tail = &net.dirty;
		c->dirty = false;
		conn_flush(c);
		n++;
	}
	return n;
}

/* A multishot accept may bring a whole backlog at once; it needs room for it. */
static bool
room_for_many(void)
{
	return net.conns.count - net.count > 2 * net.backlog;
}

/* Where there is no room at all, peers wait in the backlog until somebody leaves. */
static void
start_accept(void)
{
	if (net.fd < 0 || net.accepting || net.stopped || net.count == net.conns.count)
		return;
	net.accepting = true;
	net.cancelled = false;
	ring_accept(net.fd, room_for_many(), &net.accept);
}

void
net_free_conn(struct conn *c)
{
	assert(!c->open && !c->out && !c->fill && !c->held);
	close(c->fd);
	if (c->prev)
		c->prev->next = c->next;
	else
		net.all = c->next;
	if (c->next)
		c->next->prev = c->prev;
	slab_put(&net.conns, c);
	net.count--;
	stat_add(&net_core.stats->open, (uint64_t)-1);
	start_accept();
	if (net.count == 0 && net.close_wait) {
		reactor_post(net.close_wait, 0);
		net.close_wait = NULL;
	}
}

/* An IPv4 peer of an IPv6 socket is shown as what it is. */
static void
unmap(struct sockaddr_storage *peer)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four = { .sin_family = AF_INET };

	memcpy(&six, peer, sizeof(six));
	if (peer->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		return;
	four.sin_port = six.sin6_port;
	memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], 4);
	memset(peer, 0, sizeof(*peer));
	memcpy(peer, &four, sizeof(four));
}

static bool
is_loopback(const struct sockaddr_storage *a)
{
	if (a->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
	return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static int
set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/*
 * A client on this machine: nothing is ever lost on the way, and pacing, as bbr does it,
 * only slows the replies.  Where cubic is not to be had it stays as it is.  A sender is woken when a third
 * of its buffer is free: of the 4 MiB that the system lets it grow to, the client reads so much
 * meanwhile that the two sides work in turn; in a small one both work at once.
 */
static void
tune_loopback(int fd)
{
	if (!net_core.opts.congestion)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
	if (net_core.opts.sndbuf_bytes == 0)
		(void)set(fd, SOL_SOCKET, SO_SNDBUF, LOOPBACK_SNDBUF);
}

/* Takes the descriptor, which it closes when there is no room. */
static void
add_conn(int fd)
{
	struct conn *c = net.stopped ? NULL : slab_get(&net.conns);
	socklen_t len = sizeof(c->peer);

	if (!c) {
		close(fd);
		return;
	}
	conn_init(c, fd);
	c->next = net.all;
	if (c->next)
		c->next->prev = c;
	net.all = c;
	net.count++;
	stat_add(&net_core.stats->accepted, 1);
	stat_add(&net_core.stats->open, 1);
	if (getpeername(fd, (struct sockaddr *)&c->peer, &len) == 0) {
		unmap(&c->peer);
		if (is_loopback(&c->peer))
			tune_loopback(fd);
		c->user = net_core.opts.vt->open(c, &c->peer);
	}
	if (c->user) {
		net_dirty(c);
		return;
	}
	c->open = false; /* refused, or gone before it was here */
	c->refs = 0;
	conn_check_free(c);
}

static void
accept_done(struct ring_req *r, int res, uint32_t flags)
{
	(void)r;
	if (res >= 0)
		add_conn(res);
	if (flags & RING_MORE) {
		if (!room_for_many() && !net.cancelled) {
			net.cancelled = true;
			ring_cancel(&net.accept);
		}
		return;
	}
	net.accepting = false;
	if (net.stopped) {
		close(net.fd);
		net.fd = -1;
		return;
	}
	if (res >= 0 || res == -ECANCELED || res == -ECONNABORTED || res == -EINTR) {
		start_accept();
		return;
	}
	if (reactor_now_ns() - net.logged_ns > LOG_EVERY_NS) {
		net.logged_ns = reactor_now_ns();
		log_warn("cannot accept a connection: %s", strerror(-res));
	}
	if (net.retry.slot == 0)
		timer_start(&net.retry, ACCEPT_RETRY_NS, &net.retry_op);
}

static void
retry_accept(struct op *op)
{
	(void)op;
	start_accept();
}

/* A peer that is silent may be long gone. */
static void
close_idle(struct op *op)
{
	uint64_t limit = net_core.opts.idle_timeout_ns, now = reactor_now_ns();

	for (struct conn *c = net.all; c; c = c->next)
		if (now - c->active_ns > limit)
			conn_close(c);
	timer_start(&net.idle, limit / 4 + 1, op);
}

/* ---- listener */

static socklen_t
addr_bytes(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static uint16_t
get_port(const struct sockaddr_storage *a)
{
	return ntohs(a->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port
	                                      : ((const struct sockaddr_in *)a)->sin_port);
}

static void
set_port(struct sockaddr_storage *a, uint16_t p)
{
	if (a->ss_family == AF_INET6)
		((struct sockaddr_in6 *)a)->sin6_port = htons(p);
	else
		((struct sockaddr_in *)a)->sin_port = htons(p);
}

static int
bind_failed(int err, const struct sockaddr_storage *a, char why[256])
{
	char host[INET6_ADDRSTRLEN] = "?";
	const void *raw = a->ss_family == AF_INET6
	                          ? (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr
	                          : (const void *)&((const struct sockaddr_in *)a)->sin_addr;

	inet_ntop(a->ss_family, raw, host, sizeof(host));
	if (err == -EADDRINUSE)
		snprintf(why, 256, "port %u of %s is taken by another program", get_port(a), host);
	else if (err == -EADDRNOTAVAIL)
		snprintf(why, 256, "%s is not an address of this machine", host);
	else if (err == -EACCES)
		snprintf(why, 256, "port %u needs root or CAP_NET_BIND_SERVICE", get_port(a));
	else
		snprintf(why, 256, "cannot listen on %s, port %u: %s", host, get_port(a), strerror(-err));
	return err;
}

/* Binds without SO_REUSEPORT, which would let two servers share a port unawares. */
static int
check_port_free(const struct sockaddr_storage *a)
{
	int fd = socket(a->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (a->ss_family == AF_INET6)
		(void)set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	(void)set(fd, SOL_SOCKET, SO_REUSEADDR, 1); /* past connections may linger */
	if (bind(fd, (const struct sockaddr *)a, addr_bytes(a)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* Accepted sockets inherit all of these. */
static int
set_options(int fd, const struct net_opts *o, char why[256])
{
	int err = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (err == 0)
		err = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (err == 0)
		err = set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (err == 0)
		err = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (err == 0 && o->addr.ss_family == AF_INET6)
		err = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (err == 0 && o->sndbuf_bytes > 0)
		err = set(fd, SOL_SOCKET, SO_SNDBUF, (int)o->sndbuf_bytes);
	if (err < 0) {
		snprintf(why, 256, "cannot set up a listening socket: %s", strerror(-err));
		return err;
	}
	if (o->congestion && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, o->congestion,
	                                (socklen_t)strlen(o->congestion)) < 0) {
		err = -errno;
		snprintf(why, 256, "no TCP congestion control \"%s\" here: %s (see "
		         "/proc/sys/net/ipv4/tcp_available_congestion_control)", o->congestion,
		         strerror(-err));
	}
	return err;
}

int
net_listen(const struct net_opts *opts, char why[256])
{
	struct sockaddr_storage at = opts->addr;
	socklen_t len = sizeof(at);
	int fd, err;

	assert(net.fd < 0 && opts->vt);
	net_core.opts = *opts;
	if (opts->gather_bytes == 0)
		net_core.opts.gather_bytes = NET_GATHER_BYTES;
	if (reactor_core() > 0)
		set_port(&at, net_port());
	else if (get_port(&at) != 0 && (err = check_port_free(&at)) < 0)
		return bind_failed(err, &at, why);
	fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		err = -errno;
		snprintf(why, 256, "cannot make a socket: %s", strerror(-err));
		return err;
	}
	err = set_options(fd, opts, why);
	if (err < 0)
		goto fail;
	if (bind(fd, (const struct sockaddr *)&at, addr_bytes(&at)) < 0 || listen(fd, (int)net.backlog) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
		err = bind_failed(-errno, &at, why);
		goto fail;
	}
	atomic_store(&port, get_port(&at));
	net.fd = fd;
	start_accept();
	if (opts->idle_timeout_ns > 0)
		timer_start(&net.idle, opts->idle_timeout_ns / 4 + 1, &net.idle_op);
	return 0;
fail:
	close(fd);
	return err;
}

uint16_t
net_port(void)
{
	return atomic_load(&port);
}

void
net_stop_accepting(void)
{
	if (net.stopped)
		return;
	net.stopped = true;
	(void)timer_stop(&net.retry);
	if (net.accepting) {
		if (!net.cancelled)
			ring_cancel(&net.accept);
		net.cancelled = true; /* accept_done closes */
	} else if (net.fd >= 0) {
		close(net.fd);
		net.fd = -1;
	}
}

static void
lose_all(void)
{
	for (struct conn *c = net.all; c; c = c->next)
		conn_close(c);
}

enum op_state
net_close_all(struct op *op)
{
	assert(!net.close_wait);
	lose_all();
	if (net.count == 0)
		return op_done(op, 0);
	net.close_wait = op;
	return OP_PENDING;
}

const struct net_stats *
net_stats(int core)
{
	assert(core >= 0 && core < REACTOR_MAX_CORES);
	return &stats[core].s;
}

/* ---- for the loop */

int
net_core_init(uint32_t max_conns, uint32_t recv_bufs, uint32_t recv_buf_bytes, char why[256])
{
	int err;

	memset(&net, 0, sizeof(net));
	net.fd = -1;
	net.dirty_tail = &net.dirty;
	net.backlog = MAX(16, MIN(4096, max_conns / 4));
	net.accept.done = accept_done;
	net.retry_op.resume = retry_accept;
	net.idle_op.resume = close_idle;
	stats[reactor_core()].s = (struct net_stats){ 0 };
	err = slab_init(&net.conns, "connections", sizeof(struct conn), max_conns);
	if (err < 0)
		goto no_conns;
	/* Untouched memory until a connection is paused, or fills with bytes at hand. */
	err = slab_init(&net.holds, "held input", HOLD_BUFS * recv_buf_bytes, max_conns);
	if (err < 0)
		goto no_holds;
	err = slab_init(&net.packs, "small replies", PACK_BYTES, MIN(max_conns, (uint32_t)PACKS));
	if (err < 0)
		goto no_packs;
	err = ring_bufs_init(recv_bufs, recv_buf_bytes);
	if (err < 0)
		goto no_bufs;
	net_core = (struct net_core){ .conns = &net.conns, .holds = &net.holds, .packs = &net.packs,
	                              .recv_buf_bytes = recv_buf_bytes,
	                              .stats = &stats[reactor_core()].s };
	return 0;
no_bufs:
	slab_fini(&net.packs);
no_packs:
	slab_fini(&net.holds);
no_holds:
	slab_fini(&net.conns);
no_conns:
	snprintf(why, 256, "no memory for %u connections and %u receive buffers: %s", max_conns,
	         recv_bufs, strerror(-err));
	return err;
}

void
net_shutdown(void)
{
	(void)timer_stop(&net.idle);
	net_stop_accepting();
	lose_all();
}

bool
net_idle(void)
{
	return net.fd < 0 && net.count == 0;
}

void
net_core_fini(void)
{
	ring_bufs_fini();
	slab_fini(&net.packs);
	slab_fini(&net.holds);
	slab_fini(&net.conns);
}
