/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records are applied in their order, inode by inode.  All of them, whether
 * their data was uploaded before the crash or not: what the journals hold is one suffix of the log
 * without gaps, so doing it again ends in the same bytes.  Only size and times look at attr.jseq, because
 * they have also been changed by what is not in the journal.
 *
 * The segments stay as a whole until the last of these files is uploaded.
 */
#include "meta/replay.h"

#include <stdlib.h>

#include "meta/file_core.h"
#include "meta/file_trunc.h"
#include "meta/flush.h"
#include "meta/trash.h"
#include "meta/usage.h"
#include "reactor/log.h"
#include "reactor/reactor.h"

#define BATCH_BYTES (1 * MIB)

struct replay {
	uint32_t left;             /* files with records of earlier runs */
	struct jloc *hold;         /* one record of each segment */
	uint32_t nholds, cap;
	struct kv_batch *batch;
	struct kv_write write;
	uint64_t tail;
	struct op step;
	bool releasing;
	enum { REPLAY_WRITTEN, REPLAY_SYNCED } stage;
	uint64_t files, records, lost, bytes;
};

static __thread struct replay *mine;

/* ---- holding the segments */

static int
hold_segment(const struct jloc *loc)
{
	/* Records of one inode are near each other: the last is the likeliest. */
	for (uint32_t i = mine->nholds; i-- > 0;)
		if (mine->hold[i].seg == loc->seg)
			return 0;
	if (mine->nholds == mine->cap) {
		uint32_t cap = mine->cap ? 2 * mine->cap : 64;
		struct jloc *more = realloc(mine->hold, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		mine->hold = more;
		mine->cap = cap;
	}
	jloc_get(loc);
	mine->hold[mine->nholds++] = *loc;
	return 0;
}

static void
release(void)
{
	while (mine->nholds > 0)
		jloc_put(&mine->hold[--mine->nholds]);
}

static void
release_run(struct op *step)
{
	struct replay *r = container_of(step, struct replay, step);

	if (step->res >= 0 && r->stage == REPLAY_WRITTEN) {
		r->stage = REPLAY_SYNCED;
		if (kv_sync(&r->write, step) == OP_PENDING)
			return;
	}
	r->releasing = false;
	if (step->res < 0)
		return; /* the segments stay, the next start finds them */
	release();
	crash_point("replay.released");
	log_info("all that the last run left in the journal is uploaded");
}

/* All changes so far, those that made the last records void among them, are durable before the segments go. */
static void
release_start(struct replay *r)
{
	r->releasing = true;
	r->step.resume = release_run;
	r->stage = REPLAY_WRITTEN;
	kv_batch_clear(r->batch);
	journal_tail_put(r->batch, journal_tail_now());
	if (kv_write(&r->write, r->batch, &r->step) == OP_DONE)
		reactor_post(&r->step, r->step.res);
}

void
file_replayed(struct file *f, bool replayed)
{
	if (f->replayed == replayed)
		return;
	f->replayed = replayed;
	if (replayed)
		mine->left++;
	else if (--mine->left == 0)
		release_start(mine);
}

bool
replay_is_busy(void)
{
	return mine->releasing;
}

/* ---- one inode */

struct redo {
	struct inode *inode;
	struct file *file;
	uint64_t cut;              /* the smallest size that a truncation gave it which RocksDB does not know of */
};

static int
redo_write(struct redo *d, const struct jrecord *rec)
{
	struct attr *a = &d->inode->attr;
	int res = hold_segment(&rec->loc);

	if (res == 0)
		res = extent_insert(&d->file->dirty, rec->off, rec->len, NULL, 0, &rec->loc, rec->seq, 0);
	if (res < 0)
		return res;
	if (rec->seq > a->jseq) {
		a->size = MAX(a->size, rec->off + rec->len);
		a->mtime_ns = a->ctime_ns = rec->time_ns;
		a->jseq = rec->seq;
	}
	mine->bytes += rec->len;
	return 0;
}

static void
redo_trunc(struct redo *d, const struct jrecord *rec)
{
	struct attr *a = &d->inode->attr;

	extent_cut(&d->file->dirty, rec->off);
	jloc_put(&rec->loc);
	if (rec->seq <= a->jseq)
		return;
	d->cut = MIN(d->cut, rec->off);
	a->size = rec->off;
	a->mtime_ns = a->ctime_ns = rec->time_ns;
	a->jseq = rec->seq;
}

static int
write_batch(void)
{
	int res = kv_write_now(mine->batch);

	kv_batch_clear(mine->batch);
	return res;
}

/* The chunk that the cut lies in. */
static int64_t
cut_boundary(const struct attr *a, uint64_t cut)
{
	uint8_t key[KV_KEY_MAX], *val = NULL;
	size_t klen = key_chunk(key, a->ino, cut / CHUNK_BYTES);
	struct pieces p = { 0 };
	uint8_t none;
	int len = kv_get_now(key, klen, &none, 0);
	int64_t res = len == -ENOENT ? 0 : len;

	if (len <= 0)
		return res;
	val = malloc((size_t)len);
	res = val ? kv_get_now(key, klen, val, (uint32_t)len) : -ENOMEM;
	if (res >= 0)
		res = chunk_decode(val, (size_t)len, &p);
	if (res >= 0)
		res = trunc_boundary(&p, cut / CHUNK_BYTES, (uint32_t)(cut % CHUNK_BYTES), a, mine->batch);
	pieces_fini(&p);
	free(val);
	return res;
}

static void
give_up_bytes(struct attr *a, int64_t n)
{
	a->used -= MIN(a->used, (uint64_t)n);
	usage_add(mine->batch, a->share, -n, 0);
	if (trash_holds(a))
		usage_add_trash(mine->batch, a->share, -n, 0);
}

/* A truncation that had only come as far as the journal: it ends here, before anything newer is uploaded over it. */
static int
finish_cut(struct inode *i, uint64_t cut)
{
	struct trunc_scan *s = calloc(1, sizeof(*s));
	uint8_t key[KV_KEY_MAX], val[ATTR_BYTES_MAX];
	struct attr *a = &i->attr;
	int64_t res = s ? 0 : -ENOMEM, n;

	while (res == 0) {
		trunc_scan_start(s, a->ino, (cut + CHUNK_BYTES - 1) / CHUNK_BYTES);
		res = kv_scan_now(&s->scan);
		if (res < 0)
			break;
		n = (int64_t)trunc_chunks(s, a, mine->batch);
		give_up_bytes(a, n);
		if (!s->more)
			break;
		res = write_batch();
	}
	if (res >= 0 && cut % CHUNK_BYTES != 0) {
		n = cut_boundary(a, cut);
		res = MIN(n, 0);
		give_up_bytes(a, MAX(n, 0));
	}
	if (res >= 0) {
		kv_batch_put(mine->batch, key, key_inode(key, a->ino), val, attr_encode(val, a));
		res = kv_batch_bytes(mine->batch) > BATCH_BYTES ? write_batch() : 0;
	}
	if (s)
		trunc_scan_fini(s);
	free(s);
	crash_point("replay.truncated");
	return (int)MIN(res, 0);
}

static void
skip(const struct jrecord *rec, size_t n)
{
	for (size_t k = 0; k < n; k++)
		jloc_put(&rec[k].loc);
}

static int
redo_inode(const struct jrecord *rec, size_t n)
{
	struct redo d = { .cut = UINT64_MAX };
	struct inode_get *g = calloc(1, sizeof(*g));
	int res = g ? inode_load(g, rec->ino) : -ENOMEM;

	if (res == -ESTALE) { /* removed since */
		skip(rec, n);
		mine->lost += n;
	}
	d.inode = res == 0 ? g->inode : NULL;
	free(g);
	if (res < 0)
		return res == -ESTALE ? 0 : res;
	if (d.inode->attr.type != FT_REG) {
		log_error("journal: inode %lu is no file: %zu records are ignored", rec->ino, n);
		skip(rec, n);
		inode_put(d.inode);
		return 0;
	}
	d.file = file_get(d.inode);
	assert(d.file); /* the slab was made large enough */
	for (size_t k = 0; k < n && res == 0; k++) {
		if (rec[k].kind == J_WRITE)
			res = redo_write(&d, &rec[k]);
		else
			redo_trunc(&d, &rec[k]);
	}
	if (res == 0 && d.cut != UINT64_MAX)
		res = finish_cut(d.inode, d.cut);
	if (d.file->dirty.count > 0)
		file_replayed(d.file, true);
	file_changed(d.file, &d.inode->attr);
	file_put(d.file);
	inode_put(d.inode);
	mine->files++;
	mine->records += n;
	return res;
}

/* ---- all of them */

int
replay_run(void)
{
	size_t nrecs, n;
	const struct jrecord *rec = file_recs(&nrecs);
	bool last = reactor_core() == reactor_cores() - 1;
	int res = 0;

	mine = calloc(1, sizeof(*mine));
	if (!mine)
		return -ENOMEM;
	mine->batch = kv_batch_new();
	for (size_t at = 0; at < nrecs && res == 0; at += n) {
		for (n = 1; at + n < nrecs && rec[at + n].ino == rec[at].ino; n++)
			;
		if (shard_owns(rec[at].ino))
			res = redo_inode(&rec[at], n);
	}
	if (res == 0)
		res = write_batch();
	if (res < 0) {
		log_error("the journal of the last run cannot be replayed: error %d", res);
		replay_fini();
		return res;
	}
	if (mine->left == 0)
		release();
	if (mine->files + mine->lost > 0)
		log_info("journal: %lu records of %lu files, %lu bytes, of the last run; %lu records of removed files",
		         mine->records, mine->files, mine->bytes, mine->lost);
	if (last) {
		file_recs_free();
		journal_scan_done();
	}
	flush_look();
	crash_point("replay.done");
	return 0;
}

void
replay_fini(void)
{
	release();
	kv_batch_free(mine->batch);
	free(mine->hold);
	free(mine);
	mine = NULL;
}
