/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only for the upgrade of a volume from before there was a log of our own (format version 1,
 * see mlog.h): its last changes are in RocksDB's write-ahead logs.  Nothing is written there any more,
 * so in all later volumes these are empty.
 *
 * Looks through them before RocksDB opens them, to tell a torn tail from damage.  After a
 * power cut anything may stand behind the last sync, and recovery just stops there.  But
 * recovery would stop as quietly at damage in the middle and drop what was acknowledged after it.
 *
 * So every batch ends with an oath, as log data: "dittoWAL" and, le64, up to which sequence number all was
 * durable when it was written.  A bad record is damage when a good one behind it swears
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

struct kv_wal_report {
	uint64_t sworn_seq;    /* the greatest oath found, 0: none */
	uint64_t torn_seq;     /* the sequence number expected at the first bad place, 0: none is bad */
	bool damaged;          /* something behind the bad place swears that it was durable */
	char where[320];       /* file and offset of the bad place */
};
/* -errno when a file cannot be read; 0 also when there is no directory. */
int kv_wal_check(const char *dir, struct kv_wal_report *r);

#endif
