/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that sends every frame back, in each way that the net offers, and
 * clients that check every byte.  A frame is a kind, three bytes of length, and
 * the payload:
 *
 *	'e'  taken from input, in whatever pieces it comes
 *	'f'  by conn_fill from within input
 *	'p'  by conn_fill a moment later, paused meanwhile
 *	'c'  the server closes
 */
#ifndef TESTS_NET_ECHO_H
#define TESTS_NET_ECHO_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/net.h"
#include "tests/fake/net_session.h"
#include "tests/fake/rig.h"
#include "tests/unit/oncore.h"

#define HELPER __attribute__((unused)) static

#define MS        1000000ull
#define HEADER    4u
#define MAX_BYTES (1u << 20)
#define MAX_BUFS  (MAX_BYTES / BUF_LARGE_BYTES)

/* ---- the server */

/* Why a session does not want input. */
enum { NO_FRAME = 1, NO_BUFS = 2, LATER = 4, UNSENT = 8 };

struct session {
	struct net_session net; /* held in line for a frame, and by each frame */
	unsigned holds;
	uint8_t header[HEADER];
	uint32_t have;       /* bytes of the header, then of an 'e' payload */
	struct frame *frame; /* that is coming in */
	struct session *wait_next;
	bool closed;
};

struct frame {
	struct session *s;
	char kind;
	uint32_t len;
	int nbufs;
	struct buf *bufs[MAX_BUFS];
	struct buf_wait wait;
	struct timer timer;
	struct iovec iov[MAX_BUFS + 1];
	struct outmsg out;
	uint8_t header[HEADER];
	struct op op;
};

static __thread struct slab frames;
static __thread struct session *line, **line_tail; /* for a frame */
static _Atomic int opened, closed_calls, fill_errors, send_errors, pauses;
static uint32_t frame_count = 64;
static uint64_t unsent_limit = 4 * MIB;
static struct net_opts server_opts;

static bool start_frame(struct session *s);

static void
hold_input(struct session *s, unsigned why)
{
	s->holds |= why;
	conn_pause(s->net.conn);
	pauses++;
}

static void
release_input(struct session *s, unsigned why)
{
	s->holds &= ~why;
	if (s->holds == 0)
		conn_resume(s->net.conn);
}

static void
stand_in_line(struct session *s)
{
	hold_input(s, NO_FRAME);
	s->net.refs++;
	s->wait_next = NULL;
	if (!line)
		line_tail = &line;
	*line_tail = s;
	line_tail = &s->wait_next;
}

/* A frame has become free. */
static void
serve_line(void)
{
	while (line && frames.used < frames.count) {
		struct session *s = line;

		line = s->wait_next;
		if (!s->closed)
			assert(start_frame(s));
		release_input(s, NO_FRAME);
		session_put(&s->net);
	}
}

static void
free_frame(struct frame *f)
{
	struct session *s = f->s;

	for (int i = 0; i < f->nbufs && f->bufs[i]; i++)
		buf_put(f->bufs[i]);
	if (s->frame == f)
		s->frame = NULL;
	slab_put(&frames, f);
	serve_line();
	session_put(&s->net);
}

static void
frame_sent(struct op *op)
{
	struct frame *f = container_of(op, struct frame, op);

	if (op->res < 0)
		send_errors++;
	else
		assert(op->res == (int)(HEADER + f->len));
	if (conn_unsent(f->s->net.conn) <= unsent_limit)
		release_input(f->s, UNSENT);
	free_frame(f);
}

static int
map_bufs(struct frame *f, struct iovec *iov)
{
	for (int i = 0; i < f->nbufs; i++)
		iov[i] = (struct iovec){ f->bufs[i]->data,
		                         MIN(BUF_LARGE_BYTES, f->len - (uint32_t)i * BUF_LARGE_BYTES) };
	return f->nbufs;
}

static void
send_back(struct frame *f)
{
	f->s->frame = NULL;
	f->s->have = 0;
	f->op.resume = frame_sent;
	f->iov[0] = (struct iovec){ f->header, HEADER };
	f->out = (struct outmsg){ .done = &f->op, .iov = f->iov, .niov = 1 + map_bufs(f, f->iov + 1),
	                          .len = HEADER + f->len };
	conn_send(f->s->net.conn, &f->out);
	if (conn_unsent(f->s->net.conn) > unsent_limit)
		hold_input(f->s, UNSENT);
}

static void
frame_filled(struct op *op)
{
	struct frame *f = container_of(op, struct frame, op);

	if (f->kind == 'p')
		release_input(f->s, LATER);
	if (op->res == 0) {
		send_back(f);
		return;
	}
	fill_errors++;
	assert(!conn_is_open(f->s->net.conn));
	free_frame(f);
}

static void
fill_frame(struct frame *f)
{
	f->op.resume = frame_filled;
	if (conn_fill(f->s->net.conn, f->iov, map_bufs(f, f->iov), &f->op) == OP_DONE)
		frame_filled(&f->op);
}

static void
fill_later(struct op *op)
{
	fill_frame(container_of(op, struct frame, op));
}

/* The memory is here. */
static void
input_frame(struct frame *f)
{
	switch (f->len == 0 ? 0 : f->kind) {
	case 'f':
		fill_frame(f);
		break;
	case 'p':
		hold_input(f->s, LATER);
		f->op.resume = fill_later;
		timer_start(&f->timer, 2 * MS, &f->op);
		break;
	case 'e':
		f->s->have = 0;
		break;
	default:
		send_back(f);
	}
}

static void
got_bufs(struct op *op)
{
	struct frame *f = container_of(op, struct frame, op);
	struct session *s = f->s;

	if (s->closed) {
		free_frame(f);
		return;
	}
	input_frame(f);
	release_input(s, NO_BUFS);
}

/* False: no frame is free. */
static bool
start_frame(struct session *s)
{
	struct frame *f = slab_get(&frames);

	if (!f)
		return false;
	*f = (struct frame){ .s = s, .kind = (char)s->header[0],
	                     .len = (uint32_t)s->header[1] << 16 | (uint32_t)s->header[2] << 8 |
	                            s->header[3] };
	memcpy(f->header, s->header, HEADER);
	s->net.refs++;
	s->frame = f;
	f->nbufs = (int)(ROUND_UP(f->len, BUF_LARGE_BYTES) / BUF_LARGE_BYTES);
	f->op.resume = got_bufs;
	if (f->nbufs == 0 || buf_get_many(&f->wait, f->bufs, f->nbufs, BUF_LARGE, BUF_INGEST,
	                                  &f->op) == OP_DONE)
		input_frame(f);
	else
		hold_input(s, NO_BUFS);
	return true;
}

static size_t
copy_in(struct session *s, const uint8_t *p, size_t len)
{
	struct frame *f = s->frame;
	size_t n = MIN(len, f->len - s->have);

	for (size_t i = 0; i < n; i++, s->have++)
		f->bufs[s->have / BUF_LARGE_BYTES]->data[s->have % BUF_LARGE_BYTES] = p[i];
	if (s->have == f->len)
		send_back(f);
	return n;
}

static size_t
server_input(struct conn *c, void *user, const uint8_t *p, size_t len)
{
	struct session *s = user;
	size_t used = 0;

	assert(s->net.conn == c && len > 0 && s->holds == 0);
	while (used < len && s->holds == 0) {
		if (s->frame && s->frame->kind != 'e')
			break; /* what follows is for the fill */
		if (s->frame) {
			used += copy_in(s, p + used, len - used);
			continue;
		}
		s->header[s->have++] = p[used++];
		if (s->have < HEADER)
			continue;
		if (s->header[0] == 'c') {
			conn_close(c);
			break;
		}
		if (!start_frame(s))
			stand_in_line(s);
	}
	return used;
}

static void *
server_open(struct conn *c, const struct sockaddr_storage *peer)
{
	struct session *s = session_open(c, peer);

	assert(peer->ss_family == AF_INET || peer->ss_family == AF_INET6);
	if (!s)
		return NULL;
	opened++;
	return s;
}

static void
server_closed(struct conn *c, void *user)
{
	struct session *s = user;

	assert(!conn_is_open(c));
	closed_calls++;
	s->closed = true;
	/* Half an 'e' frame, which waits for nothing but bytes. */
	if (s->frame && s->frame->kind == 'e' && !(s->holds & NO_BUFS))
		free_frame(s->frame);
	session_put(&s->net);
}

static const struct conn_vt server_vt = { server_open, server_input, server_closed };

static int
server_init(int core, void *arg)
{
	char why[256];
	int err;

	(void)core;
	(void)arg;
	assert(slab_init(&sessions, "sessions", sizeof(struct session), 1024) == 0);
	assert(slab_init(&frames, "frames", sizeof(struct frame), frame_count) == 0);
	server_opts.vt = &server_vt;
	err = net_listen(&server_opts, why);
	if (err < 0)
		fprintf(stderr, "%s\n", why);
	return err;
}

static void
server_fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	slab_fini(&frames);
	slab_fini(&sessions);
}

static void
loopback(uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port),
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	memcpy(&server_opts.addr, &in, sizeof(in));
}

static void
start_with(struct reactor_opts o)
{
	char why[256];

	if (server_opts.addr.ss_family == 0)
		loopback(0);
	server_opts.congestion = "cubic";
	o.buf_bytes = (uint64_t)o.cores * 16 * MIB;
	o.init = server_init;
	o.fini = server_fini;
	cr_assert(eq(int, reactor_start(&o, why), 0), "%s", why);
}

HELPER void
start(int cores)
{
	start_with((struct reactor_opts){ .cores = cores, .busy_poll_us = 20, .max_conns = 1024 });
}

/* Every session that was opened was closed, once; the reactor asserts the pools. */
static void
stop(void)
{
	reactor_stop();
	reactor_join();
	cr_assert(eq(int, atomic_load(&opened), atomic_load(&closed_calls)));
}

/* ---- the clients */

struct client {
	pthread_t reader, writer;
	int fd;
	unsigned seed;
	const char *kinds;
	int frames;
	uint32_t max_bytes;  /* of a payload */
	uint32_t max_send;   /* of one send(): 0, all at once */
	uint32_t max_recv;
	int slow_us;         /* the reader sleeps that long at times */
	uint64_t bytes;      /* checked */
};

static int
dial(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(net_port()),
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0) {
		perror("connect");
		abort();
	}
	return fd;
}

/* The n-th frame of a client: writer and reader make the same. */
static uint32_t
make_frame(const struct client *c, int n, unsigned *rnd, uint8_t *out)
{
	uint32_t max = rand_r(rnd) % 4 ? MIN(c->max_bytes, 300u) : c->max_bytes;
	uint32_t len = (uint32_t)rand_r(rnd) % (max + 1);
	uint64_t x = mix64((uint64_t)n + ((uint64_t)c->seed << 32));

	if (n % 16 == 15)
		len = c->max_bytes;
	out[0] = (uint8_t)c->kinds[(size_t)rand_r(rnd) % strlen(c->kinds)];
	out[1] = (uint8_t)(len >> 16);
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
	for (uint32_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			x = mix64(x + i);
		out[HEADER + i] = (uint8_t)(x >> (i % 8 * 8));
	}
	return HEADER + len;
}

static void
send_all(int fd, const uint8_t *p, size_t n, uint32_t max, unsigned *rnd)
{
	while (n > 0) {
		size_t cut = max ? 1 + (size_t)rand_r(rnd) % max : n;
		size_t k = MIN(n, cut);
		ssize_t did = send(fd, p, k, MSG_NOSIGNAL);

		if (did <= 0) {
			perror("send");
			abort();
		}
		p += did;
		n -= (size_t)did;
	}
}

static void *
write_frames(void *arg)
{
	struct client *c = arg;
	unsigned rnd = c->seed, cut = c->seed;
	uint8_t *buf = malloc(HEADER + MAX_BYTES);

	for (int n = 0; n < c->frames; n++)
		send_all(c->fd, buf, make_frame(c, n, &rnd, buf), c->max_send, &cut);
	free(buf);
	return NULL;
}

static void
recv_all(struct client *c, uint8_t *p, size_t n, unsigned *rnd)
{
	while (n > 0) {
		size_t cut = c->max_recv ? 1 + (size_t)rand_r(rnd) % c->max_recv : n;
		size_t k = MIN(n, cut);
		ssize_t got = recv(c->fd, p, k, 0);

		if (got <= 0) {
			fprintf(stderr, "client %u: %s\n", c->seed, got ? strerror(errno) : "end of stream");
			abort();
		}
		p += got;
		n -= (size_t)got;
		c->bytes += (uint64_t)got;
		if (c->slow_us > 0 && rand_r(rnd) % 20 == 0)
			usleep((useconds_t)c->slow_us);
	}
}

static void *
read_frames(void *arg)
{
	struct client *c = arg;
	unsigned rnd = c->seed, cut = c->seed + 1;
	uint8_t *want = malloc(HEADER + MAX_BYTES), *got = malloc(HEADER + MAX_BYTES);

	for (int n = 0; n < c->frames; n++) {
		uint32_t len = make_frame(c, n, &rnd, want);

		recv_all(c, got, len, &cut);
		if (memcmp(want, got, len) != 0) {
			fprintf(stderr, "client %u: frame %d came back different\n", c->seed, n);
			abort();
		}
	}
	free(want);
	free(got);
	return NULL;
}

static void
start_client(struct client *c)
{
	c->fd = dial();
	pthread_create(&c->writer, NULL, write_frames, c);
	pthread_create(&c->reader, NULL, read_frames, c);
}

static void
end_client(struct client *c)
{
	pthread_join(c->writer, NULL);
	pthread_join(c->reader, NULL);
	cr_assert(ge(u64, c->bytes, (uint64_t)c->frames * HEADER));
	close(c->fd);
}

HELPER void
one_client(struct client c)
{
	start_client(&c);
	end_client(&c);
}

HELPER void
send_part(int fd, char kind, uint32_t len, uint32_t payload)
{
	static uint8_t buf[HEADER + MAX_BYTES];
	unsigned rnd = 1;

	buf[0] = (uint8_t)kind;
	buf[1] = (uint8_t)(len >> 16);
	buf[2] = (uint8_t)(len >> 8);
	buf[3] = (uint8_t)len;
	send_all(fd, buf, HEADER + payload, 0, &rnd);
}

#endif
