/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The named crash points of the server and what has been learned about each:
 * how often it is passed in a round, so that the kill comes late in some rounds
 * and still comes.  One thread; the owner is main.c.
 */
#ifndef TESTS_CRASH_POINTS_H
#define TESTS_CRASH_POINTS_H

#include "tests/client/rand.h"

enum { POINTS_MAX = 256 };

/* Points of `dittofs format`, which a server never passes: their names begin so. */
#define POINTS_FORMAT "format."

struct point {
	char name[64];
	uint32_t planned, hit;
	uint32_t limit; /* the count n is drawn from 1 .. limit */
};

struct points {
	struct point point[POINTS_MAX];
	int n, next;
	bool every; /* the run is long enough: one that was never tried is missed, too */
};

/* Names separated by blanks. */
void points_init(struct points *p, const char *names);
/* On what volume the round is: not every point can come on each. */
struct points_where {
	bool remote;     /* durability: remote */
	uint64_t age_ms; /* since it was made */
};

/*
 * The next point of a server in turn and the pass at which to die; NULL: there are none.
 * `missed`: only one that did not come yet.
 */
struct point *points_pick(struct points *p, struct rng *rng, const struct points_where *w, bool missed, uint32_t *count);
/* Is one missed that may come on this volume, now or when it is older? */
bool points_missed(const struct points *p, const struct points_where *w);
/* How long to work so that it comes; 0: no matter. */
uint32_t points_work_ms(const struct point *pt);
/* Did the plan come true? */
void points_learn(struct point *pt, uint32_t count, bool hit);
/* Prints a line a point; the number of points that are missed. */
int points_report(const struct points *p);

#endif
