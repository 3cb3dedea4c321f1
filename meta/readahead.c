/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/readahead.h"

#include "meta/chunkmap.h"
#include "meta/fetch.h"
#include "reactor/reactor.h"

#define AHEAD     64               /* fetches at once, a core */
#define MAPS      16               /* chunks on their way into memory, a core */
#define LEAD      4                /* a window is so many times what was read in order */
#define SLACK     4                /* READs of a client that overtake each other: so many lengths */
#define SLACK_MIN (128 * KIB)

struct ahead {
	struct fetch fetch;
	struct file *file;
	struct op step;
	uint32_t bytes;
};

struct ahead_map {
	struct chunk_get get;
	struct file *file;
	struct op step;
};

static __thread struct {
	struct slab fetches, maps;
	uint64_t bytes, max_bytes; /* under way */
	uint64_t max_window;
} mine;

int
readahead_init(uint64_t arena_bytes)
{
	int res = slab_init(&mine.fetches, "readahead", sizeof(struct ahead), AHEAD);

	mine.bytes = 0;
	mine.max_bytes = arena_bytes / 4;
	mine.max_window = MIN(file_options()->readahead_bytes, arena_bytes / 8);
	if (res < 0)
		return res;
	res = slab_init(&mine.maps, "readahead maps", sizeof(struct ahead_map), MAPS);
	if (res < 0)
		slab_fini(&mine.fetches);
	return res;
}

void
readahead_fini(void)
{
	slab_fini(&mine.maps);
	slab_fini(&mine.fetches);
}

bool
readahead_is_busy(void)
{
	return mine.fetches.used > 0 || mine.maps.used > 0;
}

/* ---- frames */

static void
ahead_finish(struct ahead *a)
{
	/* They are in the cache now; an error is the reader's to see, if one comes. */
	for (uint32_t i = 0; a->step.res >= 0 && i < a->fetch.n; i++)
		buf_put(a->fetch.cache.out[i]);
	mine.bytes -= a->bytes;
	file_put(a->file);
	slab_put(&mine.fetches, a);
}

static void
ahead_resume(struct op *step)
{
	ahead_finish(container_of(step, struct ahead, step));
}

/* Frames [frame, frame + n) of one block, up to `end` in the slice.  False: not now. */
static bool
ahead_frames(struct file *f, uint64_t slice, uint32_t frame, uint32_t n, uint32_t end)
{
	struct ahead *a;

	if (mine.bytes + n * FRAME_BYTES > mine.max_bytes)
		return false;
	a = slab_get(&mine.fetches);
	if (!a)
		return false;
	a->fetch.slice = slice;
	a->fetch.ino = f->inode->ino;
	a->fetch.first = frame;
	a->fetch.n = n;
	a->fetch.end = end;
	a->fetch.cache.nowait = true; /* readers come first */
	a->file = f;
	a->bytes = n * FRAME_BYTES;
	a->step.resume = ahead_resume;
	mine.bytes += a->bytes;
	f->users++;
	if (fetch_run(&a->fetch, file_options()->store, share_prefix(f->inode->attr.share), &a->step) == OP_DONE)
		ahead_finish(a);
	return true;
}

/* What is missing of bytes [from, to) of a slice, block by block.  Returns how far it came. */
static uint32_t
ahead_slice(struct file *f, uint64_t slice, uint32_t from, uint32_t to)
{
	uint32_t frame = from / FRAME_BYTES, last = (to - 1) / FRAME_BYTES;

	while (frame <= last) {
		uint32_t n = 0, room = MIN(FRAMES_PER_BLOCK - frame % FRAMES_PER_BLOCK, last + 1 - frame);

		if (cache_has(slice, frame)) {
			frame++;
			continue;
		}
		while (n < room && !cache_has(slice, frame + n))
			n++;
		if (!ahead_frames(f, slice, frame, n, MIN(to, (frame + n) * FRAME_BYTES)))
			return MAX(from, frame * FRAME_BYTES);
		frame += n;
	}
	return to;
}

/* ---- chunks */

static void
map_finish(struct ahead_map *m)
{
	if (m->step.res >= 0)
		chunkmap_put(m->get.chunk); /* stays for a while; the stream goes on with its next READ */
	m->file->ra.mapping = false;
	file_put(m->file);
	slab_put(&mine.maps, m);
}

static void
map_resume(struct op *step)
{
	map_finish(container_of(step, struct ahead_map, step));
}

/* Else each chunk would begin with a READ that finds nothing ahead of it. */
static void
map_chunk(struct file *f, uint64_t index)
{
	struct ahead_map *m = f->ra.mapping ? NULL : slab_get(&mine.maps);

	if (!m)
		return;
	m->file = f;
	m->step.resume = map_resume;
	f->ra.mapping = true;
	f->users++;
	if (chunkmap_get(&m->get, f, index, false, &m->step) == OP_DONE)
		map_finish(m);
}

/* Returns how far it came: to the end, to a chunk that is not in memory yet, or to the limit of fetches. */
static uint64_t
ahead_run(struct file *f, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t base = ROUND_DOWN(at, CHUNK_BYTES), stop = MIN(end, base + CHUNK_BYTES);
		const struct chunk *c = chunkmap_find(f, at / CHUNK_BYTES);

		if (!c) {
			map_chunk(f, at / CHUNK_BYTES);
			c = chunkmap_find(f, at / CHUNK_BYTES);
		}
		if (!c)
			return at;
		for (uint32_t k = pieces_find(&c->pieces, (uint32_t)(at - base)); k < c->pieces.n; k++) {
			const struct slice_rec s = c->pieces.v[k];
			uint64_t start = base + s.pos, from = MAX(at, start), to = MIN(stop, start + s.len);
			uint32_t off = s.off + (uint32_t)(from - start), till = s.off + (uint32_t)(to - start), came;

			if (start >= stop)
				break;
			came = ahead_slice(f, s.slice, off, till);
			if (came < till)
				return from + (came - off);
		}
		at = stop;
	}
	return at;
}

/* ---- streams */

/* Whose READ this is; NULL: nobody's so far. */
static struct stream *
stream_find(struct readahead *ra, uint64_t off, uint32_t len)
{
	uint64_t slack = MAX((uint64_t)len * SLACK, SLACK_MIN);

	for (int i = 0; i < STREAMS; i++) {
		struct stream *s = &ra->stream[i];

		if (s->used && off <= s->next + slack && off + slack >= s->next)
			return s;
	}
	return NULL;
}

/* In the place of the one that was silent longest.  Who begins at the front of a file goes on, as a rule. */
static struct stream *
stream_new(struct readahead *ra, uint64_t off)
{
	struct stream *s = &ra->stream[0];

	for (int i = 1; i < STREAMS; i++)
		if (ra->stream[i].used < s->used)
			s = &ra->stream[i];
	*s = (struct stream){ .next = off, .done = off, .fresh = off > 0 };
	return s;
}

void
readahead_note(struct file *f, uint64_t off, uint32_t len)
{
	struct readahead *ra = &f->ra;
	uint64_t size = f->inode->attr.size, window, end;
	struct stream *s = stream_find(ra, off, len);

	if (mine.max_window == 0 || len == 0)
		return;
	if (!s)
		s = stream_new(ra, off);
	s->used = ++ra->clock;
	if (!s->fresh)
		s->run += len;
	s->fresh = false;
	s->next = MAX(s->next, off + len);
	s->done = MAX(s->done, s->next);
	window = MIN(LEAD * s->run, mine.max_window);
	end = s->next + window;
	if (window >= BLOCK_BYTES && end < size)
		end = ROUND_DOWN(end, BLOCK_BYTES);
	end = MIN(end, size);
	/* Not by crumbs: half a window, or a block. */
	if (end > s->done && (end == size || end - s->done >= MIN(window / 2, BLOCK_BYTES)))
		s->done = ahead_run(f, s->done, end);
}
