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

/* In the order of locking: applying, lock. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	struct kv_keys keys[2], *gathers, *applies;
	size_t bytes;
	uint64_t seq;          /* of the last batch */
	uint64_t applied;      /* RocksDB has all up to it */
	uint64_t wanted;       /* somebody waits for it */
	uint64_t due_ns;       /* when what gathers is applied */
	uint64_t groups;
	int err;               /* RocksDB's, while it takes nothing */
	bool asleep, stop;
	_Atomic uint32_t npending; /* batches that gather or are being applied: 0 spares a reader the lock */
	uint32_t taken;        /* of them, being applied */

	/* Held by the thread while a group goes to RocksDB: else it has nothing of `applies`. */
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
	res = ap.err ? ap.err : ap.gathers->bytes >= ap.bytes ? -EAGAIN : 0;
	if (res)
		pthread_mutex_unlock(&ap.lock);
	return res;
}

uint64_t
kv_apply_next(void)
{
	return ++ap.seq;
}

void
kv_apply_add(const struct kv_batch *b)
{
	kv_keys_add(ap.gathers, b);
	if (atomic_fetch_add(&ap.npending, 1) == ap.taken)
		ap.due_ns = reactor_clock_ns() + GATHER_NS;
}

static bool
gathered(void)
{
	return ap.wanted > ap.applied || ap.gathers->bytes >= ap.bytes / GATHER_PART || ap.stop;
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

int
kv_apply_wait(void)
{
	uint64_t seq;
	int res;

	pthread_mutex_lock(&ap.lock);
	seq = ap.seq;
	if (ap.applied < seq)
		want(seq);
	while (ap.applied < seq && !ap.err)
		pthread_cond_wait(&ap.done, &ap.lock);
	res = ap.applied < seq ? ap.err : 0;
	pthread_mutex_unlock(&ap.lock);
	return res;
}

int
kv_apply_wait_room(void)
{
	int res;

	pthread_mutex_lock(&ap.lock);
	while (!ap.err && ap.gathers->bytes >= ap.bytes) {
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
	const struct kv_key *e = kv_keys_find(ap.gathers, key, klen);

	return e ? e : kv_keys_find(ap.applies, key, klen);
}

enum kv_pending
kv_apply_get(const void *key, size_t klen, void *out, size_t cap, int *res)
{
	enum kv_pending what = KV_NOTHING;
	const struct kv_key *e;

	/* Who must see a change has heard of it: then it is counted, or RocksDB has it. */
	if (atomic_load(&ap.npending) == 0)
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

bool
kv_apply_may_hold(const struct kv_scan *s)
{
	bool may;

	if (atomic_load(&ap.npending) == 0)
		return false;
	pthread_mutex_lock(&ap.lock);
	may = kv_keys_may_hold(ap.gathers, s->from, s->from_len, s->to, s->to_len) ||
	      kv_keys_may_hold(ap.applies, s->from, s->from_len, s->to, s->to_len);
	pthread_mutex_unlock(&ap.lock);
	return may;
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
	pile_add(&p, kv_keys_find(ap.gathers, key, klen));
	pile_add(&p, kv_keys_find(ap.applies, key, klen));
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
		bool some = ap.npending > 0;

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

/* One group, and with the lock again.  False: RocksDB does not take it, and the end has come. */
static bool
apply_group(uint64_t seq)
{
	uint8_t key[2], val[8];

	pthread_mutex_unlock(&ap.lock);
	kv_batch_clear(ap.batch);
	kv_keys_batch(ap.applies, ap.batch);
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
	kv_keys_clear(ap.applies);
	atomic_fetch_sub(&ap.npending, ap.taken);
	ap.taken = 0;
	ap.applied = seq;
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
		struct kv_keys *k = ap.gathers;

		ap.gathers = ap.applies;
		ap.applies = k;
		ap.taken = ap.npending;
		pthread_cond_broadcast(&ap.done); /* there is room */
		goes_on = apply_group(ap.seq);
		pthread_cond_broadcast(&ap.done);
	}
	pthread_mutex_unlock(&ap.lock);
	return NULL;
}

/* ---- opening ---- */

static void
tables_fini(void)
{
	kv_keys_fini(&ap.keys[0]);
	kv_keys_fini(&ap.keys[1]);
	kv_batch_free(ap.batch);
	pthread_cond_destroy(&ap.work);
	pthread_cond_destroy(&ap.done);
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
	ap.gathers = &ap.keys[0];
	ap.applies = &ap.keys[1];
	ap.bytes = bytes;
	ap.seq = ap.applied = seq;
	ap.wanted = ap.groups = 0;
	ap.npending = ap.taken = 0;
	ap.err = 0;
	ap.asleep = ap.stop = false;
	ap.batch = kv_batch_new();
	err = kv_keys_init(&ap.keys[0]);
	if (!err)
		err = kv_keys_init(&ap.keys[1]);
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
	out->pending_bytes = ap.gathers->bytes + ap.applies->bytes;
	out->applied_groups = ap.groups;
	pthread_mutex_unlock(&ap.lock);
}
