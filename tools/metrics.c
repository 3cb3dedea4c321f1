/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/metrics.h"

#include <dirent.h>
#include <sys/resource.h>

#include "reactor/latency.h"
#include "store/blockio.h"
#include "store/objcount.h"
#include "tools/health.h"
#include "tools/prometheus.h"
#include "tools/totals.h"

#define CLIENTS_MAX 4096
/* Of durations by procedure and part, and of those by procedure and stage, which are many. */
#define FINE   1
#define COARSE 2

static void
process(FILE *out, const struct daemon *d)
{
	struct rlimit fds = { 0 };
	uint64_t rss, peak, open = 0;
	DIR *dir = opendir("/proc/self/fd");

	for (struct dirent *e; dir && (e = readdir(dir)); )
		open += e->d_name[0] != '.';
	if (dir) {
		closedir(dir);
		open--; /* this one */
	}
	getrlimit(RLIMIT_NOFILE, &fds);
	totals_rss(&rss, &peak);
	prom_family(out, "process_cpu_seconds_total", "counter", "CPU time of the process, user and system.");
	prom_seconds(out, "process_cpu_seconds_total", (uint64_t)totals_clock_ns(CLOCK_PROCESS_CPUTIME_ID), NULL);
	prom_family(out, "process_start_time_seconds", "gauge", "When the server was started, in seconds since 1970.");
	prom_seconds(out, "process_start_time_seconds", d->started_ns, NULL);
	prom_gauge(out, "process_resident_memory_bytes", "Resident memory.", rss);
	prom_gauge(out, "process_open_fds", "Open file descriptors.", open);
	prom_gauge(out, "process_max_fds", "File descriptors that it may open.", fds.rlim_cur);
	prom_family(out, "dittofs_build_info", "gauge", "Always 1; what is running, in its labels.");
	prom_count(out, "dittofs_build_info", 1, "version", VERSION, NULL);
	prom_gauge(out, "dittofs_cores", "Reactor threads.", (uint64_t)d->cores);
}

static void
memory(FILE *out, const struct daemon *d)
{
	static struct pool_stat pools[TOTALS_POOLS];
	uint64_t total;
	int n = totals_pools(pools, &total);

	prom_gauge(out, "dittofs_memory_budget_bytes", "What the process may take: all pools, RocksDB's caches, and what is in no pool.",
		totals_budget(d, total));
	prom_family(out, "dittofs_memory_pool_size_bytes", "gauge", "Memory of a pool, sized at start, all cores.");
	for (int i = 0; i < n; i++)
		prom_count(out, "dittofs_memory_pool_size_bytes", pools[i].total_bytes, "pool", pools[i].name, NULL);
	prom_family(out, "dittofs_memory_pool_used_bytes", "gauge", "What is given out of it now.");
	for (int i = 0; i < n; i++)
		prom_count(out, "dittofs_memory_pool_used_bytes", pools[i].used_bytes, "pool", pools[i].name, NULL);
}

static void
log_lines(FILE *out)
{
	static const char *const names[] = { [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug" };

	prom_family(out, "dittofs_log_lines_total", "counter", "Lines in the log, by level.");
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		prom_count(out, "dittofs_log_lines_total", log_count((enum log_level)i), "level", names[i], NULL);
	prom_counter(out, "dittofs_log_left_out_total", "Lines that were too many in a second, or found stderr full.", log_left_out());
}

/* READ and WRITE are what moves payload. */
static bool
has_bytes(int proc)
{
	const char *name = stats_proc_name(proc);

	return !strcmp(name, "READ") || !strcmp(name, "WRITE");
}

static void
calls(FILE *out, const struct proto_stats *s)
{
	const struct proc_stats *p;

	prom_family(out, "dittofs_nfs_calls_total", "counter", "Calls answered, by procedure of NFSv3 and MOUNT.");
	for (int i = 0; i < STATS_PROCS; i++)
		prom_count(out, "dittofs_nfs_calls_total", s->proc[i].calls, "procedure", stats_proc_name(i), NULL);
	prom_family(out, "dittofs_nfs_errors_total", "counter", "Calls answered with a status other than OK; each since it first came.");
	for (int i = 0; i < STATS_PROCS; i++)
		for (int k = 0; k < STATS_STATUSES; k++)
			if (s->proc[i].error[k])
				prom_count(out, "dittofs_nfs_errors_total", s->proc[i].error[k], "procedure", stats_proc_name(i), "status",
					stats_status_name(k), NULL);
	prom_family(out, "dittofs_nfs_bytes_total", "counter", "Payload of READs and WRITEs.");
	for (int i = 0; i < STATS_PROCS; i++)
		if (has_bytes(i))
			prom_count(out, "dittofs_nfs_bytes_total", s->proc[i].bytes, "procedure", stats_proc_name(i), NULL);
	prom_family(out, "dittofs_nfs_call_duration_seconds", "histogram", "From a call's record to its reply being queued, of procedures that were called.");
	for (int i = 0; i < STATS_PROCS; i++)
		if ((p = &s->proc[i])->calls)
			prom_hist(out, "dittofs_nfs_call_duration_seconds", &p->time[STATS_TOTAL], FINE, "procedure", stats_proc_name(i), NULL);
	prom_family(out, "dittofs_nfs_stage_duration_seconds", "histogram", "Where it goes: queue, work and reply are the total, send comes after it.");
	for (int i = 0; i < STATS_PROCS; i++)
		for (int t = STATS_TOTAL + 1; t < STATS_TIMES; t++)
			if ((p = &s->proc[i])->time[t].count)
				prom_hist(out, "dittofs_nfs_stage_duration_seconds", &p->time[t], COARSE, "procedure", stats_proc_name(i), "stage",
					stats_time_name((enum stats_time)t), NULL);
}

static void
clients(FILE *out, const struct proto_stats *s)
{
	static struct server_client list[CLIENTS_MAX];
	int n = server_clients(list, CLIENTS_MAX);

	prom_gauge(out, "dittofs_nfs_connections", "Connections now open.", s->sessions);
	if (n >= 0)
		prom_gauge(out, "dittofs_nfs_clients", "Addresses with connections or mounts.", (uint64_t)n);
	prom_gauge(out, "dittofs_nfs_calls_now", "Calls under way.", s->calls_now);
	prom_counter(out, "dittofs_nfs_records_total", "RPC records taken.", s->records);
	prom_counter(out, "dittofs_nfs_rejected_total", "RPC errors: version, program, procedure, arguments, credentials.", s->rejected);
	prom_counter(out, "dittofs_nfs_denied_total", "Calls denied by a share's rules.", s->denied);
	prom_counter(out, "dittofs_nfs_replayed_total", "Repeated calls answered from the duplicate request cache.", s->replayed);
	prom_counter(out, "dittofs_nfs_dropped_total", "Replies for which the connection was gone.", s->dropped);
	prom_counter(out, "dittofs_nfs_garbage_total", "Connections closed for what they sent.", s->garbage);
	prom_counter(out, "dittofs_nfs_writes_refused_total", "WRITEs that got no buffers in time and were told JUKEBOX.", s->refused_buf);
	prom_family(out, "dittofs_nfs_waits_total", "counter", "Times that a connection had to wait: for a free call, for buffers, or for its own replies.");
	prom_count(out, "dittofs_nfs_waits_total", s->waited_call, "for", "call", NULL);
	prom_count(out, "dittofs_nfs_waits_total", s->waited_buf, "for", "buffers", NULL);
	prom_count(out, "dittofs_nfs_waits_total", s->waited_conn, "for", "connection", NULL);
}

static void
parts(FILE *out)
{
	struct hist h;
	const char *name;

	prom_family(out, "dittofs_part_duration_seconds", "histogram", "What calls, uploads and readahead wait for below: journal, metadata log, object store.");
	for (int i = 0; (name = latency_sum(i, &h)); i++)
		prom_hist(out, "dittofs_part_duration_seconds", &h, FINE, "part", name, NULL);
}

static void
shares(FILE *out, const struct daemon *d)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} figures[] = {
		{ "dittofs_share_used_bytes", "Bytes of a share's files, as clients wrote them, its trash too.", offsetof(struct share_usage, bytes) },
		{ "dittofs_share_used_inodes", "Files and directories of a share, its trash too.", offsetof(struct share_usage, inodes) },
		{ "dittofs_share_trash_bytes", "Of these, in its trash.", offsetof(struct share_usage, trash_bytes) },
		{ "dittofs_share_trash_inodes", "Of these, in its trash.", offsetof(struct share_usage, trash_inodes) },
	};
	struct share_usage u[CONFIG_SHARES_MAX];

	for (unsigned i = 0; i < d->config->nshares; i++)
		totals_share(&d->config->shares[i], &u[i]);
	for (size_t k = 0; k < ARRAY_LEN(figures); k++) {
		prom_family(out, figures[k].name, "gauge", figures[k].help);
		for (unsigned i = 0; i < d->config->nshares; i++)
			prom_count(out, figures[k].name, *(uint64_t *)((char *)&u[i] + figures[k].at), "share", d->config->shares[i].name, NULL);
	}
}

static void
tier(FILE *out, const char *name, const char *help, uint64_t in_memory, uint64_t on_disk)
{
	prom_family(out, name, "counter", help);
	prom_count(out, name, in_memory, "tier", "memory", NULL);
	prom_count(out, name, on_disk, "tier", "disk", NULL);
}

static void
caches(FILE *out, const struct daemon *d, const struct file_stats *f)
{
	struct diskcache_stats disk;
	struct diskcache_dir dir;

	totals_disk(d, &disk);
	tier(out, "dittofs_cache_hits_total", "Frames of 64 KiB found in a cache; the disks are asked where memory has none.", f->cache_hits, disk.hits);
	tier(out, "dittofs_cache_misses_total", "Frames not found there.", f->cache_misses, disk.misses);
	tier(out, "dittofs_cache_evicted_total", "Frames that made room for others.", totals_evicted(d), disk.evicted);
	prom_gauge(out, "dittofs_cache_memory_bytes", "Frames held in memory.", f->cache_bytes);
	prom_counter(out, "dittofs_cache_disk_written_total", "Frames written to a cache disk.", disk.inserts);
	prom_counter(out, "dittofs_cache_disk_skipped_total", "Frames not written because the disk had enough to do.", disk.skipped);
	prom_counter(out, "dittofs_cache_disk_damaged_total", "Frames whose checksum was wrong; the object store was asked instead.", disk.damaged);
	prom_gauge(out, "dittofs_cache_disk_frames", "Frames held on disks.", disk.frames);
	prom_family(out, "dittofs_cache_dir_bytes", "gauge", "Bytes held in a cache directory.");
	for (int i = 0; diskcache_dir(i, &dir); i++)
		prom_count(out, "dittofs_cache_dir_bytes", dir.bytes, "dir", dir.path, NULL);
	prom_family(out, "dittofs_cache_dir_limit_bytes", "gauge", "Bytes that it may hold.");
	for (int i = 0; diskcache_dir(i, &dir); i++)
		prom_count(out, "dittofs_cache_dir_limit_bytes", dir.max_bytes, "dir", dir.path, NULL);
	prom_family(out, "dittofs_cache_dir_failed", "gauge", "1: its disk failed, and is left alone for a minute at a time.");
	for (int i = 0; diskcache_dir(i, &dir); i++)
		prom_count(out, "dittofs_cache_dir_failed", !strcmp(dir.state, "failed"), "dir", dir.path, NULL);
}

static void
writeback(FILE *out, const struct file_stats *f)
{
	prom_gauge(out, "dittofs_dirty_bytes", "Written by clients, not yet in the object store.", f->dirty_bytes);
	prom_gauge(out, "dittofs_dirty_files", "Files of which some of it is.", f->dirty_files);
	prom_gauge(out, "dittofs_journal_used_bytes", "Segments of the journal in use.", f->journal_used_bytes);
	prom_gauge(out, "dittofs_journal_limit_bytes", "What it may take; when that is in use writers wait.", f->journal_bytes);
	prom_gauge(out, "dittofs_uploads_now", "Objects on their way to the object store.", f->uploading);
	prom_counter(out, "dittofs_uploaded_bytes_total", "File data uploaded, as it was encoded.", f->uploaded_bytes);
	prom_counter(out, "dittofs_uploaded_plain_bytes_total", "The same as clients wrote it.", f->uploaded_plain_bytes);
	prom_counter(out, "dittofs_uploaded_objects_total", "Objects uploaded.", f->uploaded_objects);
	prom_counter(out, "dittofs_upload_errors_total", "Uploads that failed; each is tried again.", f->upload_errors);
}

static void
objects(FILE *out, const struct daemon *d)
{
	static const struct {
		const char *name, *help;
		size_t at;
	} figures[] = {
		{ "dittofs_object_store_requests_total", "Requests, by kind.", offsetof(struct objcount, requests) },
		{ "dittofs_object_store_errors_total", "Those that failed, retries and all; that an object is not there is an answer.", offsetof(struct objcount, errors) },
		{ "dittofs_object_store_retries_total", "What was sent again for them.", offsetof(struct objcount, retries) },
		{ "dittofs_object_store_bytes_total", "Payload moved.", offsetof(struct objcount, bytes) },
		{ "dittofs_object_store_sent_bytes_total", "Bodies on the wire, also of errors and repeats; 0 where the store is local.", offsetof(struct objcount, sent) },
		{ "dittofs_object_store_received_bytes_total", "Bodies on the wire, also of errors and repeats; 0 where the store is local.", offsetof(struct objcount, received) },
	};

	for (size_t k = 0; k < ARRAY_LEN(figures); k++) {
		prom_family(out, figures[k].name, "counter", figures[k].help);
		for (int i = 0; i < OBJ_CLASSES; i++) {
			struct objcount n = objcount_get((enum objclass)i);

			prom_count(out, figures[k].name, *(uint64_t *)((char *)&n + figures[k].at), "request", objcount_name((enum objclass)i), NULL);
		}
	}
	prom_family(out, "dittofs_object_store_seconds_total", "counter", "From request to answer, of all of them together.");
	for (int i = 0; i < OBJ_CLASSES; i++)
		prom_seconds(out, "dittofs_object_store_seconds_total", objcount_get((enum objclass)i).ns, "request", objcount_name((enum objclass)i), NULL);
	prom_gauge(out, "dittofs_object_store_up", "0: it is away or refuses us, as the requests of the last minute found it.",
		objstore_health(d->vol.store) == 0);
}

static void
background(FILE *out, const struct file_stats *f)
{
	prom_gauge(out, "dittofs_garbage_slices", "Pieces of data that wait to be deleted from the object store.", f->garbage);
	prom_counter(out, "dittofs_deleted_objects_total", "Objects deleted there.", f->deleted_objects);
	prom_gauge(out, "dittofs_compaction_chunks", "Chunks of files that are to be looked at.", f->compact_pending);
	prom_counter(out, "dittofs_compaction_merges_total", "Merges of small pieces.", f->compactions);
	prom_counter(out, "dittofs_compaction_bytes_total", "Bytes written anew by them.", f->compacted_bytes);
	prom_counter(out, "dittofs_compaction_pieces_before_total", "Pieces that they found.", f->compacted_pieces);
	prom_counter(out, "dittofs_compaction_pieces_after_total", "Pieces that they left.", f->compacted_into);
	prom_counter(out, "dittofs_compaction_errors_total", "Merges that failed.", f->compact_errors);
	prom_counter(out, "dittofs_repacked_packs_total", "Objects of several files of which little was needed, written anew.", f->repacked);
	prom_counter(out, "dittofs_repacked_bytes_total", "What was still needed of them.", f->repacked_bytes);
}

static void
metadata(FILE *out)
{
	struct kv_stats s;

	kv_stats(&s);
	prom_counter(out, "dittofs_metadata_reads_total", "Point reads of RocksDB.", s.gets);
	prom_counter(out, "dittofs_metadata_read_misses_total", "Those that memory could not answer: a worker read the disk.", s.get_misses);
	prom_counter(out, "dittofs_metadata_writes_total", "Batches written to the metadata log.", s.writes);
	prom_counter(out, "dittofs_metadata_stalls_total", "Batches that had to wait for RocksDB or for room in the log.", s.stalls);
	prom_counter(out, "dittofs_metadata_syncs_total", "Groups of batches made durable.", s.syncs);
	prom_gauge(out, "dittofs_metadata_pending_bytes", "In the log, and not yet given to RocksDB.", s.pending_bytes);
	prom_counter(out, "dittofs_metadata_log_bytes_total", "Written to the metadata log.", s.log_bytes);
	prom_gauge(out, "dittofs_rocksdb_block_cache_bytes", "RocksDB's block cache in use.", s.cache_bytes);
	prom_gauge(out, "dittofs_rocksdb_memtable_bytes", "Changes in RocksDB's memory.", s.memtable_bytes);
	prom_gauge(out, "dittofs_rocksdb_table_bytes", "RocksDB's table files.", s.table_bytes);
	prom_gauge(out, "dittofs_rocksdb_keys", "Records, as RocksDB estimates them.", s.keys);
	prom_gauge(out, "dittofs_rocksdb_compaction_pending_bytes", "What RocksDB has to rewrite, as it estimates it.", s.compaction_bytes);
}

char *
metrics_text(const struct daemon *d)
{
	const struct proto_stats *s = totals_proto(d);
	struct file_stats f;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return NULL;
	totals_file(d, &f);
	process(out, d);
	prom_gauge(out, "dittofs_healthy", "1 where /healthz answers 200.", health_look(d, NULL) == 0);
	calls(out, s);
	clients(out, s);
	parts(out);
	shares(out, d);
	caches(out, d, &f);
	writeback(out, &f);
	objects(out, d);
	background(out, &f);
	metadata(out);
	memory(out, d);
	log_lines(out);
	fclose(out);
	return text;
}
