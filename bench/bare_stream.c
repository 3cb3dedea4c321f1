/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast can payloads of 1 MiB go out and come in here, with nothing around them?
 *
 *   bare_stream send|recv [--conns N] [--bytes N] [--head N] [--seconds S]
 *
 * send: this side sends head and payload from memory (MSG_MORE, send), as a READ's answer leaves;
 * recv: it receives head and payload straight into their place, as a WRITE's call comes in.
 * The other side is a process of its own that does the opposite with plain calls.  Blocking
 * sockets, a thread per connection; one by default.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "bench/lib/sock.h"

enum { CONNS = 64, BUFFERS = 64 };

static struct {
	uint32_t conns, bytes, head;
	double seconds, warm;
} o = { 1, 1 << 20, 128, 1, 0.2 };

static atomic_ulong moved;

/* A payload goes round many buffers: a cache of files is not in the processor's cache. */
static uint8_t *
memory(void)
{
	uint8_t *p = aligned_alloc(4096, (size_t)BUFFERS * o.bytes);

	if (!p)
		measure_fail("memory", ENOMEM);
	memset(p, 5, (size_t)BUFFERS * o.bytes);
	return p;
}

static bool
send_all(int fd, const uint8_t *p, size_t n, int flags)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, flags | MSG_NOSIGNAL);

		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static void *
sender(void *arg)
{
	int fd = *(int *)arg;
	uint8_t *p = memory();
	static const uint8_t head[4096];

	for (uint32_t i = 0; send_all(fd, head, o.head, MSG_MORE) && send_all(fd, p + (size_t)(i % BUFFERS) * o.bytes, o.bytes, 0); i++)
		atomic_fetch_add_explicit(&moved, o.bytes, memory_order_relaxed);
	return NULL;
}

static void *
receiver(void *arg)
{
	int fd = *(int *)arg;
	uint8_t *p = memory(), head[4096];

	for (uint32_t i = 0; recv(fd, head, o.head, MSG_WAITALL) == (ssize_t)o.head &&
	     recv(fd, p + (size_t)(i % BUFFERS) * o.bytes, o.bytes, MSG_WAITALL) == (ssize_t)o.bytes; i++)
		atomic_fetch_add_explicit(&moved, o.bytes, memory_order_relaxed);
	return NULL;
}

static void
start(int fds[CONNS], void *(*run)(void *))
{
	pthread_t t;

	for (uint32_t i = 0; i < o.conns; i++)
		if (pthread_create(&t, NULL, run, &fds[i]) != 0)
			measure_fail("thread", EAGAIN);
}

static void
measure(const char *what, int fds[CONNS], pid_t other, bool sends)
{
	uint64_t t, n, ours, theirs;
	double s;

	start(fds, sends ? sender : receiver);
	measure_pause(o.warm);
	t = measure_now_ns();
	n = atomic_load(&moved);
	ours = measure_cpu_ns(0);
	theirs = measure_cpu_ns((uint32_t)other);
	measure_pause(o.seconds);
	n = atomic_load(&moved) - n;
	ours = measure_cpu_ns(0) - ours;
	theirs = measure_cpu_ns((uint32_t)other) - theirs;
	s = (double)(measure_now_ns() - t) / 1e9;
	json_begin();
	json_str("test", what);
	json_num("conns", o.conns, 0);
	json_num("bytes", o.bytes, 0);
	json_num("seconds", s, 3);
	json_num("ops_per_s", (double)n / o.bytes / s, 1);
	json_num("mb_per_s", (double)n / 1e6 / s, 2);
	json_num("server_cpu", (double)ours / 1e9 / s, 3);
	json_num("client_cpu", (double)theirs / 1e9 / s, 3);
	json_end();
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "conns", 1, 0, 'c' }, { "bytes", 1, 0, 'b' }, { "head", 1, 0, 'h' }, { "seconds", 1, 0, 's' }, { 0, 0, 0, 0 },
	};
	struct sockaddr_in addr = sock_loopback(0);
	int c, fds[CONNS], listener;
	bool sends;
	pid_t pid;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'c': o.conns = (uint32_t)atoi(optarg); break;
		case 'b': o.bytes = (uint32_t)atoi(optarg); break;
		case 'h': o.head = (uint32_t)atoi(optarg); break;
		case 's': o.seconds = atof(optarg); break;
		default: measure_fail("see the head of bench/bare_stream.c", EINVAL);
		}
	if (optind + 1 != argc || o.conns < 1 || o.conns > CONNS || o.head < 1 || o.head > 4096 || !o.bytes || o.bytes % 4096)
		measure_fail("see the head of bench/bare_stream.c", EINVAL);
	sends = strcmp(argv[optind], "send") == 0;
	listener = sock_listen(&addr, CONNS);
	pid = fork();
	for (uint32_t i = 0; i < o.conns; i++)
		fds[i] = pid == 0 ? sock_dial(&addr) : sock_accept(listener);
	if (pid == 0) {
		start(fds, sends ? receiver : sender);
		for (;;)
			pause();
	}
	measure(argv[optind], fds, pid, sends);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	_exit(0); /* the threads are in their calls */
}
