/* SPDX-License-Identifier: Apache-2.0 */
/* Records of replies, whole or in pieces, as they come from a connection. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "tests/client/rpc_impl.h"

enum { READS_A_TURN = 4 }; /* of one socket, before others get their turn */

static struct rpc_block *
block_get(struct rpc_loop *loop)
{
	struct rpc_block *b = loop->spare;

	if (b)
		loop->spare = b->next;
	else if (!(b = malloc(sizeof(*b))))
		abort();
	b->want = RPC_MARK;
	b->in_mark = true;
	return b;
}

void
rpc_block_put(struct rpc_loop *loop, struct rpc_block *b)
{
	b->next = loop->spare;
	loop->spare = b;
}

/* The reply header up to the results (RFC 5531, 9). */
static int
reply_parse(struct rpc_call *call, struct wire_in *w)
{
	uint32_t len;

	if (wire_get_u32(w) != 1)            /* REPLY */
		return -EBADMSG;
	if (wire_get_u32(w) != 0) {          /* MSG_DENIED */
		call->accept_stat = UINT32_MAX;
		return w->bad ? -EBADMSG : -EPROTO;
	}
	wire_get_u32(w);                     /* verifier */
	wire_get_bytes(w, 400, &len);
	call->accept_stat = wire_get_u32(w);
	if (w->bad)
		return -EBADMSG;
	return call->accept_stat ? -EPROTO : 0;
}

static void
conn_deliver(struct rpc_conn *conn, const uint8_t *p, uint32_t len)
{
	struct rpc_loop *loop = conn->loop;
	struct wire_in w = { .p = p, .end = p + len };
	uint32_t xid = wire_get_u32(&w);
	struct rpc_call *call = loop->open[xid & loop->mask];

	/* an answer to half a call is none either */
	if (w.bad || !call || call->xid != xid || call->conn != conn || !call->sent) {
		loop->strays++;
		return;
	}
	rpc_call_unlink(call);
	conn->replies++;
	conn->last_reply_ns = loop->now_ns;
	call->res = reply_parse(call, &w);
	call->reply = w;
	call->done(call);
}

/* A step is due: the mark or the fragment is complete.  True while the record goes on. */
static bool
part_step(struct rpc_conn *conn)
{
	struct rpc_block *b = conn->part;
	uint32_t mark;

	while (conn->part_len == b->want) {
		if (!b->in_mark && b->last)
			return false;
		if (!b->in_mark) {
			b->in_mark = true;
			b->want += RPC_MARK;
			break;
		}
		memcpy(&mark, b->bytes + conn->part_len - RPC_MARK, RPC_MARK);
		mark = be32toh(mark);
		conn->part_len -= RPC_MARK;
		b->in_mark = false;
		b->last = mark & RPC_LAST_FRAGMENT;
		mark &= ~RPC_LAST_FRAGMENT;
		if (mark > RPC_RECORD_MAX - conn->part_len) {
			conn->loop->strays++;
			rpc_conn_fail(conn, -EBADMSG);
			return true;
		}
		b->want = conn->part_len + mark;
	}
	return true;
}

/* Takes bytes into the incomplete record, as many as it wants; delivers it when whole. */
static uint32_t
part_feed(struct rpc_conn *conn, const uint8_t *p, uint32_t len)
{
	struct rpc_block *b = conn->part;
	uint32_t n = b->want - conn->part_len;

	if (n > len)
		n = len;
	/* what was read straight into its place comes by with that place as p */
	if (n && p != b->bytes + conn->part_len)
		memcpy(b->bytes + conn->part_len, p, n);
	conn->part_len += n;
	if (part_step(conn))
		return n;
	conn->part = NULL;
	conn_deliver(conn, b->bytes, conn->part_len);
	rpc_block_put(conn->loop, b);
	return n;
}

/* Takes one record that lies whole in p, or what belongs to an incomplete one. */
static uint32_t
conn_take(struct rpc_conn *conn, const uint8_t *p, uint32_t len)
{
	uint32_t mark;

	if (!conn->part && len >= RPC_MARK) {
		memcpy(&mark, p, RPC_MARK);
		mark = be32toh(mark);
		if (mark & RPC_LAST_FRAGMENT && (mark & ~RPC_LAST_FRAGMENT) <= len - RPC_MARK) {
			conn_deliver(conn, p + RPC_MARK, mark & ~RPC_LAST_FRAGMENT);
			return RPC_MARK + (mark & ~RPC_LAST_FRAGMENT);
		}
	}
	if (!conn->part) {
		conn->part = block_get(conn->loop);
		conn->part_len = 0;
	}
	return part_feed(conn, p, len);
}

bool
rpc_conn_feed(struct rpc_conn *conn, const uint8_t *p, uint32_t len)
{
	int fd = conn->fd;

	conn->bytes_in += len;
	while (len > 0) {
		uint32_t n = conn_take(conn, p, len);

		if (conn->fd != fd || conn->state != RPC_OPEN)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

void
rpc_conn_read(struct rpc_conn *conn)
{
	struct rpc_loop *loop = conn->loop;

	for (int i = 0; i < READS_A_TURN && !conn->paused; i++) {
		struct iovec iov[2];
		uint32_t first = 0;
		int n = 0;
		ssize_t got;

		if (conn->part) {
			first = conn->part->want - conn->part_len;
			iov[n].iov_base = conn->part->bytes + conn->part_len;
			iov[n++].iov_len = first;
		}
		iov[n].iov_base = loop->scratch;
		iov[n++].iov_len = RPC_SCRATCH;
		got = readv(conn->fd, iov, n);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			rpc_conn_fail(conn, got < 0 ? -errno : 0);
			return;
		}
		if (first > (uint64_t)got)
			first = (uint32_t)got;
		if (first && !rpc_conn_feed(conn, iov[0].iov_base, first))
			return;
		if (!rpc_conn_feed(conn, loop->scratch, (uint32_t)got - first))
			return;
		if ((size_t)got < RPC_SCRATCH)
			return; /* the socket is empty, or epoll says so again */
	}
}
