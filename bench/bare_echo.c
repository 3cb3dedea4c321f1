/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can this machine do with calls of that size at best?  An io_uring echo without reactor,
 * RPC or NFS: answers of a lap gathered into one send per connection, requests likewise.
 *
 *   bare_echo [--request BYTES] [--answer BYTES] [--depth N] [--conns N] [--threads N]
 *             [--seconds S] [--poll US]       server threads here, the client a process beside
 *   bare_echo --rpc PORT [--reply PROCEDURE] [--conns N] ...
 *                                             instead an RPC server whose every answer is the
 *                                             same success, ready made, of null, getattr, lookup
 *                                             or read (4 KiB): for `load --canned`, so that two
 *                                             servers can be compared under one client
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "bench/lib/sock.h"
#include "bench/lib/uring.h"

enum {
	CONNS = 256, THREADS = 16, BUFS = 64, BUF_BYTES = 64 << 10, OUT_BYTES = 256 << 10,
	RPC_WORDS = 7, ATTR_WORDS = 21, FH_BYTES = 32, READ_BYTES = 4096,
	REPLY_BYTES = READ_BYTES + 256,
	SEND = 1 << 16,  /* in user_data: it is a send's completion */
};

static struct {
	uint32_t request, answer, depth, conns, threads, poll_us;
	uint16_t rpc_port;
	double seconds, warm;
	const char *reply;
} o = { 128, 116, 64, 4, 1, 50, 0, 1, 0.2, "null" };

struct peer {
	int fd;
	bool sending, closed;
	uint32_t part;      /* bytes of the message that is not complete */
	uint32_t ready;     /* bytes that may be sent */
	uint32_t under_way; /* bytes of the send that runs */
	uint8_t head[8];    /* mark and xid of a call in pieces */
	uint32_t left;      /* of that call, behind the mark; 0: the mark is due */
	uint8_t *out[2];    /* what is gathered, what is being sent */
};

struct side {
	struct uring u;
	struct peer peer[CONNS];
	uint32_t npeers, open;
	uint32_t in_bytes, out_bytes; /* a message in, a message out */
	bool rpc;
	atomic_ulong *count; /* messages in; may be NULL */
};

static const uint8_t nothing[OUT_BYTES];
static uint8_t reply[REPLY_BYTES]; /* for --rpc: an answer as it goes out, but for its xid */
static uint32_t reply_bytes;

/* ---- the answers of --rpc: attributes, handles and data are zeros, as `load --canned` expects */

static uint32_t *
put_attr(uint32_t *w)
{
	w[0] = htonl(1); /* a file, of one link */
	w[2] = htonl(1);
	return w + ATTR_WORDS;
}

static uint32_t *
put_post_op(uint32_t *w)
{
	*w++ = htonl(1);
	return put_attr(w);
}

static void
reply_make(const char *procedure)
{
	uint32_t *start = (uint32_t *)(void *)reply, *w = start + RPC_WORDS;

	start[2] = htonl(1); /* REPLY; then accepted, no verifier, success: zeros */
	if (strcmp(procedure, "getattr") == 0) {
		w = put_attr(w + 1); /* behind the status, NFS3_OK */
	} else if (strcmp(procedure, "lookup") == 0) {
		w[1] = htonl(FH_BYTES);
		w = put_post_op(put_post_op(w + 2 + FH_BYTES / 4));
	} else if (strcmp(procedure, "read") == 0) {
		w = put_post_op(w + 1);
		w[0] = w[2] = htonl(READ_BYTES);
		w += 3 + READ_BYTES / 4;
	} else if (strcmp(procedure, "null") != 0) {
		measure_fail(procedure, EINVAL);
	}
	reply_bytes = (uint32_t)(w - start) * 4;
	start[0] = htonl(0x80000000u | (reply_bytes - 4));
}

/* Filled with answers, so that nothing but their xids is written when they are due. */
static uint8_t *
replies_new(void)
{
	uint8_t *b = malloc(OUT_BYTES);

	if (!b)
		measure_fail("memory", ENOMEM);
	for (uint32_t at = 0; at + reply_bytes <= OUT_BYTES; at += reply_bytes)
		memcpy(b + at, reply, reply_bytes);
	return b;
}

/* ---- one end, server or client: for each message that comes in one goes out */

static void
peer_send(struct side *s, uint32_t i)
{
	struct peer *p = &s->peer[i];
	struct io_uring_sqe *sqe;

	if (p->sending || p->ready == 0 || p->closed)
		return;
	p->under_way = p->ready;
	p->ready = 0;
	if (s->rpc) {
		uint8_t *full = p->out[0];

		p->out[0] = p->out[1];
		p->out[1] = full;
	}
	p->sending = true;
	sqe = uring_sqe(&s->u);
	io_uring_prep_send(sqe, p->fd, s->rpc ? p->out[1] : nothing, p->under_way, MSG_WAITALL | MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, i | SEND);
}

static void
rpc_answer(struct peer *p)
{
	if (p->ready + reply_bytes > OUT_BYTES)
		measure_fail("more calls than an echo has room for", 0);
	memcpy(p->out[0] + p->ready + 4, p->head + 4, 4);
	p->ready += reply_bytes;
}

/* Records of any length; only the xid is looked at. */
static uint32_t
rpc_input(struct peer *p, const uint8_t *b, uint32_t len)
{
	uint32_t n = 0, messages = 0, mark;

	while (n < len) {
		if (p->part < 8) {
			p->head[p->part++] = b[n++];
			if (p->part == 8) {
				memcpy(&mark, p->head, 4);
				p->left = (ntohl(mark) & 0x7fffffffu) - 4;
			}
			continue;
		}
		uint32_t take = len - n < p->left ? len - n : p->left;

		n += take;
		p->left -= take;
		if (p->left == 0) {
			p->part = 0;
			rpc_answer(p);
			messages++;
		}
	}
	return messages;
}

static void
peer_input(struct side *s, struct peer *p, const uint8_t *b, uint32_t len)
{
	uint32_t messages;

	if (s->rpc) {
		messages = rpc_input(p, b, len);
	} else {
		p->part += len;
		messages = p->part / s->in_bytes;
		p->part %= s->in_bytes;
		p->ready += messages * s->out_bytes;
	}
	if (s->count)
		atomic_store_explicit(s->count, atomic_load_explicit(s->count, memory_order_relaxed) + messages,
		                      memory_order_relaxed);
}

static void
side_cqe(struct side *s, const struct io_uring_cqe *cqe)
{
	uint32_t i = (uint32_t)cqe->user_data & (SEND - 1);
	struct peer *p = &s->peer[i];

	if (cqe->user_data & SEND) {
		p->sending = false;
		if (cqe->res != (int)p->under_way)
			p->closed = true;
		return;
	}
	if (cqe->res > 0)
		peer_input(s, p, uring_buf(&s->u, cqe), (uint32_t)cqe->res);
	uring_buf_put(&s->u, cqe);
	if (cqe->flags & IORING_CQE_F_MORE)
		return;
	if (cqe->res > 0 || cqe->res == -ENOBUFS) {
		uring_recv(&s->u, p->fd, i);
		return;
	}
	p->closed = true;
	s->open--;
}

/* Until all connections are closed. */
static void
side_run(struct side *s)
{
	struct io_uring_cqe *cqe;

	uring_init(&s->u, BUFS, BUF_BYTES, o.poll_us);
	s->open = s->npeers;
	for (uint32_t i = 0; i < s->npeers; i++) {
		uring_recv(&s->u, s->peer[i].fd, i);
		for (int k = 0; s->rpc && k < 2; k++)
			if (!s->peer[i].out[k])
				s->peer[i].out[k] = replies_new();
	}
	while (s->open) {
		unsigned head, n = 0;

		for (uint32_t i = 0; i < s->npeers; i++)
			peer_send(s, i);
		uring_wait(&s->u, 100);
		io_uring_for_each_cqe(&s->u.ring, head, cqe) {
			side_cqe(s, cqe);
			n++;
		}
		io_uring_cq_advance(&s->u.ring, n);
	}
	uring_fini(&s->u);
}

static void *
side_thread(void *arg)
{
	side_run(arg);
	return NULL;
}

/* ---- the client: a process, so that its CPU is its own */

static void
client(const struct sockaddr_in *addr, atomic_ulong *count)
{
	static struct side s;

	s.npeers = o.conns;
	s.in_bytes = o.answer;
	s.out_bytes = o.request;
	s.count = count;
	o.poll_us = 0;
	for (uint32_t i = 0; i < o.conns; i++) {
		s.peer[i].fd = sock_dial(addr);
		s.peer[i].ready = (o.depth / o.conns + (i < o.depth % o.conns)) * o.request;
	}
	side_run(&s);
}

/* Takes o.conns connections and serves them, each thread its share. */
static void
serve(int listener, pthread_t thread[THREADS])
{
	static struct side side[THREADS];

	for (uint32_t t = 0; t < o.threads; t++) {
		side[t].npeers = 0;
		side[t].rpc = o.rpc_port != 0;
		side[t].in_bytes = o.request;
		side[t].out_bytes = o.answer;
	}
	for (uint32_t i = 0; i < o.conns; i++) {
		struct side *s = &side[i % o.threads];
		struct peer *p = &s->peer[s->npeers++];

		p->fd = sock_accept(listener);
		p->sending = p->closed = false;
		p->part = p->ready = 0;
	}
	for (uint32_t t = 0; t < o.threads; t++)
		if (pthread_create(&thread[t], NULL, side_thread, &side[t]) != 0)
			measure_fail("thread", EAGAIN);
}

static void
measure(int listener, const struct sockaddr_in *addr)
{
	atomic_ulong *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_t thread[THREADS];
	uint64_t t, server, other, n;
	pid_t pid = fork();
	double s;

	if (pid == 0) {
		close(listener);
		client(addr, count);
		_exit(0);
	}
	serve(listener, thread);
	measure_pause(o.warm);
	t = measure_now_ns();
	server = measure_cpu_ns(0);
	other = measure_cpu_ns((uint32_t)pid);
	n = atomic_load(count);
	measure_pause(o.seconds);
	n = atomic_load(count) - n;
	server = measure_cpu_ns(0) - server;
	other = measure_cpu_ns((uint32_t)pid) - other;
	s = (double)(measure_now_ns() - t) / 1e9;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (uint32_t i = 0; i < o.threads; i++)
		pthread_join(thread[i], NULL);
	if (n == 0)
		measure_fail("nothing came back", 0);
	json_begin();
	json_str("test", "echo");
	json_num("depth", o.depth, 0);
	json_num("conns", o.conns, 0);
	json_num("threads", o.threads, 0);
	json_num("request_bytes", o.request, 0);
	json_num("reply_bytes", o.answer, 0);
	json_num("seconds", s, 3);
	json_num("ops_per_s", (double)n / s, 1);
	json_num("server_cpu", (double)server / 1e9 / s, 3);
	json_num("client_cpu", (double)other / 1e9 / s, 3);
	json_num("server_us_per_op", (double)server / 1e3 / (double)n, 3);
	json_end();
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "request", 1, 0, 'q' }, { "answer", 1, 0, 'a' }, { "depth", 1, 0, 'd' }, { "conns", 1, 0, 'c' },
		{ "threads", 1, 0, 't' }, { "seconds", 1, 0, 's' }, { "poll", 1, 0, 'p' }, { "rpc", 1, 0, 'r' },
		{ "reply", 1, 0, 'y' },
		{ 0, 0, 0, 0 },
	};
	struct sockaddr_in addr = sock_loopback(0);
	pthread_t thread[THREADS];
	int c, listener;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'q': o.request = (uint32_t)atoi(optarg); break;
		case 'a': o.answer = (uint32_t)atoi(optarg); break;
		case 'd': o.depth = (uint32_t)atoi(optarg); break;
		case 'c': o.conns = (uint32_t)atoi(optarg); break;
		case 't': o.threads = (uint32_t)atoi(optarg); break;
		case 's': o.seconds = atof(optarg); break;
		case 'p': o.poll_us = (uint32_t)atoi(optarg); break;
		case 'r': o.rpc_port = (uint16_t)atoi(optarg); break;
		case 'y': o.reply = optarg; break;
		default: measure_fail("see the head of bench/bare_echo.c", EINVAL);
		}
	if (o.conns > o.depth)
		o.conns = o.depth;
	if (!o.request || !o.answer || !o.conns || o.conns > CONNS || !o.threads || o.threads > THREADS ||
	    (uint64_t)o.depth * (o.request > o.answer ? o.request : o.answer) / o.conns > OUT_BYTES)
		measure_fail("a number is out of range", ERANGE);
	signal(SIGPIPE, SIG_IGN);
	addr.sin_port = htons(o.rpc_port);
	listener = sock_listen(&addr, CONNS);
	if (!o.rpc_port) {
		measure(listener, &addr);
		return 0;
	}
	reply_make(o.reply);
	fprintf(stderr, "serving RPC on 127.0.0.1:%u\n", ntohs(addr.sin_port));
	for (;;) {
		serve(listener, thread);
		for (uint32_t i = 0; i < o.threads; i++)
			pthread_join(thread[i], NULL);
	}
}
