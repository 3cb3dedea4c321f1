/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/compact_all.h"

#include <unistd.h>

#include "meta/compact.h"
#include "meta/compact_plan.h"
#include "reactor/log.h"
#include "tools/chunk_walk.h"
#include "tools/metadata.h"
#include "tools/oncore.h"

#define ASK_US 20000 /* while there is no room, and until all is done */

static struct {
	struct job job;
	struct compact_all_report report, before; /* before: the counters when it began */
	const struct daemon *daemon;
	struct compact_rule rule;
	struct compact_plan plan;    /* the thread's own */
} all = { .job = JOB_INIT };

/* The cores' counters since their start. */
static struct compact_all_report
counters(void)
{
	struct compact_all_report r = { 0 };

	for (int i = 0; i < all.daemon->cores; i++) {
		const struct file_stats *s = file_stats(i);

		r.merges += s->compactions;
		r.bytes += s->compacted_bytes;
		r.pieces_before += s->compacted_pieces;
		r.pieces_after += s->compacted_into;
		r.errors += s->compact_errors;
	}
	return r;
}

/* Under the lock. */
static void
report_merged(void)
{
	struct compact_all_report now = counters(), *r = &all.report;

	r->merges = now.merges - all.before.merges;
	r->bytes = now.bytes - all.before.bytes;
	r->pieces_before = now.pieces_before - all.before.pieces_before;
	r->pieces_after = now.pieces_after - all.before.pieces_after;
	r->errors = now.errors - all.before.errors;
}

/* ---- on the cores */

struct ask {
	uint64_t ino, gen, chunk;
	bool taken;
	uint32_t asked;
};

static enum op_state
ask_for(void *arg, struct op *op)
{
	struct ask *a = arg;

	a->taken = compact_ask(a->ino, a->gen, a->chunk);
	return op_done(op, 0);
}

static enum op_state
ask_asked(void *arg, struct op *op)
{
	((struct ask *)arg)->asked = compact_asked();
	return op_done(op, 0);
}

/* How many are still to be looked at. */
static uint64_t
waiting(void)
{
	uint64_t n = 0;

	for (int i = 0; i < all.daemon->cores; i++) {
		struct ask a = { 0 };

		on_core(i, ask_asked, &a);
		n += a.asked;
	}
	job_lock(&all.job);
	all.report.waiting = n;
	job_unlock(&all.job);
	return n;
}

/* ---- the walk */

static bool
is_worth(const struct chunk_val *c)
{
	struct pieces p = { 0 };
	bool worth = chunk_decode(c->val, c->len, &p) == 0 && compact_may(p.n, &all.rule) &&
	             compact_next(&p, &all.rule, 0, PLAN_BYTES_LEAST, &all.plan);

	pieces_fini(&p);
	return worth;
}

static int
see(void *arg, const struct chunk_val *c)
{
	struct ask a = { .ino = c->ino, .chunk = c->chunk };
	struct attr attr;
	bool worth = is_worth(c) && metadata_attr(c->ino, &attr) == 0; /* else a removed file's */

	(void)arg;
	job_lock(&all.job);
	all.report.chunks++;
	all.report.worth += worth;
	job_unlock(&all.job);
	while (worth && !job_ending(&all.job)) {
		a.gen = attr.gen;
		on_core(shard_owner(a.ino), ask_for, &a);
		if (a.taken)
			break;
		waiting();
		usleep(ASK_US);
	}
	return job_ending(&all.job) ? -ECANCELED : 0;
}

static int
run(void)
{
	const struct compact_all_report *r = &all.report;
	int err = chunk_walk(see, NULL);

	while (err == 0 && waiting() > 0) {
		usleep(ASK_US);
		err = job_ending(&all.job) ? -ECANCELED : 0;
	}
	job_lock(&all.job);
	report_merged();
	log_info("compaction of all files%s: %lu of %lu chunks had something to merge, %lu pieces became %lu", err < 0 ? " ended early" : "",
		r->worth, r->chunks, r->pieces_before, r->pieces_after);
	job_unlock(&all.job);
	return err;
}

/* ---- from the admin thread */

int
compact_all_start(const struct daemon *d)
{
	if (job_ready(&all.job) < 0)
		return -EBUSY;
	all.rule = (struct compact_rule){ .merge = d->config->compact_merge, .gathered = d->config->compact_gathered };
	if (all.rule.merge == 0)
		return -ENOTSUP;
	all.daemon = d;
	all.before = counters();
	job_lock(&all.job);
	all.report = (struct compact_all_report){ 0 };
	job_unlock(&all.job);
	return job_start(&all.job, run);
}

void
compact_all_stop(void)
{
	job_stop(&all.job);
}

void
compact_all_look(struct compact_all_report *r)
{
	job_lock(&all.job);
	if (all.job.state.running)
		report_merged();
	*r = all.report;
	r->job = all.job.state;
	job_unlock(&all.job);
}
