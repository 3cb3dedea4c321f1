/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the slots busy and measures.  Closed loop: every answered call starts the next.  Open
 * loop: calls start at fixed times whether or not the last are answered, and latency counts
 * from the time at which a call should have started, so that a server that stalls is charged
 * for all the calls that would have come meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "bench/load/load.h"

enum { RING_IO_MAX = 32 << 10 };

static const uint64_t SECOND = 1000000000;

static void on_done(struct rpc_call *call);

static bool
is_over(const struct worker *w)
{
	return w->quota ? w->started >= w->quota : w->loop.now_ns >= w->end_ns;
}

static void
slot_rest(struct slot *s, struct slot **list)
{
	s->next = *list;
	*list = s;
	s->w->active--;
}

/* The next call of this slot; false when it could not be started and the slot rests. */
static bool
slot_start(struct slot *s, uint64_t start_ns)
{
	struct worker *w = s->w;
	bool walking = s->cookie != 0;

	if (is_over(w) && !(walking && w->quota)) {
		slot_rest(s, &w->free);
		return false;
	}
	if (!walking) {
		s->op = w->deck[w->deck_at++ % w->deck_len];
		s->arg = w->started; /* of a walk: its number */
	}
	s->start_ns = start_ns;
	s->call.done = on_done;
	if (!op_start(s)) {
		slot_rest(s, &w->parked);
		return false;
	}
	w->started += !walking;
	return true;
}

static void
unpark(struct worker *w)
{
	struct slot *s = w->parked;

	w->parked = NULL;
	while (s) {
		struct slot *next = s->next;

		w->active++;
		slot_start(s, w->loop.now_ns);
		s = next;
	}
}

static void
on_done(struct rpc_call *call)
{
	struct slot *s = (struct slot *)call;
	struct worker *w = s->w;
	uint64_t bytes = w->bytes, entries = w->entries, now = w->loop.now_ns;
	struct nfs_result r;
	uint32_t again = op_finish(s, &r);

	if (again) {
		w->retries++;
		w->started -= s->op != DO_READDIRPLUS;
	} else if (now >= w->begin_ns && (!w->end_ns || now <= w->end_ns || w->quota || w->last_ns == w->begin_ns)) {
		hist_add(&w->hist[s->op], now - s->start_ns);
		w->last_ns = now;
	} else {
		w->bytes = bytes;
		w->entries = entries;
	}
	if (op_makes(s->op) && w->parked)
		unpark(w);
	if (w->gap_ns > 0)
		slot_rest(s, &w->free);
	else
		slot_start(s, now);
}

/* Starts what is due; returns how long the loop may sleep, in nanoseconds. */
static uint64_t
open_loop(struct worker *w)
{
	while (w->due_ns <= w->loop.now_ns && w->free && !is_over(w)) {
		struct slot *s = w->free;

		w->free = s->next;
		w->active++;
		slot_start(s, w->due_ns);
		w->due_ns += (uint64_t)w->gap_ns;
	}
	return !w->free || is_over(w) ? SECOND / 1000 : w->due_ns > w->loop.now_ns ? w->due_ns - w->loop.now_ns : 0;
}

static bool
deck_has(const struct worker *w, enum load_op op)
{
	return memchr(w->deck, (int)op, w->deck_len) != NULL;
}

/* Long answers are received straight into their place, which the ring's buffers cannot do. */
static void
run_closed(struct worker *w)
{
	bool small = w->o->bytes <= RING_IO_MAX && !deck_has(w, DO_READDIRPLUS);
	struct ring *ring = small ? ring_new(w) : NULL;
	int timeout_ms = w->o->spin ? 0 : 100;

	while (w->active)
		if (ring)
			ring_run(ring, timeout_ms);
		else
			rpc_loop_run(&w->loop, timeout_ms);
	if (ring)
		ring_free(ring);
}

static void *
worker_run(void *arg)
{
	struct worker *w = arg;

	w->loop.now_ns = measure_now_ns();
	if (w->gap_ns > 0) {
		w->active = 0;
		/* not polled for: a client that never sleeps takes a core from the server; at the least slack
		   a sleep ends some 20 us late, which counts as latency */
		prctl(PR_SET_TIMERSLACK, 1UL);
		while (!is_over(w) || w->active)
			rpc_loop_run_ns(&w->loop, open_loop(w));
		return NULL;
	}
	struct slot *all = w->free;

	w->free = NULL;
	w->active = w->nslots;
	while (all) {
		struct slot *next = all->next;

		slot_start(all, w->loop.now_ns);
		all = next;
	}
	run_closed(w);
	return NULL;
}

/* ---- a test */

/* Smooth weighted dealing: no operation waits long for its turn, and the sums are exact. */
static uint32_t
deck_make(uint8_t deck[LOAD_DECK], const char *mix)
{
	int weight[OPS] = { 0 }, credit[OPS] = { 0 }, total = 0;
	char copy[400], *save, *word;

	snprintf(copy, sizeof(copy), "%s", mix);
	for (word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		char *colon = strchr(word, ':');
		int op;

		if (colon)
			*colon = '\0';
		op = op_find(word);
		if (op < 0)
			measure_fail(word, EINVAL);
		weight[op] = colon ? atoi(colon + 1) : 1;
		total += weight[op];
	}
	if (total < 1 || total > LOAD_DECK)
		measure_fail("weights of a mix add up to 1..1024", 0);
	for (int i = 0; i < total; i++) {
		int best = 0;

		for (int op = 0; op < OPS; op++) {
			credit[op] += weight[op];
			if (credit[op] > credit[best])
				best = op;
		}
		credit[best] -= total;
		deck[i] = (uint8_t)best;
	}
	return (uint32_t)total;
}

static void
sleep_until(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / SECOND), .tv_nsec = (long)(ns % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

static void
worker_reset(struct worker *w, uint64_t t0, double warm)
{
	const struct load_opts *o = w->o;

	memset(w->hist, 0, sizeof(w->hist));
	w->bytes = w->entries = w->retries = w->checked = w->started = w->deck_at = 0;
	w->quota = o->ops ? o->ops / o->threads + (w->index < o->ops % o->threads) : 0;
	w->begin_ns = t0 + (uint64_t)(warm * 1e9);
	w->end_ns = w->quota ? 0 : w->begin_ns + (uint64_t)(o->seconds * 1e9);
	w->gap_ns = o->rate > 0 ? 1e9 * o->threads / o->rate : 0;
	w->due_ns = t0 + (uint64_t)(w->gap_ns * w->index / o->threads);
	w->last_ns = w->begin_ns;
	w->free = w->parked = NULL;
	for (uint32_t i = w->nslots; i-- > 0;) {
		w->slot[i].cookie = w->slot[i].verf = 0;
		w->slot[i].next = w->free;
		w->free = &w->slot[i];
	}
}

static uint64_t
server_cpu(const struct load_opts *o)
{
	return o->pid ? measure_cpu_ns(o->pid) : 0;
}

struct outcome {
	struct hist all, each[OPS];
	double seconds;
	uint64_t bytes, entries, retries, checked, client_ns, server_ns;
	double request_bytes, reply_bytes; /* on the wire, a call */
};

/* Bytes that left and came so far, on all connections. */
static void
wire_bytes(const struct worker *workers, uint64_t *out, uint64_t *in, uint64_t *replies)
{
	*out = *in = *replies = 0;
	for (uint32_t i = 0; i < workers[0].o->threads; i++)
		for (uint32_t k = 0; k < workers[i].nconns; k++) {
			*out += workers[i].conn[k].bytes_out;
			*in += workers[i].conn[k].bytes_in;
			*replies += workers[i].conn[k].replies;
		}
}

static void
print(const struct load_opts *o, const char *mix, const struct outcome *t)
{
	double ops = (double)t->all.n / t->seconds;
	char key[40];

	json_begin();
	json_str("test", mix);
	json_num("depth", o->depth, 0);
	json_num("conns", o->conns, 0);
	json_num("threads", o->threads, 0);
	json_num("bytes", o->bytes, 0);
	if (o->rate > 0)
		json_num("rate", o->rate, 0);
	json_num("seconds", t->seconds, 3);
	json_num("ops", (double)t->all.n, 0);
	json_num("ops_per_s", ops, 1);
	json_num("mb_per_s", (double)t->bytes / 1e6 / t->seconds, 2);
	json_num("entries_per_s", (double)t->entries / t->seconds, 1);
	json_num("mean_us", t->all.n ? (double)t->all.sum_ns / 1e3 / (double)t->all.n : 0, 1);
	json_num("p50_us", hist_quantile_us(&t->all, 0.5), 1);
	json_num("p90_us", hist_quantile_us(&t->all, 0.9), 1);
	json_num("p99_us", hist_quantile_us(&t->all, 0.99), 1);
	json_num("p999_us", hist_quantile_us(&t->all, 0.999), 1);
	json_num("max_us", (double)t->all.max_ns / 1e3, 1);
	json_num("client_cpu", (double)t->client_ns / 1e9 / t->seconds, 3);
	json_num("server_cpu", (double)t->server_ns / 1e9 / t->seconds, 3);
	if (t->all.n) {
		json_num("client_us_per_op", (double)t->client_ns / 1e3 / (double)t->all.n, 3);
		json_num("server_us_per_op", (double)t->server_ns / 1e3 / (double)t->all.n, 3);
	}
	json_num("request_bytes", t->request_bytes, 0);
	json_num("reply_bytes", t->reply_bytes, 0);
	json_num("retries", (double)t->retries, 0);
	json_num("checked_mb", (double)t->checked / 1e6, 2);
	for (int op = 0; op < OPS; op++) {
		if (!t->each[op].n || t->each[op].n == t->all.n)
			continue;
		snprintf(key, sizeof(key), "%s_per_s", op_name(op));
		json_num(key, (double)t->each[op].n / t->seconds, 1);
		snprintf(key, sizeof(key), "%s_p50_us", op_name(op));
		json_num(key, hist_quantile_us(&t->each[op], 0.5), 1);
		snprintf(key, sizeof(key), "%s_p99_us", op_name(op));
		json_num(key, hist_quantile_us(&t->each[op], 0.99), 1);
	}
	json_end();
}

void
run_test(struct worker *workers, const char *mix)
{
	static struct outcome t;
	const struct load_opts *o = workers[0].o;
	pthread_t thread[LOAD_THREADS];
	uint64_t client, server, t0, last = 0, out[2], in[2], replies[2];
	bool commit, fresh, takes;

	t = (struct outcome){ 0 };
	for (uint32_t i = 0; i < o->threads; i++)
		workers[i].deck_len = deck_make(workers[i].deck, mix);
	fresh = deck_has(&workers[0], DO_SEQWRITE) && o->fresh;
	commit = deck_has(&workers[0], DO_WRITE) || deck_has(&workers[0], DO_SEQWRITE);
	/* what takes names that others made must not have taken them all before it is measured */
	takes = deck_has(&workers[0], DO_REMOVE) || deck_has(&workers[0], DO_RMDIR);
	if (fresh)
		world_fresh(&workers[0], true);
	wire_bytes(workers, &out[0], &in[0], &replies[0]);
	t0 = measure_now_ns();
	for (uint32_t i = 0; i < o->threads; i++)
		worker_reset(&workers[i], t0, commit || takes || o->ops ? 0 : o->warm);
	client = measure_cpu_ns(0);
	server = server_cpu(o);
	for (uint32_t i = 0; i < o->threads; i++)
		if (pthread_create(&thread[i], NULL, worker_run, &workers[i]) != 0)
			measure_fail("thread", EAGAIN);
	if (!commit && !o->ops) {
		sleep_until(workers[0].begin_ns);
		client = measure_cpu_ns(0);
		server = server_cpu(o);
		sleep_until(workers[0].end_ns);
		t.client_ns = measure_cpu_ns(0) - client;
		t.server_ns = server_cpu(o) - server;
	}
	for (uint32_t i = 0; i < o->threads; i++)
		pthread_join(thread[i], NULL);
	wire_bytes(workers, &out[1], &in[1], &replies[1]);
	if (replies[1] > replies[0]) {
		t.request_bytes = (double)(out[1] - out[0]) / (double)(replies[1] - replies[0]);
		t.reply_bytes = (double)(in[1] - in[0]) / (double)(replies[1] - replies[0]);
	}
	/* the promise is part of the price */
	if (commit)
		world_commit(&workers[0], fresh ? &workers[0].world->fresh : &workers[0].world->data);
	if (commit || o->ops) {
		last = measure_now_ns();
		t.client_ns = measure_cpu_ns(0) - client;
		t.server_ns = server_cpu(o) - server;
	}
	for (uint32_t i = 0; i < o->threads; i++) {
		struct worker *w = &workers[i];

		for (int op = 0; op < OPS; op++) {
			hist_merge(&t.all, &w->hist[op]);
			hist_merge(&t.each[op], &w->hist[op]);
		}
		t.bytes += w->bytes;
		t.entries += w->entries;
		t.retries += w->retries;
		t.checked += w->checked;
		if (!commit && w->last_ns > last)
			last = w->last_ns;
	}
	/* a test whose work ran out before its time counts until then; one whose first answer came later too */
	if (!commit && !o->ops && (workers[0].parked == NULL || o->rate > 0) && last < workers[0].end_ns)
		last = workers[0].end_ns;
	t.seconds = (double)(last - workers[0].begin_ns) / 1e9;
	if (t.seconds <= 0 || t.all.n == 0)
		measure_fail("nothing was measured", 0);
	print(o, mix, &t);
	if (fresh)
		world_fresh(&workers[0], false);
}
