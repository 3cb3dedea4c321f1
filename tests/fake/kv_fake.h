/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All of kv.h over a small table in memory, on the test's one thread.  Each call asks
 * kv_plan() how to answer: 0 well and now, KV_LATER from the run queue, KV_ILL with -EIO; and
 * kv_plan_try() where the caller can do without, and need not tell of an error.
 * Included by one test, before which the test defines reactor_post.
 */
#ifndef TESTS_KV_FAKE_H
#define TESTS_KV_FAKE_H

#include <stdlib.h>

#include "meta/kv.h"

#define KV_LATER 1u
#define KV_ILL   2u
static unsigned kv_plan(void), kv_plan_try(void);

struct kv_pair { uint8_t key[KV_KEY_MAX], val[512]; size_t klen, vlen; };
static struct kv_pair kv_table[128];
static int kv_count;

enum kv_what { KV_PUT, KV_DEL, KV_MERGE };
struct kv_change { enum kv_what what; struct kv_pair pair; };
struct kv_batch { struct kv_change change[32]; int n; };

static struct kv_pair *
kv_find(const void *key, size_t klen)
{
	for (int i = 0; i < kv_count; i++)
		if (kv_table[i].klen == klen && memcmp(kv_table[i].key, key, klen) == 0)
			return &kv_table[i];
	return NULL;
}

static void
kv_apply(const struct kv_change *c)
{
	struct kv_pair *p = kv_find(c->pair.key, c->pair.klen);

	if (c->what == KV_DEL) {
		if (p)
			*p = kv_table[--kv_count];
	} else if (c->what == KV_PUT || !p) {
		if (!p) {
			assert(kv_count < (int)ARRAY_LEN(kv_table));
			p = &kv_table[kv_count++];
		}
		*p = c->pair;
	} else {
		/* A shorter one counts as if zeros followed. */
		memset(p->val + p->vlen, 0, sizeof(p->val) - p->vlen);
		p->vlen = MAX(p->vlen, c->pair.vlen);
		for (size_t i = 0; i < c->pair.vlen; i += 8)
			put_le64(p->val + i, get_le64(p->val + i) + get_le64(c->pair.val + i));
	}
}

static enum op_state
kv_answer(unsigned how, struct op *op, int res)
{
	if (how & KV_ILL)
		res = -EIO;
	if (!(how & KV_LATER))
		return op_done(op, res);
	reactor_post(op, res);
	return OP_PENDING;
}

/* ---- reads */

int
kv_get_now(const void *key, size_t klen, void *out, uint32_t cap)
{
	struct kv_pair *p = kv_find(key, klen);

	if (!p)
		return -ENOENT;
	memcpy(out, p->val, MIN(p->vlen, cap));
	return (int)p->vlen;
}

int
kv_get_try(const void *key, size_t klen, void *out, uint32_t cap)
{
	unsigned how = kv_plan();

	return how & KV_ILL ? -EIO : how & KV_LATER ? -EAGAIN : kv_get_now(key, klen, out, cap);
}

enum op_state
kv_get(struct kv_get *g, const void *key, size_t klen, void *out, uint32_t cap, struct op *op)
{
	(void)g;
	return kv_answer(kv_plan(), op, kv_get_now(key, klen, out, cap));
}

enum op_state
kv_get_any(struct kv_get_any *g, const void *key, size_t klen, struct op *op)
{
	struct kv_pair *p = kv_find(key, klen);
	unsigned how = kv_plan();

	g->out = NULL;
	g->len = 0;
	if (p && !(how & KV_ILL)) {
		g->out = malloc(p->vlen);
		g->len = (uint32_t)p->vlen;
		memcpy(g->out, p->val, p->vlen);
	}
	return kv_answer(how, op, p ? (int)g->len : -ENOENT);
}

static int
kv_order(const void *a, const void *b)
{
	const struct kv_pair *x = *(struct kv_pair *const *)a, *y = *(struct kv_pair *const *)b;
	int c = memcmp(x->key, y->key, MIN(x->klen, y->klen));

	return c ? c : (int)x->klen - (int)y->klen;
}

int
kv_scan_now(struct kv_scan *s)
{
	struct kv_pair *at[ARRAY_LEN(kv_table)], from = { .klen = s->from_len }, to = { .klen = s->to_len };
	struct kv_pair *lo = &from, *hi = &to;
	int n = kv_count, res = 0;

	memcpy(from.key, s->from, s->from_len);
	memcpy(to.key, s->to, s->to_len);
	for (int i = 0; i < n; i++)
		at[i] = &kv_table[i];
	qsort(at, (size_t)n, sizeof(at[0]), kv_order);
	for (int i = 0; i < n && res == 0; i++)
		if (kv_order(&at[i], &lo) >= 0 && kv_order(&at[i], &hi) < 0)
			res = s->fn(s->arg, at[i]->key, at[i]->klen, at[i]->val, at[i]->vlen);
	return res;
}

int
kv_scan_try(struct kv_scan *s)
{
	unsigned how = kv_plan_try();

	return how & KV_ILL ? -EIO : how & KV_LATER ? -EAGAIN : kv_scan_now(s);
}

enum op_state
kv_scan(struct kv_scan *s, void (*reset)(void *arg), struct op *op)
{
	unsigned how = kv_plan();
	int res = how & KV_ILL ? -EIO : kv_scan_now(s);

	if (how & KV_LATER && !(how & KV_ILL)) { /* the inline try met the disk half-way */
		reset(s->arg);
		res = kv_scan_now(s);
	}
	return kv_answer(how, op, res);
}

/* ---- writes */

struct kv_batch *kv_batch_new(void)         { return calloc(1, sizeof(struct kv_batch)); }
void kv_batch_free(struct kv_batch *b)      { free(b); }
void kv_batch_clear(struct kv_batch *b)     { b->n = 0; }
size_t kv_batch_bytes(struct kv_batch *b)   { (void)b; return 0; }

static void
kv_batch_add(struct kv_batch *b, enum kv_what what, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct kv_change *c = &b->change[b->n++];

	assert(b->n <= (int)ARRAY_LEN(b->change) && vlen <= sizeof(c->pair.val));
	c->what = what;
	c->pair.klen = klen;
	c->pair.vlen = vlen;
	memcpy(c->pair.key, key, klen);
	if (vlen)
		memcpy(c->pair.val, val, vlen);
}

void
kv_batch_put(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	kv_batch_add(b, KV_PUT, key, klen, val, vlen);
}

void
kv_batch_del(struct kv_batch *b, const void *key, size_t klen)
{
	kv_batch_add(b, KV_DEL, key, klen, NULL, 0);
}

void
kv_batch_merge(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	kv_batch_add(b, KV_MERGE, key, klen, val, vlen);
}

int
kv_write_now(struct kv_batch *b)
{
	for (int i = 0; i < b->n; i++)
		kv_apply(&b->change[i]);
	return 0;
}

static int kv_writes, kv_syncs;

enum op_state
kv_write(struct kv_write *w, struct kv_batch *b, struct op *op)
{
	unsigned how = kv_plan();

	if (!(how & KV_ILL)) {
		kv_write_now(b);
		kv_writes++;
	}
	w->ticket = 1;
	return kv_answer(how, op, 0);
}

enum op_state
kv_sync(struct kv_write *w, struct op *op)
{
	assert(w->ticket == 1);
	kv_syncs++;
	return kv_answer(kv_plan(), op, 0);
}

int  kv_open(const struct kv_opts *o, char why[256]) { (void)o; (void)why; abort(); }
void kv_close(void) { abort(); }
void kv_thread_init(void) { }
int  kv_flush_now(void) { return 0; }
void kv_stats(struct kv_stats *out) { *out = (struct kv_stats){ 0 }; }

#endif
