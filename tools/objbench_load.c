/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes on core 0, each with one request under way, take the objects of an item one after the other. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "reactor/shard.h"
#include "tools/bench_fs.h"
#include "tools/objbench.h"

struct load;

struct lane {
	struct op op;
	struct load *load;
	struct obj_req req;
	struct iovec iov;
	char names[1][OBJ_NAME];
	struct obj_entry *entry;
	uint8_t *buf;
	uint32_t nth;
	uint64_t then_ns;
};

struct item {
	const char *name, *unit, *each;
	bool big, reads;
	enum op_state (*start)(struct lane *l);
};

struct load {
	struct objbench *b;
	const struct item *item;
	struct shard_msg msg;
	struct lane *lane;
	uint32_t next, total;
	int lanes_left, err;
	uint64_t seed, end_ns;
	struct bench_result *res;
};

void
objbench_name(char out[OBJ_NAME], bool big, uint32_t nth)
{
	snprintf(out, OBJ_NAME, "%s/%02x/%u", big ? "big" : "small", nth % 256, nth);
}

/* ---- what a lane asks for */

static uint32_t
bytes_of(const struct load *d)
{
	return d->item->big ? d->b->big_bytes : d->b->small_bytes;
}

static void
prepare(struct lane *l, bool payload)
{
	struct load *d = l->load;

	memset(&l->req, 0, sizeof(l->req));
	l->req.store = d->b->store;
	objbench_name(l->req.name, d->item->big, l->nth);
	if (!payload)
		return;
	l->req.len = bytes_of(d);
	l->iov = (struct iovec){ l->buf, l->req.len };
	l->req.iov = &l->iov;
	l->req.niov = 1;
}

static enum op_state
start_put(struct lane *l)
{
	prepare(l, true);
	bench_stamp(l->buf, (uint32_t)l->req.len, l->load->seed, l->nth);
	return l->req.store->ops->put(&l->req, &l->op);
}

static enum op_state
start_get(struct lane *l)
{
	prepare(l, true);
	return l->req.store->ops->get(&l->req, &l->op);
}

static enum op_state
start_head(struct lane *l)
{
	prepare(l, false);
	return l->req.store->ops->head(&l->req, &l->op);
}

static enum op_state
start_delete(struct lane *l)
{
	prepare(l, false);
	memcpy(l->names[0], l->req.name, sizeof(l->names[0]));
	l->req.names = l->names;
	l->req.nnames = 1;
	return l->req.store->ops->del(&l->req, &l->op);
}

/* A page of the small ones, again and again: the object that a lane took stands for its page. */
static enum op_state
start_list(struct lane *l)
{
	prepare(l, false);
	snprintf(l->req.name, sizeof(l->req.name), "small/");
	l->req.entry = l->entry;
	l->req.nentries = LIST_MAX;
	return l->req.store->ops->list(&l->req, &l->op);
}

static const struct item items[] = {
	{ "Upload objects", "MiB/s", "object", true, false, start_put },
	{ "Download objects", "MiB/s", "object", true, true, start_get },
	{ "Put small objects", "objects/s", "object", false, false, start_put },
	{ "Get small objects", "objects/s", "object", false, true, start_get },
	{ "Head objects", "objects/s", "object", false, false, start_head },
	{ "List objects", "pages/s", "page", false, false, start_list },
	{ "Delete objects", "objects/s", "object", false, false, start_delete },
};

/* ---- the lanes, on core 0 */

static void
lane_next(struct lane *l)
{
	struct load *d = l->load;

	if (d->next < d->total && d->err == 0 && !atomic_load(&d->b->watch->stop)) {
		l->nth = d->next++;
		l->then_ns = reactor_clock_ns();
		if (d->item->start(l) == OP_DONE)
			reactor_post(&l->op, l->op.res);
		return;
	}
	if (--d->lanes_left == 0) {
		d->end_ns = bench_now_ns();
		bench_watch_done(d->b->watch);
	}
}

static void
lane_resumed(struct op *op)
{
	struct lane *l = container_of(op, struct lane, op);
	struct load *d = l->load;
	uint64_t took = reactor_clock_ns() - l->then_ns;

	if (op->res == 0 && d->item->reads && !bench_stamped(l->buf, bytes_of(d), d->seed, l->nth))
		op->res = -EBADMSG;
	if (op->res < 0) {
		d->err = op->res;
	} else {
		hist_record(&d->res->latency, took);
		d->res->each_ns += took;
		d->res->things++;
		d->res->bytes += l->req.len;
		atomic_fetch_add(&d->b->watch->done, d->item->big ? bytes_of(d) : 1);
	}
	lane_next(l);
}

static void
lanes_start(struct shard_msg *m)
{
	struct load *d = container_of(m, struct load, msg);

	for (int i = 0; i < d->b->lanes; i++)
		lane_next(&d->lane[i]);
}

/* ---- the items, on the main thread */

static int
run_item(struct load *d, const struct item *it, struct bench_report *rep, char why[256])
{
	struct objbench *b = d->b;
	uint64_t start;

	d->item = it;
	d->next = 0;
	d->total = it->big ? b->nbig : b->nsmall;
	d->err = 0;
	d->lanes_left = b->lanes;
	if (d->total == 0)
		return 0;
	d->res = &rep->result[rep->nresults++];
	*d->res = (struct bench_result){ .item = it->name, .unit = it->unit, .each = it->each, .timed = "request" };
	bench_watch_begin(b->watch, it->name, 1, it->big ? (uint64_t)d->total * b->big_bytes : d->total, it->big);
	start = bench_now_ns();
	d->msg.run = lanes_start;
	shard_post(0, &d->msg);
	bench_watch_wait(b->watch);
	d->res->seconds_ns = d->end_ns - start;
	if (d->err == -EBADMSG)
		snprintf(why, 256, "%s: WHAT WAS READ IS NOT WHAT WAS WRITTEN", it->name);
	else if (d->err < 0)
		snprintf(why, 256, "%s: %s", it->name, objstore_error(d->err));
	if (d->err == 0 && atomic_load(&b->watch->stop)) {
		snprintf(why, 256, "interrupted");
		return -EINTR;
	}
	return d->err;
}

static int
make_lanes(struct load *d)
{
	size_t bytes = ROUND_UP(MAX(d->b->big_bytes, d->b->small_bytes), PAGE);

	d->lane = calloc((size_t)d->b->lanes, sizeof(*d->lane));
	for (int i = 0; i < d->b->lanes; i++) {
		struct lane *l = &d->lane[i];

		l->load = d;
		l->op.resume = lane_resumed;
		l->buf = aligned_alloc(PAGE, bytes);
		l->entry = calloc(LIST_MAX, sizeof(*l->entry));
		if (!l->buf || !l->entry)
			return -ENOMEM;
		/* Random, so that nothing on the way can make it smaller. */
		for (size_t at = 0; at < bytes;) {
			ssize_t n = getrandom(l->buf + at, bytes - at, 0);

			at += n > 0 ? (size_t)n : 0;
		}
	}
	return getrandom(&d->seed, sizeof(d->seed), 0) == sizeof(d->seed) ? 0 : -EIO;
}

int
objbench_load(struct objbench *b, struct bench_report *rep, char why[256])
{
	struct load d = { .b = b };
	int err = make_lanes(&d);
	uint64_t cpu;

	if (err < 0)
		snprintf(why, 256, "no memory for %d buffers", b->lanes);
	cpu = bench_cpu_ns();
	for (size_t i = 0; i < ARRAY_LEN(items) && err == 0; i++)
		err = run_item(&d, &items[i], rep, why);
	rep->cpu_ns = bench_cpu_ns() - cpu;
	for (int i = 0; d.lane && i < b->lanes; i++) {
		free(d.lane[i].buf);
		free(d.lane[i].entry);
	}
	free(d.lane);
	return err;
}
