/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP through the ring: SO_REUSEPORT listeners with multishot accept, multishot
 * receive into provided buffers, replies of a lap gathered into few sends.
 * A connection lives on the core that accepted it.
 */
#ifndef REACTOR_NET_H
#define REACTOR_NET_H

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "reactor/op.h"
#include "reactor/base.h"

struct conn;

struct conn_vt {
	/* A connection was accepted; returns its user pointer, or NULL to close it. */
	void *(*open)(struct conn *c, const struct sockaddr_storage *peer);
	/*
	 * Bytes have arrived, lent until return.  Returns how many it consumed: all,
	 * unless it called conn_fill or conn_pause; the rest then goes to
	 * the fill, or is presented again after conn_resume.
	 */
	size_t (*input)(struct conn *c, void *user, const uint8_t *p, size_t len);
	/*
	 * The peer is gone or conn_close was called: no more input.  The conn itself
	 * stays until the last conn_put; conn_send on it drops the message at once.
	 */
	void (*closed)(struct conn *c, void *user);
};

#define NET_GATHER_BYTES (2 * MIB)
struct net_opts {
	struct sockaddr_storage addr; /* IPv4 or IPv6; port 0: any free (for tests) */
	const char *congestion;       /* TCP_CONGESTION of accepted sockets, NULL: the system's, cubic on loopback */
	uint32_t sndbuf_bytes;        /* 0: the system's, on loopback a small one */
	uint32_t gather_bytes;        /* what waits leaves in one send of at most so much; 1: each message in its own; 0: NET_GATHER_BYTES */
	uint64_t idle_timeout_ns;     /* close a connection without a byte in or out for so long; 0: never */
	const struct conn_vt *vt;
};

/*
 * Opens this core's listener.  -errno and a sentence in why[].  Core 0 first;
 * with port 0 the others take core 0's port.
 */
int  net_listen(const struct net_opts *opts, char why[256]);
uint16_t net_port(void);
/* Stops accepting on this core; existing connections go on. */
void net_stop_accepting(void);
/* Closes all connections of this core; op resumes when none is left. */
enum op_state net_close_all(struct op *op);

struct conn *conn_get(struct conn *c); /* a reference, for a request under way */
void conn_put(struct conn *c);
void conn_close(struct conn *c);
bool conn_is_open(const struct conn *c);
const struct sockaddr_storage *conn_peer(const struct conn *c);

/*
 * Directs the next bytes of the stream straight into iov[] (lent until op
 * resumes, array included; net moves its elements on), first what is left of the
 * lent input.  op->res is 0, or -errno when the connection ended before it was
 * full.  Called within input (then always OP_PENDING) or outside; one at a time,
 * at most IOV_MAX elements.  input is not called meanwhile, but right after op
 * has resumed, unless the connection is paused.  A pause does not stop a fill.
 */
enum op_state conn_fill(struct conn *c, struct iovec *iov, int niov, struct op *op);
/*
 * Stops (starts) presenting input: how a server makes a client wait.  Not
 * counted: one resume ends any number of pauses.  What has been received
 * already is held, at most four receive buffers' worth; the rest stays with the
 * kernel, so that TCP makes the peer wait.  While paused, nobody notices that
 * the peer is gone.
 */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);

/*
 * A message to send.  Everything in it is lent until `done` resumes, with the
 * byte count or -errno; never from within conn_send.  Messages of one lap go out in one
 * send where they fit, in order.
 */
struct outmsg {
	struct outmsg *next;
	struct op *done;
	struct iovec *iov; /* net may modify the array */
	int niov;
	uint32_t len;      /* bytes in all */
};
void conn_send(struct conn *c, struct outmsg *m);
/* Bytes handed to conn_send and not yet sent: to bound what a slow reader holds. */
uint64_t conn_unsent(const struct conn *c);

struct net_stats {
	uint64_t accepted, open, bytes_in, bytes_out, recvs, sends;
};
const struct net_stats *net_stats(int core);

#endif
