/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs operations on reactor cores from plain test threads: a test thread calls
 * and blocks, many threads make load.  The reactor is the real one.
 */
#ifndef TESTS_RIG_H
#define TESTS_RIG_H

#include "reactor/reactor.h"

/* Starts `cores` reactors, unpinned; init and fini as in reactor_opts.  Asserts success. */
void rig_start(int cores, int (*init)(int core, void *arg), void (*fini)(int core, void *arg));
/* Stops and joins them. */
void rig_stop(void);

/* Starts an operation on `core` and waits: its result. */
int rig_call(int core, enum op_state (*start)(void *arg, struct op *op), void *arg);

/* n threads run fn(0..n-1); returns when all have. */
void rig_threads(int n, void (*fn)(int i));

/* Waits for something that happens by itself.  Once seen it counts as seen: it may be over a moment later. */
#define EVENTUALLY(what)                                    \
	do {                                                \
		int ms_ = 0;                                \
		bool seen_;                                 \
		while (!(seen_ = (what)) && ms_++ < 30000)  \
			usleep(1000);                       \
		cr_assert(seen_, "never: " #what);          \
	} while (0)

/* An empty directory of this test; removed by rig_dir_remove. */
const char *rig_dir(void);
void rig_dir_remove(void);
/* Copies a directory as it is now: what a kill -9 at this instant would leave. */
void rig_copy(const char *from, const char *to);

/*
 * Where two runs of n bytes differ first; n: nowhere.  For files of megabytes, of which an assertion for each byte would
 * take most of a test's time.
 */
size_t rig_differs(const uint8_t *a, const uint8_t *b, size_t n);

/* Points the open segments of the metadata log at a device without room; what a broken disk looks like. */
void rig_break_mlog(const char *dir);

#endif
