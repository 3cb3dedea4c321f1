/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appends gather in a group.  At the end of a lap the oldest group is written, while
 * not too many are in flight: so a lone record leaves at once, and under load a group is
 * what came in while others were being written.  One that follows another is at least as
 * large, or its own size: else few records a group, once it is so, would stay so, and
 * the CPU would be spent on writes rather than on records.
 */
#include "store/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "reactor/log.h"
#include "reactor/probe.h"
#include "store/block.h"
#include "store/journal_impl.h"

static struct jgroup *
group_at(struct journal *j, uint64_t n)
{
	return &j->group[n % JGROUPS];
}

static uint64_t
group_last_seq(const struct jgroup *g)
{
	return g->first_seq + g->nrec - 1;
}

static void
resume_waiters(struct op **list, int res)
{
	while (*list) {
		struct op *op = *list;

		*list = op->next;
		reactor_post(op, res);
	}
}

static void
group_put_bufs(struct jgroup *g)
{
	for (uint32_t i = 0; i < g->nrec; i++)
		if (g->hold[i]) {
			buf_put(g->hold[i]);
			g->hold[i] = NULL;
		}
}

/* ---- groups on their way to disk */

/* What a disk that failed once has kept, nobody knows. */
void
journal_fail(struct journal *j, const struct jseg *s, uint32_t at, int err)
{
	if (j->err < 0)
		return;
	j->err = -EIO;
	log_error("journal %s at %u: cannot write: %s; this core accepts no more writes. "
	          "Check the disk, then restart: all that was acknowledged before will be replayed",
	          s->path, at, strerror(-err));
	j->gather = NULL;
	for (uint64_t n = j->acked; n < j->next; n++) {
		struct jgroup *g = group_at(j, n);

		resume_waiters(&g->waiters, -EIO);
		/* The memory of those in flight is the kernel's until they come back. */
		if (n >= j->issued || g->done)
			group_put_bufs(g);
	}
	jring_fail(j);
}

/*
 * What waits behind goes to the disk first: the next lap resumes who waited for this one.
 * They may have much to do, and both groups in flight often end together.
 */
static void
group_wake(struct journal *j, struct jgroup *g)
{
	if (j->issued == j->next) {
		resume_waiters(&g->waiters, 0);
		return;
	}
	*j->woken_tail = g->waiters;
	if (g->waiters)
		j->woken_tail = g->waiters_tail;
	g->waiters = NULL;
}

static void
group_ack(struct journal *j, struct jgroup *g)
{
	uint64_t ns = reactor_clock_ns() - g->opened_ns;

	assert(g->first_seq == j->durable + 1);
	hist_record(j->sync_time, ns);
	PROBE_JOURNAL_DONE(j->core, g->bytes, ns);
	crash_point("journal.group_written");
	crash_synced(g->seg->path, (uint64_t)g->off + g->bytes);
	atomic_store_explicit(&j->durable, group_last_seq(g), memory_order_release);
	group_put_bufs(g);
	group_wake(j, g);
}

static void
group_done(struct jgroup *g)
{
	struct journal *j = g->j;

	g->done = true;
	hist_record(j->write_time, reactor_clock_ns() - g->issued_ns);
	if (j->err < 0) {
		group_put_bufs(g);
		return;
	}
	while (j->acked < j->issued && group_at(j, j->acked)->done)
		group_ack(j, group_at(j, j->acked++));
}

static void
group_written(struct op *op)
{
	struct jgroup *g = container_of(op, struct jgroup, op);

	if (op->res < 0)
		journal_fail(g->j, g->seg, g->off, op->res);
	group_done(g);
}

static void
group_issue(struct journal *j)
{
	struct jgroup *g = group_at(j, j->issued);
	struct jdesc d = {
		.core = (uint32_t)j->core,
		.nrec = g->nrec,
		.epoch = j->opts.epoch,
		.first_seq = g->first_seq,
		.durable = j->durable,
	};

	if (g == j->gather)
		j->gather = NULL;
	j->issued++;
	memcpy(d.run, j->run, sizeof(d.run));
	jdesc_seal(g->desc, &d);
	j->stats.groups++;
	j->stats.bytes += g->bytes;
	g->issued_ns = reactor_clock_ns();
	PROBE_JOURNAL_WRITE(j->core, g->bytes);
	crash_point("journal.group_before_write");
	if (disk_write_all(&g->write, g->seg->fd, g->iov, g->niov, g->off, &g->op) == OP_DONE)
		group_written(&g->op);
}

/*
 * Whether the oldest of those that wait may go now.  Large writes that are in flight together end together, and the
 * end is seen when the lap is over, which takes milliseconds while 1 MiB payloads come in: full groups
 * keep the disk busy until then.
 */
static bool
may_issue(struct journal *j)
{
	uint64_t in_flight = j->issued - j->acked;
	struct jgroup *g = group_at(j, j->issued);

	if (j->issued == j->next)
		return false;
	if (in_flight == 0)
		return true;
	if (g != j->gather)
		return in_flight < JIN_FLIGHT_FULL;
	return in_flight < JIN_FLIGHT && (g->nrec >= group_at(j, j->issued - 1)->nrec || g->bytes >= JGROUP_LARGE);
}

/* All that was appended in this lap goes in one group, or more. */
static void
journal_lap(struct lap_hook *h)
{
	struct journal *j = container_of(h, struct journal, hook);

	while (j->err == 0 && may_issue(j))
		group_issue(j);
	resume_waiters(&j->woken, 0);
	j->woken_tail = &j->woken;
	jring_lap(j);
}

/* ---- appending */

/* The next group begins where the last one ends, so that the place of a record is known at once. */
static struct jgroup *
group_open(struct journal *j, uint32_t payload)
{
	struct jgroup *g = group_at(j, j->next);
	uint32_t at;

	j->gather = NULL;
	if (j->next - j->acked == JGROUPS)
		return NULL;
	at = j->fill > 0 ? j->fill : PAGE;
	if ((!j->open || at + PAGE + payload > j->open->bytes) && !jring_next(j))
		return NULL;
	*g = (struct jgroup){
		.op.resume = group_written,
		.j = j,
		.waiters_tail = &g->waiters,
		.seg = j->open,
		.head = g->head,
		.desc = g->desc,
		.off = j->fill,
		.heads_segment = j->fill == 0,
		.opened_ns = reactor_clock_ns(),
		.first_seq = j->last + 1,
		.niov = 1,
	};
	g->bytes = g->heads_segment ? 2 * PAGE : PAGE;
	g->iov[0] = (struct iovec){ g->heads_segment ? g->head : g->desc, g->bytes };
	if (g->heads_segment) {
		struct jhead head = {
			.core = (uint32_t)j->core,
			.epoch = j->opts.epoch,
			.number = j->open->number,
			.first_seq = g->first_seq,
		};

		memcpy(head.uuid, j->uuid, sizeof(head.uuid));
		memcpy(head.run, j->run, sizeof(head.run));
		jhead_encode(g->head, &head);
	}
	j->fill += g->bytes;
	j->next++;
	j->gather = g;
	return g;
}

static bool
group_takes(const struct journal *j, const struct jgroup *g, uint32_t payload)
{
	return g && g->nrec < JGROUP_RECORDS && g->bytes + payload <= JGROUP_BYTES &&
	       j->fill + payload <= j->open->bytes;
}

static void
group_add_payload(struct jgroup *g, const struct bufref *ref, uint32_t padded)
{
	memset(ref->buf->data + ref->len, 0, padded - ref->len);
	g->hold[g->nrec] = buf_keep(ref->buf);
	g->iov[g->niov++] = (struct iovec){ ref->buf->data, padded };
	g->bytes += padded;
}

int
journal_append(struct journal *j, enum jkind kind, uint64_t ino, uint64_t off, uint64_t time_ns,
               const struct bufref *ref, uint64_t *seq, struct jloc *loc)
{
	struct jrec rec = { .ino = ino, .off = off, .time_ns = time_ns, .kind = kind };
	struct jgroup *g = j->gather;
	uint32_t padded = 0;

	assert(reactor_core() == j->core && ino != 0);
	assert(kind == J_WRITE ? ref->off == 0 && ref->len > 0 && ref->len <= JRECORD_BYTES_MAX : !ref);
	if (j->err < 0)
		return j->err;
	if (ref) {
		rec.len = ref->len;
		padded = ROUND_UP(ref->len, PAGE);
		assert(padded <= ref->buf->cap);
	}
	if (!group_takes(j, g, padded)) {
		g = group_open(j, padded);
		if (!g)
			return -EAGAIN;
	}
	*loc = (struct jloc){ 0 };
	if (ref) {
		rec.crc = crc32c(0, ref->buf->data, ref->len);
		*loc = (struct jloc){ .seg = g->seg, .off = j->fill, .len = ref->len, .crc = rec.crc };
		atomic_fetch_add_explicit(&g->seg->holders, 1, memory_order_relaxed);
		group_add_payload(g, ref, padded);
		j->fill += padded;
	}
	jrec_encode(g->desc, g->nrec++, &rec);
	j->stats.records++;
	j->clean = false;
	*seq = j->last + 1;
	atomic_store_explicit(&j->last, *seq, memory_order_release);
	return 0;
}

enum op_state
journal_sync(struct journal *j, uint64_t seq, struct op *op)
{
	struct jgroup *g;
	uint64_t n = j->next;

	assert(reactor_core() == j->core && seq <= j->last);
	if (seq <= j->durable)
		return op_done(op, 0);
	if (j->err < 0)
		return op_done(op, j->err);
	do
		g = group_at(j, --n);
	while (seq < g->first_seq);
	assert(n >= j->acked && seq <= group_last_seq(g));
	op->next = NULL;
	*g->waiters_tail = op;
	g->waiters_tail = &op->next;
	return OP_PENDING;
}

uint64_t
journal_durable(const struct journal *j)
{
	return j->durable;
}

uint64_t
journal_last(const struct journal *j)
{
	return j->last;
}

uint64_t
journal_epoch(const struct journal *j)
{
	return j->opts.epoch;
}

const struct journal_stats *
journal_stats(const struct journal *j)
{
	return &j->stats;
}

/* ---- reading back */

static int
read_check(const struct jread *r, int res)
{
	if (res >= 0 && (uint32_t)res < r->loc.len)
		res = -ENODATA; /* the file is shorter than it was */
	if (res < 0) {
		log_error("journal %s at %u: cannot read %u bytes: %s", r->loc.seg->path, r->loc.off,
		          r->loc.len, strerror(-res));
		return -EIO;
	}
	if (crc32c(0, r->dst->data, r->loc.len) == r->loc.crc)
		return 0;
	log_error("journal %s at %u: %u bytes are damaged: the checksum does not match",
	          r->loc.seg->path, r->loc.off, r->loc.len);
	return -E_DAMAGED;
}

static void
read_resumed(struct op *op)
{
	struct jread *r = container_of(op, struct jread, step);
	struct op *wait = r->wait;

	wait->res = read_check(r, op->res);
	jloc_put(&r->loc);
	wait->resume(wait);
}

enum op_state
journal_read(struct jread *r, const struct jloc *loc, struct buf *dst, struct op *op)
{
	uint32_t padded = ROUND_UP(loc->len, PAGE);
	int res;

	assert(loc->seg && padded <= dst->cap);
	*r = (struct jread){ .step.resume = read_resumed, .wait = op, .loc = *loc, .dst = dst };
	jloc_get(loc); /* the segment isn't used again meanwhile, whatever becomes of the extent */
	if (disk_read(loc->seg->fd, dst->data, padded, loc->off, &r->step) == OP_PENDING)
		return OP_PENDING;
	res = read_check(r, r->step.res);
	jloc_put(&r->loc);
	return op_done(op, res);
}

/* ---- open and close */

static void
free_pages(struct journal *j)
{
	for (size_t i = 0; i < ARRAY_LEN(j->pages); i++)
		if (j->pages[i])
			buf_put(j->pages[i]);
}

/* Headers and descriptors lie in the arena too, so that a whole group is of registered memory. */
static int
take_pages(struct journal *j)
{
	uint32_t each = BUF_LARGE_BYTES / (2 * PAGE);

	for (size_t i = 0; i < ARRAY_LEN(j->pages); i++) {
		j->pages[i] = buf_get(BUF_LARGE, BUF_DRAIN);
		if (!j->pages[i])
			return -ENOMEM;
	}
	for (uint32_t i = 0; i < JGROUPS; i++) {
		j->group[i].head = j->pages[i / each]->data + i % each * 2 * PAGE;
		j->group[i].desc = j->group[i].head + PAGE;
	}
	return 0;
}

static int
take_opts(struct journal *j, const struct journal_opts *o, char why[256])
{
	uint64_t least = 128 * KIB, seg = o->segment_bytes;

	assert(o->first_seq > 0);
	if (snprintf(j->dir, sizeof(j->dir), "%s", o->dir) >= (int)sizeof(j->dir)) {
		snprintf(why, 256, "the journal's path is too long: %.120s...", o->dir);
		return -ENAMETOOLONG;
	}
	if (seg == 0)
		seg = MIN(64 * MIB, ROUND_DOWN(o->bytes / 4, MIB));
	if (seg < least || o->bytes / seg < 4) {
		snprintf(why, 256, "%llu KiB are too few for the journal of a core: it needs at least %llu",
		         (unsigned long long)(o->bytes / KIB),
		         (unsigned long long)(o->segment_bytes ? 4 * MAX(seg, least) / KIB : 4096));
		return -EINVAL;
	}
	j->opts = *o;
	j->opts.dir = j->dir;
	j->opts.uuid = j->uuid;
	j->opts.segment_bytes = (uint32_t)ROUND_DOWN(seg, PAGE);
	memcpy(j->uuid, o->uuid, sizeof(j->uuid));
	atomic_init(&j->last, o->first_seq - 1);
	atomic_init(&j->durable, o->first_seq - 1);
	return 0;
}

int
journal_open(struct journal **out, int core, const struct journal_opts *opts, char why[256])
{
	struct journal *j = calloc(1, sizeof(*j));
	int err = -ENOMEM;

	assert(reactor_core() == core);
	snprintf(why, 256, "no memory for the journal");
	if (!j)
		return -ENOMEM;
	j->group = calloc(JGROUPS, sizeof(*j->group));
	if (!j->group || (err = take_pages(j)) < 0)
		goto fail;
	err = take_opts(j, opts, why);
	if (err < 0)
		goto fail;
	if (getrandom(j->run, sizeof(j->run), 0) != (ssize_t)sizeof(j->run)) {
		err = -EIO;
		snprintf(why, 256, "no random bytes for the journal");
		goto fail;
	}
	j->core = core;
	j->woken_tail = &j->woken;
	j->clean = true;
	j->sync_time = latency_hist("journal sync");
	j->write_time = latency_hist("journal write");
	err = jring_open(j, why);
	if (err < 0)
		goto fail;
	jscan_opened(j);
	j->hook.run = journal_lap;
	reactor_hook(&j->hook);
	*out = j;
	return 0;
fail:
	free_pages(j);
	free(j->group);
	free(j);
	return err;
}

void
journal_close(struct journal *j)
{
	assert(reactor_core() == j->core);
	assert(j->err < 0 || (j->acked == j->next && j->durable == j->last && !j->woken));
	jscan_closed(j);
	jring_close(j);
	free_pages(j);
	free(j->group);
	free(j);
}
