/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load test: a thousand connections, most of them healthy and deep, some
 * that do not read what they ask for, some that stop in the middle of a record.
 *
 * One thread owns everything.  Calls are preallocated, a fixed number a peer.
 */
#ifndef TESTS_LOAD_LOAD_H
#define TESTS_LOAD_LOAD_H

#include "tests/client/nfs.h"
#include "tests/client/rand.h"
#include "tests/client/server.h"

enum {
	FILES = 16,             /* that everybody reads */
	FILE_BYTES = 1 << 20,
	PATTERNS = 16,          /* pattern 1 .. PATTERNS, each FILE_BYTES long and repeating */
	BLOCK = 4096,
	OWN_BLOCKS = 64,        /* of a peer's own file */
	DIRS = 16,              /* where new names go */
	NAMES = 500,            /* in the directory that is listed */
	MADE_MAX = 40,          /* names that a peer makes */
	READ_MAX = 16 * BLOCK,
	WRITE_MAX = 8 * BLOCK,
};

enum role { HEALTHY, SLOW, HALF_MARK, HALF_WRITE, IDLE, ROLES };

enum kind { K_GETATTR, K_LOOKUP, K_READ, K_WRITE, K_READ_OWN, K_READDIRPLUS, K_CREATE, K_BIG_READ, KINDS };

struct peer;

struct op {
	struct rpc_call call;
	struct peer *peer;
	enum kind kind;
	bool busy;
	uint32_t file, len, name;
	uint64_t off;
	uint64_t sure; /* K_READ_OWN: the blocks that were acknowledged when it was called */
};

struct peer {
	struct rpc_conn conn;
	struct load *load;
	enum role role;
	uint32_t id;
	bool closed;            /* by the server */
	uint64_t opened_ns;
	struct nfs_fh own;      /* its own file */
	uint64_t acked;         /* blocks of it, a bit each */
	uint64_t cookie, cookieverf;
	uint64_t served;        /* answers that were not JUKEBOX */
	uint64_t served_before; /* ... when the window began */
	uint32_t made;
	struct op *op;
	uint32_t nops;
};

struct load {
	struct rpc_loop loop;
	struct rpc_cred cred;
	struct rng rng;
	struct server server;
	struct sockaddr_in addr;
	struct nfs_fh root, list_dir, dir[DIRS], file[FILES];
	uint8_t *pattern[PATTERNS + 1]; /* FILE_BYTES + READ_MAX each */
	struct peer *peer;
	uint32_t npeers, depth;
	uint32_t n[ROLES];
	bool stopping;          /* no new calls */
	uint64_t done[KINDS], latency_max[KINDS], latency_sum[KINDS];
	uint64_t jukebox, bytes_read, bytes_written;
	int failures;           /* told so far */
};

/* Says what is wrong, once for each of the first few. */
void load_fail(struct load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes files and directories through one connection; 0 or -1. */
int setup_tree(struct load *l);
/* Opens the peer's connection and gives it calls to make, according to its role. */
int peer_start(struct peer *p);
/* A healthy peer keeps depth calls open; call again after a stop. */
void peer_fill(struct peer *p);
/* A slow reader begins to read. */
void peer_resume(struct peer *p);
uint32_t peer_open_calls(const struct peer *p);
const char *kind_name(enum kind kind);

#endif
