/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/compact_queue.h"

#define WAYS 4

/* The place that it has, or may have. */
static struct compact_candidate *
find(struct compact_queue *q, uint64_t ino, uint64_t chunk)
{
	uint64_t first = mix64(ino ^ mix64(chunk)) % (COMPACT_QUEUE / WAYS) * WAYS;
	struct compact_candidate *free = NULL;

	for (struct compact_candidate *x = &q->place[first]; x < &q->place[first + WAYS]; x++) {
		if (x->ino == ino && x->chunk == chunk)
			return x;
		if (x->ino == 0)
			free = x;
	}
	return free;
}

const struct compact_candidate *
compact_queue_add(struct compact_queue *q, const struct compact_candidate *c, uint64_t now_ns, uint64_t delay_ns)
{
	struct compact_candidate *x = find(q, c->ino, c->chunk);

	if (!x)
		return NULL;
	if (x->ino != 0 && x->gen != c->gen)
		compact_queue_take(q, x);
	if (x->ino == 0) {
		*x = (struct compact_candidate){ .ino = c->ino, .gen = c->gen, .chunk = c->chunk, .since_ns = c->since_ns };
		q->n++;
	}
	q->asked += c->asked && !x->asked;
	x->asked |= c->asked;
	x->due_ns = x->asked ? now_ns : MIN(now_ns + delay_ns, x->since_ns + COMPACT_BUSY_NS + delay_ns);
	return x;
}

const struct compact_candidate *
compact_queue_first(const struct compact_queue *q)
{
	const struct compact_candidate *first = NULL;

	for (const struct compact_candidate *x = q->place; q->n > 0 && x < &q->place[COMPACT_QUEUE]; x++)
		if (x->ino != 0 && (!first || x->due_ns < first->due_ns))
			first = x;
	return first;
}

struct compact_candidate
compact_queue_take(struct compact_queue *q, const struct compact_candidate *c)
{
	struct compact_candidate *x = &q->place[c - q->place], was = *x;

	assert(was.ino != 0);
	q->n--;
	q->asked -= was.asked;
	x->ino = 0;
	x->asked = false;
	return was;
}
