/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of a core: a binary heap of pointers, the earliest at [0]. */
#include <stdlib.h>

#include "reactor/core.h"

#define HEAP_FIRST 4096

static __thread struct timer **heap;
static __thread uint32_t count, room;

int
timer_core_init(void)
{
	room = HEAP_FIRST;
	count = 0;
	heap = malloc(room * sizeof(*heap));
	return heap ? 0 : -ENOMEM;
}

void
timer_core_fini(void)
{
	free(heap); /* the timers themselves may be gone with their owners */
	heap = NULL;
	count = 0;
}

static void
place(uint32_t at, struct timer *t)
{
	heap[at] = t;
	t->slot = at + 1;
}

static void
sift_up(uint32_t at, struct timer *t)
{
	while (at > 0) {
		uint32_t parent = (at - 1) / 2;

		if (heap[parent]->due_ns <= t->due_ns)
			break;
		place(at, heap[parent]);
		at = parent;
	}
	place(at, t);
}

static void
sift_down(uint32_t at, struct timer *t)
{
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child >= count)
			break;
		if (child + 1 < count && heap[child + 1]->due_ns < heap[child]->due_ns)
			child++;
		if (t->due_ns <= heap[child]->due_ns)
			break;
		place(at, heap[child]);
		at = child;
	}
	place(at, t);
}

void
timer_start(struct timer *t, uint64_t delay_ns, struct op *op)
{
	assert(heap && t->slot == 0 && op->resume);
	if (count == room) {
		struct timer **bigger = realloc(heap, 2 * room * sizeof(*heap));

		assert(bigger); /* 8 bytes a timer: who can't have them can't have the timer's owner */
		heap = bigger;
		room *= 2;
	}
	t->op = op;
	t->due_ns = reactor_now_ns() + delay_ns;
	sift_up(count++, t);
}

static void
take_out(struct timer *t)
{
	uint32_t at = t->slot - 1;
	struct timer *last = heap[--count];

	t->slot = 0;
	if (last == t)
		return;
	if (at > 0 && last->due_ns < heap[(at - 1) / 2]->due_ns)
		sift_up(at, last);
	else
		sift_down(at, last);
}

bool
timer_stop(struct timer *t)
{
	if (t->slot == 0)
		return false;
	assert(t->slot <= count && heap[t->slot - 1] == t);
	take_out(t);
	return true;
}

/*
 * Each is resumed as it is taken out: were it put in a queue, what runs before it could neither stop it nor know that
 * it comes, and free what it is in.  No more than there are now: one may start itself again without a delay.
 */
int
timer_run(uint64_t now_ns)
{
	uint32_t most = count;
	int n = 0;

	while (most-- > 0 && count > 0 && heap[0]->due_ns <= now_ns) {
		struct timer *t = heap[0];
		struct op *op = t->op;
		void (*resume)(struct op *) = op->resume;

		take_out(t);
		op->res = 0;
		resume(op);
		lap_ran((uintptr_t)resume);
		n++;
	}
	return n;
}

uint64_t
timer_next_ns(void)
{
	return count > 0 ? heap[0]->due_ns : UINT64_MAX;
}
