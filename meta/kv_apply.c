/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/kv_apply.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "meta/kv_keys.h"
#include "meta/kv_merge.h"
#include "reactor/log.h"

/*
 * What changes again and again is applied once in so long, or when so much has gathered.  The more keys a sorted batch has
 * the nearer are its neighbours: of 2,000 changes each costs RocksDB half of what it costs of 400.
 */
#define GATHER_NS    (50 * 1000000u)
#define GATHER_PART  4 /* of the bytes at which writers wait */
#define RETRY_NS     1000000000u

struct tables {
	struct kv_keys keys[2], *gathers, *applies;
};

/* In the order of locking: applying, lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct tables soon, late;          /* late: kv_is_late */
	size_t bytes;
	uint64_t seq, ticket;  /* of the last batch; the log's */
	uint64_t applied, late_applied;    /* RocksDB has all up to it; what is late */
	uint64_t wanted, late_wanted;      /* somebody waits for it */
	uint64_t due_ns;       /* when what gathers is applied */
	uint64_t groups;
	int err;               /* RocksDB's, while it takes nothing */
	bool asleep, stop;
	_Atomic uint32_t npending; /* batches that gather or are being applied: 0 spares a reader the lock */
	uint32_t taken;        /* of them, being applied */

	/* Held by the thread while a group goes to RocksDB: else it has nothing of what it took. */
	pthread_mutex_t applying;
	pthread_t thread;
	struct kv_batch *batch;
} ap = { .lock = PTHREAD_MUTEX_INITIALIZER, .applying = PTHREAD_MUTEX_INITIALIZER };

/* ---- gathering ---- */

int
kv_apply_begin(void)
{
	int res;

	pthread_mutex_lock(&ap.lock);
	res = ap.err ? ap.err : ap.soon.gathers->bytes >= ap.bytes ? -EAGAIN : 0;
	if (res)
		pthread_mutex_unlock(&ap.lock);
	return res;
}

uint64_t
kv_apply_next(void)
{
	return ++ap.seq;
}

static struct tables *
tables_of(const uint8_t *key, size_t klen)
{
	return kv_is_late(key, klen) ? &ap.late : &ap.soon;
}

void
kv_apply_add(const struct kv_batch *b, uint64_t ticket)
{
	struct kv_record r;
	size_t at = 0;

	ap.ticket = ticket;
	while (kv_batch_next(b, &at, &r))
		kv_keys_add(tables_of(r.key, r.klen)->gathers, &r);
	if (atomic_fetch_add(&ap.npending, 1) == ap.taken)
		ap.due_ns = reactor_clock_ns() + GATHER_NS;
}

static bool
late_is_due(void)
{
	return ap.late_wanted > ap.late_applied || ap.late.gathers->bytes >= ap.bytes;
}

static bool
gathered(void)
{
	return ap.wanted > ap.applied || late_is_due() || ap.soon.gathers->bytes >= ap.bytes / GATHER_PART || ap.stop;
}

void
kv_apply_end(void)
{
	/* Once when something begins to gather, once when it is enough. */
	bool wake = ap.asleep && (ap.npending == ap.taken + 1 || gathered());

	if (wake)
		ap.asleep = false;
	pthread_mutex_unlock(&ap.lock);
	if (wake)
		pthread_cond_signal(&ap.work);
}

/* ---- waiting ---- */

/* With the lock. */
static void
want(uint64_t seq)
{
	ap.wanted = MAX(ap.wanted, seq);
	pthread_cond_signal(&ap.work);
}

static bool
has(uint64_t seq, bool late)
{
	return ap.applied >= seq && (!late || ap.late_applied >= seq);
}

int
kv_apply_wait(bool late)
{
	uint64_t seq;
	int res;

	pthread_mutex_lock(&ap.lock);
	seq = ap.seq;
	if (late)
		ap.late_wanted = MAX(ap.late_wanted, seq);
	if (!has(seq, late))
		want(seq);
	while (!has(seq, late) && !ap.err)
		pthread_cond_wait(&ap.done, &ap.lock);
	res = has(seq, late) ? 0 : ap.err;
	pthread_mutex_unlock(&ap.lock);
	return res;
}

int
kv_apply_wait_room(void)
{
	int res;

	pthread_mutex_lock(&ap.lock);
	while (!ap.err && ap.soon.gathers->bytes >= ap.bytes) {
		want(ap.seq);
		pthread_cond_wait(&ap.done, &ap.lock);
	}
	res = ap.err;
	pthread_mutex_unlock(&ap.lock);
	return res;
}

/* ---- reading ---- */

static const struct kv_key *
find(const void *key, size_t klen)
{
	const struct tables *t = tables_of(key, klen);
	const struct kv_key *e = kv_keys_find(t->gathers, key, klen);

	return e ? e : kv_keys_find(t->applies, key, klen);
}

enum kv_pending
kv_apply_get(const void *key, size_t klen, void *out, size_t cap, int *res)
{
	enum kv_pending what = KV_NOTHING;
	const struct kv_key *e;

	/* Who must see a change has heard of it: then it is counted, or RocksDB has it. */
	if (atomic_load(&ap.npending) == 0 && !kv_is_late(key, klen))
		return KV_NOTHING;
	pthread_mutex_lock(&ap.lock);
	e = find(key, klen);
	if (e && e->kind == KV_OPERAND) {
		what = KV_UPON;
	} else if (e) {
		what = KV_PENDING;
		*res = e->kind == KV_VALUE ? (int)e->vlen : -ENOENT;
		if (e->kind == KV_VALUE && e->vlen)
			memcpy(out, e->val, MIN(cap, (size_t)e->vlen));
	}
	pthread_mutex_unlock(&ap.lock);
	return what;
}

static bool
tables_may_hold(const struct tables *t, const struct kv_scan *s)
{
	return kv_keys_may_hold(t->gathers, s->from, s->from_len, s->to, s->to_len) ||
	       kv_keys_may_hold(t->applies, s->from, s->from_len, s->to, s->to_len);
}

static bool
spans_late(const struct kv_scan *s)
{
	return (s->from_len == 0 || s->from[0] <= KV_LATE) && (s->to_len == 0 || s->to[0] >= KV_LATE);
}

bool
kv_apply_may_hold(const struct kv_scan *s, bool *late)
{
	bool soon;

	*late = spans_late(s);
	if (atomic_load(&ap.npending) == 0 && !*late)
		return false;
	pthread_mutex_lock(&ap.lock);
	soon = tables_may_hold(&ap.soon, s);
	*late = *late && tables_may_hold(&ap.late, s);
	pthread_mutex_unlock(&ap.lock);
	return soon || *late;
}

static char *
copy_of(const char *p, size_t len)
{
	char *c = malloc(MAX(len, (size_t)1));

	if (c && len)
		memcpy(c, p, len);
	return c;
}

/* A value below, or NULL, and operands upon it, the oldest first. */
struct pile {
	char *base, *op[2];
	size_t base_len, len[2];
	int nops;
	bool has_base, no_memory;
};

/* Goes from the newest down; the older table has the operand that comes first. */
static void
pile_add(struct pile *p, const struct kv_key *e)
{
	if (!e || p->has_base)
		return;
	if (e->kind == KV_OPERAND) {
		p->op[1] = p->op[0];
		p->len[1] = p->len[0];
		p->op[0] = copy_of((const char *)e->val, e->vlen);
		p->len[0] = e->vlen;
		p->no_memory |= !p->op[0];
		p->nops++;
		return;
	}
	p->has_base = true;
	if (e->kind == KV_DELETED)
		return;
	p->base = copy_of((const char *)e->val, e->vlen);
	p->base_len = e->vlen;
	p->no_memory |= !p->base;
}

static int
pile_merge(struct pile *p, const void *key, size_t klen, char **out)
{
	unsigned char good = 1;
	size_t len = p->base_len;
	char *msg = NULL;

	if (p->no_memory)
		return -ENOMEM;
	if (!p->has_base)
		p->base = rocksdb_get(kv.db, kv.ro_disk, key, klen, &p->base_len, &msg);
	if (msg)
		return kv_status(msg);
	len = p->base_len;
	*out = p->base;
	if (p->nops)
		*out = kv_merge_full(NULL, key, klen, p->base, p->base_len, (const char *const *)p->op, p->len, p->nops,
		                     &good, &len);
	else
		p->base = NULL;
	if (!good || len > INT32_MAX) {
		free(*out);
		*out = NULL;
		return -E_DAMAGED;
	}
	return *out ? (int)len : -ENOENT;
}

int
kv_apply_merged(const void *key, size_t klen, char **out)
{
	struct pile p = { 0 };
	int res;

	*out = NULL;
	pthread_mutex_lock(&ap.applying);
	pthread_mutex_lock(&ap.lock);
	pile_add(&p, kv_keys_find(tables_of(key, klen)->gathers, key, klen));
	pile_add(&p, kv_keys_find(tables_of(key, klen)->applies, key, klen));
	pthread_mutex_unlock(&ap.lock);
	res = pile_merge(&p, key, klen, out);
	pthread_mutex_unlock(&ap.applying);
	free(p.base);
	free(p.op[0]);
	free(p.op[1]);
	return res;
}

/* ---- to RocksDB ---- */

/* With the lock; sleeps while there is nothing, or too little and it is not due.  False: nothing will come. */
static bool
wait_for_work(void)
{
	for (;;) {
		bool some = ap.npending > 0 || late_is_due();

		if (ap.stop && !some)
			return false;
		if (some && (gathered() || reactor_clock_ns() >= ap.due_ns))
			return true;
		ap.asleep = true;
		if (some) {
			struct timespec t = { .tv_sec = (time_t)(ap.due_ns / 1000000000u),
				              .tv_nsec = (long)(ap.due_ns % 1000000000u) };

			pthread_cond_timedwait(&ap.work, &ap.lock, &t);
		} else {
			pthread_cond_wait(&ap.work, &ap.lock);
		}
		ap.asleep = false;
	}
}

/* With the lock.  True: again. */
static bool
failed(int err)
{
	uint64_t until = reactor_clock_ns() + RETRY_NS;
	struct timespec t = { .tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u) };

	if (!ap.err)
		log_error("metadata: RocksDB takes no changes (%s), refusing all until it does", strerror(-err));
	ap.err = err;
	pthread_cond_broadcast(&ap.done);
	while (!ap.stop && reactor_clock_ns() < until)
		pthread_cond_timedwait(&ap.work, &ap.lock, &t);
	return !ap.stop;
}

static void
tables_turn(struct tables *t)
{
	struct kv_keys *k = t->gathers;

	t->gathers = t->applies;
	t->applies = k;
}

/* One group, and with the lock again.  False: RocksDB does not take it, and the end has come. */
static bool
apply_group(uint64_t seq, uint64_t ticket, bool late)
{
	uint8_t key[2], val[8];

	pthread_mutex_unlock(&ap.lock);
	/*
	 * What a table file has must not lack what is late in it, so the log has it first.  Where the log can't any more all
	 * that waited have been told so, and nobody will ask again.
	 */
	mlog_await_now(ticket);
	kv_batch_clear(ap.batch);
	kv_keys_batch(ap.soon.applies, ap.batch);
	if (late)
		kv_keys_batch(ap.late.applies, ap.batch);
	put_le64(val, seq);
	kv_batch_put(ap.batch, key, kv_stream_key(key, KV_STREAM), val, sizeof(val));
	for (;;) {
		int err;

		crash_point("kv.before_apply");
		pthread_mutex_lock(&ap.applying);
		err = kv_bytes_to_rocksdb(ap.batch->p, ap.batch->len);
		pthread_mutex_lock(&ap.lock);
		if (!err)
			break;
		pthread_mutex_unlock(&ap.applying);
		if (!failed(err))
			return false;
		pthread_mutex_unlock(&ap.lock);
	}
	kv_keys_clear(ap.soon.applies);
	atomic_fetch_sub(&ap.npending, ap.taken);
	ap.taken = 0;
	ap.applied = seq;
	if (late) {
		kv_keys_clear(ap.late.applies);
		ap.late_applied = seq;
	}
	ap.groups++;
	if (ap.err)
		log_info("metadata: RocksDB takes changes again");
	ap.err = 0;
	pthread_mutex_unlock(&ap.applying);
	crash_point("kv.applied");
	return true;
}

static void *
applier(void *arg)
{
	bool goes_on = true;

	(void)arg;
	kv_thread_init();
	pthread_mutex_lock(&ap.lock);
	while (goes_on && wait_for_work()) {
		bool late = late_is_due();

		tables_turn(&ap.soon);
		if (late)
			tables_turn(&ap.late);
		ap.taken = ap.npending;
		pthread_cond_broadcast(&ap.done); /* there is room */
		goes_on = apply_group(ap.seq, ap.ticket, late);
		pthread_cond_broadcast(&ap.done);
	}
	pthread_mutex_unlock(&ap.lock);
	return NULL;
}

/* ---- opening ---- */

static void
tables_fini(void)
{
	for (int i = 0; i < 2; i++) {
		kv_keys_fini(&ap.soon.keys[i]);
		kv_keys_fini(&ap.late.keys[i]);
	}
	kv_batch_free(ap.batch);
	pthread_cond_destroy(&ap.work);
	pthread_cond_destroy(&ap.done);
}

static int
tables_init(struct tables *t)
{
	int err = kv_keys_init(&t->keys[0]);

	t->gathers = &t->keys[0];
	t->applies = &t->keys[1];
	return err ? err : kv_keys_init(&t->keys[1]);
}

int
kv_apply_start(uint64_t seq, size_t bytes)
{
	pthread_condattr_t attr;
	sigset_t all, old;
	int err;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&ap.work, &attr);
	pthread_cond_init(&ap.done, &attr);
	pthread_condattr_destroy(&attr);
	ap.soon = ap.late = (struct tables){ 0 };
	ap.bytes = bytes;
	ap.seq = ap.applied = ap.late_applied = seq;
	ap.ticket = 0;
	ap.wanted = ap.late_wanted = ap.groups = 0;
	ap.npending = ap.taken = 0;
	ap.err = 0;
	ap.asleep = ap.stop = false;
	ap.batch = kv_batch_new();
	err = tables_init(&ap.soon);
	if (!err)
		err = tables_init(&ap.late);
	if (!err) {
		/* Signals are for the main thread. */
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		err = -pthread_create(&ap.thread, NULL, applier, NULL);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (err) {
		tables_fini();
		return err;
	}
	pthread_setname_np(ap.thread, "kv-apply");
	return 0;
}

void
kv_apply_stop(void)
{
	pthread_mutex_lock(&ap.lock);
	ap.stop = true;
	pthread_cond_signal(&ap.work);
	pthread_mutex_unlock(&ap.lock);
	pthread_join(ap.thread, NULL);
	tables_fini();
}

void
kv_apply_stats(struct kv_stats *out)
{
	pthread_mutex_lock(&ap.lock);
	out->pending_bytes = ap.soon.gathers->bytes + ap.soon.applies->bytes;
	out->applied_groups = ap.groups;
	out->error = ap.err;
	pthread_mutex_unlock(&ap.lock);
}
