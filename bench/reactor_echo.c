/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does a round trip through the reactor cost?  128-byte requests, 112-byte
 * answers over loopback: reactor_echo [CORES [SECONDS [BUSY_POLL_US]]].
 * The client is a plain thread of another process, on the last CPU, that polls
 * its sockets and keeps `outstanding` requests under way on each.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
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

#define REQUEST 128
#define ANSWER  112
#define MAX_OUT 64

static const uint8_t answer[ANSWER];
static __thread struct slab sessions, replies;

/* ---- server */

struct session {
	uint32_t part; /* bytes of a request that is not complete */
};

struct reply {
	struct outmsg msg;
	struct iovec iov;
	struct op done;
};

static void
reply_done(struct op *op)
{
	slab_put(&replies, container_of(op, struct reply, done));
}

static void *
echo_open(struct conn *c, const struct sockaddr_storage *peer)
{
	struct session *s = slab_get(&sessions);

	(void)c;
	(void)peer;
	if (s)
		s->part = 0;
	return s;
}

static size_t
echo_input(struct conn *c, void *user, const uint8_t *p, size_t len)
{
	struct session *s = user;

	(void)p;
	for (s->part += (uint32_t)len; s->part >= REQUEST; s->part -= REQUEST) {
		struct reply *r = slab_get(&replies);

		assert(r);
		r->iov = (struct iovec){ (void *)(uintptr_t)answer, ANSWER };
		r->done.resume = reply_done;
		r->msg = (struct outmsg){ .done = &r->done, .iov = &r->iov, .niov = 1, .len = ANSWER };
		conn_send(c, &r->msg);
	}
	return len;
}

static void
echo_closed(struct conn *c, void *user)
{
	(void)c;
	slab_put(&sessions, user);
}

static const struct conn_vt echo_vt = { echo_open, echo_input, echo_closed };

static int
core_init(int core, void *arg)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct net_opts o = { .congestion = "cubic", .vt = &echo_vt };
	char why[256];
	int err;

	(void)core;
	(void)arg;
	memcpy(&o.addr, &in, sizeof(in));
	err = slab_init(&sessions, "sessions", sizeof(struct session), 1024);
	if (err == 0)
		err = slab_init(&replies, "replies", sizeof(struct reply), 1024 * MAX_OUT);
	if (err == 0 && (err = net_listen(&o, why)) < 0)
		fprintf(stderr, "%s\n", why);
	return err;
}

static void
core_fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	slab_fini(&replies);
	slab_fini(&sessions);
}

/* ---- client */

static double
now(void)
{
	return (double)measure_now_ns() / 1e9;
}

static void
client(uint16_t port, int conns, int outstanding, double seconds)
{
	const struct sockaddr_in addr = sock_loopback(port);
	static uint8_t out[REQUEST * MAX_OUT], in[65536];
	int fd[1024], part[1024] = { 0 };
	double start, end;
	uint64_t n = 0;

	for (int i = 0; i < conns; i++)
		fd[i] = sock_dial(&addr);
	start = now();
	for (int i = 0; i < conns; i++)
		if (send(fd[i], out, (size_t)(REQUEST * outstanding), 0) < 0)
			_exit(1);
	while ((end = now()) < start + seconds)
		for (int i = 0; i < conns; i++) {
			ssize_t got = recv(fd[i], in, sizeof(in), MSG_DONTWAIT);
			int whole;

			if (got < 0)
				continue;
			part[i] += (int)got;
			whole = part[i] / ANSWER;
			part[i] %= ANSWER;
			n += (uint64_t)whole;
			if (got == 0 || (whole > 0 && send(fd[i], out, (size_t)(REQUEST * whole), 0) < 0))
				_exit(1);
		}
	printf("%3d x %2d  %8.0f ops/s\n", conns, outstanding, (double)n / (end - start));
	fflush(stdout);
	_exit(0);
}

static void
run_client(uint16_t port, int conns, int outstanding, double seconds)
{
	pid_t pid;
	cpu_set_t last;
	int status;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		CPU_ZERO(&last);
		CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &last);
		sched_setaffinity(0, sizeof(last), &last);
		client(port, conns, outstanding, seconds);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		exit(1);
}

int
main(int argc, char **argv)
{
	static const int plan[][2] = { { 1, 1 }, { 8, 1 }, { 8, 16 }, { 64, 64 } };
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	struct reactor_opts o = {
		.cores = argc > 1 ? atoi(argv[1]) : 1,
		.busy_poll_us = argc > 3 ? (uint32_t)atoi(argv[3]) : 50,
		.pin = true,
		.init = core_init,
		.fini = core_fini,
	};
	char why[256];

	if (reactor_start(&o, why) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	for (size_t i = 0; i < ARRAY_LEN(plan); i++) {
		struct reactor_stats a = *reactor_stats(0), b;

		run_client(net_port(), plan[i][0], plan[i][1], seconds);
		b = *reactor_stats(0);
		printf("          core 0: %.1f%% busy, %llu laps, %llu enters, %llu sleeps a second\n",
		       (double)(b.busy_ns - a.busy_ns) / seconds / 1e7,
		       (unsigned long long)((double)(b.laps - a.laps) / seconds),
		       (unsigned long long)((double)(b.enters - a.enters) / seconds),
		       (unsigned long long)((double)(b.sleeps - a.sleeps) / seconds));
	}
	reactor_stop();
	reactor_join();
	return 0;
}
