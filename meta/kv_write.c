/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch gets its number, which goes with it as a key, its place in the log and, at the same instant,
 * is pending: visible.  RocksDB gets it later, without its own log (kv_apply.h).
 */
#include <stdio.h>

#include "meta/kv_apply.h"
#include "meta/mlog.h"
#include "reactor/log.h"

size_t
kv_stream_key(uint8_t key[2], uint32_t stream)
{
	static_assert(MLOG_STREAMS <= 256, "a byte");
	key[0] = 'L';
	key[1] = (uint8_t)stream;
	return 2;
}

/* The batch is as it was when this returns.  -EAGAIN: too much is pending, or the log has no room. */
static int
commit(struct kv_batch *b, uint64_t *ticket)
{
	struct mlog_rec rec = { .stream = KV_STREAM };
	size_t len = b->len;
	uint8_t key[2], val[8] = { 0 };
	int res;

	kv_batch_put(b, key, kv_stream_key(key, KV_STREAM), val, sizeof(val));
	rec.data = b->p;
	rec.len = (uint32_t)b->len;
	res = b->len > UINT32_MAX / 4 ? -EFBIG : mlog_reserve(rec.len);
	if (res)
		goto out;
	res = kv_apply_begin();
	if (res) {
		mlog_unreserve(rec.len);
		goto out;
	}
	rec.seq = kv_apply_next();
	put_le64(b->p + b->len - sizeof(val), rec.seq);
	*ticket = mlog_append(&rec);
	kv_apply_add(b, *ticket);
	kv_apply_end();
	kv_count(&kv_counters()->writes);
	crash_point("kv.batch_added");
out:
	kv_batch_undo(b, len);
	return res;
}

static int
commit_waiting(struct kv_batch *b, uint64_t *ticket)
{
	int res;

	while ((res = commit(b, ticket)) == -EAGAIN) {
		res = kv_apply_wait_room();
		if (!res)
			res = mlog_wait_room((uint32_t)kv_batch_bytes(b) + 64);
		if (res)
			break;
	}
	return res;
}

static int
write_work(struct work *work)
{
	struct kv_write *w = container_of(work, struct kv_write, work);

	return commit_waiting(w->batch, &w->ticket);
}

enum op_state
kv_write(struct kv_write *w, struct kv_batch *b, struct op *op)
{
	int res;

	w->ticket = 0;
	w->batch = b;
	if (mlog_is_broken())
		return op_done(op, -EIO);
	res = commit(b, &w->ticket);
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
	res = commit_waiting(b, &ticket);
	return res ? res : mlog_sync_now(ticket);
}

enum op_state
kv_sync(struct kv_write *w, struct op *op)
{
	assert(w->ticket > 0);
	return mlog_sync(&w->wait, w->ticket, op);
}

static int
flush_tables(void)
{
	char *msg = NULL;

	rocksdb_flush(kv.db, kv.flush, &msg);
	return msg ? kv_status(msg) : 0;
}

int
kv_flush_now(void)
{
	int res = kv_apply_wait(true);

	return res ? res : flush_tables();
}

/* ---- after a crash ---- */

/*
 * Where no stream has begun the volume is new, or from before there was a log.  There was a time when each
 * core had a stream of its own.
 */
static int
streams_load(uint64_t seq[MLOG_STREAMS], bool *begun)
{
	*begun = false;
	for (uint32_t i = 0; i < MLOG_STREAMS; i++) {
		uint8_t key[2], val[8];
		int res = kv_get_now(key, kv_stream_key(key, i), val, sizeof(val));

		if (res != -ENOENT && res != sizeof(val))
			return res < 0 ? res : -E_DAMAGED;
		seq[i] = res < 0 ? 0 : get_le64(val);
		*begun |= seq[i] > 0;
	}
	return 0;
}

struct replay {
	uint64_t seq[MLOG_STREAMS], n, nlate;
	struct kv_batch *late;
};

/* RocksDB has the batch, but perhaps not yet what is late in it. */
static int
replay_late(struct replay *r, const struct mlog_rec *rec)
{
	struct kv_batch b = { .p = (uint8_t *)(uintptr_t)rec->data, .len = rec->len };
	struct kv_record k;
	size_t at = 0;
	bool some = false;

	kv_batch_clear(r->late);
	while (kv_batch_next(&b, &at, &k)) {
		if (k.kind != KV_VALUE || !kv_is_late(k.key, k.klen))
			continue;
		kv_batch_put(r->late, k.key, k.klen, k.val, k.vlen);
		some = true;
	}
	r->nlate += some;
	return some ? kv_bytes_to_rocksdb(r->late->p, r->late->len) : 0;
}

static int
replay(void *arg, const struct mlog_rec *rec)
{
	struct replay *r = arg;
	uint64_t *seq = &r->seq[rec->stream];
	int err;

	if (rec->seq <= *seq)
		return replay_late(r, rec);
	if (rec->seq != *seq + 1)
		return -E_DAMAGED;
	err = kv_bytes_to_rocksdb(rec->data, rec->len);
	if (err)
		return err;
	crash_point("kv.replayed");
	++*seq;
	r->n++;
	return 0;
}

static int
scan_log(const char *log_dir, struct replay *r, bool begun, char why[256])
{
	int err = mlog_scan(log_dir, replay, r, why);

	if (err == -ENOENT) {
		snprintf(why, 256, "the metadata log %.180s is missing", log_dir);
		return begun ? -E_DAMAGED : 0;
	}
	if (err || r->n + r->nlate == 0)
		return err;
	err = flush_tables();
	if (err)
		snprintf(why, 256, "the metadata cannot be flushed: %s", strerror(-err));
	else if (r->n > 0)
		log_info("metadata: %llu changes replayed from the log", (unsigned long long)r->n);
	return err;
}

int
kv_recover(const char *log_dir, bool *begun, uint64_t *seq, char why[256])
{
	struct replay r = { .n = 0 };
	int err = streams_load(r.seq, begun);

	if (err) {
		snprintf(why, 256, "the metadata cannot be read: %s", err > -1000 ? strerror(-err) : "it is damaged");
		return err;
	}
	r.late = kv_batch_new();
	err = scan_log(log_dir, &r, *begun, why);
	kv_batch_free(r.late);
	*seq = r.seq[KV_STREAM];
	return err;
}
