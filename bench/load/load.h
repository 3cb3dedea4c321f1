/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load generator: threads with a loop each, connections with pipelined calls, slots
 * that hold one outstanding call each.
 *
 * main.c reads the options and prints, world.c makes what the tests work on, op.c knows the
 * operations (how one is started, what a good answer is), run.c keeps the slots busy and
 * measures, ring.c carries small calls.  A worker and all that hangs on it belong to its
 * thread; the world is written by world.c before the threads start and only read afterwards.
 */
#ifndef BENCH_LOAD_LOAD_H
#define BENCH_LOAD_LOAD_H

#include "bench/lib/measure.h"
#include "tests/client/nfs.h"
#include "tests/client/rand.h"

enum {
	LOAD_THREADS = 16,
	LOAD_CONNS = 256,    /* a thread */
	LOAD_DEPTH = 4096,   /* a thread */
	LOAD_DECK = 1024,    /* sum of a mix's weights */
	LOAD_HANDLES = 16384, /* files whose handles are known, for GETATTR */
	LOAD_NAME = 32,
	LOAD_POOL = 1 << 22, /* names that a worker has made and may rename or remove */
	LOAD_IO_MAX = 1 << 20,
	LOAD_PAGE = 4096,
};

enum load_op {
	DO_NULL, DO_GETATTR, DO_LOOKUP, DO_READ, DO_SEQREAD, DO_WRITE, DO_SEQWRITE, DO_WRITESYNC, DO_COMMIT,
	DO_CREATE, DO_REMOVE, DO_RENAME, DO_MKDIR, DO_RMDIR, DO_READDIRPLUS, OPS,
};

struct load_opts {
	struct sockaddr_in addr, mount_addr;
	const char *export, *dir;   /* the folder below the export that all happens in */
	const char *congestion;     /* "": the system's */
	uint32_t threads, conns, depth; /* conns and depth: all threads together */
	uint32_t pid;               /* the server's, 0: its CPU is not measured */
	double seconds, warm;       /* of each timed test */
	double rate;                /* calls a second, 0: closed loop */
	uint64_t ops;               /* 0: timed; READDIRPLUS: whole walks */
	uint32_t bytes;             /* of a READ or WRITE */
	uint64_t size;              /* of the data file, bytes */
	uint64_t files;             /* in all folders together */
	uint64_t hot;               /* those that lookup and getattr use */
	uint32_t dirs;
	uint64_t seed;              /* of the workers' random numbers */
	bool spin;                  /* never sleep: for tests of latency */
	bool fresh;                 /* sequential writes make a new file */
	bool keep;                  /* what was made stays */
	bool canned;                /* see world_canned */
};

/* What there is on the server.  File i is in folder i % dirs. */
struct world {
	struct nfs_fh root, base, data, fresh;
	struct nfs_fh *dirs;
	struct nfs_fh *handle;      /* of the first nhandles files */
	uint64_t *fileid;
	uint64_t nhandles;
	uint8_t *pool;              /* bytes that the data file's pages are cut from: see world_page */
};

/* Names of a worker's own making: a ring. */
struct pool {
	uint64_t *id;
	uint64_t head, tail;
};

struct slot {
	struct rpc_call call; /* first: done() casts */
	struct worker *w;
	struct rpc_conn *conn;
	enum load_op op;
	uint64_t arg, arg2;   /* the operation's */
	uint64_t start_ns;    /* when it should have started: what latency counts from */
	uint64_t cookie, verf, seen; /* of this slot's walk through a directory */
	uint32_t walk;        /* folder of that walk */
	struct slot *next;    /* free or parked */
};

struct worker {
	const struct load_opts *o;
	struct world *world;
	uint32_t index;
	struct rpc_loop loop;
	struct rpc_cred cred;
	struct rpc_conn *conn;
	struct slot *slot;
	uint32_t nconns, nslots;
	struct rng rng;
	struct pool names, folders; /* what CREATE and MKDIR made */
	uint64_t next_id, next_seq; /* of names, of sequential transfers */

	/* the test that runs */
	uint8_t deck[LOAD_DECK];    /* operations in the order they are dealt */
	uint32_t deck_len, deck_at;
	uint64_t quota, started;    /* of an ops test */
	uint64_t begin_ns, end_ns;  /* of what is measured; end 0: until the quota is done */
	uint64_t due_ns;            /* open loop: when the next should start */
	double gap_ns;
	struct slot *free, *parked; /* parked: nothing to work on until another call has made it */
	uint32_t active;
	bool idle;

	/* measured */
	struct hist hist[OPS];
	uint64_t bytes, entries, retries, checked;
	uint64_t last_ns;
};

/* ---- world.c */
/* Connects a worker's connections; ends the program when it can't. */
void world_connect(struct worker *w);
/* Mounts, and makes folders, files and data as the options want; one worker does it for all. */
void world_prepare(struct worker *w, bool handles, bool files, bool data);
/* Instead, for a server whose answers are all the same: each handle and all data are zeros. */
void world_canned(struct worker *w);
/* A new empty file for a sequential write; removes the last one. */
void world_fresh(struct worker *w, bool make);
/* Removes what this worker has made by CREATE and MKDIR. */
void world_clean(struct worker *w);
void world_name(char name[LOAD_NAME], char kind, uint32_t worker, uint64_t id);
/* What the data file holds from off on; up to LOAD_IO_MAX bytes within one MiB. */
const uint8_t *world_page(const struct world *world, uint64_t off);
/* COMMIT of the data file or the fresh one, waited for. */
void world_commit(struct worker *w, const struct nfs_fh *fh);

/* ---- op.c */
/* The operation with that name, or -1. */
int op_find(const char *name);
const char *op_name(enum load_op op);
/* Starts slot->op; false: there is nothing to work on now. */
bool op_start(struct slot *s);
/*
 * Checks the answer: 0, or the NFS status that allows another try (JUKEBOX); anything
 * else ends the program, for errors answered fast are no performance.
 */
uint32_t op_finish(struct slot *s, struct nfs_result *r);
bool op_makes(enum load_op op); /* names for others to take */

void pool_init(struct pool *p);
void pool_push(struct pool *p, uint64_t id);
bool pool_pop(struct pool *p, uint64_t *id);

/* ---- ring.c */
/* Takes over this worker's connections, which are open, until ring_free; on the thread that calls. */
struct ring *ring_new(struct worker *w);
/* Sends what is waiting, waits up to timeout_ms for what comes and runs it. */
void ring_run(struct ring *r, int timeout_ms);
/* No call may be open. */
void ring_free(struct ring *r);

/* ---- run.c */
/* One test on all workers; prints its line. mix: "getattr" or "getattr:70,read:30". */
void run_test(struct worker *workers, const char *mix);

#endif
