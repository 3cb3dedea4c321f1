/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work in the background that an operator asks for (fsck, compaction of all files, warmup, restoring): each kind is one static
 * struct job, on a thread of its own because it blocks, one at a time.  What it does and what it tells stay with the kind,
 * which keeps a report beside its job:
 *
 *   from the admin thread    job_ready, then set the report and the arguments, job_start; at the end of the server job_stop
 *   the job's own thread     `run`: reads the arguments, changes the report under the lock, asks job_ending at every step
 *   any thread               job_cancel; under the lock the report and `state`
 */
#ifndef TOOLS_JOB_H
#define TOOLS_JOB_H

#include <pthread.h>

#include "reactor/base.h"

/* At the head of each kind's report. */
struct job_state {
	bool running;
	int err;                 /* what the last `run` returned; -ECANCELED: it was ended early; 0: it is through, or there was none */
};

struct job {
	pthread_mutex_t lock;    /* of `state`, and of the kind's report */
	struct job_state state;
	/* job.c's own */
	int (*run)(void);
	pthread_t thread;
	bool made, ending;       /* thread is to be joined; it is to end */
};

#define JOB_INIT { .lock = PTHREAD_MUTEX_INITIALIZER }

/*
 * 0: nothing is under way, and the last one's thread has ended, so that all it used is the caller's until job_start; but the
 * report is still looked at.  -EBUSY: one is under way.
 */
int  job_ready(struct job *j);
/* After job_ready.  `run` returns 0 or a negative error, which `state` keeps.  0; -EAGAIN: no thread was to be had. */
int  job_start(struct job *j, int (*run)(void));
/* The one under way, if any, is to end early; without a wait. */
void job_cancel(struct job *j);
/* The same, and waits for it. */
void job_stop(struct job *j);
/* It was cancelled: `run` returns soon, with -ECANCELED. */
bool job_ending(const struct job *j);

void job_lock(struct job *j);
void job_unlock(struct job *j);

/* A sentence for people: why it was not started, or else why the last one ended early; 0 and 0: NULL. */
const char *job_error(int started, int ended);

#endif
