/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/readahead.h"

#include "meta/chunkmap.h"
#include "meta/fetch.h"
#include "reactor/reactor.h"

#define AHEAD       32                    /* fetches at once, a core */
#define WINDOW_MIN  (256 * (uint32_t)KIB)
#define WINDOW_MAX  (8 * (uint32_t)MIB)   /* of a file */
#define SLACK       (4 * MIB)             /* a client's READs arrive in any order within this */

struct ahead {
	struct fetch fetch;
	struct file *file;
	struct op step;
};

static __thread struct slab slab;

int
readahead_init(void)
{
	return slab_init(&slab, "readahead", sizeof(struct ahead), AHEAD);
}

void
readahead_fini(void)
{
	slab_fini(&slab);
}

static void
ahead_finish(struct ahead *a)
{
	/* They are in the cache now; an error is the reader's to see, if one comes. */
	for (uint32_t i = 0; a->step.res >= 0 && i < a->fetch.n; i++)
		buf_put(a->fetch.cache.out[i]);
	file_put(a->file);
	slab_put(&slab, a);
}

static void
ahead_resume(struct op *step)
{
	ahead_finish(container_of(step, struct ahead, step));
}

static bool
is_cached(uint64_t slice, uint32_t frame)
{
	struct buf *b = cache_find(slice, frame);

	if (b)
		buf_put(b);
	return b;
}

/* Frames [first, last] of a slice, those that are missing.  False: no more at once. */
static bool
ahead_slice(struct file *f, const struct slice_rec *s, uint32_t from, uint32_t to)
{
	uint32_t frame = from / FRAME_BYTES, last = (to - 1) / FRAME_BYTES;

	while (frame <= last) {
		struct ahead *a;
		uint32_t n = 0, room = FRAMES_PER_BLOCK - frame % FRAMES_PER_BLOCK;

		if (is_cached(s->slice, frame)) {
			frame++;
			continue;
		}
		while (n < room && frame + n <= last && (n == 0 || !is_cached(s->slice, frame + n)))
			n++;
		a = slab_get(&slab);
		if (!a)
			return false;
		a->fetch.slice = s->slice;
		a->fetch.first = frame;
		a->fetch.n = n;
		a->fetch.cache.nowait = true; /* readers come first */
		a->fetch.end = MIN(to, (frame + n) * FRAME_BYTES);
		a->file = f;
		a->step.resume = ahead_resume;
		f->users++;
		frame += n;
		if (fetch_run(&a->fetch, file_options()->store, share_prefix(f->inode->attr.share),
		              &a->step) == OP_DONE)
			ahead_finish(a);
	}
	return true;
}

/* Returns how far it came: to the end, to a chunk that is not in memory, or to the limit of fetches. */
static uint64_t
ahead_run(struct file *f, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t base = ROUND_DOWN(at, CHUNK_BYTES), stop = MIN(end, base + CHUNK_BYTES);
		const struct chunk *c = chunkmap_find(f, at / CHUNK_BYTES);

		if (!c)
			return at;
		for (uint32_t k = pieces_find(&c->pieces, (uint32_t)(at - base)); k < c->pieces.n; k++) {
			struct slice_rec s = c->pieces.v[k];
			uint64_t from = MAX(at, base + s.pos), to = MIN(stop, base + s.pos + s.len);

			if (base + s.pos >= stop)
				break;
			if (!ahead_slice(f, &s, s.off + (uint32_t)(from - base - s.pos),
			                 s.off + (uint32_t)(to - base - s.pos)))
				return from;
		}
		at = stop;
	}
	return at;
}

void
readahead_note(struct file *f, uint64_t off, uint32_t len)
{
	struct readahead *ra = &f->ra;
	uint64_t end = off + len, size = f->inode->attr.size;

	if (off > ra->next + SLACK || end + SLACK < ra->next) { /* somewhere else: begin anew */
		*ra = (struct readahead){ .next = end, .done = end };
		return;
	}
	ra->next = MAX(ra->next, end);
	ra->done = MAX(ra->done, ra->next);
	ra->window = ra->window ? MIN(2 * ra->window, WINDOW_MAX) : WINDOW_MIN;
	/* Half a window at a time, so that fetches are long. */
	if (ra->done - ra->next <= ra->window / 2 && ra->done < size)
		ra->done = ahead_run(f, ra->done, MIN(size, ra->next + ra->window));
}
