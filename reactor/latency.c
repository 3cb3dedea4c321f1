/* SPDX-License-Identifier: Apache-2.0 */
#include "reactor/latency.h"

#include <pthread.h>
#include <stdlib.h>

#include "reactor/reactor.h"

/* The last one is for threads that are no cores: tests. */
#define CORES (REACTOR_MAX_CORES + 1)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	const char *name;
	struct hist *core[CORES];
} table[LATENCY_NAMES];

struct hist *
latency_hist(const char *name)
{
	int core = (reactor_core() + CORES) % CORES, i = 0;

	pthread_mutex_lock(&lock);
	while (table[i].name && strcmp(table[i].name, name)) {
		i++;
		assert(i < LATENCY_NAMES);
	}
	table[i].name = name;
	if (!table[i].core[core]) {
		/* A line of its own: the next core's may begin right behind it. */
		table[i].core[core] = aligned_alloc(CACHELINE, ROUND_UP(sizeof(struct hist), CACHELINE));
		assert(table[i].core[core]);
		memset(table[i].core[core], 0, sizeof(struct hist));
	}
	pthread_mutex_unlock(&lock);
	return table[i].core[core];
}

const char *
latency_sum(int n, struct hist *sum)
{
	const char *name;

	memset(sum, 0, sizeof(*sum));
	if (n >= LATENCY_NAMES)
		return NULL;
	pthread_mutex_lock(&lock);
	name = table[n].name;
	for (int core = 0; core < CORES; core++)
		if (table[n].core[core])
			hist_merge(sum, table[n].core[core]);
	pthread_mutex_unlock(&lock);
	return name;
}
