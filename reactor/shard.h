/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inodes are spread over cores, and only its owner touches an inode's state.
 * A core asks another by message: bounded single-producer rings between each
 * pair of cores, a full one queues at the sender, a sleeping receiver is woken
 * once a lap (reactor_opts.wake).  The caller owns the message and keeps it
 * alive until the answer; it comes home to be freed.
 */
#ifndef REACTOR_SHARD_H
#define REACTOR_SHARD_H

#include "reactor/base.h"
#include "reactor/op.h"
#include "reactor/reactor.h"

static inline int
shard_owner(uint64_t ino)
{
	return (int)(mix64(ino) % (uint64_t)reactor_cores());
}

static inline bool
shard_owns(uint64_t ino)
{
	return shard_owner(ino) == reactor_core();
}

struct shard_msg {
	struct shard_msg *next;
	void (*run)(struct shard_msg *m); /* runs on the receiving core */
};

/* One way.  From a reactor thread to any core (its own too: runs from the run queue). */
void shard_send(int core, struct shard_msg *m);
/*
 * One way, from any other thread (worker, syncer, admin): a lock-free stack,
 * wakes the core.  Such a thread has to end before reactor_stop: what it posts
 * to a core that has ended is never run.  (Workers end by themselves.)
 */
void shard_post(int core, struct shard_msg *m);

/*
 * A call and its answer.  `run` executes on `core`; it, or what it started,
 * says shard_reply once.  On the caller's own core `run` is called right away,
 * and when it has replied on return the answer is OP_DONE.  Else OP_PENDING.
 */
struct shard_call {
	struct shard_msg msg;
	void (*run)(struct shard_call *c);
	struct op *wait; /* the caller's */
	int from;        /* the caller's core */
	int res;
	bool inline_done, inlined;
};

enum op_state shard_call(int core, struct shard_call *c, void (*run)(struct shard_call *c),
                         struct op *wait);
/* On the core where `run` ran. */
void shard_reply(struct shard_call *c, int res);

#endif
