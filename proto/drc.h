/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The duplicate request cache: a client that got no answer sends its call
 * again, and a REMOVE done twice must not answer NOENT.  One bounded cache a
 * core, of the non-idempotent calls whose first handle it owns: a
 * retransmission carries the same handle, so it comes to the same core, from
 * whatever connection.
 *
 * A call is known by client address (not port: a reconnect changes it), xid,
 * procedure and a hash of its arguments.  While the original runs,
 * retransmissions wait for its result, each to answer on its own connection.
 * Results are kept as encoded bytes, oldest forgotten first, and not believed
 * after DRC_KEEP_NS: by then a client that started anew may use an xid again.
 *
 * Replies that meta/ recorded with their mutations before a restart stand in a
 * table of their own, read-only after the start and shared by all cores; it is
 * believed for DRC_RESTART_NS after the start.
 */
#ifndef PROTO_DRC_H
#define PROTO_DRC_H

#include "meta/meta.h"
#include "proto/nfs3_xdr.h"
#include "reactor/buf.h"

#define DRC_BODY_MAX   NFS3_RESULT_MAX
#define DRC_KEEP_NS    (600 * (uint64_t)1000000000)
#define DRC_RESTART_NS (600 * (uint64_t)1000000000)

struct drc_wait {
	struct drc_wait *next;
	struct op *op;
	uint8_t *body; /* DRC_BODY_MAX bytes: gets the result */
	uint32_t len;
};

struct drc_entry {
	struct drc_entry *hash_next;
	struct drc_entry *prev, *next; /* done ones, oldest first */
	struct once key;
	bool done;
	const void *origin;            /* of the original, while it runs */
	struct drc_wait *waiters;
	uint64_t done_ns;
	uint32_t len;
	uint8_t body[DRC_BODY_MAX];
};

struct drc {
	struct slab slab;
	struct drc_entry **bucket;
	uint32_t mask;
	struct drc_entry *oldest, *newest;
};

int  drc_init(struct drc *d, uint32_t entries);
void drc_fini(struct drc *d);

enum drc_verdict {
	DRC_NEW,      /* run it and say drc_finish(*e); *e NULL: no room to remember it, run it anyway */
	DRC_REPLAY,   /* w->body, w->len is the result */
	DRC_RESTART,  /* it ran before the restart: rebuild the reply of *r, then drc_finish(*e) */
	DRC_WAIT,     /* op resumes when w->body, w->len is the result */
	DRC_DROP,     /* the original is under way on the same connection: it will answer */
};
enum drc_verdict drc_start(struct drc *d, const struct once *key, const void *origin, struct drc_wait *w, struct op *op,
                           struct drc_entry **e, const struct once_reply **r);
/* The call's result; those who wait get it.  With keep false (JUKEBOX) it is not remembered. */
void drc_finish(struct drc *d, struct drc_entry *e, const uint8_t *body, uint32_t len, bool keep);

/* Once, before the reactors take calls; blocking. */
int  drc_restart_load(uint64_t now_ns);
void drc_restart_free(void);

#endif
