/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/server.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/handle.h"
#include "proto/rpcbind.h"
#include "proto/session.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define NS_PER_MS 1000000u
#define DRAIN_LOOK_NS (2 * NS_PER_MS)

static struct server_opts opts;
static struct proto_core *cores[REACTOR_MAX_CORES];

struct proto_core *
proto_here(void)
{
	return cores[reactor_core()];
}

const struct proto_stats *
server_stats(int core)
{
	return &cores[core]->stats;
}

uint16_t
server_port(void)
{
	return net_port();
}

/* ---- a core's life ---- */

static void
set_defaults(void)
{
	if (!opts.max_conns)
		opts.max_conns = 4096;
	if (!opts.max_calls)
		opts.max_calls = 4096;
	if (!opts.max_reads)
		opts.max_reads = 512;
	if (!opts.max_dir_pages)
		opts.max_dir_pages = 32;
	if (!opts.drc_entries)
		opts.drc_entries = 8192;
	if (!opts.conn_calls)
		opts.conn_calls = 256;
	if (!opts.conn_unsent_bytes)
		opts.conn_unsent_bytes = 8 * MIB;
	if (!opts.write_wait_ns)
		opts.write_wait_ns = 3000 * (uint64_t)NS_PER_MS;
}

static uint64_t
monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int
check_exports(char why[256])
{
	if (opts.nexports < 1 || opts.nexports > EXPORTS_MAX) {
		snprintf(why, 256, "a server needs 1 to %d shares, not %d", EXPORTS_MAX, opts.nexports);
		return -EINVAL;
	}
	for (int i = 0; i < opts.nexports; i++) {
		int err = export_check(&opts.exports[i], why);

		if (err)
			return err;
	}
	return 0;
}

/* What all cores share: read-only from here on. */
static int
init_process(const struct server_opts *o, char why[256])
{
	int err;

	opts = *o;
	set_defaults();
	err = check_exports(why);
	if (err)
		return err;
	handle_init(opts.volume);
	err = drc_restart_load(monotonic_ns());
	if (err)
		snprintf(why, 256, "cannot read the recorded replies of the last run: %s", strerror(-err));
	return err;
}

int
server_init(int core, const struct server_opts *o, char why[256])
{
	struct proto_core *c;
	int err = core == 0 ? init_process(o, why) : 0;

	if (err)
		return err;
	err = -ENOMEM;
	c = calloc(1, sizeof *c);
	if (!c)
		goto no_core;
	c->core = core;
	c->own = opts;
	c->opts = &c->own;
	c->own.exports = c->rules = calloc((size_t)opts.nexports, sizeof(*c->rules));
	if (!c->rules)
		goto no_mounts;
	memcpy(c->rules, opts.exports, (size_t)opts.nexports * sizeof(*c->rules));
	if (core == 0 && !(c->mounts = calloc(1, sizeof *c->mounts)))
		goto no_mounts;
	err = pool_init(&c->calls, "calls", sizeof(struct nfs_call), opts.max_calls);
	if (err)
		goto no_calls;
	err = pool_init(&c->reads, "read replies", sizeof(struct read_io), opts.max_reads);
	if (err)
		goto no_reads;
	err = pool_init(&c->pages, "directory pages", sizeof(struct dir_page), opts.max_dir_pages);
	if (err)
		goto no_pages;
	err = pool_init(&c->longs, "long records", sizeof(struct long_head), MAX(opts.max_calls / 16, 4u));
	if (err)
		goto no_longs;
	err = slab_init(&c->sessions, "sessions", sizeof(struct session), opts.max_conns);
	if (err)
		goto no_sessions;
	err = drc_init(&c->drc, opts.drc_entries);
	if (err)
		goto no_drc;
	session_press_init(c);
	cores[core] = c;
	return 0;

no_drc:
	slab_fini(&c->sessions);
no_sessions:
	pool_fini(&c->longs);
no_longs:
	pool_fini(&c->pages);
no_pages:
	pool_fini(&c->reads);
no_reads:
	pool_fini(&c->calls);
no_calls:
	free(c->mounts);
no_mounts:
	free(c->rules);
	free(c);
no_core:
	snprintf(why, 256, "no memory for the protocol's pools: %s", strerror(-err));
	return err;
}

/* A call may be under way that points to the old ones, on another core too: each is changed where it is. */
void
server_take_rules(const struct export *list, int n)
{
	struct proto_core *c = proto_here();

	for (int i = 0; i < c->own.nexports; i++)
		for (int k = 0; k < n; k++)
			if (list[k].share == c->rules[i].share)
				export_take(&c->rules[i], &list[k]);
	for (struct session *s = c->first_session; s; s = s->next)
		session_ask_again(s);
}

void
server_fini(int core)
{
	struct proto_core *c = cores[core];

	session_press_fini(c);
	assert(c->receiving == 0 && c->buf_waits == 0);
	cores[core] = NULL;
	drc_fini(&c->drc);
	slab_fini(&c->sessions);
	pool_fini(&c->longs);
	pool_fini(&c->pages);
	pool_fini(&c->reads);
	pool_fini(&c->calls);
	free(c->rules);
	free(c->mounts);
	free(c);
	if (core == 0)
		drc_restart_free();
}

/* ---- start, from the main thread ---- */

struct listen_msg {
	struct shard_msg msg;
	sem_t done;
	int res;
	char why[256];
};

static void
wait_for(sem_t *s)
{
	while (sem_wait(s) < 0 && errno == EINTR)
		;
}

/* True when it was posted within the time. */
static bool
wait_at_most(sem_t *s, uint64_t ns)
{
	struct timespec t;
	int rc;

	clock_gettime(CLOCK_REALTIME, &t);
	ns += (uint64_t)t.tv_nsec;
	t.tv_sec += (time_t)(ns / 1000000000u);
	t.tv_nsec = (long)(ns % 1000000000u);
	while ((rc = sem_timedwait(s, &t)) < 0 && errno == EINTR)
		;
	return rc == 0;
}

static void
listen_here(struct shard_msg *m)
{
	struct listen_msg *l = container_of(m, struct listen_msg, msg);
	const struct net_opts o = {
		.addr = opts.addr,
		.congestion = opts.congestion,
		.sndbuf_bytes = opts.sndbuf_bytes,
		.gather_bytes = opts.gather_bytes,
		.idle_timeout_ns = opts.idle_timeout_ns,
		.vt = &session_vt,
	};

	l->res = net_listen(&o, l->why);
	sem_post(&l->done);
}

int
server_start(char why[256])
{
	struct listen_msg l = { .msg.run = listen_here };

	sem_init(&l.done, 0, 0);
	/* In order: with port 0 the others take core 0's. */
	for (int core = 0; core < reactor_cores() && l.res == 0; core++) {
		shard_post(core, &l.msg);
		wait_for(&l.done);
	}
	sem_destroy(&l.done);
	if (l.res < 0) {
		memcpy(why, l.why, sizeof l.why);
		return l.res;
	}
	if (opts.rpcbind)
		rpcbind_register(&opts.addr, net_port());
	return 0;
}

/* ---- stop ---- */

/* One a core, static: a core that does not answer in time may answer later. */
static struct stop {
	struct shard_msg msg;
	struct timer timer;
	struct op op;
	uint64_t until_ns;
	enum { STOP_DRAIN, STOP_CLOSED } stage;
	sem_t done;
} stops[REACTOR_MAX_CORES];

static void
stop_run(struct op *op)
{
	struct stop *s = container_of(op, struct stop, op);
	struct proto_core *here = proto_here();

	switch (s->stage) {
	case STOP_DRAIN:
		/* A WRITE that is not all here is not under way: the client will send it again. */
		if (here->stats.calls_now > here->receiving && reactor_now_ns() < s->until_ns) {
			timer_start(&s->timer, DRAIN_LOOK_NS, op);
			return;
		}
		if (here->stats.calls_now > here->receiving)
			log_warn("closing connections with %llu calls still under way",
			         (unsigned long long)here->stats.calls_now);
		s->stage = STOP_CLOSED;
		if (net_close_all(op) == OP_PENDING)
			return;
		fallthrough;
	case STOP_CLOSED:
		break;
	}
	sem_post(&s->done);
}

static void
stop_here(struct shard_msg *m)
{
	struct stop *s = container_of(m, struct stop, msg);

	proto_here()->draining = true;
	net_stop_accepting();
	s->until_ns += reactor_now_ns();
	stop_run(&s->op);
}

void
server_stop(uint32_t grace_ms)
{
	uint64_t grace_ns = (uint64_t)grace_ms * NS_PER_MS;

	if (opts.rpcbind)
		rpcbind_unregister();
	for (int core = 0; core < reactor_cores(); core++) {
		struct stop *s = &stops[core];

		*s = (struct stop){ .msg.run = stop_here, .op.resume = stop_run, .until_ns = grace_ns };
		sem_init(&s->done, 0, 0);
		shard_post(core, &s->msg);
	}
	for (int core = 0; core < reactor_cores(); core++)
		if (!wait_at_most(&stops[core].done, grace_ns + 5000 * (uint64_t)NS_PER_MS))
			log_error("core %d: a call does not end, its connection cannot be closed", core);
}
