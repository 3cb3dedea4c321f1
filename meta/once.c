/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/once.h"

#include <stdlib.h>


#define ONCE_VERSION 1
#define ONCE_BYTES   57u

/* What the next record of a core takes; written by its thread alone. */
static struct {
	uint32_t slot;
	uint64_t order;
} __attribute__((aligned(CACHELINE))) next[REACTOR_MAX_CORES];

struct found {
	struct once_reply reply;
	uint64_t order;
	uint32_t core, slot;
};

struct all {
	struct found *v;
	size_t n, cap;
};

static void
encode(uint8_t v[ONCE_BYTES], uint64_t order, const struct once *o, int res, const struct fref *child)
{
	v[0] = ONCE_VERSION;
	put_le64(v + 1, order);
	put_le64(v + 9, o->client);
	put_le64(v + 17, o->args_hash);
	put_le32(v + 25, o->xid);
	put_le32(v + 29, o->proc);
	put_le32(v + 33, (uint32_t)res);
	put_le64(v + 37, child->ino);
	put_le64(v + 45, child->gen);
	put_le32(v + 53, child->share);
}

static bool
decode(struct found *f, const uint8_t *k, size_t klen, const uint8_t *v, size_t vlen)
{
	if (klen != 9 || vlen != ONCE_BYTES || v[0] != ONCE_VERSION)
		return false;
	f->core = get_be32(k + 1);
	f->slot = get_be32(k + 5);
	f->order = get_le64(v + 1);
	f->reply = (struct once_reply){
		.once = { .used = true, .client = get_le64(v + 9), .args_hash = get_le64(v + 17),
		          .xid = get_le32(v + 25), .proc = get_le32(v + 29) },
		.res = (int)get_le32(v + 33),
		.child = { .ino = get_le64(v + 37), .gen = get_le64(v + 45), .share = get_le32(v + 53) },
	};
	return true;
}

static int
collect(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct all *a = arg;

	if (a->n == a->cap) {
		size_t cap = MAX(2 * a->cap, ONCE_SLOTS);
		struct found *v = realloc(a->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		a->v = v;
		a->cap = cap;
	}
	/* Of another version: a retransmission may run again, which is better than not starting. */
	if (decode(&a->v[a->n], key, klen, val, vlen))
		a->n++;
	return 0;
}

static int
by_order(const void *x, const void *y)
{
	const struct found *a = x, *b = y;

	return a->order < b->order ? -1 : a->order > b->order;
}

static int
load(struct all *a)
{
	struct kv_scan s = { .from = "Q", .from_len = 1, .to = "R", .to_len = 1, .fn = collect, .arg = a };
	int res;

	*a = (struct all){ 0 };
	res = kv_scan_now(&s);
	if (res < 0) {
		free(a->v);
		a->v = NULL;
		return res;
	}
	if (a->n)
		qsort(a->v, a->n, sizeof(*a->v), by_order);
	return 0;
}

int
once_open(void)
{
	struct all a;
	int err = load(&a);
	uint64_t order = 0;

	if (err)
		return err;
	for (size_t i = 0; i < a.n; i++) {
		order = a.v[i].order;
		if (a.v[i].core < REACTOR_MAX_CORES)
			next[a.v[i].core].slot = (a.v[i].slot + 1) % ONCE_SLOTS;
	}
	for (int core = 0; core < REACTOR_MAX_CORES; core++)
		next[core].order = order + 1;
	free(a.v);
	return 0;
}

void
once_put(struct kv_batch *b, const struct once *once, int res, const struct fref *child)
{
	int core = reactor_core();
	uint8_t key[16], val[ONCE_BYTES];

	if (!once->used)
		return;
	/* By time, so that the order is right over the cores too. */
	next[core].order = MAX(next[core].order + 1, reactor_wall_ns());
	encode(val, next[core].order, once, res, child);
	kv_batch_put(b, key, key_once(key, (uint32_t)core, next[core].slot), val, sizeof(val));
	next[core].slot = (next[core].slot + 1) % ONCE_SLOTS;
}

int
meta_once_load(void (*fn)(void *arg, const struct once_reply *r), void *arg)
{
	struct all a;
	int err = load(&a);

	if (err)
		return err;
	for (size_t i = 0; i < a.n; i++)
		fn(arg, &a.v[i].reply);
	free(a.v);
	return 0;
}
