/* SPDX-License-Identifier: Apache-2.0 */
/* The list of clients for `status`: every core is asked for its connections, core 0 for the mounts too. */
#include <arpa/inet.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/session.h"
#include "reactor/reactor.h"

#define ANSWER_S 5

struct row {
	struct sockaddr_storage addr; /* port 0 */
	uint64_t ops, bytes_in, bytes_out;
	uint32_t ncalls;
};

/* Asks one core after the other, so nothing in it is shared at any time. */
struct ask {
	struct shard_msg msg;
	sem_t done;
	atomic_bool abandoned; /* set by who ends second: he frees it */
	struct row *row;
	uint32_t nrows, max_rows;
	struct mounts mounts;
};

static void
ask_free(struct ask *a)
{
	sem_destroy(&a->done);
	free(a->row);
	free(a);
}

static void
without_port(struct sockaddr_storage *out, const struct sockaddr_storage *peer)
{
	/* Only what identifies the host, so that rows can be compared as bytes. */
	memset(out, 0, sizeof *out);
	out->ss_family = peer->ss_family;
	if (peer->ss_family == AF_INET6)
		((struct sockaddr_in6 *)out)->sin6_addr = ((const struct sockaddr_in6 *)peer)->sin6_addr;
	else
		((struct sockaddr_in *)out)->sin_addr = ((const struct sockaddr_in *)peer)->sin_addr;
}

static void
answer(struct shard_msg *m)
{
	struct ask *a = container_of(m, struct ask, msg);
	struct proto_core *here = proto_here();

	for (struct session *s = here->first_session; s && a->nrows < a->max_rows; s = s->next) {
		struct row *r = &a->row[a->nrows];

		if (s->closed)
			continue;
		without_port(&r->addr, conn_peer(s->conn));
		r->ops = s->ops;
		r->bytes_in = s->bytes_in;
		r->bytes_out = s->bytes_out;
		r->ncalls = s->ncalls;
		a->nrows++;
	}
	if (here->mounts)
		a->mounts = *here->mounts;
	if (atomic_exchange(&a->abandoned, true))
		ask_free(a);
	else
		sem_post(&a->done);
}

static int
by_addr(const void *x, const void *y)
{
	const struct row *a = x, *b = y;

	return memcmp(&a->addr, &b->addr, sizeof a->addr);
}

static void
host_of(const struct sockaddr_storage *a, char out[46])
{
	const void *raw = a->ss_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)a)->sin6_addr
	                                           : (const void *)&((const struct sockaddr_in *)a)->sin_addr;

	if (!inet_ntop(a->ss_family, raw, out, 46))
		snprintf(out, 46, "?");
}

static void
add_mount(struct server_client *c, const char *dir)
{
	if (c->nmounts < SERVER_MOUNTS_SHOWN)
		snprintf(c->mount[c->nmounts], sizeof c->mount[0], "%s", dir);
	c->nmounts++;
}

/* A client that has mounts and no connection now is a client too. */
static struct server_client *
client_of(struct server_client *out, int *n, int max, const char *host)
{
	struct server_client *c;
	char have[46];

	for (int i = 0; i < *n; i++) {
		host_of(&out[i].addr, have);
		if (strcmp(have, host) == 0)
			return &out[i];
	}
	if (*n == max)
		return NULL;
	c = &out[(*n)++];
	*c = (struct server_client){ .conns = 0 };
	if (inet_pton(AF_INET, host, &((struct sockaddr_in *)&c->addr)->sin_addr) == 1)
		c->addr.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &((struct sockaddr_in6 *)&c->addr)->sin6_addr) == 1)
		c->addr.ss_family = AF_INET6;
	return c;
}

static int
sum_up(struct ask *a, struct server_client *out, int max)
{
	int n = 0;

	qsort(a->row, a->nrows, sizeof *a->row, by_addr);
	for (uint32_t i = 0; i < a->nrows; i++) {
		const struct row *r = &a->row[i];

		if (i == 0 || by_addr(r, r - 1) != 0) {
			if (n == max)
				break;
			out[n++] = (struct server_client){ .addr = r->addr };
		}
		out[n - 1].conns++;
		out[n - 1].ops += r->ops;
		out[n - 1].bytes_in += r->bytes_in;
		out[n - 1].bytes_out += r->bytes_out;
		out[n - 1].calls_now += r->ncalls;
	}
	for (int i = 0; i < a->mounts.n; i++) {
		struct server_client *c = client_of(out, &n, max, a->mounts.list[i].host);

		if (c)
			add_mount(c, a->mounts.list[i].dir);
	}
	return n;
}

static struct ask *
ask_new(uint32_t max_rows)
{
	struct ask *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	a->row = calloc(max_rows, sizeof *a->row);
	if (!a->row) {
		free(a);
		return NULL;
	}
	a->max_rows = max_rows;
	a->msg.run = answer;
	sem_init(&a->done, 0, 0);
	return a;
}

int
server_clients(struct server_client *out, int max)
{
	struct ask *a = ask_new((uint32_t)reactor_cores() * 4096);
	struct timespec until;
	int n;

	if (!a)
		return -ENOMEM;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += ANSWER_S;
	for (int core = 0; core < reactor_cores(); core++) {
		atomic_store(&a->abandoned, false);
		shard_post(core, &a->msg);
		while (sem_timedwait(&a->done, &until) < 0) {
			if (errno == EINTR)
				continue;
			if (!atomic_exchange(&a->abandoned, true))
				return -ETIMEDOUT; /* the core frees it when it comes to it */
			until.tv_sec += ANSWER_S; /* it is posting just now */
		}
	}
	n = sum_up(a, out, max);
	ask_free(a);
	return n;
}
