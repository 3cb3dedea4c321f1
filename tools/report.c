/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/preload.h"
#include "proto/server.h"
#include "store/blockio.h"
#include "store/diskcache.h"
#include "store/objcount.h"
#include "tools/marker.h"
#include "tools/pending.h"

#define POOLS_MAX   1024
#define CLIENTS_MAX 256
/* What no pool counts: code, stacks, the allocators of libraries, RocksDB's table readers. */
#define PROCESS_BYTES (96 * MIB)
#define MEMTABLES     3 /* RocksDB: one written to, two being flushed */
#define MEMTABLE_BYTES (64 * MIB)

static json_t *
num(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *
shares_json(const struct daemon *d)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < d->config->nshares; i++) {
		const struct export *e = &d->config->shares[i];
		uint8_t key[KV_KEY_MAX], val[32] = { 0 };
		char compression[CODEC_WORD_MAX];

		kv_get_now(key, key_usage(key, e->share), val, sizeof(val));
		volume_compression(&d->vol, e->share, compression);
		json_array_append_new(out, json_pack("{s:s, s:o, s:o, s:b, s:s, s:s, s:{s:o, s:o, s:o}}", "name", e->name, "used_bytes", num(get_le64(val)),
			"used_inodes", num(get_le64(val + 8)), "read_only", e->read_only, "squash", export_squash_name(e->squash),
			"compression", compression, "trash", "bytes", num(get_le64(val + 16)), "inodes", num(get_le64(val + 24)), "retention_s",
			num(e->retention_ns / 1000000000)));
	}
	return out;
}

static json_t *
clients_json(void)
{
	static struct server_client clients[CLIENTS_MAX]; /* the admin thread only */
	json_t *out = json_array();
	int n = server_clients(clients, CLIENTS_MAX);

	for (int i = 0; i < n; i++) {
		const struct server_client *c = &clients[i];
		char addr[80];
		json_t *mounts = json_array();

		format_listen(&c->addr, addr, sizeof(addr));
		*strrchr(addr, ':') = '\0';
		for (int k = 0; k < MIN(c->nmounts, SERVER_MOUNTS_SHOWN); k++)
			json_array_append_new(mounts, json_string(c->mount[k]));
		json_array_append_new(out, json_pack("{s:s, s:i, s:o, s:o, s:o, s:o, s:o}", "address", addr, "connections",
			(int)c->conns, "calls", num(c->ops), "calls_now", num(c->calls_now), "bytes_in", num(c->bytes_in),
			"bytes_out", num(c->bytes_out), "mounts", mounts));
	}
	return out;
}

/* Pools of the same name, summed over the cores. */
static json_t *
pools_json(uint64_t *total)
{
	static struct pool_stat pools[POOLS_MAX];
	json_t *out = json_array();
	int n = pool_stats(pools, POOLS_MAX);

	*total = 0;
	for (int i = 0; i < n; i++) {
		uint64_t sum = 0, used = 0;
		bool seen = false;

		*total += pools[i].total_bytes;
		for (int k = 0; k < n; k++) {
			if (strcmp(pools[k].name, pools[i].name))
				continue;
			seen = seen || k < i;
			sum += pools[k].total_bytes;
			used += pools[k].used_bytes;
		}
		if (!seen)
			json_array_append_new(out, json_pack("{s:s, s:o, s:o}", "pool", pools[i].name, "total_bytes", num(sum),
				"used_bytes", num(used)));
	}
	return out;
}

/* Resident now and at most, from /proc/self/status (in KiB there). */
static void
rss(uint64_t *now, uint64_t *peak)
{
	char line[256];
	unsigned long kib;
	FILE *f = fopen("/proc/self/status", "re");

	*now = *peak = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %lu", &kib) == 1)
			*now = kib * KIB;
		else if (sscanf(line, "VmHWM: %lu", &kib) == 1)
			*peak = kib * KIB;
	}
	if (f)
		fclose(f);
}

static json_t *
memory_json(const struct daemon *d)
{
	uint64_t pools_total, now, peak;
	json_t *pools = pools_json(&pools_total);

	for (int i = 0; i < d->cores; i++)
		pools_total += diskcache_stats(i)->index_bytes;
	rss(&now, &peak);
	uint64_t budget = pools_total + d->config->metadata_cache_bytes + MEMTABLES * MEMTABLE_BYTES + PROCESS_BYTES;
	return json_pack("{s:o, s:o, s:o, s:o}", "budget_bytes", num(budget), "rss_bytes", num(now), "peak_rss_bytes", num(peak),
		"pools", pools);
}

static json_t *
preload_json(void)
{
	struct preload_stats s;

	preload_stats(&s);
	return json_pack("{s:s, s:o, s:o, s:o, s:f}", "state", s.state, "attributes", num(s.attrs), "names", num(s.names), "inodes",
		num(s.inodes), "seconds", s.seconds);
}

static json_t *
calls_json(const struct daemon *d)
{
	static struct proto_stats sum; /* the admin thread only */
	json_t *procs = json_array();

	memset(&sum, 0, sizeof(sum));
	for (int i = 0; i < d->cores; i++)
		stats_sum(&sum, server_stats(i));
	for (int i = 0; i < STATS_PROCS; i++) {
		const struct proc_stats *p = &sum.proc[i];
		const struct hist *h = &p->time[STATS_TOTAL];

		if (p->calls)
			json_array_append_new(procs, json_pack("{s:s, s:o, s:o, s:o, s:f, s:f, s:f, s:f}", "procedure", stats_proc_name(i),
				"calls", num(p->calls), "errors", num(p->errors), "bytes", num(p->bytes),
				"mean_us", (double)hist_mean(h) / 1e3, "p50_us", (double)hist_quantile(h, 0.5) / 1e3,
				"p99_us", (double)hist_quantile(h, 0.99) / 1e3, "max_us", (double)h->max / 1e3));
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "procedures", procs, "now", num(sum.calls_now), "connections",
		num(sum.sessions), "denied", num(sum.denied), "rejected", num(sum.rejected), "replayed", num(sum.replayed),
		"waits", num(sum.waited_call + sum.waited_buf + sum.waited_conn));
}

static json_t *
requests_json(void)
{
	json_t *out = json_array();

	for (int i = 0; i < OBJ_CLASSES; i++) {
		struct objcount n = objcount_get(i);

		json_array_append_new(out, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "class", objcount_name(i),
			"requests", num(n.requests), "bytes", num(n.bytes), "errors", num(n.errors), "retries", num(n.retries),
			"ns", num(n.ns), "sent", num(n.sent), "received", num(n.received)));
	}
	return out;
}

static json_t *
dirs_json(void)
{
	json_t *out = json_array();
	struct diskcache_dir dir;

	for (int i = 0; diskcache_dir(i, &dir); i++)
		json_array_append_new(out, json_pack("{s:s, s:s, s:o, s:o}", "path", dir.path, "state", dir.state,
			"bytes", num(dir.bytes), "max_bytes", num(dir.max_bytes)));
	return out;
}

/* Memory, and below "disk" what is on the cache disks: a miss there is one of memory too. */
static json_t *
cache_json(const struct daemon *d, const struct file_stats *f)
{
	struct diskcache_stats disk = { 0 };
	uint64_t evicted = 0;

	for (int i = 0; i < d->cores; i++) {
		const struct diskcache_stats *s = diskcache_stats(i);

		evicted += cache_stats(i)->evicted;
		disk.hits += s->hits, disk.misses += s->misses, disk.inserts += s->inserts, disk.skipped += s->skipped;
		disk.evicted += s->evicted, disk.reinserted += s->reinserted, disk.damaged += s->damaged;
		disk.frames += s->frames;
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}}", "bytes", num(f->cache_bytes),
		"hits", num(f->cache_hits), "misses", num(f->cache_misses), "evicted", num(evicted), "pages_copied", num(f->pages_copied), "disk", "hits", num(disk.hits),
		"misses", num(disk.misses), "inserts", num(disk.inserts), "skipped", num(disk.skipped), "evicted",
		num(disk.evicted), "reinserted", num(disk.reinserted), "damaged", num(disk.damaged), "frames", num(disk.frames),
		"dirs", dirs_json());
}

char *
report_json(const struct daemon *d)
{
	struct file_stats f = { 0 };
	struct pending pending;
	struct timespec t;
	char uuid[UUID_STRLEN];

	for (int i = 0; i < d->cores; i++) {
		const struct file_stats *s = file_stats(i);

		f.journal_used_bytes += s->journal_used_bytes, f.journal_bytes += s->journal_bytes;
		f.uploading += s->uploading, f.uploaded_bytes += s->uploaded_bytes;
		f.uploaded_plain_bytes += s->uploaded_plain_bytes;
		f.uploaded_objects += s->uploaded_objects, f.upload_errors += s->upload_errors;
		f.cache_hits += s->cache_hits, f.cache_misses += s->cache_misses, f.cache_bytes += s->cache_bytes;
		f.pages_copied += s->pages_copied;
		f.deleted_objects += s->deleted_objects, f.garbage += s->garbage;
		f.compactions += s->compactions, f.compacted_bytes += s->compacted_bytes;
		f.compacted_pieces += s->compacted_pieces, f.compacted_into += s->compacted_into;
		f.compact_pending += s->compact_pending, f.compact_errors += s->compact_errors;
		f.repacked += s->repacked, f.repacked_into += s->repacked_into, f.repacked_bytes += s->repacked_bytes;
	}
	clock_gettime(CLOCK_REALTIME, &t);
	uuid_format(d->vol.vol.uuid, uuid);
	json_t *j = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "version", VERSION, "state", d->draining ? "draining" : "serving",
		"volume", uuid, "port", (int)d->port, "cores", d->cores,
		"uptime_s", num((uint64_t)t.tv_sec - d->started_ns / 1000000000), "shares", shares_json(d), "clients", clients_json());
	pending_look(d, &pending);
	json_object_set_new(j, "pending", json_pack("{s:o, s:o, s:s, s:o, s:I, s:b, s:o, s:o, s:o, s:o, s:o}", "bytes", num(pending.bytes),
		"files", num(pending.files), "durability", d->config->remote ? "remote" : "local", "bytes_per_second",
		num(pending.rate), "eta_s", (json_int_t)pending.eta_s, "store_away", pending.away, "uploads_now", num(f.uploading), "uploaded_bytes", num(f.uploaded_bytes), "uploaded_plain_bytes", num(f.uploaded_plain_bytes), "uploaded_objects",
		num(f.uploaded_objects), "errors", num(f.upload_errors)));
	json_object_set_new(j, "journal", json_pack("{s:o, s:o}", "used_bytes", num(f.journal_used_bytes), "total_bytes",
		num(f.journal_bytes)));
	json_object_set_new(j, "cache", cache_json(d, &f));
	json_object_set_new(j, "garbage", json_pack("{s:o, s:o}", "waiting", num(f.garbage), "deleted_objects", num(f.deleted_objects)));
	json_object_set_new(j, "compaction", json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pending_chunks", num(f.compact_pending),
		"merges", num(f.compactions), "bytes", num(f.compacted_bytes), "pieces_before", num(f.compacted_pieces),
		"pieces_after", num(f.compacted_into), "errors", num(f.compact_errors), "packs_before", num(f.repacked),
		"packs_after", num(f.repacked_into), "packs_bytes", num(f.repacked_bytes)));
	json_object_set_new(j, "object_store", json_pack("{s:s, s:o}", "url", d->config->objects, "requests", requests_json()));
	json_object_set_new(j, "memory", memory_json(d));
	json_object_set_new(j, "preload", preload_json());
	json_object_set_new(j, "calls", calls_json(d));
	char *text = json_dumps(j, JSON_INDENT(2));

	json_decref(j);
	return text;
}
