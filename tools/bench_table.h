/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `bench` and `objbench` found, as a table for people or as JSON.
 * One thread; results are filled before they are printed.
 */
#ifndef TOOLS_BENCH_TABLE_H
#define TOOLS_BENCH_TABLE_H

#include <jansson.h>

#include "reactor/hist.h"
#include "tools/config.h"

#define BENCH_ITEMS_MAX 16
#define BENCH_NOTES_MAX 12

struct bench_result {
	const char *item;         /* "Write big file" */
	const char *unit;         /* of the value: "MiB/s", "files/s", "objects/s" */
	const char *each;         /* what a COST and a file or object is: "file", "object" */
	const char *timed;        /* what the percentiles are of: "block", "file", "request" */
	uint64_t things, bytes;   /* files or objects, and their bytes */
	uint64_t seconds_ns;      /* from the first one's start to the last one's end */
	uint64_t each_ns;         /* summed over all files or objects */
	struct hist latency;
};

struct bench_report {
	struct bench_result result[BENCH_ITEMS_MAX];
	int nresults;
	uint64_t cpu_ns;          /* of this process, while the items ran */
	char note[BENCH_NOTES_MAX][200];
	int nnotes;
};

/* A sentence that belongs to the figures, printed below them. */
void bench_note(struct bench_report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* MiB/s or things/s, by the unit; 0 when it took no time. */
double bench_value(const struct bench_result *r);

void bench_print_table(const struct bench_report *r);
/* ITEM, VALUE, COST, percentiles and notes, to be put into the command's own object. */
json_t *bench_items_json(const struct bench_report *r);
json_t *bench_notes_json(const struct bench_report *r);

/* CPU time of this process and of the kernel for it. */
uint64_t bench_cpu_ns(void);

#endif
