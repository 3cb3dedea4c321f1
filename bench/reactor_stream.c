/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast do payloads come in and go out?  Writes are a 128-byte header and
 * 1 MiB that the server takes by conn_fill into payload buffers; reads are
 * answered with 112 bytes and 1 MiB from such buffers; nothing is stored.
 * reactor_stream [SECONDS [CONNECTIONS [BUSY_POLL_US]]], one core, over
 * loopback; the client is a process on the last CPU.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "bench/lib/sock.h"
#include "reactor/buf.h"
#include "reactor/net.h"
#include "reactor/reactor.h"
#include "tests/fake/net_session.h"

#define HEADER  128
#define ANSWER  112
#define PAYLOAD (1u << 20)
#define BUFS    (PAYLOAD / BUF_LARGE_BYTES)
#define DEPTH   4 /* requests under way on a connection */

/* ---- server */

struct session {
	struct net_session net; /* held by each call */
	uint8_t header[HEADER];
	uint32_t have;
};

struct call {
	struct session *s;
	struct buf *bufs[BUFS];
	struct iovec iov[BUFS + 1];
	struct outmsg out;
	struct op op;
};

static __thread struct slab calls;
static __thread struct buf *source[BUFS];
static const uint8_t answer[ANSWER];

static void
call_end(struct op *op)
{
	struct call *k = container_of(op, struct call, op);

	for (uint32_t i = 0; i < BUFS && k->bufs[i]; i++)
		buf_put(k->bufs[i]);
	session_put(&k->s->net);
	slab_put(&calls, k);
}

static void
reply(struct call *k, int niov)
{
	k->op.resume = call_end;
	k->iov[0] = (struct iovec){ (void *)(uintptr_t)answer, ANSWER };
	k->out = (struct outmsg){ .done = &k->op, .iov = k->iov, .niov = niov,
	                          .len = ANSWER + (niov > 1 ? PAYLOAD : 0) };
	conn_send(k->s->net.conn, &k->out);
}

static void
map(struct buf **bufs, struct iovec *iov)
{
	for (uint32_t i = 0; i < BUFS; i++)
		iov[i] = (struct iovec){ bufs[i]->data, BUF_LARGE_BYTES };
}

static void
filled(struct op *op)
{
	struct call *k = container_of(op, struct call, op);

	if (op->res < 0)
		call_end(op);
	else
		reply(k, 1);
}

static void
start_call(struct session *s)
{
	struct call *k = slab_get(&calls);

	assert(k);
	s->net.refs++;
	s->have = 0;
	*k = (struct call){ .s = s };
	if (s->header[0] == 'r') {
		map(source, k->iov + 1);
		reply(k, BUFS + 1);
		return;
	}
	for (uint32_t i = 0; i < BUFS; i++) {
		k->bufs[i] = buf_get(BUF_LARGE, BUF_DRAIN);
		assert(k->bufs[i]);
	}
	map(k->bufs, k->iov);
	k->op.resume = filled;
	if (conn_fill(s->net.conn, k->iov, BUFS, &k->op) == OP_DONE)
		filled(&k->op);
}

static size_t
stream_input(struct conn *c, void *user, const uint8_t *p, size_t len)
{
	struct session *s = user;
	size_t used = 0;

	(void)c;
	while (used < len) {
		size_t n = MIN(len - used, HEADER - s->have);

		memcpy(s->header + s->have, p + used, n);
		s->have += (uint32_t)n;
		used += n;
		if (s->have < HEADER)
			break;
		start_call(s);
		if (s->header[0] == 'w')
			break; /* what follows is for the fill */
	}
	return used;
}

static const struct conn_vt stream_vt = { session_open, stream_input, session_closed };

static int
core_init(int core, void *arg)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct net_opts o = { .congestion = "cubic", .vt = &stream_vt };
	char why[256];

	(void)core;
	(void)arg;
	memcpy(&o.addr, &in, sizeof(in));
	if (slab_init(&sessions, "sessions", sizeof(struct session), 64) < 0 ||
	    slab_init(&calls, "calls", sizeof(struct call), 64 * DEPTH) < 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < BUFS; i++)
		source[i] = buf_get(BUF_LARGE, BUF_DRAIN);
	return net_listen(&o, why);
}

static void
core_fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	for (uint32_t i = 0; i < BUFS; i++)
		buf_put(source[i]);
	slab_fini(&calls);
	slab_fini(&sessions);
}

/* ---- client */

static double
now(void)
{
	return (double)measure_now_ns() / 1e9;
}

/* Moves what the sockets take and give; `kind` 'r' or 'w'. */
static void
client(uint16_t port, char kind, int conns, double seconds)
{
	const struct sockaddr_in addr = sock_loopback(port);
	static uint8_t out[HEADER + PAYLOAD], in[PAYLOAD];
	size_t request = kind == 'w' ? HEADER + PAYLOAD : HEADER;
	size_t reply_bytes = kind == 'r' ? ANSWER + PAYLOAD : ANSWER;
	size_t sent[64] = { 0 }, got[64] = { 0 };
	struct pollfd p[64];
	double start = now(), end;
	uint64_t bytes = 0;

	out[0] = (uint8_t)kind;
	for (int i = 0; i < conns; i++)
		p[i].fd = sock_dial(&addr);
	while ((end = now()) < start + seconds) {
		for (int i = 0; i < conns; i++) {
			bool may_send = sent[i] / request < got[i] / reply_bytes + DEPTH;

			p[i].events = (short)(POLLIN | (may_send ? POLLOUT : 0));
		}
		poll(p, (nfds_t)conns, 100);
		for (int i = 0; i < conns; i++) {
			if (p[i].revents & POLLOUT) {
				size_t at = sent[i] % request;
				ssize_t n = send(p[i].fd, out + at, request - at, MSG_DONTWAIT);

				sent[i] += n > 0 ? (size_t)n : 0;
			}
			if (p[i].revents & POLLIN) {
				ssize_t n = recv(p[i].fd, in, sizeof(in), MSG_DONTWAIT);

				if (n == 0)
					_exit(1);
				got[i] += n > 0 ? (size_t)n : 0;
			}
		}
	}
	for (int i = 0; i < conns; i++)
		bytes += kind == 'w' ? sent[i] : got[i];
	printf("%s, %d connections: %.2f GB/s\n", kind == 'w' ? "write" : "read ", conns,
	       (double)bytes / (end - start) / 1e9);
	fflush(stdout);
	_exit(0);
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	int conns = argc > 2 ? atoi(argv[2]) : 1;
	struct reactor_opts o = {
		.cores = 1, .busy_poll_us = argc > 3 ? (uint32_t)atoi(argv[3]) : 50, .pin = true,
		.touch = true, .buf_bytes = 512 * MIB, .init = core_init, .fini = core_fini,
	};
	char why[256];

	if (reactor_start(&o, why) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	for (const char *kind = "wr"; *kind; kind++) {
		struct net_stats a = *net_stats(0), b;
		cpu_set_t last;
		int status;
		pid_t pid;

		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			CPU_ZERO(&last);
			CPU_SET((int)sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
			sched_setaffinity(0, sizeof(last), &last);
			client(net_port(), *kind, conns, seconds);
		}
		if (waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
		b = *net_stats(0);
		printf("    %llu receives, %llu sends\n", (unsigned long long)(b.recvs - a.recvs),
		       (unsigned long long)(b.sends - a.sends));
	}
	reactor_stop();
	reactor_join();
	return 0;
}
