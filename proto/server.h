/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The NFSv3 and MOUNT v3 server: what tools start, stop and look at.
 *
 *   before:  kv_open, meta_open, file_open
 *   on each core, in reactor_opts.init:  meta_init, file_init, server_init
 *   main thread:  reactor_start, server_start ... server_stop, reactor_stop, reactor_join
 *   on each core, in reactor_opts.fini:  server_fini, file_fini, meta_fini
 */
#ifndef PROTO_SERVER_H
#define PROTO_SERVER_H

#include <sys/socket.h>

#include "proto/export.h"
#include "proto/stats.h"

#define SERVER_PORT 12049

struct server_opts {
	struct sockaddr_storage addr;  /* port 0: any free one */
	const char *congestion;        /* TCP_CONGESTION, NULL: the system's */
	uint32_t sndbuf_bytes;         /* 0: the system's */
	uint32_t gather_bytes;         /* replies of one send; 1: each in its own; 0: as net.h has it */
	uint64_t idle_timeout_ns;      /* of connections; 0: never */
	const struct export *exports;  /* copied */
	int nexports;                  /* 1..EXPORTS_MAX */
	const struct volume *volume;   /* secret[16..31] keys the file handles; lent */
	bool rpcbind;                  /* register with the local rpcbind at start, unregister at stop */
	/* Sizes of pools, a core; 0: the default in brackets. */
	uint32_t max_conns;            /* connections [4096]; the same as reactor_opts.max_conns */
	uint32_t max_calls;            /* calls under way [4096] */
	uint32_t max_reads;            /* READs among them [512] */
	uint32_t max_dir_pages;        /* READDIRs among them, until their reply is made [32] */
	uint32_t drc_entries;          /* duplicate request cache [8192] */
	/* Limits of one connection. */
	uint32_t conn_calls;           /* calls under way [256] */
	uint64_t conn_unsent_bytes;    /* replies not yet taken by the peer, then its calls wait [8 MiB] */
	uint64_t write_wait_ns;        /* how long a WRITE waits for buffers before it answers JUKEBOX [3 s] */
};

/*
 * Sets up this core; core 0 first, which also loads the replies recorded
 * before a restart.  Blocking.  -errno with a sentence in why[].
 */
int  server_init(int core, const struct server_opts *opts, char why[256]);
/* After the reactor's last lap: every pool must be full again (asserted). */
void server_fini(int core);

/*
 * Main thread, reactors running: opens the listeners on all cores, registers
 * with rpcbind when asked to (failing that is a warning, not an error).
 * -errno with a sentence: the port is taken, the address is not ours.
 */
int  server_start(char why[256]);
uint16_t server_port(void);
/*
 * Main thread: unregisters, stops accepting, lets calls under way finish and
 * their replies leave, at most grace_ms long, then closes all connections.
 */
void server_stop(uint32_t grace_ms);

/*
 * On each core: the rules of the shares that server_init was given are these from now on, in any order, for every call that comes,
 * on connections that are open too.
 */
void server_take_rules(const struct export *list, int n);

/* Any thread. */
const struct proto_stats *server_stats(int core);

/* A client as `status` shows it: an address, with all its connections and mounts. */
#define SERVER_MOUNTS_SHOWN 4
struct server_client {
	struct sockaddr_storage addr; /* port 0 */
	uint32_t conns;
	uint64_t ops, bytes_in, bytes_out; /* of the connections now open */
	uint64_t calls_now;
	int nmounts;                  /* may be more than are shown */
	char mount[SERVER_MOUNTS_SHOWN][256];
};
/*
 * Not on a reactor thread (it asks every core and waits): fills up to max,
 * returns how many, or -ETIMEDOUT when a core does not answer within 5 s.
 */
int server_clients(struct server_client *out, int max);

#endif
