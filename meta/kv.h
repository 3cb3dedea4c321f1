/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RocksDB, and a log of our own beside it (mlog.h).  One database a process; any reactor core may call.
 *
 * Reads go inline where they cannot touch the disk (block-cache tier) and to a
 * worker else.  A write goes to the log's memory and is visible at once (kv_write);
 * it is durable when a write of the log has covered it (kv_sync).  RocksDB gets it milliseconds later, from a
 * thread of ours, with what else was written meanwhile (kv_apply.h).
 * After a failed write of the log nothing can be promised any more: every later write
 * and sync fails with -EIO, and the log says so once.
 */
#ifndef META_KV_H
#define META_KV_H

#include "meta/mlog.h"
#include "reactor/worker.h"

#define KV_LOG_DIR "mlog" /* below path */

struct kv_opts {
	const char *path;
	bool create;                 /* make it; -EEXIST when there is one */
	uint64_t cache_bytes;        /* block cache */
	uint64_t memtable_bytes;
	uint64_t log_bytes;          /* of the log beside it */
	/* Merge operands of keys that begin with 'C' are appended, of 'U' and 'P' added (records of le64). */
};
/* -errno with a sentence in why[]: locked by another process, damaged, no room ... */
int  kv_open(const struct kv_opts *opts, char why[256]);
/* Syncs and closes.  After all reactors have ended. */
void kv_close(void);
/* A thread that is going to call often says so; without it all is as well, and slower. */
void kv_thread_init(void);

/*
 * A database of its own in `dir`, which is made; its parent must be there.  Of one instant, with all that was written
 * before; on the same file system its files are links, so it takes hardly any room.  Blocking; beside clients.
 */
int kv_checkpoint(const char *dir, char why[256]);

#define KV_KEY_MAX 320 /* a D key with a name of 255 bytes fits */

/* Point read.  op->res: the value's length (which may exceed cap: then cut), or -ENOENT, -EIO. */
struct kv_get {
	struct work work;
	uint16_t klen;
	uint8_t key[KV_KEY_MAX];
	void *out;
	uint32_t cap;
};
enum op_state kv_get(struct kv_get *g, const void *key, size_t klen, void *out, uint32_t cap,
                     struct op *op);
/* Only where it cannot touch the disk: else -EAGAIN. */
int kv_get_try(const void *key, size_t klen, void *out, uint32_t cap);
/* Any length: *out is malloc'ed by kv, the caller frees.  For long values (chunk records). */
struct kv_get_any {
	struct work work;
	uint16_t klen;
	uint8_t key[32];
	void *out;
	uint32_t len;
};
enum op_state kv_get_any(struct kv_get_any *g, const void *key, size_t klen, struct op *op);

/* Range read, when RocksDB has what was written in it: fn sees pairs from `from` on while they are below `to`; stops at non-zero. */
struct kv_scan {
	struct work work;
	uint8_t from[KV_KEY_MAX], to[KV_KEY_MAX];
	uint16_t from_len, to_len;
	int (*fn)(void *arg, const void *key, size_t klen, const void *val, size_t vlen);
	void *arg;
};
/* Inline at block-cache tier where it can and nothing is pending in the range, else on a worker: fn must then be callable from any thread, and
 * is restarted from `from` after `reset` when the inline try met the disk half-way.  op->res: 0 at the end,
 * what fn stopped with, or -EIO. */
enum op_state kv_scan(struct kv_scan *s, void (*reset)(void *arg), struct op *op);
/* Only where it cannot touch the disk and nothing is pending in the range: else -EAGAIN, after fn has seen the pairs up to there. */
int kv_scan_try(struct kv_scan *s);
/* Blocking forms for start-up, tools and worker threads. */
int kv_get_now(const void *key, size_t klen, void *out, uint32_t cap);
int kv_scan_now(struct kv_scan *s);
/* As kv_scan_now of what RocksDB has now, whatever is pending: for who reads all there is once.  Pushes nothing out of the block cache. */
int kv_scan_applied(struct kv_scan *s);
/* Until RocksDB has all that was written before (replies aside); -errno: it takes nothing. */
int kv_settle_now(void);

/* A batch: atomic.  Reusable: kv_batch_clear.  On the heap; keep one per slab object. */
struct kv_batch;
struct kv_batch *kv_batch_new(void);
void kv_batch_free(struct kv_batch *b);
void kv_batch_clear(struct kv_batch *b);
size_t kv_batch_bytes(struct kv_batch *b);
void kv_batch_put(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen);
void kv_batch_del(struct kv_batch *b, const void *key, size_t klen);
void kv_batch_merge(struct kv_batch *b, const void *key, size_t klen, const void *val, size_t vlen);

/* Visible when it answers.  Inline unless too much waits for RocksDB or the log is full, then on a worker.
 * w->ticket then names it for kv_sync.  The batch is lent until the answer. */
struct kv_write {
	struct work work;
	struct kv_batch *batch;
	uint64_t ticket;
	struct mlog_wait wait;
};
enum op_state kv_write(struct kv_write *w, struct kv_batch *b, struct op *op);
/* Waits until the write is on stable storage. */
enum op_state kv_sync(struct kv_write *w, struct op *op);
/* Blocking write + sync for start-up and tools. */
int kv_write_now(struct kv_batch *b);
/* Blocking: all that was applied before is in RocksDB's table files when it returns. */
int kv_flush_now(void);

struct kv_stats {
	uint64_t gets, get_misses, writes, syncs, sync_ns, cache_bytes, memtable_bytes, log_bytes;
	uint64_t stalls; /* writes that had to wait for RocksDB or for room in the log, on a worker */
	uint64_t pending_bytes, applied_groups;
	uint64_t table_bytes, keys, compaction_bytes; /* RocksDB's files; its estimates of keys, and of bytes to be compacted */
	int error; /* what RocksDB says while it takes no changes, or -EIO after a failed write of the log; 0: all is well */
};
void kv_stats(struct kv_stats *out);

#endif
