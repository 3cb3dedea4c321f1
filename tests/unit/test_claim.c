/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
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
/* The next exclusive PUT stays on its way until hold is 0. */
enum { HOLD_NEXT = 1, HELD };
static _Atomic int hold;

static void
put_held(struct op *op)
{
	struct twice *t = container_of(op, struct twice, op);

	if (hold)
		reactor_post(&t->op, 0);
	else
		put_again(op);
}

static enum op_state
fake_put(struct obj_req *r, struct op *op)
{
	if (hold == HOLD_NEXT && r->exclusive) {
		struct twice *t = calloc(1, sizeof(*t));

		*t = (struct twice){ .op.resume = put_held, .wait = op, .req = r, .iov = r->iov[0] };
		hold = HELD;
		reactor_post(&t->op, 0);
		return OP_PENDING;
	}
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
		return op_done(op, -fail_get);
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

static enum op_state
fake_list(struct obj_req *r, struct op *op)
{
	return answer(r, op, real->list);
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
	fake.list = fake_list;
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

#define RACERS 8
static struct claim racer[RACERS];
static int result[RACERS];

/* An attempt of the server `who`. */
static int
take(struct claim *c, const char *who, bool take_over)
{
	memset(c, 0, sizeof(*c));
	c->store = store;
	c->prefix = "export";
	c->take_over = take_over;
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

		cr_assert(eq(int, take(&c, "a", late), 0));
		cr_assert(eq(u64, c.me.epoch, base + 1));
		cr_assert(eq(int, take(&c, "a", false), 0), "its own restart");
		cr_assert(eq(u64, c.me.epoch, base + 2));
		cr_assert(eq(int, take(&c, "b", false), -EBUSY));
		cr_assert(eq(str, c.other.host, (char *)"host-of-a"));
		cr_assert(eq(str, c.other.where, (char *)"/srv/a"));
		cr_assert(eq(u64, c.other.epoch, base + 2));
		cr_assert(c.other.since_s > 0);
		cr_assert(eq(int, take(&c, "b", true), 0), "taken over");
		cr_assert(eq(u64, c.me.epoch, base + 3));
		cr_assert(eq(int, take(&c, "a", false), -EBUSY), "the stale one comes back");
		cr_assert(eq(str, c.other.host, (char *)"host-of-b"));
		cr_assert(eq(int, take(&c, "b", false), 0));
	}
}

Test(claim, who_releases_lets_any_other_in)
{
	struct claim a, b;

	cr_assert(eq(int, take(&a, "a", false), 0));
	cr_assert(eq(int, rig_call(0, start_release, &a), 0));
	cr_assert(eq(int, take(&b, "b", false), 0));
	cr_assert(eq(u64, b.me.epoch, 2));
	cr_assert(eq(int, take(&a, "a", false), -EBUSY));
}

static bool is_there(const char *name);

/* Which of "N" and "N-released" are there, up to `most`. */
static const char *
owners(int most)
{
	static char text[4096];
	char name[OBJ_NAME];

	text[0] = '\0';
	for (int i = 1; i <= 2 * most; i++) {
		snprintf(name, sizeof(name), "export/owners/%d%s", (i + 1) / 2, i % 2 ? "" : "-released");
		if (is_there(name))
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", name + strlen("export/owners/"));
	}
	return text;
}

static int
release(struct claim *c)
{
	return rig_call(0, start_release, c);
}

Test(claim, clean_starts_leave_little_behind)
{
	struct claim c;

	for (int i = 0; i < 5; i++) {
		cr_assert(eq(int, take(&c, i % 2 ? "a" : "b", false), 0));
		cr_assert(eq(u64, c.me.epoch, (uint64_t)i + 1));
		cr_assert(eq(int, release(&c), 0));
	}
	cr_assert(eq(str, (char *)owners(9), (char *)"4-released 5 5-released "));
}

/* Its server may live: the one that looks for epoch 3 is that of epoch 2. */
Test(claim, what_follows_an_unclean_end_stays)
{
	struct claim c;

	cr_assert(eq(int, take(&c, "a", false), 0));
	cr_assert(eq(int, release(&c), 0));
	cr_assert(eq(int, take(&c, "a", false), 0));
	cr_assert(eq(int, take(&c, "b", true), 0)); /* 3, over 2 that never said that it ended */
	cr_assert(eq(int, release(&c), 0));
	for (int i = 4; i < 8; i++) {
		cr_assert(eq(int, take(&c, "b", false), 0));
		cr_assert(eq(int, release(&c), 0));
	}
	cr_assert(eq(str, (char *)owners(9), (char *)"3 6-released 7 7-released "));
}

Test(claim, finds_the_newest_of_many)
{
	struct claim c;

	for (uint64_t n = 1; n <= 150; n++) { /* kills: all stay */
		cr_assert(eq(int, take(&c, "a", false), 0));
		cr_assert(eq(u64, c.me.epoch, n));
	}
	calls = 0;
	cr_assert(eq(int, take(&c, "b", false), -EBUSY));
	cr_assert(eq(u64, c.other.epoch, 150));
	cr_assert(eq(int, calls, 3 + 1), "pages, and the newest");
}

Test(claim, a_restart_asks_no_more_than_it_must)
{
	struct claim c;

	cr_assert(eq(int, take(&c, "a", false), 0));
	cr_assert(eq(int, release(&c), 0));
	calls = 0;
	cr_assert(eq(int, take(&c, "a", false), 0));
	cr_assert(eq(int, calls, 5), "list, read, make, list, delete: %d", calls);
}

static void *
slow_rival(void *arg)
{
	(void)arg;
	result[0] = take(&racer[0], "b", false);
	return NULL;
}

/* Its PUT is on the way while two others come and go, so that its epoch is there and pruned before. */
Test(claim, a_slow_put_gives_way_to_the_newer)
{
	struct claim a;
	pthread_t rival;

	cr_assert(eq(int, take(&a, "a", false), 0));
	cr_assert(eq(int, release(&a), 0));
	hold = HOLD_NEXT;
	cr_assert(eq(int, pthread_create(&rival, NULL, slow_rival, NULL), 0));
	while (hold != HELD)
		usleep(1000);
	for (int i = 0; i < 2; i++) {
		cr_assert(eq(int, take(&a, "a", false), 0));
		cr_assert(i == 1 || release(&a) == 0);
	}
	cr_assert(eq(u64, a.me.epoch, 3));
	cr_assert(not(is_there("export/owners/2")));
	hold = 0;
	pthread_join(rival, NULL);
	cr_assert(eq(int, result[0], -EBUSY));
	cr_assert(eq(u64, racer[0].other.epoch, 3));
	cr_assert(eq(int, take(&a, "a", false), 0));
	cr_assert(eq(u64, a.me.epoch, 4));
}

static void
race(int i)
{
	char who[8];

	snprintf(who, sizeof(who), "%d", i);
	result[i] = take(&racer[i], who, false);
}

Test(claim, of_many_at_once_one_wins)
{
	struct claim first;

	for (int round = 0; round < 20; round++) {
		int won = 0;

		if (round > 0) {
			cr_assert(eq(int, take(&first, "x", true), 0));
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
	cr_assert(eq(int, take(&c, "a", false), 0));
	cr_assert(eq(u64, c.me.epoch, 1));
	cr_assert(eq(int, take(&c, "b", true), 0));
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
		int err = take(&c, n % 2 ? "a" : "b", true);

		fail_at = 0;
		if (err == 0 && calls < n)
			break;
		if (err == 0)
			newest = c.me.epoch;
		cr_assert(err == 0 || err == -EIO, "%d", err);
		cr_assert(eq(int, take(&c, "a", true), 0));
		cr_assert(c.me.epoch > newest);
		newest = c.me.epoch;
	}
}

Test(claim, an_unreadable_owner_is_another)
{
	char path[256];
	struct claim c;
	FILE *f;

	cr_assert(eq(int, take(&c, "a", false), 0));
	snprintf(path, sizeof(path), "%s/objects/export/owners/1", rig_dir());
	f = fopen(path, "w");
	fprintf(f, "dittofs owner 1\nepoch 1\n");
	fclose(f);
	cr_assert(eq(int, take(&c, "a", false), -EBUSY));
	cr_assert(eq(u64, c.other.epoch, 0));
	cr_assert(eq(int, take(&c, "a", true), 0));
}

/* A list may show what is not there, for ever: some stores' indexes do. */
Test(claim, a_listed_owner_that_is_missing_is_another)
{
	struct claim c;

	cr_assert(eq(int, take(&c, "a", false), 0));
	fail_get = ENOENT;
	cr_assert(eq(int, take(&c, "a", false), -EBUSY));
	cr_assert(eq(u64, c.other.epoch, 0));
	cr_assert(eq(int, take(&c, "a", true), 0));
	cr_assert(eq(u64, c.me.epoch, 2));
	fail_get = 0;
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

	cr_assert(eq(int, take(&a, "a", false), 0));
	cr_assert(eq(int, claim_guard(store, "export", a.me.epoch, on_fenced), 0));
	cr_assert(eq(int, put("export/x", 0), 0));
	cr_assert(eq(int, put("export/y", 1), 0));
	cr_assert(eq(int, put("export/z", 1), 0));
	cr_assert(eq(int, del("export/z", 1), 0));
	cr_assert(not(is_there("export/z")));

	fail_get = EIO;
	cr_assert(eq(int, del("export/x", 0), -EIO), "it cannot be told");
	fail_get = 0;
	cr_assert(is_there("export/x"));

	cr_assert(eq(int, take(&b, "b", true), 0));
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
	cr_assert(eq(int, take(&a, "a", false), 0));
	cr_assert(eq(int, claim_guard(store, "export", a.me.epoch, on_fenced), 0));
	rig_threads(8, delete_many);
	cr_assert(eq(int, fences, 0));
	claim_unguard(store);
}

/* PUTs ask seldom: what they cost is PUTs. */
Test(claim, puts_hardly_ask)
{
	struct claim a;

	cr_assert(eq(int, take(&a, "a", false), 0));
	cr_assert(eq(int, claim_guard(store, "export", a.me.epoch, on_fenced), 0));
	calls = 0;
	for (int i = 0; i < 20; i++)
		cr_assert(eq(int, put("export/x", i % 2), 0));
	cr_assert(calls <= 20 + 2 * 4, "%d", calls);
	claim_unguard(store);
}
