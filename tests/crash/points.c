/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/points.h"

#include <stdio.h>
#include <string.h>

enum { LIMIT_MAX = 4096 };

void
points_init(struct points *p, const char *names)
{
	char word[64];
	int len;

	*p = (struct points){ 0 };
	while (names && p->n < POINTS_MAX && sscanf(names, " %63s%n", word, &len) == 1) {
		p->point[p->n].limit = 1;
		memcpy(p->point[p->n++].name, word, sizeof(word));
		names += len;
	}
}

static bool
is_format(const struct point *pt)
{
	return strncmp(pt->name, POINTS_FORMAT, strlen(POINTS_FORMAT)) == 0;
}

static struct point *
next_point(struct points *p, bool missed_only)
{
	for (int i = 0; i < p->n; i++) {
		struct point *pt = &p->point[p->next++ % p->n];

		if (!is_format(pt) && (!missed_only || (pt->planned && !pt->hit)))
			return pt;
	}
	return NULL;
}

struct point *
points_pick(struct points *p, struct rng *rng, uint32_t *count)
{
	/* every fourth time another try for one that did not come */
	struct point *pt = rng_percent(rng, 25) ? next_point(p, true) : NULL;

	if (!pt)
		pt = next_point(p, false);
	if (!pt)
		return NULL;
	pt->planned++;
	*count = (uint32_t)rng_between(rng, 1, pt->limit);
	return pt;
}

void
points_learn(struct point *pt, uint32_t count, bool hit)
{
	if (hit) {
		pt->hit++;
		pt->limit = pt->limit < LIMIT_MAX ? 4 * pt->limit : LIMIT_MAX;
	} else if (count > 1) {
		pt->limit = count / 2;
	} else {
		pt->limit = 1;
	}
}

int
points_report(const struct points *p)
{
	int never = 0;

	for (int i = 0; i < p->n; i++) {
		const struct point *pt = &p->point[i];

		if (!pt->planned)
			continue;
		printf("  crash point %-32s died there in %u of %u rounds\n", pt->name, pt->hit,
		       pt->planned);
		never += !pt->hit;
	}
	return never;
}
