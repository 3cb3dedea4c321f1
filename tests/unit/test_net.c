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
#include "tests/unit/oncore.h"

#define MS        1000000ull
#define HEADER    4u
#define MAX_BYTES (1u << 20)
#define MAX_BUFS  (MAX_BYTES / BUF_LARGE_BYTES)

/* ---- the server */

/* Why a session does not want input. */
enum { NO_FRAME = 1, NO_BUFS = 2, LATER = 4, UNSENT = 8 };

struct session {
	struct conn *conn;
	int refs; /* open, in line for a frame, and one for each frame */
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

static __thread struct slab sessions, frames;
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
	conn_pause(s->conn);
	pauses++;
}

static void
release_input(struct session *s, unsigned why)
{
	s->holds &= ~why;
	if (s->holds == 0)
		conn_resume(s->conn);
}

static void
session_put(struct session *s)
{
	struct conn *c = s->conn;

	if (--s->refs > 0)
		return;
	slab_put(&sessions, s);
	conn_put(c);
}

static void
stand_in_line(struct session *s)
{
	hold_input(s, NO_FRAME);
	s->refs++;
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
		session_put(s);
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
	session_put(s);
}

static void
frame_sent(struct op *op)
{
	struct frame *f = container_of(op, struct frame, op);

	if (op->res < 0)
		send_errors++;
	else
		assert(op->res == (int)(HEADER + f->len));
	if (conn_unsent(f->s->conn) <= unsent_limit)
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
	conn_send(f->s->conn, &f->out);
	if (conn_unsent(f->s->conn) > unsent_limit)
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
	assert(!conn_is_open(f->s->conn));
	free_frame(f);
}

static void
fill_frame(struct frame *f)
{
	f->op.resume = frame_filled;
	if (conn_fill(f->s->conn, f->iov, map_bufs(f, f->iov), &f->op) == OP_DONE)
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
	s->refs++;
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

	assert(s->conn == c && len > 0 && s->holds == 0);
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
	struct session *s = slab_get(&sessions);

	assert(peer->ss_family == AF_INET || peer->ss_family == AF_INET6);
	if (!s)
		return NULL;
	*s = (struct session){ .conn = conn_get(c), .refs = 1 };
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
	session_put(s);
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

static void
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

static void
one_client(struct client c)
{
	start_client(&c);
	end_client(&c);
}

/* ---- bytes */

Test(net, every_kind_in_any_split, .timeout = 60)
{
	static const char *const kinds[] = { "e", "f", "p", "efp" };
	static const uint32_t sends[] = { 1, 7, 1500, 20000, 0 };
	unsigned seed = 1;

	start(1);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		for (size_t s = 0; s < ARRAY_LEN(sends); s++)
			one_client((struct client){ .seed = seed++, .kinds = kinds[k], .frames = 64,
			                            .max_bytes = sends[s] == 1 ? 2000 : 70000,
			                            .max_send = sends[s], .max_recv = sends[s] });
	stop();
	cr_assert(eq(int, atomic_load(&fill_errors), 0));
	cr_assert(eq(int, atomic_load(&send_errors), 0));
}

/* The sizes at which a fill changes its way. */
Test(net, fills_around_each_threshold, .timeout = 60)
{
	static const uint32_t sizes[] = { 1, 511, 512, 513, 2047, 2048, 2049, 16383, 16384, 16385,
	                                  32767, 32768, 65535, 65536, 65537, 1 << 20 };

	start(1);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		one_client((struct client){ .seed = (unsigned)i, .kinds = "f", .frames = 40,
		                            .max_bytes = MIN(sizes[i], (1u << 20) - 1) });
	stop();
}

Test(net, streams_of_large_fills, .timeout = 60)
{
	uint64_t recvs;

	start(1);
	one_client((struct client){ .seed = 5, .kinds = "f", .frames = 0, .max_bytes = 1 });
	recvs = net_stats(0)->recvs;
	for (int i = 0; i < 4; i++)
		one_client((struct client){ .seed = (unsigned)i, .kinds = "fffe", .frames = 100,
		                            .max_bytes = (1 << 20) - 1 });
	recvs = net_stats(0)->recvs - recvs;
	/* Far less than one a buffer's worth: the payload came straight. */
	cr_assert(lt(u64, recvs, 4000));
	stop();
}

Test(net, many_connections_of_all_kinds_and_paces, .timeout = 120)
{
	enum { N = 100 };
	static struct client c[N];

	start(2);
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = i % 3 ? "efp" : "e", .frames = 60,
		                        .max_bytes = i % 10 ? 5000 : 300000,
		                        .max_send = i % 4 ? 0 : 1000, .max_recv = i % 5 ? 0 : 3000,
		                        .slow_us = i % 7 ? 0 : 1000 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	/* SO_REUSEPORT spreads them: that one core gets none of 100 has odds of 1 in 2^99. */
	cr_assert(gt(u64, net_stats(0)->accepted, 0));
	cr_assert(gt(u64, net_stats(1)->accepted, 0));
	cr_assert(eq(u64, net_stats(0)->accepted + net_stats(1)->accepted, N));
	stop();
}

/* The submission queue fills up in the middle of a lap, again and again. */
Test(net, a_ring_smaller_than_the_load, .timeout = 60)
{
	enum { N = 60 };
	static struct client c[N];

	start_with((struct reactor_opts){ .cores = 1, .ring_entries = 4, .max_conns = 64 });
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "ef", .frames = 200,
		                        .max_bytes = 3000 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	stop();
}

/* More work than there are frames: the clients wait, and all get their answers. */
Test(net, pauses_when_a_pool_is_empty, .timeout = 60)
{
	enum { N = 20 };
	static struct client c[N];

	frame_count = 3;
	start(1);
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "efp", .frames = 50,
		                        .max_bytes = 40000, .max_send = i % 2 ? 0 : 500 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	stop();
}

/* Floods of small frames on connections that are paused most of the time. */
Test(net, paused_connections_do_not_take_the_shared_buffers, .timeout = 60)
{
	enum { N = 40 };
	static struct client c[N];

	unsent_limit = 1000;
	start_with((struct reactor_opts){ .cores = 1, .busy_poll_us = 20, .max_conns = 64,
	                                  .recv_bufs = 4, .recv_buf_bytes = 4096 });
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "e", .frames = 1000,
		                        .max_bytes = 200, .slow_us = i % 4 ? 0 : 300 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	stop();
}

/* ---- ends */

static void
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

static void
reset(int fd)
{
	struct linger l = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

/* Clients that leave at every point, by close and by reset. */
Test(net, clients_that_leave, .timeout = 60)
{
	static const struct {
		char kind;
		uint32_t len, payload;
	} plan[] = {
		{ 'e', 1000, 0 },     { 'e', 1000, 500 },     { 'f', 1000, 500 },
		{ 'f', 1 << 19, 0 },  { 'f', 1 << 19, 1000 }, { 'f', 1 << 19, 1 << 18 },
		{ 'p', 1 << 19, 10 }, { 'p', 100000, 100000 }, { 'f', 1 << 19, 1 << 19 },
		{ 'e', 0, 0 },
	};

	start(1);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < ARRAY_LEN(plan); i++) {
			int fd = dial(), waits = round == 2;

			send_part(fd, plan[i].kind, plan[i].len, plan[i].payload);
			if (waits)
				usleep(5000);
			if (round % 2)
				reset(fd);
			else
				close(fd);
		}
	one_client((struct client){ .seed = 1, .kinds = "efp", .frames = 50, .max_bytes = 50000 });
	stop();
	/* Some had left before they were accepted. */
	cr_assert(ge(int, atomic_load(&opened), 2 * (int)ARRAY_LEN(plan) + 1));
	cr_assert(le(int, atomic_load(&opened), 3 * (int)ARRAY_LEN(plan) + 1));
	cr_assert(gt(int, atomic_load(&fill_errors), 0));
}

Test(net, the_server_closes, .timeout = 20)
{
	char c;

	start(1);
	for (int i = 0; i < 50; i++) {
		int fd = dial();

		send_part(fd, 'c', 0, 0);
		cr_assert(eq(int, (int)recv(fd, &c, 1, 0), 0));
		close(fd);
	}
	cr_assert(eq(int, atomic_load(&opened), 50));
	stop();
}

/* The end comes in the middle of everything. */
Test(net, the_end_closes_what_is_under_way, .timeout = 20)
{
	int fd[30];

	start(2);
	for (int i = 0; i < 30; i++) {
		fd[i] = dial();
		send_part(fd[i], "efp"[i % 3], 1 << 19, i % 2 ? 1 << 17 : 10);
	}
	usleep(20000);
	stop();
	for (int i = 0; i < 30; i++)
		close(fd[i]);
	cr_assert(eq(int, atomic_load(&opened), 30));
}

/* A client that sends and never reads, until the server has stopped to read as well. */
static int
dial_sleeper(void)
{
	static uint8_t frame[HEADER + 100000] = { 'e', 100000 >> 16, (100000 >> 8) & 0xff, 100000 & 0xff };
	int fd = dial(), small = 4096, refused = 0;
	size_t at = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (refused < 20) {
		ssize_t n = send(fd, frame + at, sizeof(frame) - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			at = (at + (size_t)n) % sizeof(frame); /* the next begins where this one ends */
		} else {
			refused++;
			usleep(5000);
		}
	}
	return fd;
}

/* What the server holds for it is bounded, and others go on. */
Test(net, a_reader_that_sleeps_stops_nobody_else, .timeout = 60)
{
	int fd;

	unsent_limit = MIB;
	start(1);
	fd = dial_sleeper();
	one_client((struct client){ .seed = 2, .kinds = "efp", .frames = 100, .max_bytes = 50000 });
	cr_assert(lt(u64, net_stats(0)->bytes_in, 30 * MIB));
	close(fd);
	stop();
}

/* The end while the kernel has a send that does not go on: its memory comes back after it. */
Test(net, the_end_cuts_sends_that_are_stuck, .timeout = 60)
{
	int fd[4];

	unsent_limit = MIB;
	start(2);
	for (int i = 0; i < 4; i++)
		fd[i] = dial_sleeper();
	stop();
	cr_assert(gt(int, atomic_load(&send_errors), 0));
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

Test(net, idle_connections_are_closed_and_active_ones_not, .timeout = 20)
{
	struct timespec t0, t1;
	int idle, busy;
	char c;

	server_opts.idle_timeout_ns = 300 * MS;
	start(1);
	idle = dial();
	busy = dial();
	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (int i = 0; i < 20; i++) {
		uint8_t back[4];

		send_part(busy, 'e', 0, 0);
		cr_assert(eq(int, (int)recv(busy, back, 4, MSG_WAITALL), 4));
		usleep(50000);
	}
	cr_assert(eq(int, (int)recv(idle, &c, 1, MSG_DONTWAIT), 0));
	cr_assert(eq(int, (int)recv(busy, &c, 1, 0), 0)); /* now silent, it is closed too */
	clock_gettime(CLOCK_MONOTONIC, &t1);
	cr_assert(lt(i64, t1.tv_sec - t0.tv_sec, 10));
	close(idle);
	close(busy);
	stop();
}

/* ---- listeners */

static struct reactor_opts
listen_only(int cores)
{
	return (struct reactor_opts){ .cores = cores, .buf_bytes = MIB, .max_conns = 8,
	                              .init = server_init, .fini = server_fini };
}

Test(net, more_clients_than_connections, .timeout = 60)
{
	enum { N = 4 + 16 }; /* as many again as the backlog holds */
	static struct client c[N];

	start_with((struct reactor_opts){ .cores = 1, .max_conns = 4 });
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "ef", .frames = 20,
		                        .max_bytes = 20000 };
		start_client(&c[i]);
	}
	/* Those in the backlog get their turn when others leave, whoever that is. */
	for (int left = N; left > 0;)
		for (int i = 0; i < N; i++)
			if (c[i].fd >= 0 && pthread_tryjoin_np(c[i].reader, NULL) == 0) {
				pthread_join(c[i].writer, NULL);
				close(c[i].fd);
				c[i].fd = -1;
				left--;
			}
	stop();
	cr_assert(eq(int, atomic_load(&opened), N));
}

/* No descriptor for an accept: the client waits, and is served when there is one again. */
Test(net, accepts_again_when_descriptors_are_back, .timeout = 20)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct rlimit lim = { 500, 500 };
	int taken[500], n = 0, fd;
	uint8_t back[4];

	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &lim), 0));
	start_with((struct reactor_opts){ .cores = 1, .max_conns = 8 });
	fd = socket(AF_INET, SOCK_STREAM, 0);
	while ((taken[n] = dup(0)) >= 0)
		n++;
	in.sin_port = htons(net_port());
	cr_assert(eq(int, connect(fd, (struct sockaddr *)&in, sizeof(in)), 0));
	send_part(fd, 'e', 0, 0);
	usleep(50000);
	cr_assert(eq(int, (int)recv(fd, back, 4, MSG_DONTWAIT), -1));
	cr_assert(eq(u64, net_stats(0)->accepted, 0));
	while (n > 0)
		close(taken[--n]);
	cr_assert(eq(int, (int)recv(fd, back, 4, MSG_WAITALL), 4));
	close(fd);
	stop();
}

static char listen_why[256];

static int
listen_fails(int core, void *arg)
{
	(void)core;
	(void)arg;
	server_opts.vt = &server_vt;
	return net_listen(&server_opts, listen_why);
}

static void
expect_listen(int err, const char *words)
{
	struct reactor_opts o = listen_only(1);
	char why[256];

	o.init = listen_fails;
	o.fini = NULL;
	cr_assert(eq(int, reactor_start(&o, why), err));
	cr_assert(ne(ptr, strstr(listen_why, words), NULL), "%s", listen_why);
}

Test(net, says_why_it_cannot_listen)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	/* Even one that would share the port. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	cr_assert(eq(int, bind(fd, (struct sockaddr *)&in, sizeof(in)), 0));
	cr_assert(eq(int, listen(fd, 1), 0));
	getsockname(fd, (struct sockaddr *)&in, &len);
	loopback(ntohs(in.sin_port));
	expect_listen(-EADDRINUSE, "taken");
	close(fd);

	in.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, for documentation */
	memcpy(&server_opts.addr, &in, sizeof(in));
	expect_listen(-EADDRNOTAVAIL, "192.0.2.1 is not an address");

	loopback(0);
	server_opts.congestion = "carrier-pigeon";
	expect_listen(-ENOENT, "carrier-pigeon");
}

static sa_family_t peer_family;

static void *
note_peer(struct conn *c, const struct sockaddr_storage *peer)
{
	(void)c;
	peer_family = peer->ss_family;
	return NULL; /* refused */
}

static const struct conn_vt refusing_vt = { note_peer, server_input, server_closed };

static int
refusing_init(int core, void *arg)
{
	(void)core;
	(void)arg;
	server_opts.vt = &refusing_vt;
	return net_listen(&server_opts, listen_why);
}

Test(net, an_ipv4_peer_of_an_ipv6_listener_is_ipv4_and_open_may_refuse)
{
	struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	struct reactor_opts o = listen_only(2);
	char why[256], c;
	int fd;

	o.init = refusing_init;
	o.fini = NULL;
	memcpy(&server_opts.addr, &in, sizeof(in));
	if (reactor_start(&o, why) < 0)
		cr_skip_test("no IPv6 here");
	fd = dial();
	cr_assert(eq(int, (int)recv(fd, &c, 1, 0), 0));
	cr_assert(eq(int, peer_family, AF_INET));
	close(fd);
	stop();
}

static struct op closed_op;
static struct timer close_timer;
static _Atomic int closed_res = 1;

static void
all_closed(struct op *op)
{
	closed_res = op->res;
	assert(net_stats(0)->open == 0);
	reactor_stop();
}

static void
close_them(struct op *op)
{
	op->resume = all_closed;
	net_stop_accepting();
	if (net_close_all(op) == OP_DONE)
		all_closed(op);
}

static int
closing_init(int core, void *arg)
{
	int err = server_init(core, arg);

	closed_op.resume = close_them;
	timer_start(&close_timer, 100 * MS, &closed_op);
	return err;
}

Test(net, close_all_says_when_none_is_left, .timeout = 20)
{
	struct reactor_opts o = listen_only(1);
	char why[256], c;
	int fd[5];

	loopback(0);
	o.init = closing_init;
	cr_assert(eq(int, reactor_start(&o, why), 0));
	for (int i = 0; i < 5; i++)
		fd[i] = dial();
	for (int i = 0; i < 5; i++)
		cr_assert(eq(int, (int)recv(fd[i], &c, 1, 0), 0));
	reactor_join();
	cr_assert(eq(int, atomic_load(&closed_res), 0));
	cr_assert(eq(int, atomic_load(&opened), 5));
	cr_assert(eq(int, atomic_load(&closed_calls), 5));
	for (int i = 0; i < 5; i++)
		close(fd[i]);
}
