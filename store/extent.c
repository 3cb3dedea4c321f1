/* SPDX-License-Identifier: Apache-2.0 */
#include "store/extent.h"

#include <stdlib.h>

#include "reactor/reactor.h"

#define PLACES 65536

/*
 * Where one begins, without the way down the tree, which waits for memory at each step: the pages of a database
 * are written again where they were.  Neighbours lie side by side; of those that share a place
 * the newest has it, and the others are found in the tree.
 */
struct place {
	const struct extents *in;
	struct extent *e; /* or NULL */
};

static struct extent_core {
	struct slab slab;
	struct place *places;
} cores[REACTOR_MAX_CORES];

static struct extent_core *
mine(void)
{
	assert(reactor_core() >= 0);
	return &cores[reactor_core()];
}

static struct slab *
slab(void)
{
	return &mine()->slab;
}

static struct place *
place_of(const struct extents *t, uint64_t off)
{
	return &mine()->places[(mix64((uintptr_t)t) + off / PAGE) % PLACES];
}

static void
place_take(const struct extents *t, struct extent *e)
{
	*place_of(t, e->off) = (struct place){ t, e };
}

static void
place_leave(const struct extents *t, const struct extent *e)
{
	struct place *p = place_of(t, e->off);

	if (p->e == e)
		p->e = NULL;
}

static int
by_offset(struct extent *a, struct extent *b)
{
	return a->off < b->off ? -1 : a->off > b->off;
}

static_assert(offsetof(struct extent, node.rbe_right) < 32 && sizeof(struct extent) % 32 == 0,
              "a search touches one cache line of each");

/* The functions of the tree that we have no use for may go. */
RB_GENERATE_INTERNAL(extent_tree, extent, node, by_offset, __attribute__((unused)) static)

int
extent_init(uint32_t max_extents)
{
	int err = slab_init(slab(), "extents", sizeof(struct extent), max_extents);

	if (err < 0)
		return err;
	mine()->places = calloc(PLACES, sizeof(struct place));
	if (mine()->places)
		return 0;
	slab_fini(slab());
	return -ENOMEM;
}

void
extent_fini(void)
{
	slab_fini(slab());
	free(mine()->places);
}

uint32_t
extent_room(void)
{
	return slab()->count - slab()->used;
}

void
extents_init(struct extents *t)
{
	*t = (struct extents){ .tree = RB_INITIALIZER(&t->tree) };
}

static uint64_t
end_of(const struct extent *e)
{
	return e->off + e->len;
}

static void
link_in(struct extents *t, struct extent *e)
{
	struct extent *other = RB_INSERT(extent_tree, &t->tree, e);

	assert(!other);
	place_take(t, e);
	t->bytes += e->len;
	t->count++;
}

static void
take_bytes(struct extent *e, struct buf *buf, uint32_t boff, const struct jloc *loc, uint64_t seq,
           uint64_t now_ns)
{
	e->buf = buf ? buf_keep(buf) : NULL;
	e->boff = boff;
	e->loc = *loc;
	e->seq = seq;
	e->born_ns = now_ns;
}

static void
put_bytes(struct extent *e)
{
	if (e->buf)
		buf_put(e->buf);
	jloc_put(&e->loc);
}

static void
drop(struct extents *t, struct extent *e)
{
	RB_REMOVE(extent_tree, &t->tree, e);
	place_leave(t, e);
	t->bytes -= e->len;
	t->count--;
	put_bytes(e);
	slab_put(slab(), e);
}

/* The order in the tree stays: what lies before ends before. */
static void
trim_front(struct extents *t, struct extent *e, uint64_t to)
{
	uint32_t n = (uint32_t)(to - e->off);

	place_leave(t, e);
	e->off += n;
	e->boff += n;
	e->len -= n;
	t->bytes -= n;
	place_take(t, e);
}

static void
trim_back(struct extents *t, struct extent *e, uint64_t to)
{
	uint32_t n = (uint32_t)(end_of(e) - to);

	e->len -= n;
	t->bytes -= n;
}

/*
 * Makes [at, end) of e an extent of its own, with its own holds, so that a hole can be cut
 * before it.
 */
static bool
split(struct extents *t, struct extent *e, uint64_t at)
{
	struct extent *right = slab_get(slab());

	if (!right)
		return false;
	*right = *e;
	right->off = at;
	right->boff = e->boff + (uint32_t)(at - e->off);
	right->len = (uint32_t)(end_of(e) - at);
	if (right->buf)
		buf_keep(right->buf);
	jloc_get(&right->loc);
	trim_back(t, e, at);
	link_in(t, right);
	return true;
}

/*
 * Frees [off, end) of e, which overlaps it.  False: it needed one more and there is none;
 * nothing has changed.
 */
static bool
punch(struct extents *t, struct extent *e, uint64_t off, uint64_t end)
{
	if (e->off < off && end_of(e) > end) {
		if (!split(t, e, end))
			return false;
		trim_back(t, e, off);
	} else if (e->off < off) {
		trim_back(t, e, off);
	} else if (end_of(e) > end) {
		trim_front(t, e, end);
	} else {
		drop(t, e);
	}
	return true;
}

struct extent *
extent_at(const struct extents *t, uint64_t off)
{
	struct extent *e = RB_ROOT(&t->tree), *best = NULL;
	const struct place *p = place_of(t, off);

	if (p->e && p->in == t && p->e->off == off)
		return p->e;
	while (e) {
		if (end_of(e) > off) {
			best = e;
			e = RB_LEFT(e, node);
		} else {
			e = RB_RIGHT(e, node);
		}
	}
	return best;
}

struct extent *
extent_next(const struct extents *t, struct extent *e)
{
	(void)t;
	return RB_NEXT(extent_tree, &t->tree, e);
}

int
extent_insert(struct extents *t, uint64_t off, uint32_t len, struct buf *buf, uint32_t boff,
              const struct jloc *loc, uint64_t seq, uint64_t now_ns)
{
	struct extent *new, *e, *next;
	uint64_t end = off + len;

	assert(len > 0 && end > off);
	e = extent_at(t, off);
	/* A page of a database, written again: the tree stays as it is. */
	if (e && e->off == off && e->len == len) {
		put_bytes(e);
		take_bytes(e, buf, boff, loc, seq, now_ns);
		return 0;
	}
	new = slab_get(slab());
	if (!new)
		return -ENOMEM;
	for (; e && e->off < end; e = next) {
		next = extent_next(t, e);
		if (!punch(t, e, off, end)) {
			/*
			 * Only one that holds all of the new one is split: it is the first and
			 * the only one.
			 */
			slab_put(slab(), new);
			return -ENOMEM;
		}
	}
	new->off = off;
	new->len = len;
	take_bytes(new, buf, boff, loc, seq, now_ns);
	link_in(t, new);
	return 0;
}

void
extent_cut(struct extents *t, uint64_t size)
{
	struct extent *e, *next;

	for (e = extent_at(t, size); e; e = next) {
		next = extent_next(t, e);
		punch(t, e, size, UINT64_MAX);
	}
}

void
extent_drop(struct extents *t, uint64_t off, uint64_t len, uint64_t upto)
{
	uint64_t end = len < UINT64_MAX - off ? off + len : UINT64_MAX;
	struct extent *e, *next;

	for (e = extent_at(t, off); e && e->off < end; e = next) {
		next = extent_next(t, e);
		/*
		 * Where there is none to split with, it stays dirty as a whole: uploaded twice,
		 * and right.
		 */
		if (e->seq <= upto)
			(void)punch(t, e, off, end);
	}
}

void
extents_clear(struct extents *t)
{
	extent_cut(t, 0);
	assert(t->bytes == 0 && t->count == 0);
}
