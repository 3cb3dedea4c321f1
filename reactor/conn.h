/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection, as net.c (listener, life) and conn.c (bytes) see it.  Not for
 * the layers above, who have net.h.  Belongs to the core that accepted it.
 */
#ifndef REACTOR_CONN_H
#define REACTOR_CONN_H

#include "reactor/net.h"
#include "reactor/uring.h"

/*
 * One receive goes on until it has filled so many shared buffers: small WRITEs that came together
 * are looked at in one lap, and what may still come when a connection is paused stays bounded.
 */
enum { RECV_SHOT_BUFS = 3, HOLD_BUFS = RECV_SHOT_BUFS + 1 };

/* Small messages of one send, copied to one piece; of a core at most PACKS connections at a time. */
enum { PACK_BYTES = 16 * KIB, PACKS = 256 };

/* What receive the kernel has of this connection. */
enum recv_state {
	RECV_NONE,
	RECV_BUFS, /* into provided buffers, multishot or one shot */
	RECV_FILL, /* straight into fill_iov */
};

struct conn {
	struct conn *prev, *next; /* among the core's */
	struct conn *dirty_next;
	void *user;
	int fd;
	uint32_t refs; /* the users', and one while open */
	bool open;
	bool dirty;     /* in the list of net_flush */
	bool paused;
	bool consuming; /* below consume() on the stack */
	bool sending;   /* the kernel has a send of the head of `out` */
	bool buried;    /* `closed` was said */
	uint8_t stream; /* > 0: fills keep coming, receive small headers between them */
	enum recv_state recv_state;
	struct ring_req recv, send;

	/* Bytes that came and could not be presented; at most what one receive brings. */
	uint8_t *held;
	uint32_t held_off, held_len;

	struct op *fill;
	struct iovec *fill_iov;
	int fill_niov;
	uint64_t fill_left;
	struct msghdr fill_msg; /* the kernel writes to it when a fill ends */

	struct outmsg *out, **out_tail;
	uint64_t unsent;
	uint8_t *pack; /* of the send under way; or NULL */

	uint64_t active_ns; /* last byte in or out */
	struct sockaddr_storage peer;
};

/* What conn.c needs of this core's net. */
struct net_core {
	struct net_opts opts;
	struct slab *conns, *holds, *packs;
	uint32_t recv_buf_bytes;
	struct net_stats *stats;
};
extern __thread struct net_core net_core;

/* net.c: puts it in the list that net_flush works through at the end of the lap. */
void net_dirty(struct conn *c);
/* net.c: no reference and no request of the kernel is left. */
void net_free_conn(struct conn *c);

/* conn.c */
void conn_init(struct conn *c, int fd);
/* At the end of the lap: presents, receives, sends, or buries. */
void conn_flush(struct conn *c);
/* Frees it if nothing holds it. */
void conn_check_free(struct conn *c);

#endif
