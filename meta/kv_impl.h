/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of kv.h know of each other; the only includer of <rocksdb/c.h>.
 *
 *   kv.c         opening, closing, errors
 *   kv_read.c    points and ranges
 *   kv_batch.c   batches, in RocksDB's bytes
 *   kv_write.c   their way through the log (mlog.h), and back from it after a crash
 *   kv_apply.c   what is in the log and not yet in RocksDB (kv_apply.h)
 *   kv_keys.c    its newest, key by key (kv_keys.h)
 *   kv_merge.c   the merge operator
 *   kv_wal.c     RocksDB's own log, as volumes had it before there was mlog.h
 */
#ifndef META_KV_IMPL_H
#define META_KV_IMPL_H

#include <rocksdb/c.h>
#include <stdatomic.h>

#include "meta/kv.h"

/* Counters of a core, the last for other threads: no line is shared between writers. */
struct kv_counters {
	_Atomic uint64_t gets, misses, writes, stalls;
} __attribute__((aligned(CACHELINE)));

struct kv_db {
	rocksdb_t *db;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *ro_mem, *ro_disk;  /* block-cache tier; anything */
	rocksdb_writeoptions_t *wo;               /* may stall */
	rocksdb_flushoptions_t *flush;
	struct kv_counters counters[REACTOR_MAX_CORES + 1];
};
extern struct kv_db kv;

struct kv_counters *kv_counters(void); /* this thread's */
static inline void
kv_count(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

/* The errno of RocksDB's message, which it takes and frees; logs what the operator should know. */
int kv_status(char *msg);

/* ---- kv_batch.c */
struct kv_batch {
	uint8_t *p;
	size_t len, cap;
};
enum kv_kind { KV_DELETED, KV_VALUE, KV_OPERAND }; /* RocksDB's tags */
/* A record of a batch, lent by it. */
struct kv_record {
	enum kv_kind kind;
	const uint8_t *key, *val;
	size_t klen, vlen;
};
/* The next from *at on, 0 for the first.  Of our own bytes: not checked. */
bool kv_batch_next(const struct kv_batch *b, size_t *at, struct kv_record *r);
/* Takes back the last record; `len` is what the batch had before. */
void kv_batch_undo(struct kv_batch *b, size_t len);
/* Blocking. */
int  kv_bytes_to_rocksdb(const void *p, size_t len);

/*
 * What is read after a crash only: replies ('Q', once.h), of which each change writes one.  RocksDB gets
 * these when all that is applied is to be in table files; until then they are in the log, and replay finds them there.
 */
#define KV_LATE 'Q'
static inline bool
kv_is_late(const uint8_t *key, size_t klen)
{
	return klen > 0 && key[0] == KV_LATE;
}

/* ---- kv_write.c */
#define KV_STREAM 0 /* of mlog.h, which all our batches are in */
/* The key of a stream's number. */
size_t kv_stream_key(uint8_t key[2], uint32_t stream);
/*
 * Blocking: brings the database to where the log is.  What is applied is in table files when it returns.
 * *begun: there was a log before.  *seq: KV_STREAM's last number.
 */
int kv_recover(const char *log_dir, bool *begun, uint64_t *seq, char why[256]);

#endif
