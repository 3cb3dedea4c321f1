/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/preload.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "meta/changed.h"
#include "meta/preload_batch.h"
#include "meta/usage.h"
#include "reactor/log.h"
#include "reactor/net.h"

#define PIECE       64        /* entries of a batch that a core looks at in a lap: some 20 µs */
#define GIVE_WAY_NS 20000000u /* while clients call */

/* A core's part: of noting what changes, or of a batch. */
struct visit {
	struct shard_call call;
	struct op step;
	struct timer timer;
	uint64_t recvs;   /* from clients, when it last looked */
	uint32_t at;      /* in the batch */
	uint32_t noted;
	bool busy;
	bool full;        /* its table, of this kind */
};

enum state { OFF, READING, DONE, FULL, ENDED, FAILED };
static const char *const state_names[] = {
	[OFF] = "off", [READING] = "reading", [DONE] = "done", [FULL] = "full", [ENDED] = "ended", [FAILED] = "failed",
};

enum { PRELOAD_NOTING, PRELOAD_READ, PRELOAD_KEPT, PRELOAD_AGAIN, PRELOAD_OVER };

static struct {
	_Atomic bool quit;
	/* For preload_stats. */
	_Atomic enum state state;
	_Atomic uint64_t attrs, names, began_ns, ended_ns;
	/* Core 0's, lent to the worker while it reads and to the cores while they keep. */
	struct preload_batch *batch;
	bool begin, settle;   /* the worker's next steps */
	bool more;            /* of this kind */
	bool full;            /* some were left out */
	int err;
	struct op step;
	struct op *stopped;
	struct work work;
	struct timer timer;
	struct visit visit[REACTOR_MAX_CORES];
	struct op_join join;
	struct op_part part[REACTOR_MAX_CORES];
	int stage;
} p;

static enum op_state
visit_all(void (*run)(struct shard_call *c))
{
	op_join_start(&p.join, &p.step);
	for (int core = 0; core < reactor_cores(); core++) {
		struct op *part = op_join_part(&p.join, &p.part[core]);

		op_join_add(&p.join, &p.part[core], shard_call(core, &p.visit[core].call, run, part));
	}
	return op_join_wait(&p.join);
}

/* ---- on each core */

static void
note_run(struct shard_call *c)
{
	shard_reply(c, changed_begin());
}

static void
note_no_more(struct shard_call *c)
{
	changed_end();
	shard_reply(c, 0);
}

static void
keep_resume(struct op *step)
{
	struct visit *v = container_of(step, struct visit, step);
	uint64_t recvs = __atomic_load_n(&net_stats(reactor_core())->recvs, __ATOMIC_RELAXED);
	uint32_t to = MIN(v->at + PIECE, p.batch->n);
	bool busy = recvs != v->recvs;

	v->recvs = recvs;
	v->busy |= busy;
	if (!v->full)
		v->full = !preload_keep(p.batch, v->at, to);
	v->at = to;
	if (v->full || to == p.batch->n || atomic_load_explicit(&p.quit, memory_order_relaxed)) {
		v->noted = changed_count();
		shard_reply(&v->call, 0);
	} else if (busy) {
		timer_start(&v->timer, GIVE_WAY_NS, step);
	} else {
		reactor_post(step, 0);
	}
}

static void
keep_run(struct shard_call *c)
{
	struct visit *v = container_of(c, struct visit, call);

	v->at = 0;
	v->busy = false;
	v->step.resume = keep_resume;
	keep_resume(&v->step);
}

/* ---- on a worker */

static int
read_work(struct work *w)
{
	int res = 0;

	(void)w;
	if (p.settle)
		res = kv_settle_now();
	if (res == 0 && p.begin)
		res = preload_read_begin(p.batch, p.batch->kind);
	return res < 0 ? res : preload_read(p.batch);
}

/* ---- on core 0 */

static void
count(const struct preload_batch *b)
{
	atomic_fetch_add_explicit(b->kind == PRELOAD_ATTRS ? &p.attrs : &p.names, b->n, memory_order_relaxed);
}

/* What the cores say of the batch. */
struct said { bool busy, many_noted, all_full, any_full; };

static struct said
all_say(void)
{
	struct said s = { .all_full = true };

	for (int core = 0; core < reactor_cores(); core++) {
		const struct visit *v = &p.visit[core];

		s.busy |= v->busy;
		s.many_noted |= v->noted >= CHANGED_MANY;
		s.all_full &= v->full;
		s.any_full |= v->full;
	}
	return s;
}

/* False: this was the last. */
static bool
next_batch(void)
{
	struct said s = all_say();

	p.begin = p.settle = false;
	p.full |= s.any_full;
	if (p.more && !s.all_full)
		return true;
	if (p.batch->kind == PRELOAD_NAMES)
		return false;
	p.batch->kind = PRELOAD_NAMES;
	p.begin = true;
	for (int core = 0; core < reactor_cores(); core++)
		p.visit[core].full = false;
	return true;
}

static void
finish(int err)
{
	bool early = atomic_load(&p.quit);
	struct preload_stats s;

	atomic_store(&p.ended_ns, reactor_now_ns());
	atomic_store(&p.state, err ? FAILED : early ? ENDED : p.full ? FULL : DONE);
	preload_stats(&s);
	if (err)
		log_warn("reading ahead ended after %lu attributes and %lu names: %s", s.attrs, s.names,
		         strerror(err > -1000 ? -err : EIO));
	else
		log_info("read ahead %lu attributes and %lu names in %.1f s%s", s.attrs, s.names, s.seconds,
		         early ? ", then the end came" : p.full ? ", as many as memory.names allows" : "");
	free(p.batch);
	p.batch = NULL;
	if (p.stopped)
		reactor_post(p.stopped, 0);
	p.stopped = NULL;
}

static void
go(struct op *step)
{
	for (;;) switch (p.stage) {
	case PRELOAD_NOTING:
		p.settle = true;
		if (step->res < 0 || atomic_load(&p.quit))
			goto out;
	read:
		p.stage = PRELOAD_READ;
		worker_run(&p.work, read_work, step);
		return;
	case PRELOAD_READ:
		if (step->res < 0)
			goto out;
		p.more = step->res > 0;
		p.stage = PRELOAD_KEPT;
		if (visit_all(keep_run) == OP_PENDING)
			return;
		fallthrough;
	case PRELOAD_KEPT:
		count(p.batch);
		if (atomic_load(&p.quit) || !next_batch())
			goto out;
		p.stage = PRELOAD_AGAIN;
		if (all_say().busy) {
			timer_start(&p.timer, GIVE_WAY_NS, step);
			return;
		}
		fallthrough;
	case PRELOAD_AGAIN:
		if (!all_say().many_noted)
			goto read;
		p.stage = PRELOAD_NOTING;
		if (visit_all(note_run) == OP_PENDING)
			return;
		continue;
	out:
		p.stage = PRELOAD_OVER;
		p.err = MIN(step->res, 0);
		if (visit_all(note_no_more) == OP_PENDING)
			return;
		fallthrough;
	case PRELOAD_OVER:
		finish(p.err);
		return;
	default:
		assert(false && "a stage");
	}
}

enum op_state
preload_start(void *unused, struct op *op)
{
	(void)unused;
	assert(reactor_core() == 0 && !p.batch);
	p.batch = calloc(1, sizeof(*p.batch));
	if (!p.batch)
		return op_done(op, -ENOMEM);
	for (int core = 0; core < reactor_cores(); core++)
		p.visit[core].full = false;
	p.begin = true;
	p.full = false;
	p.err = 0;
	atomic_store(&p.quit, false);
	atomic_store(&p.attrs, 0);
	atomic_store(&p.names, 0);
	atomic_store(&p.began_ns, reactor_now_ns());
	atomic_store(&p.state, READING);
	p.step.resume = go;
	p.stage = PRELOAD_NOTING;
	if (visit_all(note_run) == OP_DONE)
		go(&p.step);
	return op_done(op, 0);
}

void
preload_quit(void)
{
	atomic_store(&p.quit, true);
}

enum op_state
preload_stop(void *unused, struct op *op)
{
	(void)unused;
	assert(reactor_core() == 0 && !p.stopped);
	preload_quit();
	if (!p.batch)
		return op_done(op, 0);
	p.stopped = op;
	return OP_PENDING;
}

void
preload_stats(struct preload_stats *out)
{
	enum state s = atomic_load(&p.state);
	uint64_t end = s == READING ? reactor_clock_ns() : atomic_load(&p.ended_ns);

	*out = (struct preload_stats){
		.state = state_names[s], .attrs = atomic_load(&p.attrs), .names = atomic_load(&p.names),
		.seconds = s == OFF ? 0 : (double)(end - atomic_load(&p.began_ns)) / 1e9,
	};
	for (uint32_t share = 0; share < SHARES_MAX; share++) {
		struct usage u;

		usage_get(share, &u);
		out->inodes += u.inodes;
	}
}
