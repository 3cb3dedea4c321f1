/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/kv.h"

#include <dirent.h>
#include <rocksdb/c.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "meta/kv_group.h"
#include "meta/kv_merge.h"
#include "meta/kv_wal.h"
#include "reactor/log.h"

/* An inline iterator gives up to a worker after so many deleted keys in a row. */
#define SKIP_MAX 512

/* Counters of a core, the last for other threads: no line is shared between writers. */
struct counters {
	_Atomic uint64_t gets, misses, writes, stalls;
} __attribute__((aligned(CACHELINE)));

static struct {
	rocksdb_t *db;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *ro_mem, *ro_disk;  /* block-cache tier; anything */
	rocksdb_writeoptions_t *wo_mem, *wo_wait; /* no_slowdown; may stall */
	char path[512];

	/*
	 * A write takes the next ticket after it is applied, so all tickets up to
	 * `applied`, read before a WAL flush begins, are covered by that flush.
	 */
	_Atomic uint64_t applied __attribute__((aligned(CACHELINE)));
	_Atomic uint64_t durable, durable_seq;
	_Atomic bool broken;          /* a WAL sync failed */
	_Atomic uint64_t syncs, sync_ns, logged_s;
	struct counters counters[REACTOR_MAX_CORES + 1];
} kv;

static struct counters *
counters(void)
{
	int core = reactor_core();

	return &kv.counters[core < 0 ? REACTOR_MAX_CORES : core];
}

static void
count(_Atomic uint64_t *n)
{
	atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}

static uint64_t
clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
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
	uint64_t now_s = clock_ns() / 1000000000u, last = atomic_load(&kv.logged_s);

	return now_s != last && atomic_compare_exchange_strong(&kv.logged_s, &last, now_s);
}

/* Takes and frees RocksDB's message. */
static int
status_errno(char *msg)
{
	int err = msg_errno(msg);

	if ((err == -EIO || err == -E_DAMAGED || err == -ENOSPC) && log_due())
		log_error("metadata: %s", msg);
	rocksdb_free(msg);
	return err;
}

/* ---- durability ---- */

/* Crash tests cut the logs behind what this reports; a switch of logs may be under way, so all of them. */
#ifdef CRASH_POINTS
#define LOGS_MAX 16
struct log_file { char path[800]; uint64_t bytes; };

static int
logs_look(struct log_file logs[LOGS_MAX])
{
	DIR *dir = opendir(kv.path);
	struct dirent *d;
	int n = 0;

	while (dir && (d = readdir(dir)) && n < LOGS_MAX) {
		size_t digits = strspn(d->d_name, "0123456789");
		struct stat st;

		if (digits == 0 || strcmp(d->d_name + digits, ".log") != 0)
			continue;
		snprintf(logs[n].path, sizeof(logs[n].path), "%s/%s", kv.path, d->d_name);
		if (stat(logs[n].path, &st) == 0)
			logs[n++].bytes = (uint64_t)st.st_size;
	}
	if (dir)
		closedir(dir);
	return n;
}
#endif

static void
raise_to(_Atomic uint64_t *a, uint64_t to)
{
	uint64_t old = atomic_load(a);

	while (old < to && !atomic_compare_exchange_weak(a, &old, to))
		;
}

/* One flush and sync of the log.  Everything applied before the call is durable after it. */
static int
wal_sync(void)
{
	uint64_t upto, seq, start = clock_ns();
	char *msg = NULL;

	if (atomic_load(&kv.broken))
		return -EIO;
	upto = atomic_load(&kv.applied);
	seq = rocksdb_get_latest_sequence_number(kv.db);
#ifdef CRASH_POINTS
	struct log_file logs[LOGS_MAX]; /* a worker may be at it beside the syncer */
	int n;

	crash_point("kv.before_sync");
	rocksdb_flush_wal(kv.db, 0, &msg);
	if (msg)
		goto broken;
	n = logs_look(logs);
	crash_point("kv.before_fdatasync");
#endif
	rocksdb_flush_wal(kv.db, 1, &msg);
	if (msg)
		goto broken;
#ifdef CRASH_POINTS
	for (int i = 0; i < n; i++)
		crash_synced(logs[i].path, logs[i].bytes);
	crash_point("kv.after_sync");
#endif
	raise_to(&kv.durable, upto);
	raise_to(&kv.durable_seq, seq);
	count(&kv.syncs);
	atomic_fetch_add_explicit(&kv.sync_ns, clock_ns() - start, memory_order_relaxed);
	return 0;
broken:
	/* The kernel may have dropped the dirty pages, so trying again would prove nothing. */
	if (!atomic_exchange(&kv.broken, true))
		log_error("metadata: syncing the log failed, refusing all changes from now on: %s", msg);
	rocksdb_free(msg);
	return -EIO;
}

enum op_state
kv_sync(struct kv_write *w, struct op *op)
{
	assert(w->ticket > 0);
	if (w->ticket <= atomic_load(&kv.durable))
		return op_done(op, 0);
	kv_group_join(w, op);
	return OP_PENDING;
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
	/* Written by the syncer only, which then also syncs. */
	rocksdb_options_set_manual_wal_flush(op, 1);
	/* A torn tail is cut; damage before it was found by kv_wal_check. */
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
	return op;
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

int
kv_open(const struct kv_opts *o, char why[256])
{
	struct kv_wal_report report;
	rocksdb_options_t *op;
	char *msg = NULL;
	int err;

	assert(!kv.db);
	memset(&kv, 0, sizeof(kv));
	snprintf(kv.path, sizeof(kv.path), "%s", o->path);
	if (!o->create && !database_exists(o->path)) { /* RocksDB would leave its log files there */
		snprintf(why, 256, "there is no metadata in %.180s; is paths.meta right?", o->path);
		return -ENOENT;
	}
	kv.cache = rocksdb_cache_create_lru(o->cache_bytes);
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
		log_warn("metadata: the log's tail was torn (%s), cut after change %lu", report.where,
		         rocksdb_get_latest_sequence_number(kv.db));

	kv.ro_mem = rocksdb_readoptions_create();
	rocksdb_readoptions_set_read_tier(kv.ro_mem, 1); /* kBlockCacheTier */
	kv.ro_disk = rocksdb_readoptions_create();
	kv.wo_wait = rocksdb_writeoptions_create();
	kv.wo_mem = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_no_slowdown(kv.wo_mem, 1);
	atomic_store(&kv.durable_seq, rocksdb_get_latest_sequence_number(kv.db));
	err = kv_group_start(wal_sync);
	if (!err)
		return 0;
	snprintf(why, 256, "no thread for the metadata log: %s", strerror(-err));
	kv_close();
	return err;
fail:
	rocksdb_options_destroy(op);
	rocksdb_cache_destroy(kv.cache);
	memset(&kv, 0, sizeof(kv));
	return err;
}

void
kv_close(void)
{
	assert(kv.db);
	kv_group_stop();
	wal_sync();
	rocksdb_close(kv.db);
	rocksdb_readoptions_destroy(kv.ro_mem);
	rocksdb_readoptions_destroy(kv.ro_disk);
	rocksdb_writeoptions_destroy(kv.wo_mem);
	rocksdb_writeoptions_destroy(kv.wo_wait);
	rocksdb_cache_destroy(kv.cache);
	memset(&kv, 0, sizeof(kv));
}

int
kv_checkpoint(const char *dir, char why[256])
{
	char *msg = NULL;
	rocksdb_checkpoint_t *c = rocksdb_checkpoint_object_create(kv.db, &msg);

	if (c)
		rocksdb_checkpoint_create(c, dir, 0, &msg); /* 0: what is in memory too, as a file */
	if (c)
		rocksdb_checkpoint_object_destroy(c);
	if (!msg)
		return 0;
	snprintf(why, 256, "%.250s", msg);
	return status_errno(msg);
}

/* ---- writing ---- */

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

static void
batch_swear(struct kv_batch *b)
{
	uint8_t oath[KV_OATH_BYTES];

	kv_oath_encode(oath, atomic_load(&kv.durable_seq));
	rocksdb_writebatch_put_log_data(rocks(b), (const char *)oath, sizeof(oath));
}

static int
batch_apply(struct kv_batch *b, const rocksdb_writeoptions_t *wo, uint64_t *ticket)
{
	char *msg = NULL;

	rocksdb_write(kv.db, wo, rocks(b), &msg);
	if (msg)
		return status_errno(msg);
	*ticket = atomic_fetch_add(&kv.applied, 1) + 1;
	count(&counters()->writes);
	crash_point("kv.batch_applied");
	return 0;
}

static int
write_work(struct work *work)
{
	struct kv_write *w = container_of(work, struct kv_write, work);

	return batch_apply(w->batch, kv.wo_wait, &w->ticket);
}

enum op_state
kv_write(struct kv_write *w, struct kv_batch *b, struct op *op)
{
	int res;

	w->ticket = 0;
	w->batch = b;
	if (atomic_load_explicit(&kv.broken, memory_order_relaxed))
		return op_done(op, -EIO);
	batch_swear(b);
	res = batch_apply(b, kv.wo_mem, &w->ticket);
	if (res == -EAGAIN) {
		count(&counters()->stalls);
		return worker_run(&w->work, write_work, op);
	}
	return op_done(op, res);
}

int
kv_write_now(struct kv_batch *b)
{
	uint64_t ticket;
	int res;

	if (atomic_load(&kv.broken))
		return -EIO;
	batch_swear(b);
	res = batch_apply(b, kv.wo_wait, &ticket);
	return res ? res : wal_sync();
}

/* ---- reading ---- */

/*
 * Of a table file that is not open, as most are not when a large database has just been opened, a read at
 * block-cache tier says that the key is there with an empty value: TableCache::Get calls that "may
 * exist", and the C interface does not tell.  No record of ours is empty but a chunk's whose slices have all
 * gone, so then a worker looks.
 */
static bool
is_guess(const rocksdb_readoptions_t *ro, size_t len)
{
	return ro == kv.ro_mem && len == 0;
}

/* The value's length, copied up to cap; -EAGAIN: not in memory. */
static int
get_copy(const rocksdb_readoptions_t *ro, const void *key, size_t klen, void *out, uint32_t cap)
{
	char *msg = NULL;
	rocksdb_pinnableslice_t *s = rocksdb_get_pinned(kv.db, ro, key, klen, &msg);
	const char *val;
	size_t len;

	if (msg)
		return status_errno(msg);
	if (!s)
		return -ENOENT;
	val = rocksdb_pinnableslice_value(s, &len);
	memcpy(out, val, MIN(len, cap));
	rocksdb_pinnableslice_destroy(s);
	if (is_guess(ro, len))
		return -EAGAIN;
	return len > INT32_MAX ? -E_DAMAGED : (int)len;
}

static int
get_work(struct work *work)
{
	struct kv_get *g = container_of(work, struct kv_get, work);

	return get_copy(kv.ro_disk, g->key, g->klen, g->out, g->cap);
}

enum op_state
kv_get(struct kv_get *g, const void *key, size_t klen, void *out, uint32_t cap, struct op *op)
{
	int res = get_copy(kv.ro_mem, key, klen, out, cap);

	count(&counters()->gets);
	if (res != -EAGAIN)
		return op_done(op, res);
	assert(klen <= sizeof(g->key));
	count(&counters()->misses);
	memcpy(g->key, key, klen);
	g->klen = (uint16_t)klen;
	g->out = out;
	g->cap = cap;
	return worker_run(&g->work, get_work, op);
}

int
kv_get_try(const void *key, size_t klen, void *out, uint32_t cap)
{
	count(&counters()->gets);
	return get_copy(kv.ro_mem, key, klen, out, cap);
}

static int
get_any(struct kv_get_any *g, const rocksdb_readoptions_t *ro)
{
	char *msg = NULL;
	size_t len;
	char *val = rocksdb_get(kv.db, ro, (const char *)g->key, g->klen, &len, &msg);

	g->out = NULL;
	g->len = 0;
	if (msg)
		return status_errno(msg);
	if (!val)
		return -ENOENT;
	if (is_guess(ro, len) || len > INT32_MAX) {
		rocksdb_free(val);
		return len == 0 ? -EAGAIN : -E_DAMAGED;
	}
	g->out = val;
	g->len = (uint32_t)len;
	return (int)len;
}

static int
get_any_work(struct work *work)
{
	return get_any(container_of(work, struct kv_get_any, work), kv.ro_disk);
}

enum op_state
kv_get_any(struct kv_get_any *g, const void *key, size_t klen, struct op *op)
{
	int res;

	assert(klen <= sizeof(g->key));
	memcpy(g->key, key, klen);
	g->klen = (uint16_t)klen;
	count(&counters()->gets);
	res = get_any(g, kv.ro_mem);
	if (res != -EAGAIN)
		return op_done(op, res);
	count(&counters()->misses);
	return worker_run(&g->work, get_any_work, op);
}

int
kv_get_now(const void *key, size_t klen, void *out, uint32_t cap)
{
	return get_copy(kv.ro_disk, key, klen, out, cap);
}

static int
scan(struct kv_scan *s, bool in_memory)
{
	rocksdb_readoptions_t *ro = rocksdb_readoptions_create();
	rocksdb_iterator_t *it;
	char *msg = NULL;
	int res = 0;

	if (in_memory) {
		rocksdb_readoptions_set_read_tier(ro, 1);
		rocksdb_readoptions_set_max_skippable_internal_keys(ro, SKIP_MAX);
	}
	/* The bound also keeps it from wading through what was deleted behind the range. */
	rocksdb_readoptions_set_iterate_upper_bound(ro, (const char *)s->to, s->to_len);
	it = rocksdb_create_iterator(kv.db, ro);
	for (rocksdb_iter_seek(it, (const char *)s->from, s->from_len); rocksdb_iter_valid(it);
	     rocksdb_iter_next(it)) {
		size_t klen, vlen;
		const char *key = rocksdb_iter_key(it, &klen), *val = rocksdb_iter_value(it, &vlen);

		res = s->fn(s->arg, key, klen, val, vlen);
		if (res)
			break;
	}
	if (!res) {
		rocksdb_iter_get_error(it, &msg);
		res = msg ? status_errno(msg) : 0;
	}
	rocksdb_iter_destroy(it);
	rocksdb_readoptions_destroy(ro);
	return res;
}

static int
scan_work(struct work *work)
{
	return scan(container_of(work, struct kv_scan, work), false);
}

enum op_state
kv_scan(struct kv_scan *s, void (*reset)(void *arg), struct op *op)
{
	int res = scan(s, true);

	count(&counters()->gets);
	if (res != -EAGAIN)
		return op_done(op, res);
	count(&counters()->misses);
	reset(s->arg);
	return worker_run(&s->work, scan_work, op);
}

int
kv_scan_try(struct kv_scan *s)
{
	count(&counters()->gets);
	return scan(s, true);
}

int
kv_scan_now(struct kv_scan *s)
{
	return scan(s, false);
}

void
kv_stats(struct kv_stats *out)
{
	*out = (struct kv_stats){
		.syncs = atomic_load_explicit(&kv.syncs, memory_order_relaxed),
		.sync_ns = atomic_load_explicit(&kv.sync_ns, memory_order_relaxed),
	};
	for (size_t i = 0; i < ARRAY_LEN(kv.counters); i++) {
		out->gets += atomic_load_explicit(&kv.counters[i].gets, memory_order_relaxed);
		out->get_misses += atomic_load_explicit(&kv.counters[i].misses, memory_order_relaxed);
		out->writes += atomic_load_explicit(&kv.counters[i].writes, memory_order_relaxed);
		out->stalls += atomic_load_explicit(&kv.counters[i].stalls, memory_order_relaxed);
	}
	if (!kv.db)
		return;
	out->cache_bytes = rocksdb_cache_get_usage(kv.cache);
	rocksdb_property_int(kv.db, "rocksdb.cur-size-all-mem-tables", &out->memtable_bytes);
}
