/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between cores.  Each pair of cores has a ring with one producer and
 * one consumer; what finds it full waits at the sender, in order, and goes on
 * with the next laps.
 */
#include "reactor/shard.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "reactor/core.h"
#include "reactor/uring.h"

#define CHAN_SLOTS 256u

struct chan {
	_Alignas(CACHELINE) _Atomic uint32_t tail; /* the sender writes it */
	uint32_t head_seen;                        /* the sender's last look at head */
	_Alignas(CACHELINE) _Atomic uint32_t head; /* the receiver writes it */
	_Alignas(CACHELINE) struct shard_msg *slot[CHAN_SLOTS];
};

/* What others touch of a core. */
struct inbox {
	_Alignas(CACHELINE) _Atomic bool sleeping;
	_Alignas(CACHELINE) _Atomic(struct shard_msg *) posted; /* from other threads, newest first */
};

static int cores;
static enum reactor_wake wake_by;
static struct chan *chans; /* [from * cores + to] */
static struct inbox inbox[REACTOR_MAX_CORES];

struct msg_list {
	struct shard_msg *head, **tail;
};

static __thread struct {
	struct msg_list waiting[REACTOR_MAX_CORES]; /* found the ring full */
	struct msg_list own;                        /* to this core itself */
	uint64_t to_wake;                           /* cores that got something this lap */
	uint64_t blocked;                           /* cores with something in waiting[] */
	uint64_t sent, taken;
} me;

static_assert(REACTOR_MAX_CORES <= 64, "to_wake and blocked are bit sets");

static void
list_add(struct msg_list *l, struct shard_msg *m)
{
	m->next = NULL;
	if (!l->head)
		l->tail = &l->head;
	*l->tail = m;
	l->tail = &m->next;
}

int
shard_init(int n, enum reactor_wake wake)
{
	cores = n;
	wake_by = wake;
	chans = aligned_alloc(CACHELINE, (size_t)n * (size_t)n * sizeof(*chans));
	if (!chans)
		return -ENOMEM;
	memset(chans, 0, (size_t)n * (size_t)n * sizeof(*chans));
	memset(inbox, 0, sizeof(inbox));
	return 0;
}

void
shard_fini(void)
{
	free(chans);
	chans = NULL;
}

static struct chan *
chan(int from, int to)
{
	return &chans[from * cores + to];
}

static bool
chan_put(struct chan *c, struct shard_msg *m)
{
	uint32_t tail = atomic_load_explicit(&c->tail, memory_order_relaxed);

	if (tail - c->head_seen == CHAN_SLOTS) {
		c->head_seen = atomic_load_explicit(&c->head, memory_order_acquire);
		if (tail - c->head_seen == CHAN_SLOTS)
			return false;
	}
	c->slot[tail % CHAN_SLOTS] = m;
	atomic_store_explicit(&c->tail, tail + 1, memory_order_release);
	return true;
}

void
shard_send(int core, struct shard_msg *m)
{
	int self = reactor_core();

	assert(self >= 0 && core >= 0 && core < cores && m->run);
	if (core == self) {
		list_add(&me.own, m);
		return;
	}
	me.sent++;
	me.to_wake |= 1ull << core;
	stat_add(&core_stats()->msgs_out, 1);
	if (me.blocked & 1ull << core || !chan_put(chan(self, core), m)) {
		me.blocked |= 1ull << core;
		list_add(&me.waiting[core], m);
	}
}

void
shard_post(int core, struct shard_msg *m)
{
	struct inbox *in = &inbox[core];
	struct shard_msg *head = atomic_load_explicit(&in->posted, memory_order_relaxed);

	assert(core >= 0 && core < cores && m->run);
	do
		m->next = head;
	while (!atomic_compare_exchange_weak_explicit(&in->posted, &head, m, memory_order_release,
	                                              memory_order_relaxed));
	if (atomic_exchange(&in->sleeping, false))
		core_wake(core);
}

static int
take_from(int from, int self)
{
	struct chan *c = chan(from, self);
	uint32_t head = atomic_load_explicit(&c->head, memory_order_relaxed);
	uint32_t n = atomic_load_explicit(&c->tail, memory_order_acquire) - head;

	for (uint32_t i = 0; i < n; i++) {
		struct shard_msg *m = c->slot[head % CHAN_SLOTS];
		void (*run)(struct shard_msg *) = m->run;

		atomic_store_explicit(&c->head, ++head, memory_order_release);
		run(m);
		lap_ran((uintptr_t)run);
	}
	return (int)n;
}

/* The list at its length of now: what runs may add to it. */
static int
run_list(struct shard_msg *m)
{
	int n = 0;

	while (m) {
		struct shard_msg *next = m->next;
		void (*run)(struct shard_msg *) = m->run;

		run(m);
		lap_ran((uintptr_t)run);
		m = next;
		n++;
	}
	return n;
}

static struct shard_msg *
oldest_first(struct shard_msg *m)
{
	struct shard_msg *out = NULL;

	while (m) {
		struct shard_msg *next = m->next;

		m->next = out;
		out = m;
		m = next;
	}
	return out;
}

int
shard_poll(void)
{
	int self = reactor_core(), n = 0;
	struct inbox *in = &inbox[self];

	for (int from = 0; from < cores; from++)
		if (from != self)
			n += take_from(from, self);
	me.taken += (uint64_t)n;
	if (atomic_load_explicit(&in->posted, memory_order_relaxed))
		n += run_list(oldest_first(
			atomic_exchange_explicit(&in->posted, NULL, memory_order_acquire)));
	if (me.own.head) {
		struct shard_msg *m = me.own.head;

		me.own.head = NULL;
		n += run_list(m);
	}
	stat_add(&core_stats()->msgs_in, (uint64_t)n);
	return n;
}

bool
shard_ready(void)
{
	int self = reactor_core();

	if (me.own.head || atomic_load_explicit(&inbox[self].posted, memory_order_relaxed))
		return true;
	for (int from = 0; from < cores; from++) {
		struct chan *c = chan(from, self);

		if (from != self && atomic_load_explicit(&c->tail, memory_order_acquire) !=
		                            atomic_load_explicit(&c->head, memory_order_relaxed))
			return true;
	}
	return false;
}

bool
shard_blocked(void)
{
	return me.blocked != 0;
}

static void
unblock(int core)
{
	struct msg_list *l = &me.waiting[core];

	while (l->head) {
		struct shard_msg *m = l->head, *next = m->next;

		if (!chan_put(chan(reactor_core(), core), m))
			return;
		l->head = next;
		me.to_wake |= 1ull << core;
	}
	me.blocked &= ~(1ull << core);
}

void
shard_flush(void)
{
	for (uint64_t set = me.blocked; set; set &= set - 1)
		unblock(__builtin_ctzll(set));
	for (; me.to_wake; me.to_wake &= me.to_wake - 1) {
		int core = __builtin_ctzll(me.to_wake);

		/* Both sides exchange: either we see it asleep, or it sees what we put. */
		if (!atomic_exchange(&inbox[core].sleeping, false))
			continue;
		stat_add(&core_stats()->wakes, 1);
		if (wake_by == REACTOR_WAKE_RING)
			ring_wake(core_ring_fd(core));
		else
			core_wake(core);
	}
}

bool
shard_sleep_begin(void)
{
	struct inbox *in = &inbox[reactor_core()];

	atomic_exchange(&in->sleeping, true);
	if (!shard_ready())
		return true;
	atomic_store(&in->sleeping, false);
	return false;
}

void
shard_sleep_end(void)
{
	atomic_store(&inbox[reactor_core()].sleeping, false);
}

uint64_t
shard_sent(void)
{
	return me.sent;
}

uint64_t
shard_taken(void)
{
	return me.taken;
}

/* ---- calls */

static void
call_home(struct shard_msg *m)
{
	struct shard_call *c = container_of(m, struct shard_call, msg);
	struct op *wait = c->wait;
	void (*resume)(struct op *) = wait->resume;

	wait->res = c->res;
	resume(wait);
	lap_ran((uintptr_t)resume);
}

static void
call_arrived(struct shard_msg *m)
{
	struct shard_call *c = container_of(m, struct shard_call, msg);
	void (*run)(struct shard_call *) = c->run;

	run(c);
	lap_ran((uintptr_t)run);
}

enum op_state
shard_call(int core, struct shard_call *c, void (*run)(struct shard_call *c), struct op *wait)
{
	c->run = run;
	c->wait = wait;
	c->from = reactor_core();
	c->inline_done = false;
	c->inlined = core == c->from;
	if (c->inlined) {
		run(c);
		c->inlined = false;
		return c->inline_done ? op_done(wait, c->res) : OP_PENDING;
	}
	c->msg.run = call_arrived;
	shard_send(core, &c->msg);
	return OP_PENDING;
}

void
shard_reply(struct shard_call *c, int res)
{
	c->res = res;
	if (c->inlined) {
		assert(!c->inline_done);
		c->inline_done = true;
	} else if (c->from == reactor_core()) {
		reactor_post(c->wait, res);
	} else {
		c->msg.run = call_home;
		shard_send(c->from, &c->msg);
	}
}
