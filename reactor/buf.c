/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A core's arena is a row of 64 KiB blocks.  A block is free, or a large
 * buffer, or split into 16 pages, of which smaller buffers take as many side by side
 * as they need; when the last of these comes home it is whole again.  So how much of
 * the memory is small follows the load.
 */
#include "reactor/buf.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "reactor/core.h"
#include "reactor/log.h"
#include "reactor/shard.h"

#define SMALLS     (BUF_LARGE_BYTES / BUF_SMALL_BYTES)
#define ALL_FREE   ((1u << SMALLS) - 1)
#define LOOK       8 /* split blocks that are searched for pages side by side */
#define ASK_AGAIN_NS 1000000u
#define USES       (BUF_DRAIN + 1)

struct block {
	struct buf large;
	struct buf small[SMALLS];  /* by its first page */
	struct block *prev, *next; /* among the blocks with free pages */
	uint32_t free;             /* set of free pages, 0 when not split */
};

/* Buffers on their way to another core's pool. */
struct homeward {
	struct shard_msg msg;
	struct buf *gather; /* put since the message left */
	struct buf *sent;   /* in the message */
	int from;
	bool away;
};

/* "Give back what you can of your cache": some of it may be ours. */
struct ask {
	struct shard_msg msg;
	uint64_t want;
	int from;
	bool away;
};

struct line {
	struct buf_wait *head, **tail;
};

struct pool {
	struct block *blocks;
	uint8_t *arena;
	uint32_t count; /* of blocks */
	uint32_t free_large, free_pages; /* those of split blocks */
	uint64_t free_bytes;
	struct buf *larges; /* free blocks */
	struct block split; /* head of the ring of blocks with free pages */
	struct line line[USES];
	uint64_t (*reclaim)(uint64_t want_bytes);
	struct homeward homeward[REACTOR_MAX_CORES];
	uint64_t gathering; /* set of cores with homeward[].gather */
	struct ask ask[REACTOR_MAX_CORES];
	struct timer again;
	struct op again_op;
	bool reclaiming;
};

static const uint8_t zeros[BUF_LARGE_BYTES] __attribute__((aligned(4096)));
uint8_t *const buf_zeros = (uint8_t *)(uintptr_t)zeros;

static struct pool *pools[REACTOR_MAX_CORES];

static __thread struct pool *mine;

static void
again(struct op *op)
{
	(void)op; /* the lap that ran this serves the lines */
}

static void
init_block(struct pool *p, uint32_t i, uint16_t core)
{
	struct block *b = &p->blocks[i];
	uint8_t *data = p->arena + (size_t)i * BUF_LARGE_BYTES;

	uint32_t number = (uint32_t)core * p->count + i;

	b->large = (struct buf){ .data = data, .block = number, .home = core, .next = p->larges };
	p->larges = &b->large;
	for (uint32_t s = 0; s < SMALLS; s++)
		b->small[s] = (struct buf){ .data = data + s * BUF_SMALL_BYTES, .block = number, .home = core };
}

int
buf_core_init(bool touch)
{
	int core = reactor_core();
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->count = (uint32_t)(buf_arenas.each / BUF_LARGE_BYTES);
	p->arena = buf_arenas.map + buf_arenas.each * (size_t)core;
	p->blocks = calloc(p->count, sizeof(*p->blocks));
	if (!p->blocks) {
		free(p);
		return -ENOMEM;
	}
	/* By this thread, so that the pages come from its NUMA node. */
	if (touch && madvise(p->arena, buf_arenas.each, MADV_POPULATE_WRITE) < 0) {
		int err = -errno;

		free(p->blocks);
		free(p);
		return err;
	}
	for (uint32_t i = p->count; i > 0; i--)
		init_block(p, i - 1, (uint16_t)core);
	p->free_large = p->count;
	p->free_bytes = buf_arenas.each;
	p->split.next = p->split.prev = &p->split;
	for (int use = 0; use < USES; use++)
		p->line[use].tail = &p->line[use].head;
	p->again_op.resume = again;
	mine = p;
	__atomic_store_n(&pools[core], p, __ATOMIC_RELEASE);
	return 0;
}

void
buf_core_fini(void)
{
	if (!mine)
		return;
	if (mine->free_bytes != buf_arenas.each)
		log_error("%llu bytes of payload buffers are not home",
		          (unsigned long long)(buf_arenas.each - mine->free_bytes));
	assert(mine->free_bytes == buf_arenas.each);
	__atomic_store_n(&pools[reactor_core()], NULL, __ATOMIC_RELEASE);
	free(mine->blocks);
	free(mine);
	mine = NULL;
	buf_core_unregister();
}

/* ---- the pool */

static void
set_free_bytes(struct pool *p, uint64_t bytes)
{
	__atomic_store_n(&p->free_bytes, bytes, __ATOMIC_RELAXED);
}

static void
ring_insert(struct block *head, struct block *b)
{
	b->next = head->next;
	b->prev = head;
	head->next->prev = b;
	head->next = b;
}

static void
ring_remove(struct block *b)
{
	b->prev->next = b->next;
	b->next->prev = b->prev;
}

static struct buf *
take_large(struct pool *p)
{
	struct buf *b = p->larges;

	p->larges = b->next;
	p->free_large--;
	return b;
}

static uint32_t
pages_of(enum buf_class class)
{
	return 1u << class;
}

/* Where in this set so many bits side by side begin. */
static uint32_t
runs_of(uint32_t set, uint32_t pages)
{
	for (uint32_t n = 1; n < pages; n *= 2)
		set &= set >> n;
	return set;
}

/* A split block with so many free pages side by side; NULL: none of those that one looks at. */
static struct block *
split_with(struct pool *p, uint32_t pages)
{
	struct block *b = p->split.next;

	for (int i = 0; i < LOOK && b != &p->split; i++, b = b->next)
		if (runs_of(b->free, pages))
			return b;
	return NULL;
}

static struct buf *
take_pages(struct pool *p, uint32_t pages)
{
	struct block *b = split_with(p, pages);
	int s;

	if (!b) {
		b = container_of(take_large(p), struct block, large);
		b->free = ALL_FREE;
		p->free_pages += SMALLS;
		ring_insert(&p->split, b);
	}
	s = __builtin_ctz(runs_of(b->free, pages));
	b->free &= ~(((1u << pages) - 1) << s);
	p->free_pages -= pages;
	if (b->free == 0)
		ring_remove(b);
	return &b->small[s];
}

static struct buf *
take(struct pool *p, enum buf_class class)
{
	struct buf *b = class == BUF_LARGE ? take_large(p) : take_pages(p, pages_of(class));

	b->refs = 1;
	b->next = NULL;
	b->cap = buf_class_bytes(class);
	b->class = (uint8_t)class;
	set_free_bytes(p, p->free_bytes - b->cap);
	return b;
}

static void
put_home(struct pool *p, struct buf *b)
{
	buf_life_ends(b->data);
	set_free_bytes(p, p->free_bytes + b->cap);
	if (b->class != BUF_LARGE) {
		struct block *k = &p->blocks[(size_t)(b->data - p->arena) / BUF_LARGE_BYTES];
		uint32_t pages = pages_of(b->class);

		if (k->free == 0)
			ring_insert(&p->split, k);
		k->free |= ((1u << pages) - 1) << (b - k->small);
		p->free_pages += pages;
		if (k->free != ALL_FREE)
			return;
		ring_remove(k);
		k->free = 0;
		p->free_pages -= SMALLS;
		b = &k->large;
	}
	b->next = p->larges;
	p->larges = b;
	p->free_large++;
}

static uint64_t
reserve(enum buf_use use)
{
	return use == BUF_INGEST ? buf_arenas.each / 4 : use == BUF_CACHE ? buf_arenas.each / 8 : 0;
}

/* At least so many of these could be taken. */
static uint64_t
fit(struct pool *p, enum buf_class class)
{
	if (class == BUF_LARGE)
		return p->free_large;
	if (class == BUF_SMALL)
		return p->free_pages + (uint64_t)p->free_large * SMALLS;
	return (uint64_t)p->free_large * (SMALLS / pages_of(class)) + (split_with(p, pages_of(class)) != NULL);
}

/* How much must come back before `use` gets this; 0: it may take it now. */
static uint64_t
short_of(struct pool *p, enum buf_class class, int n, enum buf_use use)
{
	uint64_t need = (uint64_t)n * buf_class_bytes(class), keep = reserve(use);

	if (p->free_bytes < need + keep)
		return need + keep - p->free_bytes;
	return fit(p, class) < (uint64_t)n ? need : 0; /* enough bytes, but in pieces */
}

/*
 * Asks our own cache.  Some of what it gives may belong to other cores, or be
 * pieces of blocks that others hold, hence a few times.
 */
static bool
made_room(struct pool *p, enum buf_class class, int n, enum buf_use use)
{
	uint64_t want = short_of(p, class, n, use);

	for (int i = 0; i < 4 && want > 0; i++) {
		uint64_t got;

		if (!p->reclaim || p->reclaiming)
			return false;
		p->reclaiming = true; /* the hook puts buffers; it must not come back here */
		got = p->reclaim(want);
		p->reclaiming = false;
		if (got == 0)
			return false;
		want = short_of(p, class, n, use);
	}
	return want == 0;
}

struct buf *
buf_get(enum buf_class class, enum buf_use use)
{
	struct pool *p = mine;

	/* Nobody overtakes who stands in line. */
	if (p->line[use].head || !made_room(p, class, 1, use))
		return NULL;
	return take(p, class);
}

static void
take_many(struct pool *p, struct buf **out, int n, enum buf_class class)
{
	for (int i = 0; i < n; i++)
		out[i] = take(p, class);
}

enum op_state
buf_get_many(struct buf_wait *w, struct buf **out, int n, enum buf_class class, enum buf_use use,
             struct op *op)
{
	struct pool *p = mine;

	/* More than the pool ever gives to this use would wait for ever. */
	assert(n > 0 && (uint64_t)n * buf_class_bytes(class) + reserve(use) <= buf_arenas.each);
	if (!p->line[use].head && made_room(p, class, n, use)) {
		take_many(p, out, n, class);
		return op_done(op, 0);
	}
	*w = (struct buf_wait){ .op = op, .out = out, .n = n, .class = class, .use = use };
	*p->line[use].tail = w;
	p->line[use].tail = &w->next;
	return OP_PENDING;
}

bool
buf_cancel(struct buf_wait *w)
{
	struct line *l = &mine->line[w->use];

	for (struct buf_wait **p = &l->head; *p; p = &(*p)->next) {
		if (*p != w)
			continue;
		*p = w->next;
		if (!w->next)
			l->tail = p;
		return true;
	}
	return false;
}

struct buf *
buf_keep(struct buf *b)
{
	assert(b->refs > 0);
	b->refs++;
	return b;
}

void
buf_put(struct buf *b)
{
	assert(b->refs > 0 && mine);
	if (--b->refs > 0)
		return;
	if (b->home == reactor_core()) {
		put_home(mine, b);
	} else if (core_ended()) {
		put_home(pools[b->home], b); /* no more messages, one core at a time */
	} else {
		b->next = mine->homeward[b->home].gather;
		mine->homeward[b->home].gather = b;
		mine->gathering |= 1ull << b->home;
	}
}

/* ---- between cores */

static void
homeward_back(struct shard_msg *m)
{
	container_of(m, struct homeward, msg)->away = false;
}

static void
homeward_arrived(struct shard_msg *m)
{
	struct homeward *h = container_of(m, struct homeward, msg);
	int sender = h->from;

	while (h->sent) {
		struct buf *b = h->sent;

		h->sent = b->next;
		put_home(mine, b);
	}
	m->run = homeward_back;
	shard_send(sender, m);
}

static void
send_home(struct pool *p)
{
	for (uint64_t set = p->gathering; set; set &= set - 1) {
		int core = __builtin_ctzll(set);
		struct homeward *h = &p->homeward[core];

		if (h->away)
			continue; /* it is back before long, and a lap runs then */
		p->gathering &= ~(1ull << core);
		h->sent = h->gather;
		h->gather = NULL;
		h->away = true;
		h->from = reactor_core();
		h->msg.run = homeward_arrived;
		shard_send(core, &h->msg);
	}
}

static void
ask_back(struct shard_msg *m)
{
	container_of(m, struct ask, msg)->away = false;
}

static void
ask_arrived(struct shard_msg *m)
{
	struct ask *a = container_of(m, struct ask, msg);

	if (mine->reclaim && !mine->reclaiming)
		(void)mine->reclaim(a->want);
	m->run = ask_back;
	shard_send(a->from, m);
}

/* Our own cache has nothing more just now; the others' may hold buffers of ours. */
static void
ask_others(struct pool *p, uint64_t want)
{
	if (p->again.slot != 0)
		return;
	for (int core = 0; core < reactor_cores(); core++) {
		struct ask *a = &p->ask[core];

		if (core == reactor_core() || a->away)
			continue;
		a->away = true;
		a->want = want;
		a->from = reactor_core();
		a->msg.run = ask_arrived;
		shard_send(core, &a->msg);
	}
	timer_start(&p->again, ASK_AGAIN_NS, &p->again_op);
}

static void
serve(struct pool *p, enum buf_use use)
{
	struct line *l = &p->line[use];

	while (l->head) {
		struct buf_wait *w = l->head;

		if (!made_room(p, w->class, w->n, use)) {
			ask_others(p, short_of(p, w->class, w->n, use));
			return;
		}
		l->head = w->next;
		if (!l->head)
			l->tail = &l->head;
		take_many(p, w->out, w->n, w->class);
		reactor_post(w->op, 0);
	}
}

void
buf_flush(void)
{
	struct pool *p = mine;

	serve(p, BUF_DRAIN); /* first: it is what frees memory for the others */
	serve(p, BUF_CACHE);
	serve(p, BUF_INGEST);
	send_home(p);
}

bool
buf_idle(void)
{
	for (int use = 0; use < USES; use++)
		if (mine->line[use].head)
			return false;
	for (int core = 0; core < reactor_cores(); core++)
		if (mine->homeward[core].gather || mine->homeward[core].away || mine->ask[core].away)
			return false;
	return true;
}

void
buf_set_reclaim(uint64_t (*reclaim)(uint64_t want_bytes))
{
	mine->reclaim = reclaim;
}

int
buf_pool_stats(struct pool_stat *out, int max)
{
	int n = 0;

	for (int core = 0; core < REACTOR_MAX_CORES && n < max; core++) {
		struct pool *p = __atomic_load_n(&pools[core], __ATOMIC_ACQUIRE);

		if (p)
			out[n++] = (struct pool_stat){
				.name = "buffers",
				.core = core,
				.total_bytes = buf_arenas.each,
				.used_bytes = buf_arenas.each -
				              __atomic_load_n(&p->free_bytes, __ATOMIC_RELAXED),
			};
	}
	return n;
}
