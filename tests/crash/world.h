/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The oracle: what the server has acknowledged, and what is still in the air.
 *
 * Nodes are files, directories, symlinks and fifos; each directory has a fixed
 * set of names (slots), so that names meet again and again.  At most one change
 * is in the air for a slot, and one for a node's links and its attributes each
 * (the busy flags), so every answer can be foretold; data may be written by many
 * at once (content.h).  What is in the air when the server dies is in
 * doubt, and settled by looking: all of it or nothing.
 *
 * One thread.  The world owns nodes; a node dies when the last slot lets it go.
 */
#ifndef TESTS_CRASH_WORLD_H
#define TESTS_CRASH_WORLD_H

#include "tests/client/nfs.h"
#include "tests/client/rand.h"
#include "tests/crash/content.h"

enum {
	SLOTS = 24,
	SLOTS_WIDE = 400,      /* of the one directory that needs many pages to list */
	DIRS_MAX = 60,
	NODES_MAX = 1800,
	FILES_MAX = 400,
	GONE_MAX = 256,        /* handles of removed nodes that are still asked for */
	CHANGES_MAX = 300,     /* of one file in one round */
	DEPTH_MAX = 7,
};

struct node;

struct slot {
	struct node *dir;
	struct node *node;     /* NULL: there is no such name */
	bool busy;
	uint64_t changed;      /* logical time of the last change's call or reply */
	char name[256];
	/* what the check after a crash has found */
	uint64_t seen_fileid;  /* 0: the name was not listed */
	struct nfs_fh seen_fh; /* of LOOKUP or READDIRPLUS, len 0: not asked yet */
};

struct node {
	uint32_t id;
	uint32_t type;         /* enum nfs_type */
	uint32_t index;        /* in world.node, UINT32_MAX: not born yet, or gone */
	struct nfs_fh fh;
	uint64_t fileid;
	uint32_t links;        /* slots that hold it; a directory: 2 + subdirectories */

	uint32_t pins;         /* calls in the air that know it */
	uint32_t writers;      /* ... that change its data */
	bool busy_links, busy_attr;
	bool dying;            /* the removal of its last link is in the air, or answered */
	bool gone;             /* ... answered; freed when the last pin is, of which a struct gone may have one */
	uint64_t touched;      /* logical time of the last call or reply that changes data or times, */
	uint64_t linked;       /* links, */
	uint64_t chattr;       /* mode or owner */

	bool attr_known;       /* mode, uid and gid */
	uint32_t mode, uid, gid;
	bool mtime_known;      /* set by SETATTR, and no change since */
	uint64_t mtime;
	bool base_known;       /* base is what the last check saw */
	struct nfs_attr base;
	bool excl;             /* made by EXCLUSIVE with verf, and not touched since */
	uint64_t verf;

	struct content content; /* NFS_REG */
	char *target;           /* NFS_LNK */

	/* directories */
	struct node *parent;
	uint32_t nslots, users; /* users: changes in the air below */
	bool exclusive;         /* no user may come: it is being removed */
	struct slot *slot;
	uint32_t checked;       /* the number of the check that has found it */
};

struct gone {
	struct nfs_fh fh;
	uint32_t id;
	struct node *node; /* as it was when it went to the trash; NULL: nothing keeps it, or a directory, which comes empty there */
};

struct world {
	struct rng rng;
	uint64_t clock;        /* logical time: counts calls and replies */
	uint64_t round_start;  /* clock at the last check */
	uint32_t last_id;      /* of nodes and of writes, which share one count */
	uint32_t round;
	struct node *root;
	struct node *node[NODES_MAX + 64];
	uint32_t nnodes, ndirs, nfiles;
	bool dir_rename;       /* a directory is moving to another: one at a time */
	bool keeps;            /* what is removed stays, in the trash */
	struct gone gone[GONE_MAX];
	uint32_t ngone;        /* in all; the ring holds the last */
	uint64_t verf;         /* of the running server, 0: not known yet */
	struct nfs_fh root_fh;
};

void world_init(struct world *w, uint64_t seed, const struct nfs_fh *root);
void world_fini(struct world *w);

uint64_t world_tick(struct world *w);
/* A node that no slot holds yet. */
struct node *node_new(struct world *w, uint32_t type);
/* Names it: fh and fileid are known; it appears in the world's list. */
void node_born(struct world *w, struct node *n, const struct nfs_fh *fh, uint64_t fileid);
/* A call that knows the node goes into the air, comes back. */
void node_pin(struct node *n);
void node_unpin(struct world *w, struct node *n);
/* Frees a node that was never born, or takes one out that no slot holds. */
void node_drop(struct world *w, struct node *n);

/* Puts a node into a slot, out of it; links, parents and deaths follow. */
void slot_hold(struct world *w, struct slot *s, struct node *n);
void slot_release(struct world *w, struct slot *s);
void slot_move(struct world *w, struct slot *from, struct slot *to);

/* The name of slot i of the directory with this id. */
void slot_name(char name[256], uint32_t dir, uint32_t i);
/* The slot of this name, NULL: none. */
struct slot *dir_find(struct node *dir, const char *name, size_t len);
uint32_t dir_entries(const struct node *dir);
/* Is dir the node itself, or below it? */
bool dir_below(const struct node *dir, const struct node *node);
uint32_t dir_depth(const struct node *dir);

/* Some living node of this type; NULL when luck has it that none is found. */
struct node *world_pick(struct world *w, uint32_t type);

#endif
