/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A live server on real cores and real sockets over the made-up meta/, and a
 * blocking client for it.  For tests/unit/test_server.c and tests/stress/.
 */
#ifndef TESTS_FAKE_PROTO_LIVE_H
#define TESTS_FAKE_PROTO_LIVE_H

#define FAKE_META_REAL_REACTOR
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include "proto/server.h"
#include "reactor/reactor.h"
#include "tests/fake/proto_msg.h"

static struct export live_export;
static struct server_opts live_opts;

static int
live_init(int core, void *arg)
{
	char *why = arg;

	return server_init(core, &live_opts, why);
}

static void
live_fini(int core, void *arg)
{
	(void)arg;
	server_fini(core); /* asserts that all pools are full */
}

/* 0, or -errno with a sentence; live_opts may be set before. */
static inline int
live_start(int cores, char why[256])
{
	const struct share_rec share = { .name = "/export", .id = 1, .root = 2 };
	struct reactor_opts r = {
		.cores = cores, .busy_poll_us = 20, .buf_bytes = (uint64_t)cores * 64 * MIB, .max_conns = 256,
		.init = live_init, .fini = live_fini, .arg = why,
	};
	struct sockaddr_in *in = (struct sockaddr_in *)&live_opts.addr;
	int err;

	export_init(&live_export, &share);
	live_opts.exports = &live_export;
	live_opts.nexports = 1;
	live_opts.volume = &client_volume;
	live_opts.congestion = "cubic";
	live_opts.max_conns = 256;
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	err = reactor_start(&r, why);
	if (err < 0)
		return err;
	err = server_start(why);
	if (err < 0) {
		reactor_stop();
		reactor_join();
	}
	return err;
}

static inline void
live_stop(uint32_t grace_ms)
{
	server_stop(grace_ms);
	reactor_stop();
	reactor_join();
}

/* ---- the client */

static inline int
live_connect(int rcvbuf)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(server_port()),
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (rcvbuf > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
	fake_need(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0, "cannot connect");
	return fd;
}

static inline bool
live_send(int fd, const void *p, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		p = (const uint8_t *)p + n;
		len -= (size_t)n;
	}
	return true;
}

static inline bool
live_recv(int fd, void *p, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, p, len, 0);

		if (n <= 0)
			return false;
		p = (uint8_t *)p + n;
		len -= (size_t)n;
	}
	return true;
}

/* A whole reply into buf; false: the connection is at its end. */
static inline bool
live_reply(int fd, uint8_t *buf, size_t cap, struct wire_in *r)
{
	uint8_t mark[4];
	uint32_t len;

	if (!live_recv(fd, mark, 4))
		return false;
	len = get_be32(mark) & 0x7fffffff;
	fake_need(len <= cap, "a long reply");
	if (!live_recv(fd, buf, len))
		return false;
	*r = (struct wire_in){ .p = buf, .end = buf + len };
	return true;
}

/* The xid of a successful reply, of which the status is `st`. */
static inline uint32_t
live_check(struct wire_in *r, uint32_t st)
{
	uint32_t xid = wire_get_u32(r);

	fake_need(wire_get_u32(r) == 1 && wire_get_u32(r) == 0 && wire_get_u64(r) == 0 && wire_get_u32(r) == 0,
	          "not accepted");
	fake_need(wire_get_u32(r) == st && !r->bad, "another status");
	return xid;
}

#endif
