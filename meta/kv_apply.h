/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the log and not yet in RocksDB: the pending changes.  They gather by key (kv_keys.h) while a thread
 * gives those that gathered before to RocksDB, as one batch with the number of the last of them; so RocksDB always holds
 * all up to a number, and a directory that 64 calls changed costs it one change.
 *
 * Replies are held back longer (kv_is_late): a thousand of a core are overwritten again and again.
 *
 * A read asks here first (kv_read.c).  A range waits until what is pending in it has been applied.
 *
 * One lock covers the log's order, the numbers and what gathers: a change can be seen as soon as, and not before, it has
 * its place in the log, so nothing that came of seeing it is durable before it.  The lock is held
 * for the copy of a batch or a value, never over I/O or RocksDB.
 *
 * RocksDB failing (a full disk) refuses all later changes with its error until it takes again what is
 * pending, which is tried each second and can be read meanwhile.
 */
#ifndef META_KV_APPLY_H
#define META_KV_APPLY_H

#include "meta/kv_impl.h"

/* The last number in RocksDB; bytes that may gather before writers wait.  Blocking forms from here on, unless said. */
int  kv_apply_start(uint64_t seq, size_t bytes);
/* What RocksDB does not take is left to the log. */
void kv_apply_stop(void);

/* Not blocking: takes the lock if a batch may be added, else -EAGAIN (kv_apply_wait_room), or RocksDB's error. */
int  kv_apply_begin(void);
/* With it: the batch's number, its changes; and gives the lock back. */
uint64_t kv_apply_next(void);
void kv_apply_add(const struct kv_batch *b, uint64_t ticket); /* mlog_append's */
void kv_apply_end(void);

/* Until a batch may be added; RocksDB's error. */
int  kv_apply_wait_room(void);
/* Until RocksDB has all that was added before, but for what is late (kv_is_late), or with it; its error. */
int  kv_apply_wait(bool late);

/* Not blocking.  What is pending of a key: the value's length, copied up to cap, or -ENOENT: deleted. */
enum kv_pending { KV_NOTHING, KV_PENDING, KV_UPON /* what RocksDB has; kv_apply_merged */ };
enum kv_pending kv_apply_get(const void *key, size_t klen, void *out, size_t cap, int *res);
/* Not blocking.  *late: for the kv_apply_wait after which nothing is pending there. */
bool kv_apply_may_hold(const struct kv_scan *s, bool *late);
/* The value, malloc'ed, or -errno.  Not from a reactor: no batch goes to RocksDB meanwhile. */
int  kv_apply_merged(const void *key, size_t klen, char **out);

void kv_apply_stats(struct kv_stats *out);

#endif
