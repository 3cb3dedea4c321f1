/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/drc.h"

#include <stdlib.h>

#include "reactor/reactor.h"

/* ---- replies of the last run ---- */

static struct {
	struct once_reply *reply;
	uint32_t n, cap;
	uint32_t *slot;     /* open addressing: index + 1 */
	uint32_t mask;
	uint64_t until_ns;
	bool no_memory;
} last_run;

static uint64_t
key_hash(const struct once *k)
{
	return mix64(k->client ^ mix64(k->args_hash ^ ((uint64_t)k->proc << 32 | k->xid)));
}

static bool
key_eq(const struct once *a, const struct once *b)
{
	return a->xid == b->xid && a->args_hash == b->args_hash && a->client == b->client && a->proc == b->proc;
}

static void
last_run_add(void *arg, const struct once_reply *r)
{
	(void)arg;
	if (last_run.n == last_run.cap) {
		uint32_t cap = MAX(2 * last_run.cap, 1024u);
		void *p = reallocarray(last_run.reply, cap, sizeof *r);

		if (!p) {
			last_run.no_memory = true;
			return;
		}
		last_run.reply = p;
		last_run.cap = cap;
	}
	last_run.reply[last_run.n++] = *r;
}

/* The slot of the key, or the empty one where it belongs. */
static uint32_t *
last_run_slot(const struct once *k)
{
	uint32_t i = (uint32_t)key_hash(k);

	for (;; i++) {
		uint32_t *slot = &last_run.slot[i & last_run.mask];

		if (*slot == 0 || key_eq(&last_run.reply[*slot - 1].once, k))
			return slot;
	}
}

int
drc_restart_load(uint64_t now_ns)
{
	uint32_t size = 4;
	int err = meta_once_load(last_run_add, NULL);

	if (!err && last_run.no_memory)
		err = -ENOMEM;
	if (err)
		goto fail;
	while (size < 2 * last_run.n)
		size *= 2;
	last_run.slot = calloc(size, sizeof *last_run.slot);
	if (!last_run.slot) {
		err = -ENOMEM;
		goto fail;
	}
	last_run.mask = size - 1;
	for (uint32_t i = 0; i < last_run.n; i++) /* the newest last: it stays */
		*last_run_slot(&last_run.reply[i].once) = i + 1;
	last_run.until_ns = now_ns + DRC_RESTART_NS;
	return 0;
fail:
	drc_restart_free();
	return err;
}

void
drc_restart_free(void)
{
	free(last_run.reply);
	free(last_run.slot);
	memset(&last_run, 0, sizeof last_run);
}

static const struct once_reply *
last_run_find(const struct once *k)
{
	uint32_t i;

	if (last_run.n == 0 || reactor_now_ns() > last_run.until_ns)
		return NULL;
	i = *last_run_slot(k);
	return i ? &last_run.reply[i - 1] : NULL;
}

/* ---- this run ---- */

int
drc_init(struct drc *d, uint32_t entries)
{
	uint32_t size = 16;
	int err;

	while (size < entries)
		size *= 2;
	*d = (struct drc){ .mask = size - 1 };
	d->bucket = calloc(size, sizeof *d->bucket);
	if (!d->bucket)
		return -ENOMEM;
	err = slab_init(&d->slab, "duplicate requests", sizeof(struct drc_entry), entries);
	if (err)
		free(d->bucket);
	return err;
}

static void
unlink_done(struct drc *d, struct drc_entry *e)
{
	*(e->prev ? &e->prev->next : &d->oldest) = e->next;
	*(e->next ? &e->next->prev : &d->newest) = e->prev;
}

static void
link_newest(struct drc *d, struct drc_entry *e)
{
	e->next = NULL;
	e->prev = d->newest;
	*(d->newest ? &d->newest->next : &d->oldest) = e;
	d->newest = e;
}

static struct drc_entry **
find(struct drc *d, const struct once *k)
{
	struct drc_entry **p = &d->bucket[key_hash(k) & d->mask];

	while (*p && !key_eq(&(*p)->key, k))
		p = &(*p)->hash_next;
	return p;
}

/* Not in the list of done ones. */
static void
forget(struct drc *d, struct drc_entry *e)
{
	struct drc_entry **p = find(d, &e->key);

	assert(*p == e);
	*p = e->hash_next;
	slab_put(&d->slab, e);
}

static void
forget_done(struct drc *d, struct drc_entry *e)
{
	unlink_done(d, e);
	forget(d, e);
}

void
drc_fini(struct drc *d)
{
	while (d->oldest)
		forget_done(d, d->oldest);
	slab_fini(&d->slab);
	free(d->bucket);
}

static struct drc_entry *
add(struct drc *d, const struct once *key, const void *origin)
{
	struct drc_entry *e = slab_get(&d->slab), **head;

	if (!e && d->oldest) {
		forget_done(d, d->oldest);
		e = slab_get(&d->slab);
	}
	if (!e) /* as many under way as there are entries */
		return NULL;
	head = &d->bucket[key_hash(key) & d->mask];
	e->hash_next = *head;
	*head = e;
	e->key = *key;
	e->done = false;
	e->origin = origin;
	e->waiters = NULL;
	return e;
}

enum drc_verdict
drc_start(struct drc *d, const struct once *key, const void *origin, struct drc_wait *w, struct op *op,
          struct drc_entry **e, const struct once_reply **r)
{
	struct drc_entry *have = *find(d, key);

	if (have && have->done && reactor_now_ns() - have->done_ns > DRC_KEEP_NS) {
		forget_done(d, have);
		have = NULL;
	}
	if (!have) {
		*r = last_run_find(key);
		*e = add(d, key, origin);
		return *r ? DRC_RESTART : DRC_NEW;
	}
	if (have->done) {
		memcpy(w->body, have->body, have->len);
		w->len = have->len;
		return DRC_REPLAY;
	}
	if (have->origin == origin)
		return DRC_DROP;
	w->op = op;
	w->next = have->waiters;
	have->waiters = w;
	return DRC_WAIT;
}

void
drc_finish(struct drc *d, struct drc_entry *e, const uint8_t *body, uint32_t len, bool keep)
{
	struct drc_wait *w, *next;

	assert(!e->done && len <= DRC_BODY_MAX);
	for (w = e->waiters; w; w = next) {
		next = w->next;
		memcpy(w->body, body, len);
		w->len = len;
		reactor_post(w->op, 0);
	}
	e->waiters = NULL;
	e->origin = NULL;
	if (!keep) {
		forget(d, e);
		return;
	}
	memcpy(e->body, body, len);
	e->len = len;
	e->done = true;
	e->done_ns = reactor_now_ns();
	link_newest(d, e);
}
