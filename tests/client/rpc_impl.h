/* SPDX-License-Identifier: Apache-2.0 */
/* What rpc.c (connections, and what they send) and rpc_record.c (what they receive) know of each other. */
#ifndef TESTS_CLIENT_RPC_IMPL_H
#define TESTS_CLIENT_RPC_IMPL_H

#include <sys/uio.h>

#include "tests/client/rpc.h"

enum {
	RPC_SCRATCH = 256 << 10, /* of a loop: what a read has room for, beside a record that is not whole */
	RPC_GATHER = 64 << 10,    /* heads of calls in one send */
	RPC_IOVS = 192,           /* and pieces */
	RPC_MARK = 4,            /* the record mark before each fragment (RFC 5531, 11) */
};
#define RPC_LAST_FRAGMENT 0x80000000u

/* A record that has not come whole: payload so far, without its marks. */
struct rpc_block {
	struct rpc_block *next;
	uint32_t want;  /* length at which the next step is due */
	bool in_mark;   /* what is read now is a mark, not payload */
	bool last;      /* the fragment is its record's last */
	uint8_t bytes[RPC_RECORD_MAX + RPC_MARK];
};

/* ---- rpc.c */
/*
 * What one send of all that waits would send: copies the heads of calls to heads[RPC_GATHER], because one
 * piece costs less than many, and describes the bytes in iov[RPC_IOVS].  Returns how many pieces.
 */
int rpc_conn_gather(const struct rpc_conn *conn, uint8_t *heads, struct iovec *iov, uint32_t *bytes);
/* So many of them are on their way. */
void rpc_conn_sent(struct rpc_conn *conn, size_t n);
/* Takes a connection out of the list of those with something to send; NULL: none is left. */
struct rpc_conn *rpc_loop_dirty(struct rpc_loop *loop);
void rpc_conn_fail(struct rpc_conn *conn, int err);
void rpc_call_unlink(struct rpc_call *call);

/* ---- rpc_record.c */
/* Delivers what has come; false when the connection was closed meanwhile. */
bool rpc_conn_feed(struct rpc_conn *conn, const uint8_t *p, uint32_t len);
/* Reads and delivers, until the socket is empty, or for as long as its turn is. */
void rpc_conn_read(struct rpc_conn *conn);
void rpc_block_put(struct rpc_loop *loop, struct rpc_block *b);

#endif
