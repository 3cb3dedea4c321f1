/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/points.h"

#include <stdio.h>
#include <string.h>

enum { LIMIT_MAX = 4096, RARE_MS = 3000, RARE_MS_MAX = 12000 };

static const struct need {
	const char *begins;
	bool remote;
	uint64_t age_ms;
	uint32_t work_ms;
} needs[] = {
	/* an fsync that waits for the object store */
	{ .begins = "flush.before_reply", .remote = true },
	/* what is garbage is left alone for 15 s, then looked for each second */
	{ .begins = "garbage.", .age_ms = 20000, .work_ms = 2500 },
	/* packs are thin only when that has begun */
	{ .begins = "repack.", .age_ms = 20000, .work_ms = 4000 },
};

static const struct need *
need_of(const struct point *pt)
{
	static const struct need nothing;

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (strncmp(pt->name, needs[i].begins, strlen(needs[i].begins)) == 0)
			return &needs[i];
	return &nothing;
}

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

static bool
is_missed(const struct points *p, const struct point *pt)
{
	return !pt->hit && (pt->planned || p->every);
}

static struct point *
next_point(struct points *p, const struct points_where *w, bool missed)
{
	for (int i = 0; i < p->n; i++) {
		struct point *pt = &p->point[p->next++ % p->n];
		const struct need *need = need_of(pt);

		if (is_format(pt) || (missed && !is_missed(p, pt)))
			continue;
		if ((!need->remote || w->remote) && w->age_ms >= need->age_ms)
			return pt;
	}
	return NULL;
}

bool
points_missed(const struct points *p, const struct points_where *w)
{
	for (int i = 0; i < p->n; i++)
		if (is_missed(p, &p->point[i]) && !is_format(&p->point[i]) && (!need_of(&p->point[i])->remote || w->remote))
			return true;
	return false;
}

uint32_t
points_work_ms(const struct point *pt)
{
	uint32_t ms = need_of(pt)->work_ms;

	/* it did not come before: longer, the more often that was so */
	if (!pt->hit && pt->planned > 1)
		ms += RARE_MS * (pt->planned - 1);
	return ms < RARE_MS_MAX ? ms : RARE_MS_MAX;
}

struct point *
points_pick(struct points *p, struct rng *rng, const struct points_where *w, bool missed, uint32_t *count)
{
	/* every fourth time another try for one that did not come */
	struct point *pt = missed || rng_percent(rng, 25) ? next_point(p, w, true) : NULL;

	if (!pt && !missed)
		pt = next_point(p, w, false);
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

		never += is_missed(p, pt);
		if (!pt->planned)
			continue;
		printf("  crash point %-32s died there in %u of %u rounds\n", pt->name, pt->hit,
		       pt->planned);
	}
	return never;
}
