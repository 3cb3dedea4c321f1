/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/fsck.h"

#include <stdio.h>
#include <stdlib.h>

#include "reactor/log.h"
#include "tools/chunk_walk.h"
#include "tools/metadata.h"
#include "tools/oncore.h"

#define HEADS  32   /* of the object store at a time */
#define SEEN   4096 /* packs that were found lately */

/* A block, and the piece of a file that needs it. */
struct need {
	struct obj_req req;
	struct op_part part;
	uint32_t index;
	uint64_t ino, chunk, slice, off, len, pack, least; /* least: bytes that the object has, if it is whole */
};

static struct {
	struct job job;
	struct fsck_report report;
	const struct daemon *daemon;
	/* the thread's own */
	struct need need[HEADS];
	int nneeds;
	struct op_join join;
	uint64_t seen[SEEN];
	uint64_t ino;            /* the last one */
	const char *prefix;      /* of its share */
} fsck = { .job = JOB_INIT };

/* ---- asking the store */

static enum op_state
ask_all(void *arg, struct op *op)
{
	(void)arg;
	op_join_start(&fsck.join, op);
	for (int i = 0; i < fsck.nneeds; i++) {
		struct need *n = &fsck.need[i];
		struct op *part = op_join_part(&fsck.join, &n->part);

		op_join_add(&fsck.join, &n->part, n->req.store->ops->head(&n->req, part));
	}
	return op_join_wait(&fsck.join);
}

/* Is the block still in that pack?  It may have moved while we asked (meta/repack.h). */
static bool
is_there(const struct need *n)
{
	uint8_t key[KV_KEY_MAX], val[BLOCK_REC_BYTES_MAX];
	struct block_rec rec = { 0 };
	int got = kv_get_now(key, key_block(key, n->slice, n->index), val, sizeof(val));

	return got < 0 || block_decode(&rec, val, (size_t)got) < 0 || rec.pack == n->pack;
}

/* Does the chunk still show that slice?  A client may have overwritten it while we asked. */
static bool
is_needed(const struct need *n)
{
	uint8_t key[KV_KEY_MAX], *val = malloc(SLICE_REC_BYTES * 65536);
	int len = val ? kv_get_now(key, key_chunk(key, n->ino, n->chunk), val, SLICE_REC_BYTES * 65536) : -ENOMEM;
	struct pieces p = { 0 };
	bool found = false;

	if (len > 0 && len <= (int)(SLICE_REC_BYTES * 65536) && chunk_decode(val, (size_t)len, &p) == 0)
		for (uint32_t i = 0; i < p.n && !found; i++)
			found = p.v[i].slice == n->slice;
	pieces_fini(&p);
	free(val);
	return found;
}

/* A bucket may be gone as a whole: after so many they are only counted. */
static void
note_broken(const struct need *n, bool cut)
{
	struct fsck_broken *b = NULL;
	char *path = fsck.report.nbroken < FSCK_BROKEN ? metadata_path(&fsck.daemon->vol, n->ino) : NULL; /* only this thread counts */

	job_lock(&fsck.job);
	if (path) {
		b = &fsck.report.broken[fsck.report.nbroken];
		*b = (struct fsck_broken){ .path = path, .object = strdup(n->req.name), .off = n->off, .len = n->len, .cut = cut };
	}
	fsck.report.nbroken++;
	job_unlock(&fsck.job);
	if (b)
		log_error("fsck: %s: bytes %lu to %lu: %s is %s", path, n->off, n->off + n->len - 1, n->req.name,
			cut ? "too short" : "missing");
}

/* Those that wait for an answer: 0, or why there is none. */
static int
settle(void)
{
	uint64_t bytes = 0;

	on_core(0, ask_all, NULL);
	for (int i = 0; i < fsck.nneeds; i++) {
		const struct need *n = &fsck.need[i];
		int err = n->part.op.res;
		bool cut = err == 0 && n->req.size < n->least;

		bytes += n->len;
		if (err < 0 && err != -ENOENT)
			return err;
		if ((cut || err == -ENOENT) && is_there(n) && is_needed(n))
			note_broken(n, cut);
		else if (n->pack && err == 0 && !cut)
			fsck.seen[n->pack % SEEN] = n->pack;
	}
	job_lock(&fsck.job);
	fsck.report.blocks += (uint64_t)fsck.nneeds;
	fsck.report.bytes += bytes;
	job_unlock(&fsck.job);
	fsck.nneeds = 0;
	return job_ending(&fsck.job) ? -ECANCELED : 0;
}

/* ---- walking */

/* The block `index` of the slice, of which the file shows [off, off + len). */
static int
need_block(const struct chunk_val *c, uint64_t slice, uint32_t index, uint64_t off, uint64_t len)
{
	struct need *n = &fsck.need[fsck.nneeds];
	uint8_t key[KV_KEY_MAX], val[BLOCK_REC_BYTES_MAX];
	struct block_rec rec = { 0 };
	int got = kv_get_now(key, key_block(key, slice, index), val, sizeof(val));

	memset(n, 0, sizeof(*n));
	*n = (struct need){ .ino = c->ino, .chunk = c->chunk, .slice = slice, .index = index, .off = off, .len = len };
	n->req.store = fsck.daemon->vol.store;
	if (got == -ENOENT) {
		snprintf(n->req.name, sizeof(n->req.name), "the record of slice %lu, block %u", slice, index);
		if (is_needed(n))
			note_broken(n, false);
		return 0;
	}
	if (got < 0 || (got = block_decode(&rec, val, (size_t)got)) < 0)
		return got;
	n->pack = rec.pack;
	n->least = rec.off + rec.stored;
	object_name(n->req.name, fsck.prefix, slice, index, &rec);
	if (rec.pack && fsck.seen[rec.pack % SEEN] == rec.pack)
		return 0;
	return ++fsck.nneeds == HEADS ? settle() : 0;
}

/* Of its share's objects; NULL: there is no such inode. */
static const char *
prefix_of(uint64_t ino)
{
	const struct share_rec *share;
	struct attr a;

	if (metadata_attr(ino, &a) < 0)
		return NULL;
	share = metadata_share(&fsck.daemon->vol, &a);
	return share ? share->prefix : NULL;
}

static int
check_chunk(void *arg, const struct chunk_val *c)
{
	struct pieces p = { 0 };
	int err = chunk_decode(c->val, c->len, &p);

	(void)arg;
	if (err == 0 && c->ino != fsck.ino) {
		err = settle(); /* its objects may have another prefix */
		fsck.ino = c->ino;
		fsck.prefix = prefix_of(c->ino);
		job_lock(&fsck.job);
		fsck.report.files += fsck.prefix != NULL;
		job_unlock(&fsck.job);
	}
	/* Without an inode it is a removed file's, whose chunks go in the background. */
	for (uint32_t i = 0; err == 0 && fsck.prefix && i < p.n; i++) {
		const struct slice_rec *s = &p.v[i];

		for (uint64_t at = s->off; err == 0 && s->slice && at < (uint64_t)s->off + s->len;) {
			uint32_t index = (uint32_t)(at / BLOCK_BYTES);
			uint64_t end = MIN((uint64_t)s->off + s->len, (index + 1) * BLOCK_BYTES);

			err = need_block(c, s->slice, index, c->chunk * CHUNK_BYTES + s->pos + (at - s->off), end - at);
			at = end;
		}
	}
	pieces_fini(&p);
	return err;
}

static int
run(void)
{
	int err = chunk_walk(check_chunk, NULL);

	if (err == 0)
		err = settle();
	if (err < 0)
		log_warn("fsck ended early: %s", objstore_error(err));
	log_info("fsck: %lu files, %lu blocks, %lu pieces broken", fsck.report.files, fsck.report.blocks, fsck.report.nbroken);
	return err;
}

/* ---- from the admin thread */

static void
forget_last(void)
{
	job_lock(&fsck.job);
	for (uint64_t i = 0; i < MIN(fsck.report.nbroken, FSCK_BROKEN); i++) {
		free(fsck.report.broken[i].path);
		free(fsck.report.broken[i].object);
	}
	memset(&fsck.report, 0, sizeof(fsck.report));
	job_unlock(&fsck.job);
}

int
fsck_start(const struct daemon *d)
{
	if (job_ready(&fsck.job) < 0)
		return -EBUSY;
	forget_last();
	fsck.daemon = d;
	fsck.nneeds = 0;
	fsck.ino = 0;
	fsck.prefix = NULL;
	memset(fsck.seen, 0, sizeof(fsck.seen)); /* packs may have gone since */
	return job_start(&fsck.job, run);
}

void
fsck_stop(void)
{
	job_stop(&fsck.job);
	forget_last();
}

void
fsck_look(void (*see)(const struct fsck_report *r, void *arg), void *arg)
{
	job_lock(&fsck.job);
	fsck.report.job = fsck.job.state;
	see(&fsck.report, arg);
	job_unlock(&fsck.job);
}
