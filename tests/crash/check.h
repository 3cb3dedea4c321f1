/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check after a restart, in phases; each phase keeps many calls (jobs) open
 * on connections of its own.  verify.c holds the phases and the names,
 * verify_node.c attributes and data, verify_usage.c the sums.
 */
#ifndef TESTS_CRASH_CHECK_H
#define TESTS_CRASH_CHECK_H

#include "tests/crash/run.h"

enum { TRASH_DIRS_MAX = 8, /* a volume lives some minutes */ JOBS = 64, CHECK_LANES = 2, CHECK_TIMEOUT_MS = 240000 };

struct check;

struct job {
	struct rpc_call call;
	struct check *check;
	struct rpc_conn *conn;
	bool busy;
	/* what to do with the answer, JUKEBOX apart; starts the next call or leaves it */
	void (*step)(struct job *j, struct nfs_result *res);
	void (*again)(struct job *j); /* starts the same call once more */
	struct node *n;
	struct slot *s;
	const struct gone *gone;
	uint64_t cookie, verf, off;
	uint32_t count;
	struct byte_range *ranges;
	int nranges, range;
	struct nfs_attr attr;
	bool plus, gather;
};

struct check {
	struct run *run;
	struct rpc_conn conn[CHECK_LANES];
	struct job job[JOBS];
	uint32_t next;            /* of what the phase walks over */
	bool lost;                /* a connection closed */
	bool all_data;
	uint64_t used, files;     /* sums over the nodes */
	uint64_t stat_used, stat_files;
	struct nfs_fh trash_dir[TRASH_DIRS_MAX]; /* .trash, and the folders of its hours */
	uint32_t ntrash_dirs;
	bool stat_done;
};

/*
 * Runs jobs until start() has nothing more to start and all are done.  start
 * takes a free job and returns false at the end.  0, -1, -ECONNRESET.
 */
int check_phase(struct check *c, bool (*start)(struct check *c, struct job *j));
/* The job's answer comes to step(); call right after a nfs_ starter. */
void job_started(struct job *j);

/* Attributes, links' targets and data of every node. */
bool check_node_start(struct check *c, struct job *j);
/* What was seen is the base from now on. */
void check_node_adopt(struct run *r);
/* Handles of removed nodes are stale. */
bool check_gone_start(struct check *c, struct job *j);
/* FSSTAT against the sums; may look several times while background work goes on. */
int check_usage(struct check *c);

#endif
