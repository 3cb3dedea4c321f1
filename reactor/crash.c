/* SPDX-License-Identifier: Apache-2.0 */
/* Crash points of the crash tests (base.h); empty in builds without them. */
#include "reactor/base.h"

#ifdef CRASH_POINTS
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char wanted[128];
static _Atomic long left;
static int marks = -1;

static void
read_environment(void)
{
	const char *at = getenv("DITTOFS_CRASH_AT");
	const char *file = getenv("DITTOFS_SYNC_MARKS");
	const char *colon = at ? strrchr(at, ':') : NULL;

	if (at) {
		snprintf(wanted, sizeof(wanted), "%.*s", colon ? (int)(colon - at) : (int)strlen(at), at);
		left = colon ? strtol(colon + 1, NULL, 10) : 1;
	}
	if (file)
		marks = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void
crash_point(const char *name)
{
	pthread_once(&once, read_environment);
	if (wanted[0] == '\0' || strcmp(name, wanted) != 0)
		return;
	if (atomic_fetch_sub(&left, 1) == 1) {
		kill(getpid(), SIGKILL);
		for (;;)
			pause(); /* nothing after the point runs on this thread */
	}
}

void
crash_synced(const char *path, uint64_t offset)
{
	char line[4200];
	int n;

	pthread_once(&once, read_environment);
	if (marks < 0)
		return;
	n = snprintf(line, sizeof(line), "%s %llu\n", path, (unsigned long long)offset);
	if (n > 0 && (size_t)n < sizeof(line) && write(marks, line, (size_t)n) != n)
		abort(); /* a lost mark would make the power-cut test lie */
}
#endif
