/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of kv.h know of each other; the only includer of <rocksdb/c.h>.
 *
 *   kv.c         opening, closing, errors
 *   kv_read.c    points and ranges
 *   kv_write.c   batches, and their way through the log (mlog.h)
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
	rocksdb_writeoptions_t *wo_mem, *wo_wait; /* no_slowdown; may stall */
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

/* ---- kv_write.c */
/*
 * Blocking: brings the database to where the log is.  What is applied is in table files when it returns.
 * *begun: there was a log before.
 */
int kv_recover(const char *log_dir, bool *begun, char why[256]);

#endif
