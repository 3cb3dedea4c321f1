/* SPDX-License-Identifier: Apache-2.0 */
/* The data path of a core: its parts, their sizes, their start and their end; what tools ask of it. */
#include <math.h>
#include <stdlib.h>

#include "meta/chunkmap.h"
#include "meta/compact.h"
#include "meta/file_core.h"
#include "meta/file_trunc.h"
#include "meta/flush.h"
#include "meta/garbage.h"
#include "meta/gc.h"
#include "meta/pageshow.h"
#include "meta/readahead.h"
#include "meta/replay.h"
#include "meta/sliceid.h"
#include "meta/trash_expire.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "store/diskcache.h"

#define FILES_DEFAULT 32768
#define CHUNKS_LEAST  8192 /* more than READs and flushes hold at once */
#define SHOWN_PAGES_MAX 65536

static struct file_core *cores[REACTOR_MAX_CORES];

/* Any thread, while the core lives: what others count is copied for who asks. */
const struct file_stats *
file_stats(int core)
{
	static const struct file_stats none;
	const struct cache_stats *cache = cache_stats(core);
	struct file_stats *s;

	if (!cores[core])
		return &none;
	s = &cores[core]->stats;
	s->cache_hits = cache->hits;
	s->cache_misses = cache->misses;
	s->cache_bytes = cache->bytes;
	journal_usage_seen(cores[core]->journal, &s->journal_used_bytes, &s->journal_bytes);
	s->journal_broken = journal_is_broken(cores[core]->journal);
	return s;
}

uint64_t
file_compact_pending(int core)
{
	return cores[core] ? __atomic_load_n(&cores[core]->stats.compact_pending, __ATOMIC_RELAXED) : 0;
}

static uint64_t
arena_bytes(void)
{
	struct pool_stat pool[REACTOR_MAX_CORES];
	int n = pool_stats(pool, REACTOR_MAX_CORES);

	for (int i = 0; i < n; i++)
		if (pool[i].core == reactor_core() && strcmp(pool[i].name, "buffers") == 0)
			return pool[i].total_bytes;
	return 0;
}

static uint32_t
clamp32(uint64_t want, uint32_t lo, uint32_t hi)
{
	return (uint32_t)MAX(lo, MIN(want, hi));
}

static void stop_poll(struct op *op);

static int
journal_init(void)
{
	const struct file_opts *o = file_options();
	struct journal_opts jo = {
		.dir = o->journal_dir,
		.uuid = file_volume()->uuid,
		.bytes = o->journal_bytes / (uint64_t)reactor_cores(),
		.segment_bytes = o->segment_bytes,
		.ahead_bytes = o->journal_bytes / (uint64_t)reactor_cores() / 4,
		.epoch = file_epoch(),
		.first_seq = file_old_seq() + 1,
		.free_ratio = o->journal_free,
	};
	char why[256] = "";
	int res = journal_open(&file_core->journal, reactor_core(), &jo, why);

	if (res < 0)
		log_error("%s", why);
	return res;
}

/* The last run's records have their place, whatever the limits are now. */
static uint32_t
replay_records(void)
{
	size_t n;

	(void)file_recs(&n);
	return (uint32_t)MIN(n, UINT32_MAX / 4);
}

static int
files_init(void)
{
	uint32_t max = file_options()->max_files;

	return slab_init(&file_core->slab, "files", sizeof(struct file),
	                 clamp32(max ? max : FILES_DEFAULT, 64, UINT32_MAX / 2) + replay_records());
}

static void
files_fini(void)
{
	slab_fini(&file_core->slab);
}

static int
extents_part_init(void)
{
	uint32_t max = file_options()->max_extents;

	return extent_init(clamp32(max ? max : arena_bytes() / 4096, 4096, 1u << 20) + 2 * replay_records());
}

static int
chunks_init(void)
{
	uint64_t arena = arena_bytes();

	return chunkmap_init(clamp32(arena / (32 * KIB), CHUNKS_LEAST, 1u << 17), MAX(arena / 16, 8 * MIB));
}

static int
frames_init(void)
{
	int res = cache_init(clamp32(arena_bytes() / BUF_SMALL_BYTES, 16, 1u << 29));

	if (res == 0) {
		res = diskcache_init(arena_bytes() / 16);
		if (res < 0)
			cache_fini();
	}
	return res;
}

static void
frames_fini(void)
{
	diskcache_fini();
	cache_fini();
}

static int
readahead_part_init(void)
{
	return readahead_init(arena_bytes());
}

static int
shown_pages_init(void)
{
	return pageshow_init(clamp32(arena_bytes() / PAGE, 1024, SHOWN_PAGES_MAX));
}

static void
journal_fini(void)
{
	journal_close(file_core->journal);
}

static int
lists_init(void)
{
	/* 0 is the jseq of who was never in a journal. */
	file_core->kept_from = replay_records() > 0 ? 1 : file_old_seq() + 1;
	buf_set_reclaim(file_reclaim);
	return 0;
}

static void
lists_fini(void)
{
	buf_set_reclaim(cache_reclaim);
	file_lists_fini();
}

static int
flush_part_init(void)
{
	return flush_init(arena_bytes());
}

static int
compact_part_init(void)
{
	return compact_init(arena_bytes());
}

/* In the order of their start; they end the other way round. */
static const struct part {
	int (*init)(void);
	void (*fini)(void);
} parts[] = {
	{ files_init, files_fini },
	{ extents_part_init, extent_fini },
	{ chunks_init, chunkmap_fini },
	{ frames_init, frames_fini },
	{ journal_init, journal_fini },
	{ slice_id_init, slice_id_fini },
	{ read_init, read_fini },
	{ shown_pages_init, pageshow_fini },
	{ readahead_part_init, readahead_fini },
	{ write_init, write_fini },
	{ trunc_init, trunc_fini },
	{ flush_part_init, flush_fini },
	{ compact_part_init, compact_fini },
	{ garbage_init, garbage_fini },
	{ trash_expire_init, trash_expire_fini },
	{ gc_init, gc_fini },
	{ retire_init, retire_fini },
	{ lists_init, lists_fini },
	{ replay_run, replay_fini },
};

static void
parts_fini(int core, size_t n)
{
	while (n > 0)
		parts[--n].fini();
	cores[core] = NULL;
	free(file_core);
	file_core = NULL;
}

int
file_init(int core)
{
	file_core = calloc(1, sizeof(*file_core));
	if (!file_core)
		return -ENOMEM;
	cores[core] = file_core;
	file_core->stop.resume = stop_poll;
	for (size_t n = 0; n < ARRAY_LEN(parts); n++) {
		int res = parts[n].init();

		if (res < 0) {
			parts_fini(core, n);
			return res;
		}
	}
	return 0;
}

void
file_fini(int core)
{
	assert(file_core && file_core == cores[core]);
	parts_fini(core, ARRAY_LEN(parts));
}

/* ---- for tools */

void
file_pending(uint64_t since_ns, struct file_pending *p)
{
	flush_pending(since_ns, p);
}

double
file_upload_rate(const struct file_stats *s, uint64_t now_ns)
{
	uint64_t since = now_ns > s->upload_rate_ns ? now_ns - s->upload_rate_ns : 0;

	return s->upload_rate * exp(-(double)since / FILE_RATE_NS);
}

/* Not often enough to need messages between all that has to end: looks each millisecond. */
static void
stop_poll(struct op *op)
{
	struct op *wait = file_core->stopped;

	(void)op;
	if (!flush_quit() || !compact_quit() || !garbage_quit() || !trash_expire_quit() || !gc_quit() || replay_is_busy() ||
	    slice_id_is_busy() || readahead_is_busy() || !diskcache_quit() || !retire_quit()) {
		timer_start(&file_core->stop_timer, MSEC_NS, &file_core->stop);
		return;
	}
	file_core->stopped = NULL;
	wait->res = 0;
	wait->resume(wait);
}

enum op_state
file_stop(struct op *op)
{
	assert(!file_core->stopped);
	file_core->stopped = op;
	timer_start(&file_core->stop_timer, 0, &file_core->stop);
	return OP_PENDING;
}
