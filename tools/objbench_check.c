/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does the store do what store/objstore.h says?  Each test is a few requests, one after
 * the other, from a thread that waits for them; the race is the one that has several.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/objbench.h"
#include "tools/oncore.h"

#define RACERS      8
#define MANY        300 /* objects of the tests of DELETE and of lists */
#define LIST_PAGE   70
#define SMALL       1000
#define PIECE       MIB /* of a large object, as an iovec */

/* ---- requests, blocking */

struct one {
	struct obj_req req;
	struct iovec iov;
	struct iovec *pieces;
	enum op_state (*run)(struct obj_req *r, struct op *op);
};

static enum op_state
one_start(void *arg, struct op *op)
{
	struct one *o = arg;

	return o->run(&o->req, op);
}

static struct one
one_of(struct objbench *b, const char *name, enum op_state (*run)(struct obj_req *r, struct op *op))
{
	struct one o = { .req.store = b->store, .run = run };

	snprintf(o.req.name, sizeof(o.req.name), "%s", name);
	return o;
}

static int
put(struct objbench *b, const char *name, void *p, size_t len, bool exclusive)
{
	struct one o = one_of(b, name, b->store->ops->put);

	o.iov = (struct iovec){ p, len };
	o.req.iov = &o.iov, o.req.niov = 1, o.req.len = len, o.req.exclusive = exclusive;
	return on_core(0, one_start, &o);
}

static int
get(struct objbench *b, const char *name, uint64_t off, void *p, size_t len)
{
	struct one o = one_of(b, name, b->store->ops->get);

	o.iov = (struct iovec){ p, len };
	o.req.iov = &o.iov, o.req.niov = 1, o.req.off = off, o.req.len = len;
	return on_core(0, one_start, &o);
}

static int
head(struct objbench *b, const char *name, uint64_t *size)
{
	struct one o = one_of(b, name, b->store->ops->head);
	int err = on_core(0, one_start, &o);

	*size = o.req.size;
	return err;
}

static int
delete(struct objbench *b, char (*names)[OBJ_NAME], int n)
{
	struct one o = one_of(b, "", b->store->ops->del);

	o.req.names = names, o.req.nnames = n;
	return on_core(0, one_start, &o);
}

static int
delete_one(struct objbench *b, const char *name)
{
	char names[1][OBJ_NAME] = { { 0 } };

	memcpy(names[0], name, strnlen(name, OBJ_NAME - 1));
	return delete(b, names, 1);
}

/* ---- verdicts */

struct check {
	struct objbench *b;
	struct objbench_test *t;
	uint8_t data[SMALL], back[SMALL];
	uint32_t names_left;       /* of the many */
};

static void
verdict(struct objbench_test *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void
verdict(struct objbench_test *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->result, sizeof(t->result), fmt, ap);
	va_end(ap);
}

/* Passes when the answer is the one that is due. */
static bool
answers(struct check *c, const char *what, int err, int want)
{
	if (err == want)
		return true;
	if (want == 0)
		verdict(c->t, "FAILED: %s: %s", what, objstore_error(err));
	else if (err == 0)
		verdict(c->t, "FAILED: %s succeeded; it should say: %s", what, objstore_error(want));
	else
		verdict(c->t, "FAILED: %s: %s; it should say: %s", what, objstore_error(err), objstore_error(want));
	return false;
}

static bool
same(struct check *c, const void *a, const void *b, size_t len)
{
	if (memcmp(a, b, len) == 0)
		return true;
	verdict(c->t, "FAILED: what was read is not what was written");
	return false;
}

/* ---- the tests, in this order: later ones build on earlier ones */

static bool
create(struct check *c)
{
	return answers(c, "put", put(c->b, "test/one", c->data, SMALL, false), 0);
}

static bool
get_whole(struct check *c)
{
	return answers(c, "get", get(c->b, "test/one", 0, c->back, SMALL), 0) && same(c, c->data, c->back, SMALL);
}

static bool
get_range(struct check *c)
{
	return answers(c, "get", get(c->b, "test/one", 100, c->back, 300), 0) && same(c, c->data + 100, c->back, 300) &&
	       answers(c, "get of the end", get(c->b, "test/one", SMALL - 7, c->back, 7), 0) &&
	       same(c, c->data + SMALL - 7, c->back, 7);
}

/* Both kinds are told apart from an object that is whole. */
static bool
get_short(struct check *c)
{
	return answers(c, "a range over the end", get(c->b, "test/one", SMALL - 10, c->back, 20), -E_DAMAGED) &&
	       answers(c, "a range behind the end", get(c->b, "test/one", SMALL + 10, c->back, 20), -E_DAMAGED);
}

static bool
head_size(struct check *c)
{
	uint64_t size = 0;

	if (!answers(c, "head", head(c->b, "test/one", &size), 0))
		return false;
	if (size != SMALL)
		verdict(c->t, "FAILED: the size is %" PRIu64 ", not %d", size, SMALL);
	return size == SMALL;
}

static bool
overwrite(struct check *c)
{
	c->data[0] ^= 0xff;
	return answers(c, "put", put(c->b, "test/one", c->data, SMALL - 1, false), 0) &&
	       answers(c, "get", get(c->b, "test/one", 0, c->back, SMALL - 1), 0) && same(c, c->data, c->back, SMALL - 1);
}

static bool
create_exclusive(struct check *c)
{
	return answers(c, "put", put(c->b, "test/exclusive", c->data, SMALL, true), 0) &&
	       answers(c, "a second put", put(c->b, "test/exclusive", c->data, 5, true), -EEXIST) &&
	       answers(c, "get", get(c->b, "test/exclusive", 0, c->back, SMALL), 0) && same(c, c->data, c->back, SMALL);
}

struct race {
	struct one one[RACERS];
	struct op_part part[RACERS];
	struct op_join join;
};

static enum op_state
race_start(void *arg, struct op *op)
{
	struct race *r = arg;

	op_join_start(&r->join, op);
	for (int i = 0; i < RACERS; i++)
		op_join_add(&r->join, &r->part[i], r->one[i].run(&r->one[i].req, op_join_part(&r->join, &r->part[i])));
	return op_join_wait(&r->join);
}

static bool
race_exclusive(struct check *c)
{
	struct race r;
	int won = 0, lost = 0;

	memset(&r, 0, sizeof(r));
	for (int i = 0; i < RACERS; i++) {
		struct one *o = &r.one[i];

		*o = one_of(c->b, "test/race", c->b->store->ops->put);
		o->iov = (struct iovec){ c->data, (size_t)(100 + i) };
		o->req.iov = &o->iov, o->req.niov = 1, o->req.len = o->iov.iov_len, o->req.exclusive = true;
	}
	on_core(0, race_start, &r);
	for (int i = 0; i < RACERS; i++) {
		won += r.part[i].op.res == 0;
		lost += r.part[i].op.res == -EEXIST;
	}
	if (won == 1 && lost == RACERS - 1)
		return true;
	verdict(c->t, "FAILED: of %d that came at once %d won and %d were refused", RACERS, won, lost);
	return false;
}

static bool
empty(struct check *c)
{
	uint64_t size = 1;

	if (!answers(c, "put", put(c->b, "test/empty", c->data, 0, false), 0) ||
	    !answers(c, "head", head(c->b, "test/empty", &size), 0))
		return false;
	if (size != 0)
		verdict(c->t, "FAILED: the size is %" PRIu64 ", not 0", size);
	return size == 0;
}

static bool
missing(struct check *c)
{
	uint64_t size;

	return answers(c, "get", get(c->b, "test/nothing", 0, c->back, 1), -ENOENT) &&
	       answers(c, "head", head(c->b, "test/nothing", &size), -ENOENT);
}

static bool
delete_missing(struct check *c)
{
	return answers(c, "delete", delete_one(c->b, "test/nothing"), 0);
}

static bool
delete_existing(struct check *c)
{
	uint64_t size;

	return answers(c, "delete", delete_one(c->b, "test/one"), 0) &&
	       answers(c, "head afterwards", head(c->b, "test/one", &size), -ENOENT);
}

static void
many_name(char out[OBJ_NAME], int i)
{
	snprintf(out, OBJ_NAME, "test/many/%03d", i);
}

static bool
put_many(struct check *c)
{
	char name[OBJ_NAME];

	for (int i = 0; i < MANY; i++) {
		many_name(name, i);
		if (!answers(c, "put", put(c->b, name, c->data, (size_t)(i % SMALL), false), 0))
			return false;
	}
	return true;
}

/* In pages that are smaller than all of it: each once, in order, with its size. */
static bool
list_pages(struct check *c)
{
	struct obj_entry *page = calloc(LIST_PAGE, sizeof(*page));
	struct one o = one_of(c->b, "test/many/", c->b->store->ops->list);
	char name[OBJ_NAME];
	bool good = true;
	int n = 0;

	do {
		o.req.entry = page;
		o.req.nentries = LIST_PAGE;
		good = answers(c, "list", on_core(0, one_start, &o), 0);
		for (int i = 0; good && i < o.req.nentries; i++, n++) {
			many_name(name, n);
			good = !strcmp(name, page[i].name) && page[i].size == (uint64_t)(n % SMALL);
			if (!good)
				verdict(c->t, "FAILED: %.60s with %" PRIu64 " bytes where %.60s should be", page[i].name, page[i].size, name);
		}
		if (good && o.req.nentries > 0)
			memcpy(o.req.after, page[o.req.nentries - 1].name, OBJ_NAME);
		else if (good && o.req.more)
			break; /* it would never end */
	} while (good && o.req.more);
	free(page);
	if (good && n != MANY)
		verdict(c->t, "FAILED: %d names came, of %d", n, MANY);
	return good && n == MANY;
}

static bool
list_nothing(struct check *c)
{
	struct obj_entry page[2];
	struct one o = one_of(c->b, "test/nothing", c->b->store->ops->list);

	o.req.entry = page;
	o.req.nentries = 2;
	if (!answers(c, "list", on_core(0, one_start, &o), 0))
		return false;
	if (o.req.nentries > 0)
		verdict(c->t, "FAILED: %.100s begins otherwise", page[0].name);
	return o.req.nentries == 0;
}

/* Some of the names have no object. */
static bool
delete_many(struct check *c)
{
	char (*names)[OBJ_NAME] = calloc(2 * MANY, OBJ_NAME);
	uint64_t size;
	bool good;

	for (int i = 0; i < 2 * MANY; i++)
		many_name(names[i], i);
	good = answers(c, "delete", delete(c->b, names, 2 * MANY), 0) &&
	       answers(c, "head of the first", head(c->b, names[0], &size), -ENOENT) &&
	       answers(c, "head of the last", head(c->b, names[MANY - 1], &size), -ENOENT);
	free(names);
	return good;
}

/* A large object in the pieces that blocks have; more than one request where the store has multipart uploads. */
static bool
large(struct check *c)
{
	struct one o = one_of(c->b, "test/large", c->b->store->ops->put);
	uint32_t n = (uint32_t)(c->b->large_bytes / PIECE);
	struct iovec *iov = calloc(n, sizeof(*iov));
	uint8_t *p = aligned_alloc(PAGE, PIECE), *back = aligned_alloc(PAGE, PIECE);
	uint64_t size = 0;
	bool good;

	for (uint32_t i = 0; i < PIECE; i++)
		p[i] = (uint8_t)mix64(i);
	for (uint32_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ p, PIECE };
	o.req.iov = iov, o.req.niov = (int)n, o.req.len = n * PIECE;
	good = answers(c, "put", on_core(0, one_start, &o), 0) && answers(c, "head", head(c->b, "test/large", &size), 0);
	if (good && size != n * PIECE) {
		verdict(c->t, "FAILED: the size is %" PRIu64 ", not %" PRIu64, size, n * PIECE);
		good = false;
	}
	good = good && answers(c, "get", get(c->b, "test/large", (n - 1) * PIECE, back, PIECE), 0) && same(c, p, back, PIECE);
	free(iov);
	free(p);
	free(back);
	return good;
}

static bool
bad_name(struct check *c)
{
	return answers(c, "put of ../x", put(c->b, "../x", c->data, 1, false), -EINVAL) &&
	       answers(c, "put of a b", put(c->b, "a b", c->data, 1, false), -EINVAL);
}

static const struct {
	const char *category, *name;
	bool (*run)(struct check *c);
} tests[] = {
	{ "basic", "put an object", create },
	{ "basic", "get it", get_whole },
	{ "basic", "get a range", get_range },
	{ "basic", "get a range that is not all there", get_short },
	{ "basic", "head", head_size },
	{ "basic", "put in place of another", overwrite },
	{ "basic", "an empty object", empty },
	{ "basic", "get and head of a missing object", missing },
	{ "basic", "names that are refused", bad_name },
	{ "conditional", "put where there is none", create_exclusive },
	{ "conditional", "of several puts at once one wins", race_exclusive },
	{ "large", "put and get in pieces", large },
	{ "delete", "an object", delete_existing },
	{ "delete", "a missing object", delete_missing },
	{ "list", "put 300 objects", put_many },
	{ "list", "their names and sizes, in pages", list_pages },
	{ "list", "names that nothing has", list_nothing },
	{ "delete", "600 names in one call, half of them missing", delete_many },
};
static_assert(ARRAY_LEN(tests) <= OBJBENCH_TESTS_MAX, "room for all results");

int
objbench_check(struct objbench *b, struct objbench_test *out)
{
	struct check c = { .b = b };
	int n;

	for (int i = 0; i < SMALL; i++)
		c.data[i] = (uint8_t)mix64((uint64_t)i);
	for (n = 0; n < (int)ARRAY_LEN(tests) && !atomic_load(&b->watch->stop); n++) {
		out[n] = (struct objbench_test){ .category = tests[n].category, .name = tests[n].name };
		c.t = &out[n];
		out[n].passed = tests[n].run(&c);
		if (out[n].passed)
			verdict(&out[n], "pass");
		if (n == 0 && !out[n].passed)
			return 1; /* all others would fail, each after its own time-out */
	}
	return n;
}

/* ---- cleaning up, also after the load */

struct batch {
	struct objbench *b;
	char (*names)[OBJ_NAME];
	int n, err;
};

static void
batch_send(struct batch *d)
{
	int err = d->n > 0 ? delete(d->b, d->names, d->n) : 0;

	if (d->err == 0)
		d->err = err;
	d->n = 0;
}

static char *
batch_next(struct batch *d)
{
	if (d->n == DEL_MAX)
		batch_send(d);
	return d->names[d->n++];
}

int
objbench_clean(struct objbench *b)
{
	static const char *const single[] = { "test/one", "test/exclusive", "test/race", "test/empty", "test/large" };
	struct batch d = { .b = b, .names = calloc(DEL_MAX, OBJ_NAME) };

	for (size_t i = 0; i < ARRAY_LEN(single); i++)
		snprintf(batch_next(&d), OBJ_NAME, "%s", single[i]);
	for (int i = 0; i < MANY; i++)
		many_name(batch_next(&d), i);
	for (uint32_t i = 0; i < b->nbig; i++)
		objbench_name(batch_next(&d), true, i);
	for (uint32_t i = 0; i < b->nsmall; i++)
		objbench_name(batch_next(&d), false, i);
	batch_send(&d);
	free(d.names);
	return d.err;
}
