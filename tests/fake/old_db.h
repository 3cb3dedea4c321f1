/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database as volumes of format version 1 had it: RocksDB with its own log, which ends every batch
 * with an oath (kv_wal.h).  By RocksDB's interface, so that it may look otherwise than kv.c would make it.
 */
#ifndef TESTS_OLD_DB_H
#define TESTS_OLD_DB_H

#include <criterion/criterion.h>
#include <rocksdb/c.h>

#include "meta/kv_merge.h"
#include "reactor/base.h"

#define OLD_HELPER __attribute__((unused)) static

static struct {
	rocksdb_t *db;
	rocksdb_options_t *op;
	rocksdb_writeoptions_t *wo;
	uint64_t sworn;
} old;

static void
old_merge_end(void *state)
{
	(void)state;
}

static const char *
old_merge_name(void *state)
{
	(void)state;
	return "dittofs.merge.1";
}

OLD_HELPER void
old_db_open(const char *path)
{
	char *msg = NULL;

	old.op = rocksdb_options_create();
	rocksdb_options_set_create_if_missing(old.op, 1);
	rocksdb_options_set_manual_wal_flush(old.op, 1);
	rocksdb_options_set_disable_auto_compactions(old.op, 1);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(old.op, 1);
	rocksdb_options_set_compression(old.op, rocksdb_no_compression);
	rocksdb_options_set_merge_operator(
		old.op, rocksdb_mergeoperator_create(NULL, old_merge_end, kv_merge_full, kv_merge_partial,
	                                             kv_merge_free, old_merge_name));
	old.wo = rocksdb_writeoptions_create();
	old.sworn = 0;
	old.db = rocksdb_open(old.op, path, &msg);
	cr_assert(old.db != NULL, "%s", msg);
}

/* One batch: a value, or what is merged into it. */
OLD_HELPER void
old_db_put(const void *key, size_t klen, const void *val, size_t vlen, bool merge)
{
	rocksdb_writebatch_t *b = rocksdb_writebatch_create();
	uint8_t oath[16] = "dittoWAL";
	char *msg = NULL;

	put_le64(oath + 8, old.sworn);
	if (merge)
		rocksdb_writebatch_merge(b, key, klen, val, vlen);
	else
		rocksdb_writebatch_put(b, key, klen, val, vlen);
	rocksdb_writebatch_put_log_data(b, (const char *)oath, sizeof(oath));
	rocksdb_write(old.db, old.wo, b, &msg);
	cr_assert(msg == NULL, "%s", msg);
	rocksdb_writebatch_destroy(b);
}

/* What was put is durable, in the log. */
OLD_HELPER void
old_db_sync(void)
{
	char *msg = NULL;

	rocksdb_flush_wal(old.db, 1, &msg);
	cr_assert(msg == NULL, "%s", msg);
	old.sworn = rocksdb_get_latest_sequence_number(old.db);
}

/* All that was put is moved into a table file. */
OLD_HELPER void
old_db_flush(void)
{
	rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
	char *msg = NULL;

	rocksdb_flush(old.db, f, &msg);
	cr_assert(msg == NULL, "%s", msg);
	rocksdb_flushoptions_destroy(f);
}

OLD_HELPER void
old_db_close(void)
{
	rocksdb_close(old.db);
	rocksdb_writeoptions_destroy(old.wo);
	rocksdb_options_destroy(old.op);
}

#endif
