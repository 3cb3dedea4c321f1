/* SPDX-License-Identifier: Apache-2.0 */
#include "store/claim.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "reactor/log.h"
#include "reactor/reactor.h"

#define SEC_NS     ((uint64_t)1000000000)
#define ASK_NS     (5 * SEC_NS)
#define EPOCH_BITS 40 /* slices of an epoch */
#define LIST_AGAIN 5

/* ---- an owner's object: lines of text, padded with spaces to CLAIM_BYTES, so that one GET fetches it */

static void
owner_format(const struct claim_owner *o, char text[CLAIM_BYTES + 1])
{
	int n = snprintf(text, CLAIM_BYTES, "dittofs owner 1\nepoch %" PRIu64 "\nsince %" PRIu64
		"\ninstance %s\nrun %s\nhost %s\nwhere %s\n",
		o->epoch, o->since_s, o->instance, o->run, o->host, o->where);
	assert(n > 0 && n < CLAIM_BYTES);
	memset(text + n, ' ', CLAIM_BYTES - 1 - (size_t)n);
	memcpy(text + CLAIM_BYTES - 1, "\n", 2);
}

/* The line "KEY VALUE" of the text; *bad where there is none, or no room for it. */
static void
owner_field(const char *text, const char *key, char *out, size_t size, bool *bad)
{
	char start[16];
	int n = snprintf(start, sizeof(start), "\n%s ", key);
	const char *at = strstr(text, start);
	size_t len = at ? strcspn(at + n, "\n") : size;

	out[0] = '\0';
	if (len >= size) {
		*bad = true;
		return;
	}
	memcpy(out, at + n, len);
	out[len] = '\0';
}

static int
owner_parse(struct claim_owner *o, const char text[CLAIM_BYTES + 1])
{
	char epoch[24], since[24];
	bool bad = strncmp(text, "dittofs owner 1\n", 16) != 0;

	owner_field(text, "epoch", epoch, sizeof(epoch), &bad);
	owner_field(text, "since", since, sizeof(since), &bad);
	owner_field(text, "instance", o->instance, sizeof(o->instance), &bad);
	owner_field(text, "run", o->run, sizeof(o->run), &bad);
	owner_field(text, "host", o->host, sizeof(o->host), &bad);
	owner_field(text, "where", o->where, sizeof(o->where), &bad);
	o->epoch = strtoull(epoch, NULL, 10);
	o->since_s = strtoull(since, NULL, 10);
	if (bad || o->epoch == 0)
		memset(o, 0, sizeof(*o));
	return bad || o->epoch == 0 ? -E_DAMAGED : 0;
}

static void
owner_name(char name[192], const char *prefix, uint64_t epoch, const char *suffix)
{
	snprintf(name, 192, "%s%sowners/%" PRIu64 "%s", prefix, *prefix ? "/" : "", epoch, suffix);
}

/* Of one start: a lost reply to our own PUT looks like somebody else's object. */
static void
new_run(char run[36])
{
	uint64_t r[2] = { 0 };

	if (getrandom(r, sizeof(r), 0) < 0)
		r[0] = (uint64_t)time(NULL);
	snprintf(run, 36, "%016" PRIx64 "%016" PRIx64, r[0], r[1]);
}

/* ---- taking it */

/* What has just been answered. */
enum claim_stage { CLAIM_LISTED, CLAIM_READ, CLAIM_MADE, CLAIM_SEEN, CLAIM_CHECKED, CLAIM_PRUNED };

static struct obj_req *
claim_req(struct claim *c, uint64_t epoch, const char *suffix)
{
	memset(&c->req, 0, sizeof(c->req));
	c->req.store = c->store;
	c->iov = (struct iovec){ c->text, CLAIM_BYTES };
	c->req.iov = &c->iov;
	c->req.niov = 1;
	c->req.len = CLAIM_BYTES;
	owner_name(c->req.name, c->prefix, epoch, suffix);
	return &c->req;
}

/* One page of what is there, behind `after`. */
static enum op_state
claim_list(struct claim *c, const char *after, enum claim_stage stage)
{
	struct obj_req *r = &c->req;
	char behind[OBJ_NAME];

	snprintf(behind, sizeof(behind), "%s", after); /* it may be of the page */
	if (!*behind) {
		c->newest = c->newest_released = 0;
		c->nseen = 0;
	}
	c->stage = stage;
	memset(r, 0, sizeof(*r));
	r->store = c->store;
	snprintf(r->name, sizeof(r->name), "%s%sowners/", c->prefix, *c->prefix ? "/" : "");
	memcpy(r->after, behind, sizeof(r->after));
	r->entry = c->page;
	r->nentries = CLAIM_PAGE;
	return c->store->ops->list(r, &c->step);
}

static void
note_epoch(struct claim *c, uint64_t epoch, bool release)
{
	int i = 0;

	if (release)
		c->newest_released = MAX(c->newest_released, epoch);
	else
		c->newest = MAX(c->newest, epoch);
	while (i < c->nseen && c->seen[i].epoch != epoch)
		i++;
	if (i == CLAIM_EPOCHS)
		return;
	if (i == c->nseen)
		c->seen[c->nseen++] = (struct claim_epoch){ .epoch = epoch };
	c->seen[i].made |= !release;
	c->seen[i].released |= release;
}

/* What the page says; names that are no epoch's are nothing to us. */
static void
claim_note_page(struct claim *c)
{
	size_t skip = strlen(c->req.name);

	for (int i = 0; i < c->req.nentries; i++) {
		const char *name = c->page[i].name + skip;
		char *end;
		uint64_t epoch = strtoull(name, &end, 10);

		if (end != name && (!*end || !strcmp(end, "-released")))
			note_epoch(c, epoch, *end != '\0');
	}
}

static enum op_state
claim_read(struct claim *c, uint64_t epoch, enum claim_stage stage)
{
	c->stage = stage;
	return c->store->ops->get(claim_req(c, epoch, ""), &c->step);
}

static enum op_state
claim_make(struct claim *c)
{
	struct obj_req *r = claim_req(c, c->newest + 1, "");

	c->stage = CLAIM_MADE;
	c->me.epoch = c->newest + 1;
	owner_format(&c->me, c->text);
	r->exclusive = true;
	return c->store->ops->put(r, &c->step);
}

static bool
was_released(const struct claim *c, uint64_t epoch)
{
	for (int i = 0; i < c->nseen; i++)
		if (c->seen[i].epoch == epoch)
			return c->seen[i].released;
	return false;
}

/* Removes what nobody can ask for again (the header says why that is safe). */
static enum op_state
claim_prune(struct claim *c)
{
	struct obj_req *r = claim_req(c, c->me.epoch, "");
	int n = 0;

	for (int i = 0; i < c->nseen; i++) {
		const struct claim_epoch *e = &c->seen[i];

		if (e->made && e->epoch < c->me.epoch && (e->epoch == 1 || was_released(c, e->epoch - 1)))
			owner_name(c->doomed[n++], c->prefix, e->epoch, "");
		if (e->released && e->epoch + 1 < c->me.epoch)
			owner_name(c->doomed[n++], c->prefix, e->epoch, "-released");
	}
	c->stage = CLAIM_PRUNED;
	if (n == 0)
		return op_done(&c->step, 0);
	r->names = c->doomed;
	r->nnames = n;
	return c->store->ops->del(r, &c->step);
}

static bool
claim_is(struct claim *c, bool this_run)
{
	return c->step.res == 0 && owner_parse(&c->other, c->text) == 0 &&
	       (this_run ? !strcmp(c->other.run, c->me.run) : !strcmp(c->other.instance, c->me.instance));
}

static int
list_lags(const struct claim *c)
{
	log_error("%s: a list does not show epoch %" PRIu64 ", which is there: no store for a volume", c->store->url, c->me.epoch);
	return -EINVAL;
}

/* Ends with OP_DONE when c->step.res is the result of it all. */
static enum op_state
claim_run(struct claim *c)
{
	enum op_state s = OP_DONE;

	for (;;) {
		if (s == OP_PENDING)
			return OP_PENDING;
		switch ((enum claim_stage)c->stage) {
		case CLAIM_LISTED:             /* a page of what is there */
			if (c->step.res < 0)
				return OP_DONE;
			claim_note_page(c);
			if (c->req.more)
				s = claim_list(c, c->page[c->req.nentries - 1].name, CLAIM_LISTED);
			else if (c->newest == 0)
				s = claim_make(c); /* the first ever */
			else
				s = claim_read(c, c->newest, CLAIM_READ);
			continue;
		case CLAIM_READ:               /* the newest owner */
			if (c->step.res == -ENOENT && c->again++ < LIST_AGAIN) {
				s = claim_list(c, "", CLAIM_LISTED); /* pruned meanwhile: there is a newer one */
				continue;
			}
			/* Listed again and again, and not there: unreadable as a damaged one is. */
			if (c->step.res < 0 && c->step.res != -E_DAMAGED && c->step.res != -ENOENT)
				return OP_DONE;
			if (!claim_is(c, false) && c->newest_released != c->newest && !c->take_over)
				return op_done(&c->step, -EBUSY);
			s = claim_make(c);
			continue;
		case CLAIM_MADE:               /* ours, or somebody was there */
			if (c->step.res == 0)
				s = claim_list(c, "", CLAIM_CHECKED);
			else if (c->step.res == -EEXIST)
				s = claim_read(c, c->me.epoch, CLAIM_SEEN);
			else
				return OP_DONE;
			continue;
		case CLAIM_SEEN:               /* whose that is; missing: pruned meanwhile */
			if (c->step.res < 0 && c->step.res != -E_DAMAGED && c->step.res != -ENOENT)
				return OP_DONE;
			if (c->step.res != -ENOENT && !claim_is(c, true))
				return op_done(&c->step, -EBUSY);
			s = claim_list(c, "", CLAIM_CHECKED);
			continue;
		case CLAIM_CHECKED:            /* whether it is the newest */
			if (c->step.res < 0)
				return OP_DONE;
			claim_note_page(c);
			if (c->req.more)
				s = claim_list(c, c->page[c->req.nentries - 1].name, CLAIM_CHECKED);
			else if (c->newest > c->me.epoch)
				s = claim_read(c, c->newest, CLAIM_SEEN);
			else if (c->newest < c->me.epoch)
				return op_done(&c->step, list_lags(c));
			else
				s = claim_prune(c);
			continue;
		case CLAIM_PRUNED:             /* some older ones; those that stay harm nobody */
			if (c->step.res < 0)
				log_info("epochs of earlier starts stay below %s: %s", c->prefix, objstore_error(c->step.res));
			return op_done(&c->step, 0);
		}
	}
}

static void
claim_step(struct op *step)
{
	struct claim *c = container_of(step, struct claim, step);

	if (claim_run(c) == OP_DONE) {
		c->wait->res = step->res;
		c->wait->resume(c->wait);
	}
}

enum op_state
claim_take(struct claim *c, struct op *op)
{
	memset(&c->other, 0, sizeof(c->other));
	c->text[CLAIM_BYTES] = '\0';
	c->me.since_s = (uint64_t)time(NULL);
	new_run(c->me.run);
	c->step.resume = claim_step;
	c->wait = op;
	c->again = 0;
	if (claim_list(c, "", CLAIM_LISTED) == OP_PENDING || claim_run(c) == OP_PENDING)
		return OP_PENDING;
	return op_done(op, c->step.res);
}

enum op_state
claim_release(struct claim *c, struct op *op)
{
	struct obj_req *r = claim_req(c, c->me.epoch, "-released");

	owner_format(&c->me, c->text);
	return c->store->ops->put(r, op);
}

uint64_t
claim_slice_floor(uint64_t epoch)
{
	assert(epoch < (uint64_t)1 << (64 - EPOCH_BITS));
	return epoch << EPOCH_BITS;
}

/* ---- keeping it */

struct guard_core {
	struct obj_req req;
	struct iovec iov;
	char text[CLAIM_BYTES + 1];
	struct op step;
	struct claim_guard *guard;
	/* DELETEs, linked by priv: in line for the next question, and of the one under way. */
	struct obj_req *line, *asked;
	bool busy;
};

struct claim_guard {
	struct objstore *store;
	char next[192]; /* the object of the next epoch */
	void (*fenced)(const struct claim_owner *by);
	_Atomic bool is_fenced;
	_Atomic uint64_t asked_ns; /* by any core */
	struct guard_core core[REACTOR_MAX_CORES];
};

static void guard_answered(struct op *step);

/* Whether there is a next epoch; guard_answered follows, now or later. */
static void
guard_ask(struct guard_core *g)
{
	struct claim_guard *all = g->guard;

	g->busy = true;
	g->asked = g->line;
	g->line = NULL;
	atomic_store_explicit(&all->asked_ns, reactor_now_ns(), memory_order_relaxed);
	memset(&g->req, 0, sizeof(g->req));
	g->req.store = all->store;
	g->iov = (struct iovec){ g->text, CLAIM_BYTES };
	g->req.iov = &g->iov;
	g->req.niov = 1;
	g->req.len = CLAIM_BYTES;
	memcpy(g->req.name, all->next, sizeof(g->req.name));
	g->step.resume = guard_answered;
	if (all->store->ops->get(&g->req, &g->step) == OP_DONE)
		reactor_post(&g->step, g->step.res);
}

static void
guard_fence(struct guard_core *g)
{
	struct claim_owner by = { 0 };

	if (atomic_exchange(&g->guard->is_fenced, true))
		return;
	if (g->step.res == 0)
		(void)owner_parse(&by, g->text);
	g->guard->fenced(&by);
}

static void
guard_answered(struct op *step)
{
	struct guard_core *g = container_of(step, struct guard_core, step);
	struct obj_req *r = g->asked, *next;
	int err = 0;

	if (step->res == 0 || step->res == -E_DAMAGED) {
		guard_fence(g);
		err = -E_FENCED;
	} else if (step->res != -ENOENT) {
		err = step->res; /* who can't tell deletes nothing */
	}
	g->asked = NULL;
	g->busy = false;
	for (; r; r = next) {
		struct op *wait = r->wait;

		next = r->priv;
		if (err < 0)
			op_done(wait, err);
		else if (r->store->ops->del(r, wait) == OP_PENDING)
			continue;
		wait->resume(wait);
	}
	if (g->line && !g->busy)
		guard_ask(g);
}

enum op_state
claim_put(struct obj_req *r, struct op *op)
{
	struct claim_guard *guard = r->store->guard;

	if (guard) {
		struct guard_core *g = &guard->core[reactor_core()];

		if (atomic_load_explicit(&guard->is_fenced, memory_order_relaxed))
			return op_done(op, -E_FENCED);
		uint64_t asked_ns = atomic_load_explicit(&guard->asked_ns, memory_order_relaxed);

		if (!g->busy && reactor_now_ns() > asked_ns + ASK_NS) /* two cores may: no harm */
			guard_ask(g);
	}
	return r->store->ops->put(r, op);
}

enum op_state
claim_del(struct obj_req *r, struct op *op)
{
	struct claim_guard *guard = r->store->guard;

	if (!guard)
		return r->store->ops->del(r, op);
	struct guard_core *g = &guard->core[reactor_core()];

	if (atomic_load_explicit(&guard->is_fenced, memory_order_relaxed))
		return op_done(op, -E_FENCED);
	r->wait = op;
	r->priv = g->line;
	g->line = r;
	if (!g->busy)
		guard_ask(g);
	return OP_PENDING;
}

int
claim_guard(struct objstore *store, const char *prefix, uint64_t epoch, void (*fenced)(const struct claim_owner *by))
{
	struct claim_guard *g = calloc(1, sizeof(*g));
	struct timespec now;

	if (!g)
		return -ENOMEM;
	g->store = store;
	g->fenced = fenced;
	clock_gettime(CLOCK_MONOTONIC, &now);
	owner_name(g->next, prefix, epoch + 1, "");
	g->asked_ns = (uint64_t)now.tv_sec * SEC_NS + (uint64_t)now.tv_nsec; /* claim_take has just */
	for (int i = 0; i < REACTOR_MAX_CORES; i++)
		g->core[i].guard = g;
	store->guard = g;
	return 0;
}

void
claim_unguard(struct objstore *store)
{
	free(store->guard);
	store->guard = NULL;
}
