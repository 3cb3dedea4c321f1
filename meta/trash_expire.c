/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/trash_expire.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "meta/trash.h"
#include "meta/usage.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define ENTRIES   64            /* a look */
#define AT_ONCE   16            /* removals under way: they share a sync */
#define MSEC_NS   1000000ull
#define IDLE_NS   (1000 * MSEC_NS)
#define PAUSE_NS  (5 * MSEC_NS)
#define FAILED_NS (10000 * MSEC_NS)
#define LATE_NS   (60000 * MSEC_NS) /* so often it looks from the oldest on: the clock may have been set back */

enum expire_stage { X_IDLE, X_SHARE, X_LOOKED, X_PURGED };

struct due { uint64_t second, ino, gen; };

struct expire {
	enum expire_stage stage;
	bool stopping, complained;
	struct timer timer;
	struct op step;
	struct kv_scan scan;
	struct op_join join;
	struct op_part part[AT_ONCE];
	struct trash_purge purge[AT_ONCE];
	struct due due[ENTRIES];
	uint32_t ndue, at, share;
	int nparts;
	uint64_t from[SHARES_MAX];  /* the second: all before it has gone, but for what came late */
	uint64_t late_ns;
	uint32_t round;             /* of `wanted`, when it began with the first share */
};

static __thread struct expire *mine;

/* Asked by any thread; done by the one that works. */
static struct {
	_Atomic uint64_t before_s[SHARES_MAX];
	_Atomic uint32_t wanted, done;
	_Atomic uint64_t expired;
} asked;

void
trash_empty(uint32_t share, uint64_t before_s)
{
	for (uint32_t s = 0; s < SHARES_MAX; s++)
		if (share == 0 || s == share)
			atomic_store(&asked.before_s[s], before_s);
	atomic_fetch_add(&asked.wanted, 1);
}

bool
trash_emptying(void)
{
	return atomic_load(&asked.wanted) != atomic_load(&asked.done);
}

uint64_t
trash_expired(void)
{
	return atomic_load(&asked.expired);
}

/* ---- look */

static bool
is_due(const struct expire *x, uint64_t second, const struct trash_rec *r)
{
	uint64_t keep = trash_retention_s(x->share), until = keep ? second + keep : r->until_s;

	return until <= trash_now_s() || second < atomic_load(&asked.before_s[x->share]);
}

static int
see(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct expire *x = arg;
	struct due *d = &x->due[x->ndue];
	struct trash_key k;
	struct trash_rec r;

	if (!key_read_trash(&k, key, klen) || trash_decode(&r, val, vlen) < 0)
		return 0; /* of a newer version: none of our business */
	d->second = k.deleted_s;
	d->ino = k.ino;
	d->gen = r.gen;
	return !is_due(x, d->second, &r) || ++x->ndue == ENTRIES;
}

static void
look_reset(void *arg)
{
	((struct expire *)arg)->ndue = 0;
}

static enum op_state
look(struct expire *x)
{
	x->scan.from_len = (uint16_t)key_trash(x->scan.from, x->share, x->from[x->share], 0);
	x->scan.to_len = (uint16_t)key_trash(x->scan.to, x->share + 1, 0, 0);
	x->scan.fn = see;
	x->scan.arg = x;
	x->at = 0;
	look_reset(x);
	return kv_scan(&x->scan, look_reset, &x->step);
}

/* ---- remove */

static enum op_state
purge_some(struct expire *x)
{
	op_join_start(&x->join, &x->step);
	for (x->nparts = 0; x->nparts < AT_ONCE && x->at < x->ndue; x->nparts++) {
		const struct due *d = &x->due[x->at++];
		struct trash_purge *p = &x->purge[x->nparts];
		struct op *op = op_join_part(&x->join, &x->part[x->nparts]);

		*p = (struct trash_purge){ .share = x->share, .second = d->second, .ino = d->ino, .gen = d->gen };
		op_join_add(&x->join, &x->part[x->nparts], trash_purge(p, op));
	}
	return op_join_wait(&x->join);
}

/* 0, or why one of them stays. */
static int
purged(struct expire *x)
{
	int res = 0;

	for (int i = 0; i < x->nparts; i++) {
		if (x->purge[i].res == 0)
			atomic_fetch_add(&asked.expired, 1);
		else if (x->purge[i].res != -ENOENT)
			res = x->purge[i].res; /* restored or removed meanwhile is well, too */
	}
	return res;
}

/* ---- the steps */

static void
rest(struct expire *x, uint64_t delay_ns)
{
	x->stage = X_IDLE;
	if (!x->stopping)
		timer_start(&x->timer, delay_ns, &x->step);
}

static void
begin_round(struct expire *x)
{
	x->share = 1;
	x->round = atomic_load(&asked.wanted);
	if (x->round == atomic_load(&asked.done) && reactor_now_ns() < x->late_ns)
		return;
	memset(x->from, 0, sizeof(x->from));
	x->late_ns = reactor_now_ns() + LATE_NS;
}

static void
expire_run(struct expire *x)
{
	int err = 0;

	for (;;) {
		switch (x->stage) {
		case X_IDLE:
			begin_round(x);
			x->stage = X_SHARE;
			fallthrough;
		case X_SHARE:
			while (x->share < SHARES_MAX && !trash_shows(x->share))
				x->share++;
			if (x->stopping || x->share == SHARES_MAX) {
				if (x->share == SHARES_MAX)
					atomic_store(&asked.done, x->round);
				rest(x, IDLE_NS);
				return;
			}
			x->stage = X_LOOKED;
			if (look(x) == OP_PENDING)
				return;
			fallthrough;
		case X_LOOKED:
			if (x->step.res < 0) {
				err = x->step.res;
				goto failed;
			}
			if (x->ndue == 0) {
				x->share++;
				x->stage = X_SHARE;
				continue;
			}
			x->stage = X_PURGED;
			if (purge_some(x) == OP_PENDING)
				return;
			fallthrough;
		case X_PURGED:
			err = purged(x);
			if (err < 0)
				goto failed;
			if (x->at < x->ndue && !x->stopping) {
				if (purge_some(x) == OP_PENDING)
					return;
				continue;
			}
			x->complained = false;
			x->from[x->share] = x->due[x->ndue - 1].second;
			x->stage = X_SHARE;
			if (x->stopping)
				continue;
			/* Clients come first: not all of it in one go. */
			timer_start(&x->timer, PAUSE_NS, &x->step);
			return;
		}
	}
failed:
	if (!x->complained)
		log_warn("removing what has been in the trash long enough: %s; it is tried again", err > -1000 ? strerror(-err) : "the server is busy");
	x->complained = true;
	rest(x, FAILED_NS);
}

static void
expire_resume(struct op *step)
{
	expire_run(container_of(step, struct expire, step));
}

bool
trash_expire_quit(void)
{
	struct expire *x = mine;

	if (!x)
		return true;
	x->stopping = true;
	if (timer_stop(&x->timer))
		x->stage = X_IDLE;
	return x->stage == X_IDLE && x->timer.slot == 0;
}

int
trash_expire_init(void)
{
	struct expire *x;

	if (reactor_core() != 0)
		return 0;
	x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	for (uint32_t s = 0; s < SHARES_MAX; s++)
		atomic_store(&asked.before_s[s], 0);
	atomic_store(&asked.done, atomic_load(&asked.wanted));
	x->step.resume = expire_resume;
	mine = x;
	rest(x, IDLE_NS);
	return 0;
}

void
trash_expire_fini(void)
{
	struct expire *x = mine;

	if (!x)
		return;
	timer_stop(&x->timer);
	free(x);
	mine = NULL;
}
