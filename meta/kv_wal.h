/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks through RocksDB's write-ahead logs before RocksDB opens them, to tell a
 * torn tail from damage.  After a power cut anything may stand behind the last
 * sync, and recovery just stops there.  But recovery would stop as quietly at
 * damage in the middle and drop what was acknowledged after it.
 *
 * So every batch ends with an oath: up to which sequence number all was durable
 * when it was written.  A bad record is damage when a good one behind it swears
 * that it was durable.  (The very last sync has no later witness: there damage
 * and a torn tail look the same.)
 *
 * File format: RocksDB's log_format.h and write_batch.cc (blocks of 32 KiB, records
 * of masked CRC32C, length, type; a batch is sequence number, count, operations).
 * Blocking, any thread, before kv_open opens the database.
 */
#ifndef META_KV_WAL_H
#define META_KV_WAL_H

#include "reactor/base.h"

#define KV_OATH_BYTES 16
/* The log data that ends every batch. */
void kv_oath_encode(uint8_t out[KV_OATH_BYTES], uint64_t durable_seq);

struct kv_wal_report {
	uint64_t batches;      /* good ones */
	uint64_t sworn_seq;    /* the greatest oath found, 0: none */
	uint64_t torn_seq;     /* the sequence number expected at the first bad place, 0: none is bad */
	bool damaged;          /* something behind the bad place swears that it was durable */
	char where[320];       /* file and offset of the bad place */
};
/* -errno when a file cannot be read; 0 also when there is no directory. */
int kv_wal_check(const char *dir, struct kv_wal_report *r);

#endif
