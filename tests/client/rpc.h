/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An asynchronous ONC RPC client over TCP (RFC 5531) for tests and benchmarks.
 *
 * It can do what a friendly library will not: keep thousands of calls open on
 * a thousand connections, stop reading, leave a record half sent, and send the
 * unanswered calls of a dead connection again, byte for byte and with the same
 * xids, over a new one.
 *
 * Who owns what: loops, connections and calls are the caller's memory, usually
 * inside his own structs.  A call is lent from rpc_call_start until its done()
 * runs, its payload too.  A connection keeps its unanswered calls across
 * rpc_conn_close and rpc_conn_open; rpc_conn_abandon lets go of them.  Nothing
 * is allocated per call; a record that arrives in pieces borrows a buffer from
 * the loop's free list.
 *
 * Threads: a loop and all that hangs on it belong to one thread.  Loops share
 * nothing; give each its own range of xids (the server's duplicate request
 * cache may not tell two connections of one address apart).
 */
#ifndef TESTS_CLIENT_RPC_H
#define TESTS_CLIENT_RPC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/client/wire.h"

enum {
	RPC_HEAD = 1024,                 /* record mark, header and arguments, no payload */
	RPC_RECORD_MAX = (1 << 20) + (64 << 10), /* the longest reply that is taken */
	RPC_CRED_MAX = 128,
};

struct rpc_conn;

/* Encoded credential and verifier, ready to copy into every call. */
struct rpc_cred {
	uint32_t len;
	uint8_t bytes[RPC_CRED_MAX];
};

struct rpc_call {
	/* the caller's, set before the call is begun */
	void (*done)(struct rpc_call *call);
	const void *data; /* payload after the head, lent; padded on the wire */
	uint32_t data_len;

	/* results, valid inside done() only */
	int res;              /* 0, or -EBADMSG: not a reply as RFC 5531 has it;
	                         -EPROTO: refused; -ECONNRESET: abandoned */
	uint32_t accept_stat; /* what the server said, where res is -EPROTO */
	struct wire_in reply; /* the procedure's results, lent from the receive buffer */

	/* may be read by anyone */
	struct rpc_conn *conn;
	uint32_t xid, prog, proc;
	uint64_t start_ns;

	/* the connection's */
	struct rpc_call *prev, *next; /* unanswered calls, oldest first */
	bool sent;                    /* to the last byte */
	uint32_t head_len;
	uint8_t head[RPC_HEAD];
};

struct rpc_loop {
	int epfd;
	uint32_t xid;
	uint32_t mask;           /* of the table of open calls */
	struct rpc_call **open;  /* by the low bits of the xid */
	struct rpc_conn *dirty;  /* have something to send this turn */
	uint8_t *scratch;        /* what one read of one socket may bring */
	struct rpc_block *spare; /* buffers for records in pieces */
	uint64_t now_ns;         /* CLOCK_MONOTONIC, taken after each wait */
	uint64_t strays;         /* replies that nobody was waiting for */
};

enum rpc_state { RPC_CLOSED, RPC_CONNECTING, RPC_OPEN };

struct rpc_conn {
	/* the caller's, set before rpc_conn_open and kept by it; no callback may free a
	   connection or run the loop */
	void (*on_open)(struct rpc_conn *conn);            /* may be NULL */
	void (*on_close)(struct rpc_conn *conn, int err);  /* may be NULL; err is -errno,
	                                                      0 at end of stream */
	const struct rpc_cred *cred;                       /* NULL: AUTH_NONE */
	void *user;
	int rcvbuf;          /* SO_RCVBUF in bytes, 0: the system's */
	const char *congestion; /* TCP_CONGESTION, "": the system's; NULL: cubic */
	uint16_t local_port; /* bind to this port, 0: any; see rpc_conn_keep_port */
	bool paused;         /* see rpc_conn_pause */

	/* may be read by anyone */
	struct rpc_loop *loop;
	enum rpc_state state;
	uint32_t nopen;                /* calls without an answer */
	uint64_t replies, bytes_in, bytes_out;
	uint64_t last_reply_ns;

	/* its own */
	int fd;
	uint32_t events;
	struct rpc_call *first, *last; /* unanswered, in the order they were started */
	struct rpc_call *unsent;       /* the first of them not wholly sent */
	uint32_t unsent_off;           /* how much of that one is sent */
	struct rpc_conn *next_dirty;
	bool dirty;
	struct rpc_block *part;        /* the incomplete record at the stream's end */
	uint32_t part_len;
};

/* Room for max_calls open calls in the whole loop, xids from first_xid on; 0 or -errno. */
int rpc_loop_init(struct rpc_loop *loop, uint32_t max_calls, uint32_t first_xid);
/* All connections must be closed and abandoned. */
void rpc_loop_fini(struct rpc_loop *loop);
/* Sends what is waiting, waits up to timeout_ms (0: not at all) and runs what has come. */
void rpc_loop_run(struct rpc_loop *loop, int timeout_ms);
void rpc_loop_run_ns(struct rpc_loop *loop, uint64_t timeout_ns);
/* Runs the loop until *flag is true; 0, or -ETIMEDOUT after timeout_ms. */
int rpc_loop_until(struct rpc_loop *loop, const bool *flag, int timeout_ms);
/* CLOCK_MONOTONIC now, in nanoseconds. */
uint64_t rpc_now_ns(void);

/* AUTH_SYS (RFC 5531, appendix A) with n supplementary groups, at most 16. */
void rpc_cred_sys(struct rpc_cred *cred, uint32_t uid, uint32_t gid, const uint32_t *gids,
                  uint32_t n);

/* Sets all fields to rest; once, before anything else. */
void rpc_conn_init(struct rpc_conn *conn, struct rpc_loop *loop);
/*
 * Connects, without waiting.  Calls that a former connection left unanswered
 * are sent again, unchanged and in their order, before any new one.
 */
int rpc_conn_open(struct rpc_conn *conn, const struct sockaddr_in *addr);
/* Closes the socket; unanswered calls stay.  on_close does not run. */
void rpc_conn_close(struct rpc_conn *conn);
/* Finishes every unanswered call with -ECONNRESET; the connection must be closed. */
void rpc_conn_abandon(struct rpc_conn *conn);
/* From the next rpc_conn_open on, come from the same local port as now. */
void rpc_conn_keep_port(struct rpc_conn *conn);
/* A slow reader: while paused nothing is read from the socket; calls still go out. */
void rpc_conn_pause(struct rpc_conn *conn, bool paused);
/* Bytes as they are, now, for halves of records: how many the socket took, or -errno. */
int rpc_conn_send_raw(struct rpc_conn *conn, const void *data, size_t len);

/*
 * Writes the header into the call's head and returns a cursor for the
 * arguments; finish with rpc_call_start.  A call may be begun again from its own
 * done().
 */
struct wire_out rpc_call_begin(struct rpc_call *call, struct rpc_conn *conn, uint32_t prog,
                               uint32_t vers, uint32_t proc);
/* Queues the call; it leaves with all others at the end of the loop's turn.  The
 * arguments must have fitted (asserted). */
void rpc_call_start(struct rpc_call *call, const struct wire_out *args);

#endif
