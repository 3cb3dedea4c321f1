/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records gather in a group.  At the end of a lap the core writes it, while fewer
 * than two are in flight: so a lone record leaves at once, and under load a group is
 * what came in, on all cores, while two others were being written.
 */
#include "meta/mlog.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "meta/mlog_impl.h"
#include "reactor/diskwrite.h"
#include "reactor/latency.h"
#include "reactor/log.h"
#include "reactor/probe.h"

#define GROUPS      4   /* a power of two: in flight, done before an older one, gathering */
#define IN_FLIGHT   2
#define GROUP_BYTES (256 * KIB)
/* What a record may cost beside its bytes: it may begin a group. */
#define REC_COST    (MLOG_REC_BYTES + MLOG_GROUP_BYTES + PAGE)
/* Kept free at a segment's end for the group that says what may be used again. */
#define SPARE       (2 * PAGE)
#define LOOK_NS     50000
#define AWAIT_NS    200000

struct group {
	struct op op;          /* of the write */
	struct disk_write write;
	struct iovec iov;
	uint8_t *buf;
	uint32_t cap, len, nrec;
	uint64_t number, durable, tail; /* durable, tail: as its header says them */
	uint64_t issued_ns;
	int fd;
	uint32_t off;
	bool done;
	const char *path;
	struct mlog_wait *waiters; /* newest first */
};

static struct {
	pthread_mutex_t lock;
	struct mlog_files files;
	uint8_t run[MLOG_RUN_BYTES];
	struct group group[GROUPS];
	uint64_t issued;         /* greatest number on its way; issued + 1 gathers */
	uint64_t tail;           /* below it all is in table files */
	uint64_t tail_durable;   /* as a durable group says it */
	uint64_t reserved;
	struct mlog_stats stats;
	_Atomic uint64_t durable; /* greatest number */
	_Atomic int err;
	bool is_open;
} ml = { .lock = PTHREAD_MUTEX_INITIALIZER };

static __thread struct {
	struct lap_hook hook;
	bool look;               /* this lap added a record or ended a write */
	struct hist *wait_time, *write_time;
} me;

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct group *
group_at(uint64_t number)
{
	return &ml.group[number % GROUPS];
}

static struct group *
gathering(void)
{
	return group_at(ml.issued + 1);
}

static void
group_begin(uint64_t number)
{
	struct group *g = group_at(number);

	assert(!g->waiters);
	g->number = number;
	g->len = MLOG_GROUP_BYTES;
	g->nrec = 0;
	g->done = false;
}

/* ---- room ---- */

static bool
next_is_free(void)
{
	return ml.files.seg[mlog_files_next(&ml.files)].last < ml.tail_durable;
}

/* All that is promised fits: behind what is written, or from the start of the next segment on. */
static bool
has_room(uint64_t more)
{
	uint64_t need = gathering()->len + ml.reserved + more + SPARE;

	return ml.files.fill + need <= ml.files.seg_bytes || (next_is_free() && need <= ml.files.seg_bytes);
}

int
mlog_reserve(uint32_t len)
{
	int res = -EAGAIN;

	if (atomic_load(&ml.err))
		return -EIO;
	pthread_mutex_lock(&ml.lock);
	if (has_room(len + REC_COST)) {
		ml.reserved += len + REC_COST;
		res = 0;
	}
	pthread_mutex_unlock(&ml.lock);
	return res;
}

void
mlog_unreserve(uint32_t len)
{
	pthread_mutex_lock(&ml.lock);
	ml.reserved -= len + REC_COST;
	pthread_mutex_unlock(&ml.lock);
}

/* ---- gathering ---- */

static void
group_grow(struct group *g, uint32_t len)
{
	uint32_t cap = MAX(g->cap, (uint32_t)GROUP_BYTES);
	uint8_t *buf;

	while (cap < g->len + len)
		cap *= 2;
	if (cap == g->cap)
		return;
	buf = aligned_alloc(PAGE, cap);
	if (!buf) { /* the batch is applied: it can't be taken back */
		log_error("metadata: no memory for %u bytes of the log", cap);
		abort();
	}
	memset(buf, 0, cap);
	if (g->buf)
		memcpy(buf, g->buf, g->len);
	free(g->buf);
	g->buf = buf;
	g->cap = cap;
}

static void mlog_lap(struct lap_hook *h);

/* The first time on this core. */
static void
core_begin(void)
{
	if (me.hook.run || reactor_core() < 0)
		return;
	me.wait_time = latency_hist("wal sync");
	me.write_time = latency_hist("wal write");
	me.hook.run = mlog_lap;
	reactor_hook(&me.hook);
}

uint64_t
mlog_append(const struct mlog_rec *rec)
{
	struct group *g;
	uint64_t number;

	core_begin();
	pthread_mutex_lock(&ml.lock);
	g = gathering();
	group_grow(g, MLOG_REC_BYTES + rec->len);
	g->len += (uint32_t)mlog_rec_encode(g->buf + g->len, rec);
	g->nrec++;
	number = g->number;
	ml.reserved -= rec->len + REC_COST;
	pthread_mutex_unlock(&ml.lock);
	me.look = true;
	return number;
}

/* ---- answers ---- */

/* On the waiters' core: a chain of them, the oldest first. */
static void
waiters_resume(struct shard_msg *m)
{
	struct mlog_wait *w = container_of(m, struct mlog_wait, msg), *next;

	for (; w; w = next) {
		uint64_t ns = reactor_clock_ns() - w->joined_ns;

		next = w->next;
		hist_record(me.wait_time, ns);
		PROBE_WAL_DONE(w->core, w->res, ns);
		reactor_release();
		reactor_post(w->op, w->res);
	}
}

/* A group's, put before those of the groups before it. */
static void
waiters_take(struct mlog_wait **list, struct group *g)
{
	struct mlog_wait **end = &g->waiters;

	while (*end)
		end = &(*end)->next;
	*end = *list;
	*list = g->waiters;
	g->waiters = NULL;
}

/* The newest first; each core gets its own in turn, in one message. */
static void
waiters_answer(struct mlog_wait *waiters, int res)
{
	struct mlog_wait *head[REACTOR_MAX_CORES] = { NULL }, *next;
	int self = reactor_core();

	if (!waiters)
		return;
	for (struct mlog_wait *w = waiters; w; w = next) {
		next = w->next;
		w->res = res;
		w->next = head[w->core];
		head[w->core] = w;
	}
	for (int core = 0; core < reactor_cores(); core++) {
		if (!head[core])
			continue;
		head[core]->msg.run = waiters_resume;
		if (core == self)
			waiters_resume(&head[core]->msg);
		else if (self >= 0)
			shard_send(core, &head[core]->msg);
		else
			shard_post(core, &head[core]->msg);
	}
}

/* The kernel may have dropped what it could not write, so trying again would prove nothing. */
static void
fail(const struct group *g, int err)
{
	struct mlog_wait *all = NULL;

	if (atomic_exchange(&ml.err, -EIO))
		return;
	log_error("metadata: writing the log failed, refusing all changes from now on: %s at %u: %s", g->path, g->off,
	          strerror(-err));
	pthread_mutex_lock(&ml.lock);
	for (int i = 0; i < GROUPS; i++)
		waiters_take(&all, &ml.group[i]);
	pthread_mutex_unlock(&ml.lock);
	waiters_answer(all, -EIO);
}

static void
group_acked(struct group *g, struct mlog_wait **waiters)
{
	crash_synced(g->path, (uint64_t)g->off + ROUND_UP(g->len, PAGE));
	atomic_store(&ml.durable, g->number);
	ml.tail_durable = MAX(ml.tail_durable, g->tail);
	waiters_take(waiters, g);
}

static void
group_done(struct group *g)
{
	struct mlog_wait *waiters = NULL;
	uint64_t ns = clock_ns() - g->issued_ns;

	if (me.write_time)
		hist_record(me.write_time, ns);
	crash_point("mlog.written");
	pthread_mutex_lock(&ml.lock);
	g->done = true;
	if (!atomic_load(&ml.err)) {
		ml.stats.groups++;
		ml.stats.bytes += ROUND_UP(g->len, PAGE);
		ml.stats.write_ns += ns;
	}
	while (!atomic_load(&ml.err) && ml.durable < ml.issued && group_at(ml.durable + 1)->done)
		group_acked(group_at(ml.durable + 1), &waiters);
	pthread_mutex_unlock(&ml.lock);
	me.look = true;
	crash_point("mlog.durable");
	waiters_answer(waiters, 0);
}

/* ---- to the disk ---- */

/*
 * Closes the gathering group and gives it its place, or NULL: two are in flight, or there is nothing to
 * write, unless it is the group of this number.
 */
static struct group *
group_issue(uint64_t number)
{
	struct group *g;
	uint32_t bytes;

	pthread_mutex_lock(&ml.lock);
	g = gathering();
	if (atomic_load(&ml.err) || ml.issued - ml.durable >= IN_FLIGHT || (g->nrec == 0 && g->number != number)) {
		pthread_mutex_unlock(&ml.lock);
		return NULL;
	}
	group_grow(g, 0);
	bytes = ROUND_UP(g->len, PAGE);
	if (ml.files.fill + bytes > ml.files.seg_bytes) {
		assert(next_is_free());
		mlog_files_turn(&ml.files);
		mlog_flusher_wake();
	}
	g->fd = ml.files.seg[ml.files.open].fd;
	g->path = ml.files.seg[ml.files.open].path;
	ml.files.seg[ml.files.open].last = g->number;
	g->off = ml.files.fill;
	g->iov = (struct iovec){ g->buf, bytes };
	g->durable = ml.durable;
	g->tail = ml.tail;
	ml.files.fill += bytes;
	ml.issued++;
	group_begin(ml.issued + 1);
	pthread_mutex_unlock(&ml.lock);

	memset(g->buf + g->len, 0, bytes - g->len);
	mlog_group_seal(g->buf,
	                &(struct mlog_group){ .number = g->number, .durable = g->durable, .tail = g->tail,
	                                      .bytes = g->len, .nrec = g->nrec }, ml.run);
	g->issued_ns = clock_ns();
	crash_point("mlog.before_write");
	return g;
}

static void
group_ended(struct group *g, int res)
{
	if (res < 0)
		fail(g, res);
	group_done(g);
}

static void
group_written(struct op *op)
{
	group_ended(container_of(op, struct group, op), op->res);
}

static void
group_write(struct group *g)
{
	g->op.resume = group_written;
	if (disk_write_all(&g->write, g->fd, &g->iov, 1, g->off, &g->op) == OP_DONE)
		group_ended(g, g->op.res);
}

static void
group_write_now(struct group *g)
{
	group_ended(g, disk_write_all_now(g->fd, &g->iov, 1, g->off));
}

static void
mlog_lap(struct lap_hook *h)
{
	struct group *g;

	(void)h;
	/* What came while two were in flight is written by whose write ends. */
	if (!me.look)
		return;
	me.look = false;
	while ((g = group_issue(0)) != NULL)
		group_write(g);
}

/* ---- waiting ---- */

enum op_state
mlog_sync(struct mlog_wait *w, uint64_t ticket, struct op *op)
{
	struct group *g;

	core_begin();
	if (ticket <= atomic_load(&ml.durable))
		return op_done(op, 0);
	*w = (struct mlog_wait){ .op = op, .core = reactor_core(), .joined_ns = reactor_clock_ns() };
	assert(w->core >= 0);
	PROBE_WAL_WAIT(w->core);
	pthread_mutex_lock(&ml.lock);
	if (ticket <= ml.durable || atomic_load(&ml.err)) {
		int res = ticket <= ml.durable ? 0 : -EIO;

		pthread_mutex_unlock(&ml.lock);
		return op_done(op, res);
	}
	g = group_at(ticket);
	assert(g->number == ticket);
	w->next = g->waiters;
	g->waiters = w;
	pthread_mutex_unlock(&ml.lock);
	me.look = true; /* it may have been added by a worker, who does not write */
	reactor_hold();
	return OP_PENDING;
}

/* `empty`: the group goes to the disk even without a record. */
static int
sync_now(uint64_t ticket, bool empty)
{
	struct group *g;

	while (ticket > atomic_load(&ml.durable)) {
		if (atomic_load(&ml.err))
			return -EIO;
		g = group_issue(empty ? ticket : 0);
		if (g)
			group_write_now(g);
		else
			nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
	}
	/* A core that came while this was in flight relies on who ended it. */
	while ((g = group_issue(0)) != NULL)
		group_write_now(g);
	return 0;
}

int
mlog_sync_now(uint64_t ticket)
{
	return sync_now(ticket, false);
}

/* Who ends it issues what has gathered meanwhile. */
static bool
some_in_flight(void)
{
	bool some;

	pthread_mutex_lock(&ml.lock);
	some = ml.issued > ml.durable;
	pthread_mutex_unlock(&ml.lock);
	return some;
}

int
mlog_await_now(uint64_t ticket)
{
	struct group *g;

	while (ticket > atomic_load(&ml.durable) && !atomic_load(&ml.err)) {
		g = some_in_flight() ? NULL : group_issue(0);
		if (g)
			group_write_now(g);
		else
			nanosleep(&(struct timespec){ .tv_nsec = AWAIT_NS }, NULL);
	}
	while (!some_in_flight() && (g = group_issue(0)) != NULL)
		group_write_now(g);
	return ticket > atomic_load(&ml.durable) ? -EIO : 0;
}

bool
mlog_is_broken(void)
{
	return atomic_load_explicit(&ml.err, memory_order_relaxed) != 0;
}

/* ---- using segments again ---- */

/* On the log's thread. */
static int
flush_and_tell(int (*flush)(void))
{
	uint64_t upto;
	int err;

	pthread_mutex_lock(&ml.lock);
	upto = ml.issued + 1;
	pthread_mutex_unlock(&ml.lock);
	err = flush();
	if (err)
		return err;
	crash_point("mlog.flushed");
	pthread_mutex_lock(&ml.lock);
	ml.tail = upto;
	ml.stats.flushes++;
	upto = ml.issued + 1;
	pthread_mutex_unlock(&ml.lock);
	return sync_now(upto, true);
}

int
mlog_wait_room(uint32_t len)
{
	for (;;) {
		int err;
		bool room;

		if (len + REC_COST + MLOG_GROUP_BYTES + SPARE > ml.files.seg_bytes)
			return -EFBIG;
		if (mlog_is_broken())
			return -EIO;
		pthread_mutex_lock(&ml.lock);
		room = has_room(len + REC_COST);
		pthread_mutex_unlock(&ml.lock);
		if (room)
			return 0;
		err = mlog_flusher_wait();
		if (err)
			return err;
	}
}

/* ---- opening ---- */

int
mlog_open(const struct mlog_opts *o, char why[256])
{
	int err;

	assert(!ml.is_open);
	err = mlog_files_open(&ml.files, o, ml.run, why);
	if (err)
		return err;
	ml.issued = ml.reserved = 0;
	ml.tail = ml.tail_durable = 1;
	ml.stats = (struct mlog_stats){ 0 };
	atomic_store(&ml.durable, 0);
	atomic_store(&ml.err, 0);
	for (int i = 0; i < GROUPS; i++)
		ml.group[i] = (struct group){ .fd = -1 };
	group_begin(1);
	err = mlog_flusher_start(flush_and_tell, o->flush);
	if (err) {
		snprintf(why, 256, "no thread for the metadata log: %s", strerror(-err));
		mlog_files_close(&ml.files, false);
		return err;
	}
	ml.is_open = true;
	return 0;
}

void
mlog_close(bool clean)
{
	assert(ml.is_open && ml.reserved == 0);
	mlog_flusher_stop();
	mlog_files_close(&ml.files, clean && !mlog_is_broken());
	for (int i = 0; i < GROUPS; i++) {
		assert(!ml.group[i].waiters);
		free(ml.group[i].buf);
	}
	ml.is_open = false;
}

void
mlog_stats(struct mlog_stats *out)
{
	pthread_mutex_lock(&ml.lock);
	*out = ml.stats;
	pthread_mutex_unlock(&ml.lock);
}
