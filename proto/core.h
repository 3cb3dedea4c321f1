/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the protocol holds on one core: its pools, its connections, its
 * duplicate request cache and its counters.  Only that core touches it;
 * `stats` may be read by others (stats.h).
 */
#ifndef PROTO_CORE_H
#define PROTO_CORE_H

#include "proto/drc.h"
#include "proto/mounts.h"
#include "proto/pool.h"
#include "proto/server.h"
#include "reactor/reactor.h"

struct nfs_call;
struct session;

#define LOOKS_MAX 64

struct proto_core {
	int core;
	const struct server_opts *opts; /* with the defaults filled in; this core's own */
	struct server_opts own;
	struct export *rules; /* own.exports: calls point into it */
	struct pool calls;    /* struct nfs_call */
	struct pool reads;    /* struct read_io */
	struct pool pages;    /* struct dir_page */
	struct pool longs;    /* struct long_head */
	struct slab sessions; /* struct session */
	struct session *first_session;
	struct drc drc;
	struct mounts *mounts; /* on core 0 */
	/* Calls that came together and may be answered without asking their owner, until the last of them is decoded. */
	struct nfs_call *look[LOOKS_MAX];
	int nlooks;
	struct proto_stats stats;
	uint64_t stamp_ns;    /* when a call last came to a station here */
	bool draining;        /* no new calls are taken */
	uint32_t receiving;   /* calls of which the payload is not all here */
	struct timer tick;    /* runs while somebody waits for a pool or for buffers */
	struct op tick_op;
	uint32_t buf_waits;   /* WRITEs that wait for buffers */
	bool stuck;           /* a WRITE has waited for buffers in vain, and none came since */
};

/* This core's. */
struct proto_core *proto_here(void);

#endif
