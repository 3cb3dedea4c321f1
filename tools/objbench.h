/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of `dittofs objbench`: our own client of object stores on one
 * reactor core, tested and measured below a prefix of its own.
 */
#ifndef TOOLS_OBJBENCH_H
#define TOOLS_OBJBENCH_H

#include "store/objstore.h"
#include "tools/bench_table.h"
#include "tools/bench_watch.h"

#define OBJBENCH_LANES_MAX 256

struct objbench {
	/* the caller's */
	struct objstore *store;    /* below a prefix that nobody else has; its core is 0 */
	struct bench_watch *watch;
	int lanes;                 /* requests under way at once */
	uint32_t big_bytes, small_bytes;
	uint32_t nbig, nsmall;     /* objects */
	uint64_t large_bytes;      /* of the one object that the functional tests put in pieces */
};

/* One operation of the store: what was tried, and what came of it. */
struct objbench_test {
	const char *category, *name;
	char result[160];          /* "pass", or what is wrong */
	bool passed;
};
#define OBJBENCH_TESTS_MAX 32

/*
 * Runs every test; returns how many it ran.  Blocking, on a thread that is no core; stops early when
 * the watch says stop, or when nothing can be put at all.
 */
int objbench_check(struct objbench *b, struct objbench_test *out);

/* Runs and measures every item.  0, -EINTR, or -errno with a sentence in why[]. */
int objbench_load(struct objbench *b, struct bench_report *rep, char why[256]);

/*
 * Deletes every object that the two may have made: 0, or the error of the first that could
 * not be.  Blocking, on a thread that is no core.
 */
int objbench_clean(struct objbench *b);

/* Names of the load's objects. */
void objbench_name(char out[OBJ_NAME], bool big, uint32_t nth);

#endif
