/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "meta/preload.h"
#include "store/objcount.h"
#include "tools/backup_job.h"
#include "tools/marker.h"
#include "tools/pending.h"
#include "tools/totals.h"

#define CLIENTS_MAX 256

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
		struct share_usage u;
		char compression[CODEC_WORD_MAX];

		totals_share(e, &u);
		volume_compression(&d->vol, e->share, compression);
		json_array_append_new(out, json_pack("{s:s, s:o, s:o, s:b, s:s, s:s, s:{s:o, s:o, s:o}}", "name", e->name, "used_bytes", num(u.bytes),
			"used_inodes", num(u.inodes), "read_only", e->read_only, "squash", export_squash_name(e->squash),
			"compression", compression, "trash", "bytes", num(u.trash_bytes), "inodes", num(u.trash_inodes), "retention_s",
			num(e->retention_ns / 1000000000)));
	}
	return out;
}

static json_t *
clients_json(void)
{
	static struct server_client clients[CLIENTS_MAX]; /* one admin thread at a time */
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

static json_t *
memory_json(const struct daemon *d)
{
	static struct pool_stat pools[TOTALS_POOLS]; /* one admin thread at a time */
	uint64_t total, now, peak;
	json_t *list = json_array();
	int n = totals_pools(pools, &total);

	for (int i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "pool", pools[i].name, "total_bytes", num(pools[i].total_bytes),
			"used_bytes", num(pools[i].used_bytes)));
	totals_rss(&now, &peak);
	return json_pack("{s:o, s:o, s:o, s:o}", "budget_bytes", num(totals_budget(d, total)), "rss_bytes", num(now), "peak_rss_bytes",
		num(peak), "pools", list);
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
	const struct proto_stats *sum = totals_proto(d);
	json_t *procs = json_array();

	for (int i = 0; i < STATS_PROCS; i++) {
		const struct proc_stats *p = &sum->proc[i];
		const struct hist *h = &p->time[STATS_TOTAL];

		if (p->calls)
			json_array_append_new(procs, json_pack("{s:s, s:o, s:o, s:o, s:f, s:f, s:f, s:f}", "procedure", stats_proc_name(i),
				"calls", num(p->calls), "errors", num(p->errors), "bytes", num(p->bytes),
				"mean_us", (double)hist_mean(h) / 1e3, "p50_us", (double)hist_quantile(h, 0.5) / 1e3,
				"p99_us", (double)hist_quantile(h, 0.99) / 1e3, "max_us", (double)h->max / 1e3));
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "procedures", procs, "now", num(sum->calls_now), "connections",
		num(sum->sessions), "denied", num(sum->denied), "rejected", num(sum->rejected), "replayed", num(sum->replayed),
		"waits", num(sum->waited_call + sum->waited_buf + sum->waited_conn));
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
	struct diskcache_stats disk;

	totals_disk(d, &disk);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}}", "bytes", num(f->cache_bytes),
		"hits", num(f->cache_hits), "misses", num(f->cache_misses), "evicted", num(totals_evicted(d)), "pages_copied", num(f->pages_copied), "disk", "hits", num(disk.hits),
		"misses", num(disk.misses), "inserts", num(disk.inserts), "skipped", num(disk.skipped), "evicted",
		num(disk.evicted), "reinserted", num(disk.reinserted), "damaged", num(disk.damaged), "frames", num(disk.frames),
		"dirs", dirs_json());
}

char *
report_json(const struct daemon *d)
{
	struct file_stats f;
	struct backup_report backup;
	struct pending pending;
	struct timespec t;
	char uuid[UUID_STRLEN];

	totals_file(d, &f);
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
	backup_job_look(&backup);
	json_object_set_new(j, "backup", backup_json(&backup));
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
