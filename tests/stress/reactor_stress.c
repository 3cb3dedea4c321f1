/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that a reactor does, at once, for the thread and address sanitizers:
 *
 *	reactor_stress [SECONDS [CORES]]
 *
 * Clients send blocks; the server takes each into buffers, writes it to a file,
 * reads it back, sometimes waits for a timer or a worker, and sends it home.
 * Every byte is checked.  Then the end comes while all that is under way, and
 * asserts that every pool is full; and so on with other numbers of cores.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/disk.h"
#include "reactor/log.h"
#include "reactor/net.h"
#include "reactor/worker.h"
#include "tests/fake/net_session.h"

#define CLIENTS   12
#define MAX_BUFS  4
#define MAX_BYTES (MAX_BUFS * BUF_LARGE_BYTES)
#define SLOTS     64 /* blocks under way on a core */

enum stage { GOT_BUFS, FILLED, WRITTEN, READ_BACK, WAITED, SENT };

struct session;

/* A block on its way. */
struct block {
	enum stage stage;
	struct session *s;
	uint32_t len, slot;
	int nbufs;
	struct buf *bufs[MAX_BUFS];
	struct buf_wait wait;
	struct iovec iov[MAX_BUFS + 1];
	uint8_t header[4];
	struct outmsg out;
	struct timer timer;
	struct work work;
	struct op op;
};

struct session {
	struct net_session net; /* held by each block */
	uint32_t have;
	uint8_t header[4];
};

static __thread struct slab blocks;
static __thread int file;
static __thread uint64_t free_slots; /* bit set */
static __thread unsigned rnd;
static _Atomic bool over;
static _Atomic uint64_t echoed, cut;

static void
finish(struct block *b)
{
	struct session *s = b->s;

	for (int i = 0; i < b->nbufs; i++)
		buf_put(b->bufs[i]);
	if (b->slot != SLOTS)
		free_slots |= 1ull << b->slot;
	slab_put(&blocks, b);
	session_put(&s->net);
}

static void
map(struct block *b, struct iovec *iov)
{
	for (int i = 0; i < b->nbufs; i++)
		iov[i] = (struct iovec){ b->bufs[i]->data,
		                         MIN(BUF_LARGE_BYTES, b->len - (uint32_t)i * BUF_LARGE_BYTES) };
}

static int
nap(struct work *w)
{
	(void)w;
	usleep(100);
	return 0;
}

static enum op_state
wait_somehow(struct block *b)
{
	switch (rand_r(&rnd) % 4) {
	case 0:
		timer_start(&b->timer, (uint64_t)(rand_r(&rnd) % 5) * 1000000, &b->op);
		return OP_PENDING;
	case 1:
		return worker_run(&b->work, nap, &b->op);
	default:
		return op_done(&b->op, 0);
	}
}

static void
step(struct op *op)
{
	struct block *b = container_of(op, struct block, op);
	struct conn *c = b->s->net.conn;
	uint64_t at = (uint64_t)b->slot * MAX_BYTES;

	switch (b->stage) {
	case GOT_BUFS:
		b->stage = FILLED;
		map(b, b->iov);
		if (conn_fill(c, b->iov, b->nbufs, op) == OP_PENDING)
			return;
		fallthrough;
	case FILLED:
		conn_resume(c);
		if (op->res < 0)
			break;
		b->stage = WRITTEN;
		map(b, b->iov);
		if (disk_writev(file, b->iov, b->nbufs, at, rand_r(&rnd) % 8 == 0, op) == OP_PENDING)
			return;
		fallthrough;
	case WRITTEN:
		assert(op->res == (int)b->len);
		for (int i = 0; i < b->nbufs; i++)
			memset(b->bufs[i]->data, 0, 64);
		b->stage = READ_BACK;
		map(b, b->iov);
		if (disk_readv(file, b->iov, b->nbufs, at, op) == OP_PENDING)
			return;
		fallthrough;
	case READ_BACK:
		assert(op->res == (int)b->len);
		b->stage = WAITED;
		if (wait_somehow(b) == OP_PENDING)
			return;
		fallthrough;
	case WAITED:
		b->stage = SENT;
		b->iov[0] = (struct iovec){ b->header, 4 };
		map(b, b->iov + 1);
		b->out = (struct outmsg){ .done = op, .iov = b->iov, .niov = 1 + b->nbufs,
		                          .len = 4 + b->len };
		conn_send(c, &b->out);
		return;
	case SENT:
		break;
	}
	finish(b);
}

static void
start_block(struct session *s)
{
	struct block *b = slab_get(&blocks);

	assert(b && free_slots); /* a client waits for its answer, and there are fewer clients */
	s->have = 0;
	s->net.refs++;
	*b = (struct block){ .s = s, .slot = (uint32_t)__builtin_ctzll(free_slots),
	                     .op.resume = step, .stage = GOT_BUFS };
	free_slots &= free_slots - 1;
	memcpy(b->header, s->header, 4);
	memcpy(&b->len, s->header, 4);
	assert(b->len > 0 && b->len <= MAX_BYTES);
	b->nbufs = (int)(ROUND_UP(b->len, BUF_LARGE_BYTES) / BUF_LARGE_BYTES);
	conn_pause(s->net.conn);
	if (buf_get_many(&b->wait, b->bufs, b->nbufs, BUF_LARGE, BUF_INGEST, &b->op) == OP_DONE)
		step(&b->op);
}

static size_t
session_input(struct conn *c, void *user, const uint8_t *p, size_t len)
{
	struct session *s = user;
	size_t used = 0;

	(void)c;
	while (used < len && s->have < 4)
		s->header[s->have++] = p[used++];
	if (s->have == 4)
		start_block(s);
	return used;
}

static const struct conn_vt vt = { session_open, session_input, session_closed };

static int
init(int core, void *arg)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct net_opts o = { .congestion = "cubic", .vt = &vt };
	char name[] = "/tmp/reactor_stress.XXXXXX", why[256];

	(void)arg;
	rnd = (unsigned)core + 1;
	memcpy(&o.addr, &in, sizeof(in));
	file = mkostemp(name, O_CLOEXEC);
	if (file < 0)
		return -errno;
	unlink(name);
	free_slots = UINT64_MAX;
	slab_init(&sessions, "sessions", sizeof(struct session), 64);
	slab_init(&blocks, "blocks", sizeof(struct block), SLOTS);
	return net_listen(&o, why);
}

static void
fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	slab_fini(&blocks);
	slab_fini(&sessions);
	close(file);
}

/* ---- clients */

static int
dial(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(net_port()),
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&in, sizeof(in)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
send_all(int fd, const uint8_t *p, size_t n, unsigned *seed)
{
	while (n > 0) {
		size_t some = 1 + (size_t)rand_r(seed) % 100000;
		ssize_t did = send(fd, p, MIN(n, some), MSG_NOSIGNAL);

		if (did <= 0)
			return false;
		p += did;
		n -= (size_t)did;
	}
	return true;
}

static bool
recv_all(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t did = recv(fd, p, n, 0);

		if (did <= 0)
			return false;
		p += did;
		n -= (size_t)did;
	}
	return true;
}

/* One connection, until it ends from either side. */
static void
talk(int fd, uint8_t *out, uint8_t *in, unsigned *seed)
{
	while (!atomic_load(&over)) {
		uint32_t big = rand_r(seed) % 3 ? 3000 : MAX_BYTES;
		uint32_t len = 1 + (uint32_t)rand_r(seed) % big;

		memcpy(out, &len, 4);
		for (uint32_t i = 0; i < len; i++)
			out[4 + i] = (uint8_t)(i * *seed >> 5);
		if (rand_r(seed) % 50 == 0) {
			(void)send_all(fd, out, 4 + len / 2, seed); /* and leaves */
			return;
		}
		if (!send_all(fd, out, 4 + len, seed) || !recv_all(fd, in, 4 + len)) {
			atomic_fetch_add(&cut, 1);
			return;
		}
		if (memcmp(out, in, 4 + len) != 0) {
			fprintf(stderr, "%u bytes came back different\n", len);
			abort();
		}
		atomic_fetch_add_explicit(&echoed, 1, memory_order_relaxed);
	}
}

static void *
client(void *arg)
{
	unsigned seed = (unsigned)(intptr_t)arg;
	uint8_t *out = malloc(4 + MAX_BYTES), *in = malloc(4 + MAX_BYTES);

	while (!atomic_load(&over)) {
		int fd = dial();

		if (fd < 0)
			break;
		talk(fd, out, in, &seed);
		close(fd);
	}
	free(out);
	free(in);
	return NULL;
}

static void
round_of(int cores, bool registered, double seconds)
{
	struct reactor_opts o = {
		.cores = cores, .busy_poll_us = 20, .max_conns = 32, .recv_bufs = 8,
		.recv_buf_bytes = 4096, .touch = registered, .init = init, .fini = fini,
		.buf_bytes = (uint64_t)cores * MIB, /* so little that clients wait for it */
	};
	pthread_t t[CLIENTS];
	char why[256];

	atomic_store(&over, false);
	echoed = cut = 0;
	if (reactor_start(&o, why) < 0) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_create(&t[i], NULL, client, (void *)(intptr_t)(i + 1));
	usleep((useconds_t)(seconds * 1e6));
	reactor_stop(); /* in the middle of it */
	reactor_join();
	atomic_store(&over, true);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(t[i], NULL);
	printf("%d cores, buffers %s: %llu blocks echoed, %llu connections cut at the end\n", cores,
	       registered ? "registered" : "plain", (unsigned long long)echoed,
	       (unsigned long long)cut);
	assert(echoed > 0);
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 6;
	int cores = argc > 2 ? atoi(argv[2]) : 4;

	log_set_level(LOG_ERROR); /* under a sanitizer every lap is slow */
	round_of(cores, false, seconds / 4);
	round_of(2, true, seconds / 4);
	round_of(1, true, seconds / 4);
	for (int i = 0; i < 10; i++)
		round_of(1 + i % 3, i % 2, seconds / 40);
	return 0;
}
