/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segments of earlier runs come back one after the other, while the core serves: a worker reads
 * trailer and summary, some kilobytes.  What a file holds belongs to the cores that own the inodes now;
 * with another number of cores that may be several.
 */
#include "store/diskcache_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reactor/shard.h"

static void load_next(struct cloader *c);

/* ---- on a worker */

static int
read_at(int fd, void *p, size_t len, uint64_t off)
{
	ssize_t n = pread(fd, p, len, (off_t)off);

	return n < 0 ? -errno : (size_t)n < len ? -E_DAMAGED : 0;
}

static int
read_tail(struct cseg *s, struct segment_tail *t)
{
	uint8_t page[PAGE];
	struct stat st;
	int err;

	if (fstat(s->fd, &st) < 0)
		return -errno;
	s->bytes = (uint64_t)st.st_size;
	if (s->bytes < 2 * PAGE || s->bytes > SEGMENT_BYTES_MAX || s->bytes % PAGE)
		return -E_DAMAGED;
	err = read_at(s->fd, page, PAGE, s->bytes - PAGE);
	return err < 0 ? err : segment_tail_decode(t, page, s->bytes, cache_disk_opts.uuid);
}

static int
read_summary(struct cseg *s, const struct segment_tail *t)
{
	uint32_t len = segment_summary_bytes(t->nframes);
	uint8_t *summary = malloc(len);
	int err;

	s->found = calloc(t->nframes, sizeof(*s->found));
	s->nfound = t->nframes;
	if (summary && s->found)
		err = read_at(s->fd, summary, len, (uint64_t)t->page * PAGE);
	else
		err = -ENOMEM;
	if (err == 0)
		err = segment_summary_decode(s->found, summary, t);
	free(summary);
	return err;
}

static int
load_run(struct work *w)
{
	struct cloader *c = container_of(w, struct cloader, work);
	struct cseg *s = c->seg;
	struct segment_tail t = { 0 };
	char path[PATH_BYTES + 64];
	int err;

	cseg_path(s, path);
	s->fd = open(path, O_RDWR | O_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	err = read_tail(s, &t);
	if (err == 0 && t.serial != s->serial)
		err = -E_DAMAGED; /* it has the name of another */
	if (err == 0)
		err = read_summary(s, &t);
	if (err == -ENODATA || err == -E_DAMAGED || err == -E_FORMAT || err == -EXDEV)
		unlink(path);
	else
		cseg_direct(s);
	return err;
}

/* ---- on the cores */

/* The frames of this core; without a slot none. */
static uint16_t
take_frames(struct cseg *s)
{
	uint16_t slot = slot_new(s);

	for (uint32_t i = 0; slot != NO_SLOT && i < s->nfound; i++) {
		const struct cframe *f = &s->found[i];
		int owner = f->ino ? shard_owner(f->ino) : s->owner;

		if (owner == reactor_core() && !entry_add(slot, f, 0))
			break;
	}
	return slot;
}

static void
visit(struct cseg *s)
{
	if (dcore->quit || dcore->free_slot == NO_SLOT)
		return;
	atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
	take_frames(s);
}

/* All of the last run are older than all of this one. */
static void
put_in_order(struct clog *l, uint16_t slot)
{
	uint16_t older = l->loaded, newer = older == NO_SLOT ? l->oldest : dcore->slot[older].newer;

	dcore->slot[slot].older = older;
	dcore->slot[slot].newer = newer;
	*(older == NO_SLOT ? &l->oldest : &dcore->slot[older].newer) = slot;
	*(newer == NO_SLOT ? &l->newest : &dcore->slot[newer].older) = slot;
	l->loaded = slot;
}

static void
load_end(struct cseg *s)
{
	free(s->found);
	s->found = NULL;
	dcore->load.busy = false;
	dcore->load.seg = NULL;
	dcore->load.file++;
	reactor_post(&dcore->load.step, 0);
}

/* Everybody has his frames: from now on it may be evicted. */
static void
taken(struct cseg *s)
{
	struct clog *l = &dcore->log[s->dir->index];

	put_in_order(l, dcore->load.slot);
	load_end(s);
	evict_kick(l);
}

static void
take(struct cseg *s)
{
	dcore->load.slot = take_frames(s);
	if (dcore->load.slot == NO_SLOT) { /* it has no place here: the next start may have one */
		log_bytes(&dcore->log[s->dir->index], 0, s->bytes);
		load_end(s);
		cseg_put(s);
		return;
	}
	for (uint32_t i = 0; i < s->nfound; i++) {
		int owner = s->found[i].ino ? shard_owner(s->found[i].ino) : s->owner;

		if (owner != s->owner)
			s->others |= 1ull << owner;
	}
	if (s->others)
		cseg_tell(s, visit, taken);
	else
		taken(s);
}

static void
loaded(struct cloader *c, int res)
{
	struct cseg *s = c->seg;
	struct cdir *d = s->dir;
	struct clog *l = &dcore->log[d->index];

	if (res == 0) {
		uint64_t listed = d->file[c->file].bytes;

		log_bytes(l, s->bytes, listed);
		take(s);
		return;
	}
	if (res == -E_DAMAGED || res == -E_FORMAT || res == -EXDEV)
		cdir_damaged(d, res == -E_DAMAGED ? "it is damaged"
		             : res == -E_FORMAT   ? "it is of another version"
		                                  : "it is of another volume", s->serial);
	else if (res != -ENODATA && res != -ENOENT)
		cdir_break(d, "loading a file", res);
	log_bytes(l, 0, d->file[c->file].bytes);
	load_end(s);
	cseg_put(s);
}

static void
load_resumed(struct op *op)
{
	struct cloader *c = container_of(op, struct cloader, step);

	if (c->seg)
		loaded(c, op->res);
	else
		load_next(c);
}

/* To the next file of this core. */
static bool
seek(struct cloader *c)
{
	for (; c->dir < dcore->nlogs; c->dir++, c->file = 0) {
		struct cdir *d = cdir_get(c->dir);

		for (; c->file < d->nfiles; c->file++) {
			if (d->file[c->file].core % (uint32_t)reactor_cores() != (uint32_t)reactor_core())
				continue;
			if (!d->broken)
				return true;
			log_bytes(&dcore->log[c->dir], 0, d->file[c->file].bytes);
		}
		d->loading--;
	}
	return false;
}

static void
load_next(struct cloader *c)
{
	const struct cfile *f;

	c->done = dcore->quit || !seek(c);
	if (c->done)
		return;
	f = &cdir_get(c->dir)->file[c->file];
	c->seg = cseg_new(cdir_get(c->dir), f->serial, f->bytes, f->core);
	if (!c->seg) {
		c->done = true;
		return;
	}
	c->busy = true;
	worker_run(&c->work, load_run, &c->step);
}

void
load_start(void)
{
	struct cloader *c = &dcore->load;

	c->step.resume = load_resumed;
	for (int i = 0; i < dcore->nlogs; i++)
		cdir_get(i)->loading++;
	reactor_post(&c->step, 0);
}

bool
load_is_idle(void)
{
	return !dcore->load.busy;
}
