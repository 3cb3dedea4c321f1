/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/compact_plan.h"

#define GATHERED_WINDOW (uint32_t)(1 * MIB)
#define GATHERED_MERGE  (GATHERED_WINDOW / FRAME_BYTES)

static_assert(PLAN_BYTES_LEAST >= GATHERED_WINDOW, "a window that is cut would be found worth it again and again");

bool
compact_may(uint32_t npieces, const struct compact_rule *rule)
{
	return rule->merge > 0 && npieces >= MIN(rule->merge, MAX(rule->gathered, GATHERED_MERGE));
}

/* How many a reader of [from, to) has to merge: runs of one slice. */
static uint32_t
merges(const struct pieces *p, uint32_t from, uint32_t to)
{
	uint64_t last = 0;
	uint32_t n = 0;

	for (uint32_t i = pieces_find(p, from); i < p->n && p->v[i].pos < to; i++) {
		n += p->v[i].slice != last;
		last = p->v[i].slice;
	}
	return n;
}

/*
 * Adds what shows in [from, to).  False: the plan is full, and without it, unless it is the first: then
 * a part is better than nothing, and the rest comes another time.
 */
static bool
add(struct compact_plan *plan, const struct pieces *p, uint32_t from, uint32_t to, uint32_t max_bytes)
{
	uint32_t n = plan->n, bytes = plan->bytes;

	for (uint32_t i = pieces_find(p, from); i < p->n && p->v[i].pos < to; i++) {
		const struct slice_rec *s = &p->v[i];
		uint32_t start = MAX(s->pos, from), len = MIN(s->pos + s->len, to) - start;

		if (n == PLAN_SOURCES || len > max_bytes - bytes) {
			if (plan->n > 0)
				return false;
			break;
		}
		plan->src[n++] = (struct slice_rec){ .pos = start, .len = len, .off = s->off + (start - s->pos),
			                             .slice = s->slice };
		bytes += len;
	}
	plan->n = n;
	plan->bytes = bytes;
	return true;
}

/* The frames of [from, to) that are worth it. */
static bool
add_frames(struct compact_plan *plan, const struct pieces *p, uint32_t merge, uint32_t from, uint32_t to,
           uint32_t max_bytes)
{
	for (; from < to; from += FRAME_BYTES) {
		plan->upto = from;
		if (merges(p, from, from + FRAME_BYTES) >= merge &&
		    !add(plan, p, from, from + FRAME_BYTES, max_bytes))
			return false;
	}
	return true;
}

bool
compact_next(const struct pieces *p, const struct compact_rule *rule, uint32_t from, uint32_t max_bytes,
             struct compact_plan *plan)
{
	bool room = true;

	assert(max_bytes >= PLAN_BYTES_LEAST && from % FRAME_BYTES == 0);
	plan->n = plan->bytes = 0;
	plan->upto = from;
	if (from == 0)
		plan->gathered = p->n >= rule->gathered;
	while (room && from < CHUNK_BYTES) {
		uint32_t to = ROUND_DOWN(from, GATHERED_WINDOW) + GATHERED_WINDOW;

		plan->upto = from;
		if (plan->gathered && merges(p, from, to) >= MAX(rule->merge, GATHERED_MERGE))
			room = add(plan, p, from, to, max_bytes);
		else
			room = add_frames(plan, p, rule->merge, from, to, max_bytes);
		from = to;
	}
	if (room)
		plan->upto = CHUNK_BYTES;
	return plan->n > 0;
}

/* Appends, joined with the last one where the two are neighbours in chunk and slice.  False: no room. */
static bool
put(struct slice_rec *out, uint32_t *n, struct slice_rec r)
{
	struct slice_rec *last = *n ? &out[*n - 1] : NULL;

	if (last && last->pos + last->len == r.pos && last->off + last->len == r.off) {
		last->len += r.len;
		return true;
	}
	if (*n == PLAN_RECORDS)
		return false;
	out[(*n)++] = r;
	return true;
}

uint32_t
compact_records(const struct compact_plan *plan, const struct pieces *now, uint64_t slice, struct slice_rec *out)
{
	uint32_t n = 0, base = 0; /* base: where the source begins in the new slice */

	for (uint32_t k = 0; k < plan->n; base += plan->src[k++].len) {
		const struct slice_rec *s = &plan->src[k];
		uint32_t end = s->pos + s->len;

		for (uint32_t i = pieces_find(now, s->pos); i < now->n && now->v[i].pos < end; i++) {
			const struct slice_rec *x = &now->v[i];
			uint32_t start = MAX(x->pos, s->pos), stop = MIN(x->pos + x->len, end);

			/* Slices never change: the same bytes of the same slice are the same. */
			if (x->slice != s->slice || x->off + (start - x->pos) != s->off + (start - s->pos))
				continue;
			if (!put(out, &n, (struct slice_rec){ .pos = start, .len = stop - start,
			                                      .off = base + (start - s->pos), .slice = slice }))
				return n;
		}
	}
	return n;
}
