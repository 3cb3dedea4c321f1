/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch is applied to RocksDB, without its log, and appended to ours, in this order: so
 * it is visible at once, and what is in the log is in a memtable.  With it goes its
 * number in its stream, as a key.
 */
#include <pthread.h>
#include <stdio.h>

#include "meta/kv_impl.h"
#include "meta/mlog.h"
#include "reactor/log.h"

#define OTHERS REACTOR_MAX_CORES /* the stream of all threads but the reactors */

/* Batches of a stream so far.  A reactor's is its own, the last has a lock. */
static struct stream {
	uint64_t seq;
} __attribute__((aligned(CACHELINE))) streams[MLOG_STREAMS];
static pthread_mutex_t others_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t
stream_key(uint8_t key[2], uint32_t stream)
{
	static_assert(MLOG_STREAMS <= 256, "a byte");
	key[0] = 'L';
	key[1] = (uint8_t)stream;
	return 2;
}

/* ---- batches ---- */

static rocksdb_writebatch_t *
rocks(struct kv_batch *b)
{
	return (rocksdb_writebatch_t *)(void *)b;
}

struct kv_batch *kv_batch_new(void)           { return (struct kv_batch *)(void *)rocksdb_writebatch_create(); }
void kv_batch_free(struct kv_batch *b)        { rocksdb_writebatch_destroy(rocks(b)); }
void kv_batch_clear(struct kv_batch *b)       { rocksdb_writebatch_clear(rocks(b)); }

size_t
kv_batch_bytes(struct kv_batch *b)
{
	size_t len;

	rocksdb_writebatch_data(rocks(b), &len);
	return len;
}

void
kv_batch_put(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	rocksdb_writebatch_put(rocks(b), key, klen, val, vlen);
}

void
kv_batch_del(struct kv_batch *b, const void *key, size_t klen)
{
	rocksdb_writebatch_delete(rocks(b), key, klen);
}

void
kv_batch_merge(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	rocksdb_writebatch_merge(rocks(b), key, klen, val, vlen);
}

/* ---- applying ---- */

/* The batch is as it was when this returns.  -EAGAIN: RocksDB would stall, or the log has no room. */
static int
apply(struct kv_batch *b, uint32_t stream, const rocksdb_writeoptions_t *wo, uint64_t *ticket)
{
	struct mlog_rec rec = { .stream = stream, .seq = streams[stream].seq + 1 };
	uint8_t key[2], val[8];
	char *msg = NULL;
	size_t len;
	int res;

	rocksdb_writebatch_set_save_point(rocks(b));
	put_le64(val, rec.seq);
	kv_batch_put(b, key, stream_key(key, stream), val, sizeof(val));
	rec.data = rocksdb_writebatch_data(rocks(b), &len);
	rec.len = (uint32_t)len;
	res = len > UINT32_MAX / 4 ? -EFBIG : mlog_reserve(rec.len);
	if (res)
		goto out;
	rocksdb_write(kv.db, wo, rocks(b), &msg);
	if (msg) {
		res = kv_status(msg);
		mlog_unreserve(rec.len);
		goto out;
	}
	streams[stream].seq++;
	*ticket = mlog_append(&rec);
	kv_count(&kv_counters()->writes);
	crash_point("kv.batch_applied");
out:
	rocksdb_writebatch_rollback_to_save_point(rocks(b), &msg);
	assert(!msg);
	return res;
}

static int
apply_waiting(struct kv_batch *b, uint64_t *ticket)
{
	int res;

	pthread_mutex_lock(&others_lock);
	while ((res = apply(b, OTHERS, kv.wo_wait, ticket)) == -EAGAIN) {
		res = mlog_wait_room((uint32_t)kv_batch_bytes(b) + 64);
		if (res)
			break;
	}
	pthread_mutex_unlock(&others_lock);
	return res;
}

static int
write_work(struct work *work)
{
	struct kv_write *w = container_of(work, struct kv_write, work);

	return apply_waiting(w->batch, &w->ticket);
}

enum op_state
kv_write(struct kv_write *w, struct kv_batch *b, struct op *op)
{
	int res;

	w->ticket = 0;
	w->batch = b;
	if (mlog_is_broken())
		return op_done(op, -EIO);
	res = apply(b, (uint32_t)reactor_core(), kv.wo_mem, &w->ticket);
	if (res == -EAGAIN) {
		kv_count(&kv_counters()->stalls);
		return worker_run(&w->work, write_work, op);
	}
	return op_done(op, res);
}

int
kv_write_now(struct kv_batch *b)
{
	uint64_t ticket = 0;
	int res;

	if (mlog_is_broken())
		return -EIO;
	res = apply_waiting(b, &ticket);
	return res ? res : mlog_sync_now(ticket);
}

enum op_state
kv_sync(struct kv_write *w, struct op *op)
{
	assert(w->ticket > 0);
	return mlog_sync(&w->wait, w->ticket, op);
}

int
kv_flush_now(void)
{
	char *msg = NULL;

	rocksdb_flush(kv.db, kv.flush, &msg);
	return msg ? kv_status(msg) : 0;
}

/* ---- after a crash ---- */

/* Where no stream has begun the volume is new, or from before there was a log. */
static int
streams_load(bool *begun)
{
	*begun = false;
	for (uint32_t i = 0; i < MLOG_STREAMS; i++) {
		uint8_t key[2], val[8];
		int res = kv_get_now(key, stream_key(key, i), val, sizeof(val));

		if (res != -ENOENT && res != sizeof(val))
			return res < 0 ? res : -E_DAMAGED;
		streams[i].seq = res < 0 ? 0 : get_le64(val);
		*begun |= streams[i].seq > 0;
	}
	return 0;
}

static int
replay(void *arg, const struct mlog_rec *rec)
{
	uint64_t *seq = &streams[rec->stream].seq;
	rocksdb_writebatch_t *b;
	char *msg = NULL;

	if (rec->seq <= *seq)
		return 0; /* RocksDB has it */
	if (rec->seq != *seq + 1)
		return -E_DAMAGED;
	b = rocksdb_writebatch_create_from(rec->data, rec->len);
	rocksdb_write(kv.db, kv.wo_wait, b, &msg);
	rocksdb_writebatch_destroy(b);
	if (msg)
		return kv_status(msg);
	crash_point("kv.replayed");
	++*seq;
	++*(uint64_t *)arg;
	return 0;
}

int
kv_recover(const char *log_dir, bool *begun, char why[256])
{
	uint64_t n = 0;
	int err = streams_load(begun);

	if (err) {
		snprintf(why, 256, "the metadata cannot be read: %s", err > -1000 ? strerror(-err) : "it is damaged");
		return err;
	}
	err = mlog_scan(log_dir, replay, &n, why);
	if (err == -ENOENT) {
		snprintf(why, 256, "the metadata log %.180s is missing", log_dir);
		return *begun ? -E_DAMAGED : 0;
	}
	if (err || n == 0)
		return err;
	err = kv_flush_now();
	if (err)
		snprintf(why, 256, "the metadata cannot be flushed: %s", strerror(-err));
	else
		log_info("metadata: %llu changes replayed from the log", (unsigned long long)n);
	return err;
}
