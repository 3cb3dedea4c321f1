/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's connections on an io_uring: what small calls cost the client is mostly system calls,
 * and here a turn of the loop makes one, where epoll makes one to wait and two for each connection.
 * The ring lives as long as a test, on its thread; between tests the connections are the loop's.
 */
#include <errno.h>
#include <stdlib.h>

#include "bench/lib/uring.h"
#include "bench/load/load.h"
#include "tests/client/rpc_impl.h"

enum { BUFS = 16, BUF_BYTES = 64 << 10, SEND = 1 << 16 /* in user_data: it is a send's completion */ };

/* A connection's side of it. */
struct lane {
	uint32_t sending;   /* bytes of the send under way */
	bool receiving;
	struct msghdr msg;
	struct iovec iov[RPC_IOVS];
	uint8_t heads[RPC_GATHER];
};

struct ring {
	struct worker *w;
	struct uring u;
	struct lane *lane;  /* one a connection */
};

struct ring *
ring_new(struct worker *w)
{
	struct ring *r = malloc(sizeof(*r));

	if (!r || !(r->lane = calloc(w->nconns, sizeof(*r->lane))))
		measure_fail("memory", ENOMEM);
	r->w = w;
	uring_init(&r->u, BUFS, BUF_BYTES, 0);
	for (uint32_t i = 0; i < w->nconns; i++) {
		uring_recv(&r->u, w->conn[i].fd, i);
		r->lane[i].receiving = true;
	}
	return r;
}

/* One send of all that waits on that connection; what comes meanwhile is for the next one. */
static void
lane_send(struct ring *r, uint32_t i)
{
	struct rpc_conn *conn = &r->w->conn[i];
	struct lane *l = &r->lane[i];
	struct io_uring_sqe *sqe;

	if (l->sending || !conn->unsent)
		return;
	l->msg = (struct msghdr){ .msg_iov = l->iov };
	l->msg.msg_iovlen = (size_t)rpc_conn_gather(conn, l->heads, l->iov, &l->sending);
	/* said before it is true: the answer to the first may be here before the last is out */
	rpc_conn_sent(conn, l->sending);
	sqe = uring_sqe(&r->u);
	if (l->msg.msg_iovlen == 1)
		io_uring_prep_send(sqe, conn->fd, l->iov->iov_base, l->iov->iov_len, MSG_WAITALL | MSG_NOSIGNAL);
	else
		io_uring_prep_sendmsg(sqe, conn->fd, &l->msg, MSG_WAITALL | MSG_NOSIGNAL);
	io_uring_sqe_set_data64(sqe, i | SEND);
}

static void
lane_done(struct ring *r, const struct io_uring_cqe *cqe)
{
	uint32_t i = (uint32_t)cqe->user_data & (SEND - 1);
	struct rpc_conn *conn = &r->w->conn[i];
	struct lane *l = &r->lane[i];

	if (cqe->user_data & SEND) {
		if (cqe->res != (int)l->sending)
			measure_fail("send", cqe->res < 0 ? -cqe->res : 0);
		l->sending = 0;
		lane_send(r, i);
		return;
	}
	l->receiving = cqe->flags & IORING_CQE_F_MORE;
	if (cqe->res > 0 && !rpc_conn_feed(conn, uring_buf(&r->u, cqe), (uint32_t)cqe->res))
		measure_fail("a stream that RFC 5531 does not know", 0);
	uring_buf_put(&r->u, cqe);
	if (cqe->res == 0)
		measure_fail("the server closed a connection", 0);
	if (cqe->res < 0 && cqe->res != -ENOBUFS && cqe->res != -ECANCELED)
		measure_fail("receive", -cqe->res);
	if (!l->receiving && cqe->res != -ECANCELED) {
		uring_recv(&r->u, conn->fd, i);
		l->receiving = true;
	}
}

void
ring_run(struct ring *r, int timeout_ms)
{
	struct rpc_loop *loop = &r->w->loop;
	struct rpc_conn *conn;
	struct io_uring_cqe *cqe;
	unsigned head, n = 0;

	while ((conn = rpc_loop_dirty(loop)) != NULL)
		lane_send(r, (uint32_t)(conn - r->w->conn));
	uring_wait(&r->u, timeout_ms);
	loop->now_ns = measure_now_ns();
	io_uring_for_each_cqe(&r->u.ring, head, cqe) {
		lane_done(r, cqe);
		n++;
	}
	io_uring_cq_advance(&r->u.ring, n);
}

void
ring_free(struct ring *r)
{
	for (uint32_t i = 0; i < r->w->nconns; i++) {
		struct io_uring_sqe *sqe;

		if (!r->lane[i].receiving)
			continue;
		sqe = uring_sqe(&r->u);
		io_uring_prep_cancel64(sqe, i, 0);
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
		io_uring_sqe_set_data64(sqe, r->w->nconns);
	}
	for (uint32_t i = 0; i < r->w->nconns;)
		if (r->lane[i].receiving || r->lane[i].sending)
			ring_run(r, 100);
		else
			i++;
	uring_fini(&r->u);
	free(r->lane);
	free(r);
}
