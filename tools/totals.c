/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/totals.h"

#include <stdio.h>

#include "store/blockio.h"

/* What no pool counts: code, stacks, the allocators of libraries, RocksDB's table readers. */
#define PROCESS_BYTES (96 * MIB)
#define MEMTABLES     3 /* RocksDB: one written to, two being flushed */
#define MEMTABLE_BYTES (64 * MIB)

static uint64_t
oldest(uint64_t a_ns, uint64_t b_ns)
{
	return !a_ns ? b_ns : !b_ns ? a_ns : MIN(a_ns, b_ns);
}

void
totals_file(const struct daemon *d, struct file_stats *f)
{
	*f = (struct file_stats){ 0 };
	for (int i = 0; i < d->cores; i++) {
		const struct file_stats *s = file_stats(i);

		f->dirty_files += s->dirty_files, f->dirty_bytes += s->dirty_bytes;
		f->journal_used_bytes += s->journal_used_bytes, f->journal_bytes += s->journal_bytes;
		f->uploading += s->uploading, f->uploaded_bytes += s->uploaded_bytes;
		f->uploaded_plain_bytes += s->uploaded_plain_bytes;
		f->uploaded_objects += s->uploaded_objects, f->upload_errors += s->upload_errors;
		f->cache_hits += s->cache_hits, f->cache_misses += s->cache_misses, f->cache_bytes += s->cache_bytes;
		f->pages_copied += s->pages_copied;
		f->deleted_objects += s->deleted_objects, f->garbage += s->garbage;
		f->compactions += s->compactions, f->compacted_bytes += s->compacted_bytes;
		f->compacted_pieces += s->compacted_pieces, f->compacted_into += s->compacted_into;
		f->compact_pending += s->compact_pending, f->compact_errors += s->compact_errors;
		f->repacked += s->repacked, f->repacked_into += s->repacked_into, f->repacked_bytes += s->repacked_bytes;
		f->away |= s->away, f->journal_broken |= s->journal_broken;
		f->room_ns = oldest(f->room_ns, s->room_ns);
	}
}

void
totals_disk(const struct daemon *d, struct diskcache_stats *disk)
{
	*disk = (struct diskcache_stats){ 0 };
	for (int i = 0; i < d->cores; i++) {
		const struct diskcache_stats *s = diskcache_stats(i);

		disk->hits += s->hits, disk->misses += s->misses, disk->inserts += s->inserts, disk->skipped += s->skipped;
		disk->evicted += s->evicted, disk->reinserted += s->reinserted, disk->damaged += s->damaged;
		disk->frames += s->frames, disk->index_bytes += s->index_bytes;
	}
}

uint64_t
totals_evicted(const struct daemon *d)
{
	uint64_t n = 0;

	for (int i = 0; i < d->cores; i++)
		n += cache_stats(i)->evicted;
	return n;
}

const struct proto_stats *
totals_proto(const struct daemon *d)
{
	static struct proto_stats sum;

	memset(&sum, 0, sizeof(sum));
	for (int i = 0; i < d->cores; i++)
		stats_sum(&sum, server_stats(i));
	return &sum;
}

int
totals_pools(struct pool_stat *out, uint64_t *total)
{
	static struct pool_stat all[TOTALS_POOLS];
	int n = MIN(pool_stats(all, TOTALS_POOLS), TOTALS_POOLS), names = 0;

	*total = 0;
	for (int i = 0; i < n; i++) {
		int k = 0;

		while (k < names && strcmp(out[k].name, all[i].name))
			k++;
		if (k == names)
			out[names++] = (struct pool_stat){ .name = all[i].name };
		out[k].total_bytes += all[i].total_bytes;
		out[k].used_bytes += all[i].used_bytes;
		*total += all[i].total_bytes;
	}
	return names;
}

uint64_t
totals_buffers(void)
{
	static struct pool_stat pools[TOTALS_POOLS];
	uint64_t total;
	int n = totals_pools(pools, &total);

	for (int i = 0; i < n; i++)
		if (!strcmp(pools[i].name, "buffers"))
			return pools[i].used_bytes;
	return 0;
}

int64_t
totals_clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

uint64_t
totals_budget(const struct daemon *d, uint64_t pools)
{
	struct diskcache_stats disk;

	totals_disk(d, &disk);
	return pools + disk.index_bytes + d->config->metadata_cache_bytes + MEMTABLES * MEMTABLE_BYTES + PROCESS_BYTES;
}

/* From /proc/self/status, in KiB there. */
void
totals_rss(uint64_t *now, uint64_t *peak)
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

void
totals_share(const struct export *e, struct share_usage *u)
{
	uint8_t key[KV_KEY_MAX], val[32] = { 0 };

	kv_get_now(key, key_usage(key, e->share), val, sizeof(val));
	*u = (struct share_usage){ get_le64(val), get_le64(val + 8), get_le64(val + 16), get_le64(val + 24) };
}
