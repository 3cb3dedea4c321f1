/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/claim.h"
#include "tests/fake/rig.h"

/* A directory as the object store, and in front of it one that counts, fails and answers late. */
static struct objstore *store;
static const struct objstore_ops *real;
static _Atomic int calls, fail_at, put_twice, late;
static _Atomic int fail_get;

struct later {
	struct op op;
	struct op *wait;
};

static void
later(struct op *op)
{
	struct later *l = container_of(op, struct later, op);
	struct op *wait = l->wait;

	wait->res = op->res;
	free(l);
	wait->resume(wait);
}

/* The n-th call fails; every answer may come from the reactor's stack. */
static enum op_state
answer(struct obj_req *r, struct op *op, enum op_state (*fn)(struct obj_req *, struct op *))
{
	if (++calls == fail_at)
		return op_done(op, -EIO);
	if (fn(r, op) == OP_PENDING)
		return OP_PENDING;
	if (!late)
		return OP_DONE;
	struct later *l = calloc(1, sizeof(*l));

	*l = (struct later){ .op.resume = later, .wait = op };
	reactor_post(&l->op, op->res);
	return OP_PENDING;
}

struct twice {
	struct op op;
	struct op *wait;
	struct obj_req *req;
	struct iovec iov;
};

static void
put_again(struct op *op)
{
	struct twice *t = container_of(op, struct twice, op);
	struct op *wait = t->wait;
	struct obj_req *r = t->req;
	static struct iovec iov;

	iov = t->iov;
	free(t);
	r->iov = &iov;
	r->niov = 1;
	if (real->put(r, wait) == OP_DONE)
		wait->resume(wait);
}

/* A client that lost the reply of its PUT and sends it again. */
static enum op_state
fake_put(struct obj_req *r, struct op *op)
{
	if (!put_twice)
		return answer(r, op, real->put);
	struct twice *t = calloc(1, sizeof(*t));

	*t = (struct twice){ .op.resume = put_again, .wait = op, .req = r, .iov = r->iov[0] };
	if (real->put(r, &t->op) == OP_DONE)
		put_again(&t->op);
	return OP_PENDING;
}

static enum op_state
fake_get(struct obj_req *r, struct op *op)
{
	if (fail_get)
		return op_done(op, -EIO);
	return answer(r, op, real->get);
}

static enum op_state
fake_head(struct obj_req *r, struct op *op)
{
	return answer(r, op, real->head);
}

static enum op_state
fake_del(struct obj_req *r, struct op *op)
{
	return answer(r, op, real->del);
}

static struct objstore_ops fake;

static void
setup(void)
{
	char url[160], why[256] = "";

	log_set_level(LOG_ERROR);
	snprintf(url, sizeof(url), "file://%s/objects", rig_dir());
	cr_assert(eq(int, objstore_open(&store, url, true, why), 0), "%s", why);
	real = store->ops;
	fake = *real;
	fake.put = fake_put;
	fake.get = fake_get;
	fake.head = fake_head;
	fake.del = fake_del;
	store->ops = &fake;
	calls = 0;
	rig_start(2, NULL, NULL);
}

static void
teardown(void)
{
	rig_stop();
	store->ops = real;
	objstore_close(store);
	rig_dir_remove();
}

TestSuite(claim, .init = setup, .fini = teardown);

static enum op_state
start_take(void *arg, struct op *op)
{
	return claim_take(arg, op);
}

static enum op_state
start_release(void *arg, struct op *op)
{
	return claim_release(arg, op);
}

static enum op_state
start_del(void *arg, struct op *op)
{
	return claim_del(arg, op);
}

static enum op_state
start_put(void *arg, struct op *op)
{
	return claim_put(arg, op);
}

static enum op_state
start_head(void *arg, struct op *op)
{
	struct obj_req *r = arg;

	return r->store->ops->head(r, op);
}

/* An attempt of the server `who`, which knows of `hint`. */
static int
take(struct claim *c, const char *who, uint64_t hint, bool take_over)
{
	memset(c, 0, sizeof(*c));
	c->store = store;
	c->prefix = "export";
	c->take_over = take_over;
	c->me.epoch = hint;
	snprintf(c->me.instance, sizeof(c->me.instance), "disk-of-%s", who);
	snprintf(c->me.host, sizeof(c->me.host), "host-of-%s", who);
	snprintf(c->me.where, sizeof(c->me.where), "/srv/%s", who);
	return rig_call(0, start_take, c);
}

Test(claim, one_server_at_a_time)
{
	struct claim c;

	for (late = 0; late < 2; late++) {
		uint64_t base = late ? 4 : 0;

		cr_assert(eq(int, take(&c, "a", 0, late), 0));
		cr_assert(eq(u64, c.me.epoch, base + 1));
		cr_assert(eq(int, take(&c, "a", base + 1, false), 0), "its own restart");
		cr_assert(eq(u64, c.me.epoch, base + 2));
		cr_assert(eq(int, take(&c, "b", 0, false), -EBUSY));
		cr_assert(eq(str, c.other.host, (char *)"host-of-a"));
		cr_assert(eq(str, c.other.where, (char *)"/srv/a"));
		cr_assert(eq(u64, c.other.epoch, base + 2));
		cr_assert(c.other.since_s > 0);
		cr_assert(eq(int, take(&c, "b", 0, true), 0), "taken over");
		cr_assert(eq(u64, c.me.epoch, base + 3));
		cr_assert(eq(int, take(&c, "a", base + 2, false), -EBUSY), "the stale one comes back");
		cr_assert(eq(str, c.other.host, (char *)"host-of-b"));
		cr_assert(eq(int, take(&c, "b", base + 3, false), 0));
	}
}

Test(claim, who_releases_lets_any_other_in)
{
	struct claim a, b;

	cr_assert(eq(int, take(&a, "a", 0, false), 0));
	cr_assert(eq(int, rig_call(0, start_release, &a), 0));
	cr_assert(eq(int, take(&b, "b", 0, false), 0));
	cr_assert(eq(u64, b.me.epoch, 2));
	cr_assert(eq(int, take(&a, "a", 1, false), -EBUSY));
}

Test(claim, finds_the_newest_from_any_hint)
{
	static const uint64_t hints[] = { 0, 1, 7, 63, 64, 99, 4711 };
	uint64_t newest = 0;
	struct claim c;

	while (newest < 100) {
		cr_assert(eq(int, take(&c, "a", newest, false), 0));
		cr_assert(eq(u64, c.me.epoch, ++newest));
	}
	for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
		calls = 0;
		cr_assert(eq(int, take(&c, "a", hints[i], false), 0));
		cr_assert(eq(u64, c.me.epoch, ++newest), "hint %d", (int)hints[i]);
		cr_assert(calls <= 20, "%d requests", calls);
	}
	calls = 0;
	cr_assert(eq(int, take(&c, "a", newest, false), 0));
	cr_assert(eq(int, calls, 3), "a restart asks no more than it must");
}

#define RACERS 8
static struct claim racer[RACERS];
static int result[RACERS];

static void
race(int i)
{
	char who[8];

	snprintf(who, sizeof(who), "%d", i);
	result[i] = take(&racer[i], who, 0, false);
}

Test(claim, of_many_at_once_one_wins)
{
	struct claim first;

	for (int round = 0; round < 20; round++) {
		int won = 0;

		if (round > 0) {
			cr_assert(eq(int, take(&first, "x", 0, true), 0));
			cr_assert(eq(int, rig_call(0, start_release, &first), 0));
		}
		rig_threads(RACERS, race);
		for (int i = 0; i < RACERS; i++) {
			won += result[i] == 0;
			cr_assert(result[i] == 0 || result[i] == -EBUSY, "%d", result[i]);
		}
		cr_assert(eq(int, won, 1));
	}
}

Test(claim, its_own_put_seen_twice_is_its_own)
{
	struct claim c;

	put_twice = 1;
	cr_assert(eq(int, take(&c, "a", 0, false), 0));
	cr_assert(eq(u64, c.me.epoch, 1));
	cr_assert(eq(int, take(&c, "b", 0, true), 0));
	put_twice = 0;
	cr_assert(eq(u64, c.me.epoch, 2));
}

Test(claim, any_request_may_fail)
{
	struct claim c;
	uint64_t newest = 0;

	for (int n = 1;; n++) {
		calls = 0;
		fail_at = n;
		int err = take(&c, n % 2 ? "a" : "b", 0, true);

		fail_at = 0;
		if (err == 0 && calls < n)
			break;
		if (err == 0)
			newest = c.me.epoch;
		cr_assert(err == 0 || err == -EIO, "%d", err);
		cr_assert(eq(int, take(&c, "a", 0, true), 0));
		cr_assert(c.me.epoch > newest);
		newest = c.me.epoch;
	}
}

Test(claim, an_unreadable_owner_is_another)
{
	char path[256];
	struct claim c;
	FILE *f;

	cr_assert(eq(int, take(&c, "a", 0, false), 0));
	snprintf(path, sizeof(path), "%s/objects/export/owners/1", rig_dir());
	f = fopen(path, "w");
	fprintf(f, "dittofs owner 1\nepoch 1\n");
	fclose(f);
	cr_assert(eq(int, take(&c, "a", 1, false), -EBUSY));
	cr_assert(eq(u64, c.other.epoch, 0));
	cr_assert(eq(int, take(&c, "a", 1, true), 0));
}

Test(claim, slices_of_epochs_are_apart)
{
	cr_assert(eq(u64, claim_slice_floor(0), 0));
	cr_assert(claim_slice_floor(2) - claim_slice_floor(1) >= (uint64_t)1 << 32);
}

/* ---- the guard */

static _Atomic int fences;
static char fenced_host[65];

static void
on_fenced(const struct claim_owner *by)
{
	fences++;
	snprintf(fenced_host, sizeof(fenced_host), "%s", by->host);
}

static struct obj_req
request(const char *name)
{
	struct obj_req r = { .store = store };

	snprintf(r.name, sizeof(r.name), "%s", name);
	return r;
}

static int
put(const char *name, int core)
{
	char text[] = "data";
	struct iovec iov = { text, sizeof(text) };
	struct obj_req r = request(name);

	r.iov = &iov;
	r.niov = 1;
	r.len = sizeof(text);
	return rig_call(core, start_put, &r);
}

static int
del(const char *name, int core)
{
	struct obj_req r = request("");
	char names[1][192];

	snprintf(names[0], sizeof(names[0]), "%s", name);
	r.names = names;
	r.nnames = 1;
	return rig_call(core, start_del, &r);
}

static bool
is_there(const char *name)
{
	struct obj_req r = request(name);

	return rig_call(0, start_head, &r) == 0;
}

Test(claim, a_stale_server_deletes_nothing)
{
	struct claim a, b;

	cr_assert(eq(int, take(&a, "a", 0, false), 0));
	cr_assert(eq(int, claim_guard(store, "export", a.me.epoch, on_fenced), 0));
	cr_assert(eq(int, put("export/x", 0), 0));
	cr_assert(eq(int, put("export/y", 1), 0));
	cr_assert(eq(int, put("export/z", 1), 0));
	cr_assert(eq(int, del("export/z", 1), 0));
	cr_assert(not(is_there("export/z")));

	fail_get = 1;
	cr_assert(eq(int, del("export/x", 0), -EIO), "it cannot be told");
	fail_get = 0;
	cr_assert(is_there("export/x"));

	cr_assert(eq(int, take(&b, "b", 0, true), 0));
	cr_assert(eq(int, fences, 0));
	cr_assert(eq(int, del("export/x", 0), -E_FENCED));
	cr_assert(eq(int, del("export/y", 1), -E_FENCED));
	cr_assert(eq(int, put("export/x", 0), -E_FENCED));
	cr_assert(is_there("export/x"));
	cr_assert(is_there("export/y"));
	cr_assert(eq(int, fences, 1));
	cr_assert(eq(str, fenced_host, (char *)"host-of-b"));
	claim_unguard(store);
	cr_assert(eq(int, del("export/x", 0), 0));
}

static void
delete_many(int i)
{
	for (int k = 0; k < 50; k++) {
		char name[32];

		snprintf(name, sizeof(name), "export/%d-%d", i, k);
		cr_assert(eq(int, put(name, i % 2), 0));
		cr_assert(eq(int, del(name, i % 2), 0));
	}
}

Test(claim, deletes_in_line_are_all_answered)
{
	struct claim a;

	late = 1;
	cr_assert(eq(int, take(&a, "a", 0, false), 0));
	cr_assert(eq(int, claim_guard(store, "export", a.me.epoch, on_fenced), 0));
	rig_threads(8, delete_many);
	cr_assert(eq(int, fences, 0));
	claim_unguard(store);
}

/* PUTs ask seldom: what they cost is PUTs. */
Test(claim, puts_hardly_ask)
{
	struct claim a;

	cr_assert(eq(int, take(&a, "a", 0, false), 0));
	cr_assert(eq(int, claim_guard(store, "export", a.me.epoch, on_fenced), 0));
	calls = 0;
	for (int i = 0; i < 20; i++)
		cr_assert(eq(int, put("export/x", i % 2), 0));
	cr_assert(calls <= 20 + 2 * 4, "%d", calls);
	claim_unguard(store);
}
