/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of a small server of a test or a benchmark: one a connection, held while that is open and by all
 * that is under way for it.  A server's own session begins with a net_session; each core makes `sessions` with
 * slab_init, for as large a one.
 */
#ifndef TESTS_FAKE_NET_SESSION_H
#define TESTS_FAKE_NET_SESSION_H

#include <string.h>

#include "reactor/buf.h"
#include "reactor/net.h"

struct net_session {
	struct conn *conn;
	int refs;
};

static __thread struct slab sessions;

/* For conn_vt: what the server's own session has beside is zeroes.  NULL: there are no more. */
static inline void *
session_open(struct conn *c, const struct sockaddr_storage *peer)
{
	struct net_session *s = slab_get(&sessions);

	(void)peer;
	if (!s)
		return NULL;
	memset(s, 0, sessions.size);
	*s = (struct net_session){ .conn = conn_get(c), .refs = 1 };
	return s;
}

static inline void
session_put(struct net_session *s)
{
	struct conn *c = s->conn;

	if (--s->refs > 0)
		return;
	slab_put(&sessions, s);
	conn_put(c);
}

/* For conn_vt, where the end of a connection means nothing else. */
static inline void
session_closed(struct conn *c, void *user)
{
	(void)c;
	session_put(user);
}

#endif
