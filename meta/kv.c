/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/kv_apply.h"

#include <stdio.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "meta/kv_merge.h"
#include "meta/kv_wal.h"
#include "meta/mlog.h"
#include "reactor/log.h"

/* What may be pending beside the memtables, twice: it gathers, and is applied. */
#define PENDING_PART 16
#define PENDING_MIN  (256 * KIB)
#define PENDING_MAX  (4 * MIB)

#define ROOM_LEAST (8 * MIB) /* of the disk, for a start */

/*
 * A block that is larger than its part of the cache is read again each time: a table file's filter, written in one piece,
 * takes up to 3 MiB.
 */
#define CACHE_PART_MIN (16 * MIB)
#define CACHE_PARTS_MAX_BITS 6
/* So filters and indexes are written in pieces; of a new table file a look then needs a few KiB, not megabytes. */
#define FILTER_PIECE   (8 * KIB)

/*
 * Files of the first level are of 1 to 2 MB, one for each segment of our log.  Names lie all over the keys, so merging them rewrites
 * all of the next level (90 MB of 10 million files, 2 s of CPU), however few they are.
 */
#define FIRST_LEVEL      16
#define FIRST_LEVEL_SLOW 40
#define FIRST_LEVEL_FULL 60

struct kv_db kv;
static _Atomic uint64_t logged_s;

/* RocksDB counts comparisons and more for each thread, for nobody: a sixth of what a put into a memtable takes. */
#define COUNT_NOTHING 1

void
kv_thread_init(void)
{
	rocksdb_set_perf_level(COUNT_NOTHING);
}

struct kv_counters *
kv_counters(void)
{
	int core = reactor_core();

	return &kv.counters[core < 0 ? REACTOR_MAX_CORES : core];
}

static int
msg_errno(const char *msg)
{
	static const struct { const char *text; int err; } table[] = {
		{ "Result incomplete", -EAGAIN },     /* not in memory, or a stall */
		{ "While lock file", -EBUSY },
		{ "lock hold by current process", -EBUSY },
		{ "No space left", -ENOSPC },
		{ "Permission denied", -EACCES },
		{ "Read-only file system", -EROFS },
		{ "(error_if_exists is true)", -EEXIST },
		{ "(create_if_missing is false)", -ENOENT },
		{ "Corruption", -E_DAMAGED },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (strstr(msg, table[i].text))
			return table[i].err;
	return -EIO;
}

/* A broken disk fails every call: a line a second tells as much. */
static bool
log_due(void)
{
	struct timespec t;
	uint64_t now_s, last = atomic_load(&logged_s);

	clock_gettime(CLOCK_MONOTONIC, &t);
	now_s = (uint64_t)t.tv_sec;
	return now_s != last && atomic_compare_exchange_strong(&logged_s, &last, now_s);
}

/* Takes and frees RocksDB's message. */
int
kv_status(char *msg)
{
	int err = msg_errno(msg);

	if ((err == -EIO || err == -E_DAMAGED || err == -ENOSPC) && log_due())
		log_error("metadata: %s", msg);
	rocksdb_free(msg);
	return err;
}

/* ---- opening ---- */

static void
merge_nothing(void *state)
{
	(void)state;
}

static const char *
merge_name(void *state)
{
	(void)state;
	return "dittofs.merge.1";
}

/*
 * What the C interface has no function for.  Our batches are sorted (kv_keys.h): with a place remembered for
 * each of their letters a key is looked for from its neighbour on.
 */
static rocksdb_options_t *
options_by_name(rocksdb_options_t *op)
{
	rocksdb_options_t *more = rocksdb_options_create();
	char *msg = NULL;

	rocksdb_get_options_from_string(op, "memtable_insert_with_hint_prefix_extractor=fixed:1", more, &msg);
	if (msg) { /* another version's: only slower */
		rocksdb_free(msg);
		rocksdb_options_destroy(more);
		return op;
	}
	rocksdb_options_destroy(op);
	return more;
}

static rocksdb_cache_t *
cache_new(size_t bytes)
{
	rocksdb_lru_cache_options_t *o = rocksdb_lru_cache_options_create();
	rocksdb_cache_t *cache;
	int bits = 0;

	while (bits < CACHE_PARTS_MAX_BITS && bytes >> (bits + 1) >= CACHE_PART_MIN)
		bits++;
	rocksdb_lru_cache_options_set_capacity(o, bytes);
	rocksdb_lru_cache_options_set_num_shard_bits(o, bits);
	cache = rocksdb_cache_create_lru_opts(o);
	rocksdb_lru_cache_options_destroy(o);
	return cache;
}

static rocksdb_options_t *
options_new(const struct kv_opts *o)
{
	rocksdb_options_t *op = rocksdb_options_create();
	rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();

	rocksdb_options_set_create_if_missing(op, o->create);
	rocksdb_options_set_error_if_exists(op, o->create);
	rocksdb_options_set_merge_operator(
		op, rocksdb_mergeoperator_create(NULL, merge_nothing, kv_merge_full, kv_merge_partial,
	                                         kv_merge_free, merge_name));
	/* Of a volume from before mlog.h: a torn tail is cut; damage before it was found by kv_wal_check. */
	rocksdb_options_set_wal_recovery_mode(op, rocksdb_point_in_time_recovery);

	/* Four memtables: while one fills, up to three are being written out. */
	rocksdb_options_set_write_buffer_size(op, MAX(o->memtable_bytes / 4, 1 * MIB));
	rocksdb_options_set_max_write_buffer_number(op, 4);
	rocksdb_options_set_memtable_whole_key_filtering(op, 1);
	rocksdb_options_set_memtable_prefix_bloom_size_ratio(op, 0.03);
	rocksdb_options_set_max_background_jobs(op, 3);
	rocksdb_options_set_level_compaction_dynamic_level_bytes(op, 1);
	rocksdb_options_set_target_file_size_base(op, 32 * MIB);
	rocksdb_options_set_max_bytes_for_level_base(op, 128 * MIB);
	rocksdb_options_set_level0_file_num_compaction_trigger(op, FIRST_LEVEL);
	rocksdb_options_set_level0_slowdown_writes_trigger(op, FIRST_LEVEL_SLOW);
	rocksdb_options_set_level0_stop_writes_trigger(op, FIRST_LEVEL_FULL);
	rocksdb_options_set_compression(op, rocksdb_lz4_compression);
	rocksdb_options_set_bytes_per_sync(op, 1 * MIB);
	rocksdb_options_set_max_open_files(op, 256);
	/* Files are unlinked in the background, not by whoever closes an iterator. */
	rocksdb_options_set_avoid_unnecessary_blocking_io(op, 1);

	/* Index and filter blocks count into the cache, so that it is the bound. */
	rocksdb_block_based_options_set_block_cache(t, kv.cache);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks(t, 1);
	rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(t, 1);
	rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(t, 1);
	rocksdb_block_based_options_set_index_type(t, rocksdb_block_based_table_index_type_two_level_index_search);
	rocksdb_block_based_options_set_partition_filters(t, 1);
	rocksdb_block_based_options_set_metadata_block_size(t, FILTER_PIECE);
	rocksdb_block_based_options_set_pin_top_level_index_and_filter(t, 1);
	rocksdb_block_based_options_set_filter_policy(t, rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_block_based_options_set_whole_key_filtering(t, 1);
	rocksdb_block_based_options_set_data_block_index_type(
		t, rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
	rocksdb_block_based_options_set_format_version(t, 5);
	rocksdb_block_based_options_set_checksum(t, 4); /* XXH3: Debian's build computes CRC32C slowly */
	rocksdb_options_set_block_based_table_factory(op, t);
	rocksdb_block_based_options_destroy(t);

	rocksdb_options_set_info_log_level(op, 2); /* warnings */
	rocksdb_options_set_max_log_file_size(op, 4 * MIB);
	rocksdb_options_set_keep_log_file_num(op, 4);
	rocksdb_options_set_stats_dump_period_sec(op, 0);
	rocksdb_options_set_stats_persist_period_sec(op, 0);
	return options_by_name(op);
}

/* Takes and frees RocksDB's message. */
static int
open_why(const char *path, char *msg, char why[256])
{
	int err = msg_errno(msg);

	switch (err) {
	case -EBUSY:
		snprintf(why, 256, "the metadata in %.180s is in use by another process", path);
		break;
	case -EEXIST:
		snprintf(why, 256, "there is already a database in %.180s", path);
		break;
	case -ENOENT:
		snprintf(why, 256, "there is no database in %.180s", path);
		break;
	default:
		snprintf(why, 256, "the metadata in %.80s cannot be opened: %.130s", path, msg);
		break;
	}
	rocksdb_free(msg);
	return err;
}

/* Opens without changing anything and sees whether recovery reaches what was sworn to be durable. */
static int
check_recovers(const rocksdb_options_t *op, const char *path, const struct kv_wal_report *r, char why[256])
{
	char *msg = NULL;
	rocksdb_t *db = rocksdb_open_for_read_only(op, path, 0, &msg);
	uint64_t seq;

	if (!db)
		return open_why(path, msg, why);
	seq = rocksdb_get_latest_sequence_number(db);
	rocksdb_close(db);
	if (seq >= r->sworn_seq)
		return 0; /* the damaged log was no longer needed */
	snprintf(why, 256, "the metadata log %.100s in %.80s is damaged: acknowledged changes would be lost",
	         r->where, path);
	return -E_DAMAGED;
}

static bool
database_exists(const char *path)
{
	char current[4200];

	snprintf(current, sizeof(current), "%s/CURRENT", path);
	return access(current, F_OK) == 0;
}

static void
database_close(void)
{
	rocksdb_close(kv.db);
	rocksdb_readoptions_destroy(kv.ro_mem);
	rocksdb_readoptions_destroy(kv.ro_disk);
	rocksdb_writeoptions_destroy(kv.wo);
	rocksdb_flushoptions_destroy(kv.flush);
	rocksdb_cache_destroy(kv.cache);
	memset(&kv, 0, sizeof(kv));
}

void
kv_close(void)
{
	assert(kv.db);
	mlog_close(kv_flush_now() == 0);
	kv_apply_stop();
	database_close();
}

/* From now on the database knows that it has a log: that is not missing silently. */
static int
log_begin(char why[256])
{
	struct kv_batch *b = kv_batch_new();
	int err = kv_write_now(b);

	kv_batch_free(b);
	if (!err)
		err = kv_flush_now();
	if (err)
		snprintf(why, 256, "the metadata log cannot be begun: %s", strerror(-err));
	return err;
}

/* The thread that applies, and the log. */
static int
begin(const struct kv_opts *o, const char *log, uint64_t seq, char why[256])
{
	size_t pending = MAX(PENDING_MIN, MIN(o->memtable_bytes / PENDING_PART, PENDING_MAX));
	int err = kv_apply_start(seq, pending);

	if (err) {
		snprintf(why, 256, "no thread for the metadata: %s", strerror(-err));
		return err;
	}
	err = mlog_open(&(struct mlog_opts){ .dir = log, .bytes = o->log_bytes, .flush = kv_flush_now }, why);
	if (err)
		kv_apply_stop();
	return err;
}

/* Each start writes some files; where they find no room RocksDB, as Debian builds it, fails an assert of its own. */
static int
check_room(const char *path, char why[256])
{
	struct statvfs s;
	uint64_t room;

	if (statvfs(path, &s) < 0)
		return 0; /* it is to be made, or opening it will say what is wrong */
	room = (uint64_t)(geteuid() == 0 ? s.f_bfree : s.f_bavail) * s.f_frsize;
	if (room >= ROOM_LEAST)
		return 0;
	snprintf(why, 256, "the disk of the metadata in %.120s is full: %lu KiB are free, a start needs %u; nothing is lost", path, room / KIB,
		(unsigned)(ROOM_LEAST / KIB));
	return -ENOSPC;
}

int
kv_open(const struct kv_opts *o, char why[256])
{
	struct kv_wal_report report;
	rocksdb_options_t *op;
	char *msg = NULL, log[512];
	uint64_t seq = 0;
	bool begun;
	int err;

	assert(!kv.db);
	memset(&kv, 0, sizeof(kv));
	if (!o->create && !database_exists(o->path)) { /* RocksDB would leave its log files there */
		snprintf(why, 256, "there is no metadata in %.180s; is paths.meta right?", o->path);
		return -ENOENT;
	}
	err = check_room(o->path, why);
	if (err)
		return err;
	kv.cache = cache_new(o->cache_bytes);
	op = options_new(o);
	err = kv_wal_check(o->path, &report);
	if (err)
		snprintf(why, 256, "the metadata log in %.180s: %s", o->path, strerror(-err));
	else if (report.damaged)
		err = check_recovers(op, o->path, &report, why);
	if (err)
		goto fail;
	kv.db = rocksdb_open(op, o->path, &msg);
	if (!kv.db) {
		err = open_why(o->path, msg, why);
		goto fail;
	}
	rocksdb_options_destroy(op);
	if (report.torn_seq)
		log_warn("metadata: RocksDB's log had a torn tail (%s), cut after change %lu", report.where,
		         rocksdb_get_latest_sequence_number(kv.db));

	kv.ro_mem = rocksdb_readoptions_create();
	rocksdb_readoptions_set_read_tier(kv.ro_mem, 1); /* kBlockCacheTier */
	kv.ro_disk = rocksdb_readoptions_create();
	kv.wo = rocksdb_writeoptions_create();
	rocksdb_writeoptions_disable_WAL(kv.wo, 1);
	kv.flush = rocksdb_flushoptions_create();
	snprintf(log, sizeof(log), "%.500s/" KV_LOG_DIR, o->path);
	err = kv_recover(log, &begun, &seq, why);
	if (!err)
		err = begin(o, log, seq, why);
	if (err) {
		database_close();
		return err;
	}
	err = begun ? 0 : log_begin(why);
	if (err)
		kv_close();
	return err;
fail:
	rocksdb_options_destroy(op);
	rocksdb_cache_destroy(kv.cache);
	memset(&kv, 0, sizeof(kv));
	return err;
}

int
kv_checkpoint(const char *dir, char why[256])
{
	char *msg = NULL, log[512];
	rocksdb_checkpoint_t *c;
	int err = kv_apply_wait(true);

	if (err) {
		snprintf(why, 256, "RocksDB takes no changes: %s", strerror(-err));
		return err;
	}
	c = rocksdb_checkpoint_object_create(kv.db, &msg);
	if (c)
		rocksdb_checkpoint_create(c, dir, 0, &msg); /* 0: what is in memory too, as a file */
	if (c)
		rocksdb_checkpoint_object_destroy(c);
	if (msg) {
		snprintf(why, 256, "%.250s", msg);
		return kv_status(msg);
	}
	snprintf(log, sizeof(log), "%.500s/" KV_LOG_DIR, dir);
	err = mlog_make_empty(log);
	if (err)
		snprintf(why, 256, "%.200s: %s", log, strerror(-err));
	return err;
}

void
kv_stats(struct kv_stats *out)
{
	struct mlog_stats log;

	mlog_stats(&log);
	*out = (struct kv_stats){ .syncs = log.groups, .sync_ns = log.write_ns, .log_bytes = log.bytes };
	for (size_t i = 0; i < ARRAY_LEN(kv.counters); i++) {
		out->gets += atomic_load_explicit(&kv.counters[i].gets, memory_order_relaxed);
		out->get_misses += atomic_load_explicit(&kv.counters[i].misses, memory_order_relaxed);
		out->writes += atomic_load_explicit(&kv.counters[i].writes, memory_order_relaxed);
		out->stalls += atomic_load_explicit(&kv.counters[i].stalls, memory_order_relaxed);
	}
	if (!kv.db)
		return;
	kv_apply_stats(out);
	out->cache_bytes = rocksdb_cache_get_usage(kv.cache);
	rocksdb_property_int(kv.db, "rocksdb.cur-size-all-mem-tables", &out->memtable_bytes);
	rocksdb_property_int(kv.db, "rocksdb.total-sst-files-size", &out->table_bytes);
	rocksdb_property_int(kv.db, "rocksdb.estimate-num-keys", &out->keys);
	rocksdb_property_int(kv.db, "rocksdb.estimate-pending-compaction-bytes", &out->compaction_bytes);
	if (mlog_is_broken())
		out->error = -EIO;
}
