/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection as the protocol sees it: cuts the stream into records, gathers
 * each record's header and arguments, directs WRITE payload into aligned
 * buffers, and starts calls.  Lives on the core that accepted it, until the
 * connection is closed and its last call has finished.
 *
 * A connection is made to wait (its input is not read) while a pool is empty,
 * while it has too many calls under way or is owed too many bytes, and while
 * the server drains.  A record that is only partly here holds no call.
 */
#ifndef PROTO_SESSION_H
#define PROTO_SESSION_H

#include "proto/call.h"
#include "proto/recmark.h"
#include "reactor/reactor.h"

struct session {
	struct session *prev, *next; /* all of this core */
	struct conn *conn;           /* valid until `closed`; each call holds a reference */
	struct proto_core *core;
	uint64_t client;             /* hash of the address: the duplicate request cache's */
	uint8_t access[EXPORTS_MAX]; /* by index of the share: not asked yet, allowed, denied */

	/* What holds it up. */
	bool closed;
	bool waiting;                /* for `op` */
	bool held;                   /* by a limit; asked again when a call finishes */
	bool paused;                 /* conn_pause was said */
	uint32_t ncalls;
	uint64_t owed;
	uint64_t sent_ns;            /* when a reply last went out whole, or the first of those that wait was made */

	/* The record that is being read. */
	enum {
		SESSION_HEAD,            /* gathering header and arguments */
		SESSION_LONG,            /* it does not fit here: wants a long buffer */
		SESSION_CALL,            /* all is here: wants a call */
		SESSION_WRITE_CALL,      /* a WRITE's header is here: wants a call */
		SESSION_WRITE_BUFS,      /* wants buffers */
		SESSION_WRITE_DATA,      /* filling them */
		SESSION_REST,            /* skipping up to the record's end */
	} stage;
	struct recmark rec;
	uint8_t *head;               /* own[] or lng->bytes */
	uint32_t have, cap;
	bool overlong;               /* some of it was skipped */
	struct long_head *lng;
	const uint8_t *view;         /* header and arguments: in head[] or in the lent input */
	uint32_t view_len;
	enum rpc_verdict verdict;
	struct rpc_head rpc;

	/* A WRITE. */
	struct nfs_call *call;
	struct nfs3_write_args write;
	int write_err;               /* of its arguments */
	uint32_t data_at;            /* where the payload begins in view */
	uint32_t data_len, filled;   /* of the payload, as far as it is taken */
	uint32_t filling;            /* bytes that conn_fill is to bring, padding included */
	struct buf *buf[WRITE_BUFS_MAX];
	int nbufs;
	uint64_t filling_since_ns;
	uint64_t wait_until_ns;      /* for buffers */
	struct iovec iov[WRITE_BUFS_MAX + 1];
	uint8_t pad[4];

	/* The input that is being looked at, lent. */
	const uint8_t *in;
	size_t in_len;

	struct op op;
	void *got;                   /* what the pool gave */
	struct pool_wait pool_wait;
	struct buf_wait buf_wait;

	uint64_t ops, bytes_in, bytes_out;
	uint8_t own[CALL_HEAD_BYTES] __attribute__((aligned(8)));
};

extern const struct conn_vt session_vt;

/* 0 and the share's rules; -ESTALE: no such share (any more), -EACCES: not from this address. */
/* The rules have changed. */
void session_ask_again(struct session *s);
int  session_export(struct session *s, uint32_t share, const struct export **e);
/* The peer's address as text, without port; an IPv4-mapped one as IPv4. */
void session_host(const struct session *s, char out[46]);
/*
 * Somebody on this core waits for a pool or for buffers.  As long as that
 * lasts, WRITEs that have waited for too long are put off, and connections are
 * closed that hold memory and do not move, because their peer neither takes
 * replies nor sends the rest of a WRITE.  He loses nothing by it that he cannot send again.
 */
void session_press(struct proto_core *core);
void session_press_init(struct proto_core *core);
void session_press_fini(struct proto_core *core);
/* A call counts from its start until its reply is sent. */
void session_call_started(struct session *s, uint32_t owed);
void session_call_finished(struct session *s, uint32_t owed);

/* ---- between session.c and session_write.c ---- */

/* One step; true: go on with the next, false: it waits, or needs more bytes. */
bool session_write_call(struct session *s);
bool session_write_bufs(struct session *s);
bool session_write_data(struct session *s);
/* The record of s->call is all here. */
void session_write_start(struct session *s);
/* Out of the line for buffers, if it stands there: true then. */
bool session_write_leave(struct session *s);
/* It has waited for buffers long enough. */
void session_write_put_off(struct session *s);
/* Goes on after what it waited for. */
void session_go_on(struct session *s);
/* Gives back what a WRITE that will not be finished holds. */
void session_write_drop(struct session *s);
/* Whether the head at hand begins a WRITE whose arguments are all there; then s->write is filled. */
bool session_sees_write(struct session *s);

/* Takes n bytes of the record's body from the input. */
void session_take(struct session *s, uint32_t n);
/* The view lies in the input, which ends with this call: keeps its first n bytes. */
void session_keep_view(struct session *s, uint32_t n);
/* A call from the pool into s->got; while it waits the view must not be lost: it keeps so much of it. */
bool session_get_call(struct session *s, uint32_t view_bytes);
/* Stops input while s->op is awaited. */
void session_pause(struct session *s);
/* Takes the result of a call that may wait: true when it is here, else s->op will resume. */
bool session_await(struct session *s, enum op_state state);
/* The record is dealt with. */
void session_next_record(struct session *s);

#endif
