/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/job.h"

#include "store/objstore.h"

static void *
thread(void *arg)
{
	struct job *j = arg;
	int err = j->run();

	job_lock(j);
	j->state = (struct job_state){ .err = err };
	job_unlock(j);
	return NULL;
}

static void
join_last(struct job *j)
{
	if (j->made)
		pthread_join(j->thread, NULL);
	j->made = false;
}

int
job_ready(struct job *j)
{
	job_lock(j);
	bool busy = j->state.running;

	job_unlock(j);
	if (busy)
		return -EBUSY;
	join_last(j);
	return 0;
}

int
job_start(struct job *j, int (*run)(void))
{
	assert(!j->made);
	j->run = run;
	__atomic_store_n(&j->ending, false, __ATOMIC_RELEASE);
	job_lock(j);
	j->made = pthread_create(&j->thread, NULL, thread, j) == 0;
	j->state = (struct job_state){ .running = j->made };
	job_unlock(j);
	return j->made ? 0 : -EAGAIN;
}

void
job_cancel(struct job *j)
{
	__atomic_store_n(&j->ending, true, __ATOMIC_RELEASE);
}

void
job_stop(struct job *j)
{
	job_cancel(j);
	join_last(j);
}

bool
job_ending(const struct job *j)
{
	return __atomic_load_n(&j->ending, __ATOMIC_ACQUIRE);
}

void
job_lock(struct job *j)
{
	pthread_mutex_lock(&j->lock);
}

void
job_unlock(struct job *j)
{
	pthread_mutex_unlock(&j->lock);
}

const char *
job_error(int started, int ended)
{
	if (started < 0)
		return started == -EBUSY ? "one is under way" : objstore_error(started);
	if (ended < 0)
		return ended == -ECANCELED ? "the server ends" : objstore_error(ended);
	return NULL;
}
