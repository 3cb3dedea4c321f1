/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of the crash test: the world, the connections into the server, the
 * calls in the air, and the history that a failure prints.
 *
 * A struct act is one call from its invention to its answer: it holds the busy
 * flags of what it changes, and pins on every node it knows.  When the server
 * dies it stays, in doubt, until it is sent again (same xid) or settled by what
 * the check finds.  One thread owns it all.
 */
#ifndef TESTS_CRASH_RUN_H
#define TESTS_CRASH_RUN_H

#include "tests/client/server.h"
#include "tests/crash/world.h"

enum { LANES = 8, DEPTH = 24, ACTS = LANES * DEPTH };

enum act_state { ACT_FREE, ACT_AIR };

struct lane {
	struct rpc_conn conn;
	struct run *run;
	uint32_t busy; /* acts in the air */
};

struct act {
	struct rpc_call call;
	struct run *run;
	struct lane *lane;
	enum act_state state;
	uint32_t proc;             /* enum nfs_proc */
	uint64_t issue;            /* logical time of the call, or of its being sent again */
	uint64_t first_issue;      /* of the call */
	uint32_t record;           /* of the history */
	const uint32_t *want;      /* statuses that are right, ended by ANY_END */
	bool effect;               /* NFS_OK changes the world */
	bool resent;               /* after a restart: it may have run before */
	bool applied;              /* a check found that it had happened */

	struct slot *s1, *s2;      /* names it may change; RENAME's source and target */
	struct slot *look;         /* LOOKUP's, which it does not hold */
	struct node *n1, *n2;      /* the object; RENAME's victim */
	struct node *d1, *d2;      /* directories of s1 and s2 */
	struct node *made;         /* not born yet */
	bool held_links1, held_links2, held_attr, held_dying1, held_dying2, held_excl1,
	    held_excl2, held_move;

	struct nfs_sattr sattr;
	bool guarded;
	bool calm;                 /* SETATTR: nothing else was changing the node's times */
	uint64_t guard;
	uint32_t how;              /* CREATE's, WRITE's stable_how */
	uint64_t verf;
	uint64_t off, cookie;
	uint32_t len, id;          /* id: of the write */
	bool has_change;
	uint32_t change;           /* in n1's content */
	uint8_t *data;             /* payload; freed with the act */
};

/* What is removed is so for good at once, in a second, not in this run. */
enum trash { TRASH_NONE, TRASH_SHORT, TRASH_LONG, TRASHES };

struct options {
	const char *binary, *dir, *points; /* points: names of crash points, by spaces */
	const char *durability;    /* NULL: local and remote, a volume each in turn */
	enum trash trash;          /* TRASHES: in turn, too */
	const char *key;           /* NULL: no volume is encrypted */
	uint64_t seed;
	int rounds, cores, mount_offset, failures;
	bool powercut, overcut, resend, usage, strict, verbose;
	uint32_t work_ms;          /* the longest work in a round */
	uint32_t reformat;         /* rounds on one volume */
	uint32_t only;             /* a bit for each procedure to work with, 0: all */
};

struct tally {
	uint64_t calls, answered, jukebox, resent, torn, reads;
	uint64_t by_proc[NFS_PROCS];
	uint64_t doubt, doubt_done; /* names and attributes in doubt; those that had happened */
};

struct run {
	struct options opt;
	struct world world;
	struct rpc_loop loop;
	struct rpc_cred cred;
	struct lane lane[LANES];
	struct act act[ACTS];
	struct server server;
	struct history *history;
	struct rng rng;            /* of the plan, apart from the world's */
	uint32_t round, checks;
	bool stopping;             /* no new calls */
	bool failed;
	enum trash trash;
	bool usage_known;          /* what a fresh volume counts besides its root: */
	uint64_t usage_bytes, usage_files;
	struct tally tally;
};

#define ANY_END UINT32_MAX

/* ---- run.c */
/*
 * Something is wrong: says so with seed and round, prints the history of the nodes
 * (0: none) and marks the run as failed.  Only the first failure speaks.
 */
void run_fail(struct run *r, uint32_t node, uint32_t other, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Mounts and compares the handle of the root with what it was: 0, -1 after run_fail, -errno. */
int run_mount(struct run *r, struct nfs_fh *root);
/* Opens every lane and waits until they are: 0 or -errno.  Calls in the air go out again. */
int run_connect(struct run *r);
/* Closes the lanes; calls in the air stay. */
void run_disconnect(struct run *r);
/* Reads what is still in the sockets of a server that is dead. */
void run_drain(struct run *r);
bool run_connected(const struct run *r);
/* Waits until nothing is in the air: 0; -ECONNRESET; -1 after run_fail when it takes too long. */
int run_settle(struct run *r, int timeout_ms);
/* Works for so long, or until the server goes. */
void run_work(struct run *r, uint32_t ms);

/* ---- options.c */
/* As the configuration has it. */
extern const char *const trash_retention[TRASHES];
/* 0; -1: wrong, options_usage says how (and returns the exit status). */
int options_parse(struct options *o, int argc, char **argv);
int options_usage(void);

/* ---- pick.c: invents calls */
/* Fills free acts with calls while the lanes have room. */
void pick_fill(struct run *r);

/* ---- act.c: their lives */
struct act *act_new(struct run *r, struct lane *lane, uint32_t proc);
/* Takes what it is about to use; all fields of the act are set. */
void act_launch(struct act *a);
/*
 * It happened: what the world is now.  The new node's handle where it made one, and
 * its attributes (NULL: the next check learns them).
 */
void act_apply(struct act *a, const struct nfs_fh *fh, const struct nfs_attr *attr);
/* It is over, applied or not: gives back all that it holds. */
void act_finish(struct act *a);
/* It is about to be sent again: what it touches may change once more. */
void act_resend(struct act *a, bool checked);
/* Undoes the claim on a change of contents that did not happen. */
void act_void(struct act *a);
uint32_t act_in_air(const struct run *r);

/* ---- reply.c */
void reply_done(struct rpc_call *call);

/* ---- history.c */
struct history;
struct history *history_new(void);
void history_free(struct history *h);
uint32_t history_call(struct history *h, const struct act *a, uint32_t round);
void history_reply(struct history *h, uint32_t record, uint64_t now, uint32_t status);
void history_note(struct history *h, uint32_t round, uint64_t now, const char *note);
/* Every call on one of the two nodes, as object, as victim, or as directory of the slot. */
void history_print(const struct history *h, uint32_t node, uint32_t other);

/* ---- verify.c */
/*
 * Looks at everything through the server and compares: settles what is in doubt,
 * then takes what it saw as the new base.  0; -1 after run_fail; -ECONNRESET
 * when the server went away meanwhile (nothing is settled then).
 */
int verify_world(struct run *r, bool all_data);

/* ---- tune.c */
/* Small limits in the configuration of a fresh volume, by lot but for what is given; says which in note. */
struct tune { const char *durability, *retention; };
void tune_volume(struct rng *rng, const char *dir, const struct tune *t, char *note, size_t len);

/* ---- power.c */
/*
 * Damages what lies beyond the marks of a sync-marks file as a power cut could;
 * says what it did in note.  too_much: also an eighth of what was synced, which no
 * server survives, so that the test itself can be tested.
 */
int power_cut(struct rng *rng, const char *marks, bool too_much, char *note, size_t len);

#endif
