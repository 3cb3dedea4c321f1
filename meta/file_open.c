/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before the reactors: options, volume and shares, the number of this run, and
 * what the journals of earlier runs hold.
 *
 * Sequence numbers begin with the run's epoch, which is in RocksDB before the
 * first record is written: so they only ever rise, even where somebody
 * deletes the journal, and attr.jseq can be compared with any of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "meta/compact.h"
#include "meta/file_core.h"
#include "meta/flush.h"
#include "meta/repack.h"
#include "meta/usage.h"
#include "reactor/log.h"

#define EPOCH_SHIFT 40
#define WRITE_WAIT_NS (15 * SEC_NS)
#define JOURNAL_RUN UINT32_MAX /* under this number is the last run's epoch */
#define JOURNAL_REC_BYTES 17
#define JOURNAL_REC_VERSION 1

static struct {
	struct file_opts opts;
	char journal_dir[512];
	struct volume volume;
	struct share_rec share[SHARES_MAX];
	int nshares;
	uint64_t epoch, old_seq, verf;
	struct jrecord *rec;
	size_t nrecs;
} run;

/* Of a core that was tuned. */
static __thread const struct file_opts *tuned;

const struct file_opts *
file_options(void)
{
	return tuned ? tuned : &run.opts;
}

void
file_tune(const struct file_opts *o)
{
	tuned = o;
	compact_tune();
	repack_tune();
	flush_kick();
}

const struct volume *
file_volume(void)
{
	return &run.volume;
}

uint64_t
file_epoch(void)
{
	return run.epoch;
}

uint64_t
file_old_seq(void)
{
	return run.old_seq;
}

uint64_t
file_verf(void)
{
	return run.verf;
}

const struct jrecord *
file_recs(size_t *n)
{
	*n = run.nrecs;
	return run.rec;
}

void
file_recs_free(void)
{
	free(run.rec);
	run.rec = NULL;
	run.nrecs = 0;
}

uint32_t
file_replay_inodes(void)
{
	uint32_t n = 0;

	for (size_t i = 0; i < run.nrecs; i++)
		n += i == 0 || run.rec[i].ino != run.rec[i - 1].ino;
	return n;
}

const char *
share_prefix(uint32_t share)
{
	for (int i = 0; i < run.nshares; i++)
		if (run.share[i].id == share)
			return run.share[i].prefix;
	return run.nshares ? run.share[0].prefix : "";
}

const struct frame_how *
share_how(uint32_t share)
{
	return &run.opts.how[share < SHARES_MAX ? share : 0];
}

int
share_count(void)
{
	return run.nshares;
}

const char *
share_prefix_at(int i)
{
	assert(i >= 0 && i < run.nshares);
	return run.share[i].prefix;
}

uint32_t
share_id_at(int i)
{
	assert(i >= 0 && i < run.nshares);
	return run.share[i].id;
}

static size_t
rec_encode(uint8_t *v, uint64_t epoch, uint64_t seq)
{
	v[0] = JOURNAL_REC_VERSION;
	put_le64(v + 1, epoch);
	put_le64(v + 9, seq);
	return JOURNAL_REC_BYTES;
}

/* 0 and zeros where there is none. */
static int
rec_load(uint32_t journal, uint64_t *epoch, uint64_t *seq)
{
	uint8_t key[KV_KEY_MAX], v[JOURNAL_REC_BYTES];
	int len = kv_get_now(key, key_journal(key, journal), v, sizeof(v));

	*epoch = *seq = 0;
	if (len == -ENOENT)
		return 0;
	if (len < 0)
		return len;
	if (v[0] != JOURNAL_REC_VERSION)
		return -E_FORMAT;
	if (len != JOURNAL_REC_BYTES)
		return -E_DAMAGED;
	*epoch = get_le64(v + 1);
	*seq = get_le64(v + 9);
	return 0;
}

/* Of a core and a run: an earlier run's tail counts for as long as its segments are there. */
static uint32_t
journal_id(uint32_t core, uint64_t epoch)
{
	return (uint32_t)epoch << 8 | core;
}

void
journal_tail_put(struct kv_batch *b, uint64_t tail)
{
	uint8_t key[KV_KEY_MAX], v[JOURNAL_REC_BYTES];
	size_t klen = key_journal(key, journal_id((uint32_t)reactor_core(), run.epoch));

	kv_batch_put(b, key, klen, v, rec_encode(v, run.epoch, tail));
}

static uint64_t
tail_of(void *arg, uint32_t core, uint64_t epoch)
{
	uint64_t of_epoch, seq;

	(void)arg;
	/* Without one everything is replayed, which takes longer and is right too. */
	return rec_load(journal_id(core, epoch), &of_epoch, &seq) == 0 && of_epoch == epoch ? seq : 0;
}

static int
del_tail(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	(void)val;
	(void)vlen;
	kv_batch_del(arg, key, klen);
	return 0;
}

static int
load_share(void *arg, const void *key, size_t klen, const void *val, size_t vlen)
{
	(void)arg;
	(void)key;
	(void)klen;
	if (run.nshares == SHARES_MAX)
		return -ENOSPC;
	return share_decode(&run.share[run.nshares++], val, vlen);
}

static int
load_shares(void)
{
	struct kv_scan s = { .from = "X", .to = "Y", .from_len = 1, .to_len = 1, .fn = load_share };

	run.nshares = 0;
	return kv_scan_now(&s);
}

static int
rec_order(const void *a, const void *b)
{
	const struct jrecord *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

static int
begin_epoch(uint64_t scanned_epoch, uint64_t scanned_seq)
{
	struct kv_batch *b = kv_batch_new();
	uint8_t key[KV_KEY_MAX], v[JOURNAL_REC_BYTES];
	uint64_t epoch, seq;
	int res = rec_load(JOURNAL_RUN, &epoch, &seq);

	/* No earlier journal is left: neither need their tails be. */
	if (res == 0 && scanned_epoch == 0) {
		struct kv_scan s = { .from = "J", .to = "K", .from_len = 1, .to_len = 1, .fn = del_tail,
		                     .arg = b };

		res = kv_scan_now(&s);
	}
	if (res == 0) {
		run.epoch = MAX(epoch, scanned_epoch) + 1;
		run.epoch = MAX(run.epoch, (scanned_seq >> EPOCH_SHIFT) + 1);
		run.old_seq = run.epoch << EPOCH_SHIFT;
		kv_batch_put(b, key, key_journal(key, JOURNAL_RUN), v, rec_encode(v, run.epoch, run.old_seq));
		res = kv_write_now(b);
	}
	kv_batch_free(b);
	return res;
}

int
file_open(const struct file_opts *opts, const struct volume *vol, char why[256])
{
	uint64_t max_seq = 0, max_epoch = 0;
	struct timespec now;
	int res;

	assert(!run.rec);
	run.opts = *opts;
	if (run.opts.pack_below == 0)
		run.opts.pack_below = PACK_BELOW_BYTES;
	if (run.opts.write_wait_ns == 0)
		run.opts.write_wait_ns = WRITE_WAIT_NS;
	run.volume = *vol;
	snprintf(run.journal_dir, sizeof(run.journal_dir), "%s", opts->journal_dir);
	run.opts.journal_dir = run.journal_dir;
	res = load_shares();
	if (res < 0) {
		snprintf(why, 256, "cannot read the shares: error %d", res);
		return res;
	}
	res = journal_scan(run.journal_dir, run.volume.uuid, tail_of, NULL, &run.rec, &run.nrecs, &max_seq,
	                   &max_epoch, why);
	if (res < 0)
		return res;
	if (run.nrecs > 0)
		qsort(run.rec, run.nrecs, sizeof(*run.rec), rec_order);
	res = begin_epoch(max_epoch, max_seq);
	if (res < 0) {
		snprintf(why, 256, "cannot write the number of this run: error %d", res);
		return res;
	}
	/* Of the epoch, so that it differs from all before; of the time, so that a restored copy's does too. */
	clock_gettime(CLOCK_REALTIME, &now);
	run.verf = mix64(run.epoch ^ mix64((uint64_t)now.tv_sec * SEC_NS + (uint64_t)now.tv_nsec));
	return 0;
}
