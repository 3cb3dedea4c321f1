/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { CONNECT_MS = 60000 };

void
run_fail(struct run *r, uint32_t node, uint32_t other, const char *fmt, ...)
{
	va_list ap;

	if (r->failed)
		return;
	r->failed = true;
	fprintf(stderr, "FAIL seed %" PRIu64 " round %u: ", r->opt.seed, r->round);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	history_print(r->history, node, other);
}

int
run_mount(struct run *r, struct nfs_fh *root)
{
	struct sockaddr_in addr = r->server.addr;
	struct rpc_conn conn;
	int err;

	addr.sin_port = htons((uint16_t)(ntohs(addr.sin_port) + r->opt.mount_offset));
	rpc_conn_init(&conn, &r->loop);
	conn.cred = &r->cred;
	err = rpc_conn_open(&conn, &addr);
	if (!err)
		err = nfs_mount(&conn, "/export", root, CONNECT_MS);
	rpc_conn_close(&conn);
	return err;
}

static void
lane_closed(struct rpc_conn *conn, int err)
{
	/* the round finds out by looking: a dead server is what this test is about */
	(void)conn;
	(void)err;
}

bool
run_connected(const struct run *r)
{
	for (uint32_t i = 0; i < LANES; i++)
		if (r->lane[i].conn.state != RPC_OPEN)
			return false;
	return true;
}

static int
lane_open(struct run *r, struct lane *lane)
{
	int err;

	lane->conn.cred = &r->cred;
	lane->conn.on_close = lane_closed;
	/* a client that reuses its port, as Linux does, and one that does not */
	if (rng_percent(&r->rng, 50))
		lane->conn.local_port = 0;
	err = rpc_conn_open(&lane->conn, &r->server.addr);
	if (err == -EADDRINUSE || err == -EADDRNOTAVAIL) {
		lane->conn.local_port = 0;
		err = rpc_conn_open(&lane->conn, &r->server.addr);
	}
	return err;
}

int
run_connect(struct run *r)
{
	uint64_t end = rpc_now_ns() + CONNECT_MS * 1000000ull;

	for (uint32_t i = 0; i < LANES; i++) {
		int err = lane_open(r, &r->lane[i]);

		if (err)
			return err;
	}
	r->stopping = true;
	while (!run_connected(r)) {
		rpc_loop_run(&r->loop, 10);
		for (uint32_t i = 0; i < LANES; i++)
			if (r->lane[i].conn.state == RPC_CLOSED)
				return -ECONNREFUSED;
		if (rpc_now_ns() > end)
			return -ETIMEDOUT;
	}
	for (uint32_t i = 0; i < LANES; i++)
		rpc_conn_keep_port(&r->lane[i].conn);
	return 0;
}

void
run_disconnect(struct run *r)
{
	for (uint32_t i = 0; i < LANES; i++)
		rpc_conn_close(&r->lane[i].conn);
}

void
run_drain(struct run *r)
{
	uint64_t end = rpc_now_ns() + 2000000000u;
	bool open = true;

	r->stopping = true;
	while (open && rpc_now_ns() < end) {
		rpc_loop_run(&r->loop, 5);
		open = false;
		for (uint32_t i = 0; i < LANES; i++)
			open |= r->lane[i].conn.state != RPC_CLOSED;
	}
	run_disconnect(r);
}

int
run_settle(struct run *r, int timeout_ms)
{
	uint64_t end = rpc_now_ns() + (uint64_t)timeout_ms * 1000000u;

	r->stopping = true;
	while (act_in_air(r)) {
		rpc_loop_run(&r->loop, 10);
		if (!run_connected(r))
			return -ECONNRESET;
		if (r->failed)
			return -1;
		if (rpc_now_ns() < end)
			continue;
		for (uint32_t i = 0; i < ACTS; i++)
			if (r->act[i].state == ACT_AIR)
				run_fail(r, r->act[i].n1 ? r->act[i].n1->id : 0, 0,
				         "%u calls have no answer after %d s, among them %s xid %08x",
				         act_in_air(r), timeout_ms / 1000,
				         nfs_proc_name(r->act[i].proc), r->act[i].call.xid);
		return -1;
	}
	return 0;
}

void
run_work(struct run *r, uint32_t ms)
{
	uint64_t end = rpc_now_ns() + ms * 1000000ull;

	r->stopping = false;
	while (!r->failed && run_connected(r) && rpc_now_ns() < end) {
		pick_fill(r);
		rpc_loop_run(&r->loop, 1);
	}
}
