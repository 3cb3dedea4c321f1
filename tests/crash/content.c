/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/content.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/client/pattern.h"

enum {
	CANDIDATES = 512,       /* at one byte */
	IDS_TRIED = 1 << 22,    /* to find whose a byte is */
	WHOLE = 4 << 20,        /* files up to this are read whole */
	MARGIN = 8 << 10,       /* around what was written: a write must not spill */
};

static void *
grown(void *p, uint32_t n, uint32_t *cap, size_t each)
{
	if (n < *cap)
		return p;
	*cap = *cap ? 2 * *cap : 16;
	p = realloc(p, *cap * each);
	if (!p)
		abort();
	return p;
}

void
content_free(struct content *c)
{
	free(c->seg);
	free(c->change);
	free(c->next);
	*c = (struct content){ 0 };
}

static uint32_t
change_add(struct content *c, const struct change *ch)
{
	c->change = grown(c->change, c->nchange, &c->change_cap, sizeof(*c->change));
	c->change[c->nchange] = *ch;
	return c->nchange++;
}

uint32_t
content_write(struct content *c, uint32_t id, uint64_t off, uint64_t len, uint64_t issue)
{
	assert(id);
	return change_add(c, &(struct change){ .id = id, .off = off, .end = off + len,
	                                       .issue = issue });
}

uint32_t
content_trunc(struct content *c, uint64_t size, uint64_t issue)
{
	return change_add(c, &(struct change){ .trunc = true, .off = size, .end = UINT64_MAX,
	                                       .issue = issue });
}

void
content_acked(struct content *c, uint32_t i, uint64_t now, bool durable, uint64_t verf)
{
	struct change *ch = &c->change[i];

	ch->ack = now;
	ch->durable = durable;
	ch->verf = verf;
}

void
content_committed(struct content *c, uint64_t issue, uint64_t off, uint64_t len, uint64_t verf)
{
	uint64_t end = len ? off + len : UINT64_MAX;

	for (uint32_t i = 0; i < c->nchange; i++) {
		struct change *ch = &c->change[i];

		if (ch->ack && ch->ack < issue && ch->verf == verf && ch->off >= off &&
		    ch->end <= end)
			ch->durable = true;
	}
}

void
content_verifier(struct content *c, uint64_t verf)
{
	for (uint32_t i = 0; i < c->nchange; i++)
		if (c->change[i].ack && c->change[i].verf == verf)
			c->change[i].durable = true;
}

void
content_begin(struct content *c)
{
	c->nnext = 0;
}

/* Did it surely happen, for this reader? */
static bool
certain(const struct view *v, const struct change *ch)
{
	if (ch->void_ || ch->weak || !ch->ack)
		return false;
	return v->crashed ? ch->durable : ch->ack < v->issue;
}

/* Was a over before b began? */
static bool
before(const struct change *a, const struct change *b)
{
	return a->ack && a->ack < b->issue;
}

/* Is the truncation t (NULL: the base) surely followed by another? */
static bool
trunc_outdone(const struct content *c, const struct view *v, const struct change *t)
{
	for (uint32_t i = 0; i < c->nchange; i++) {
		const struct change *o = &c->change[i];

		if (o->trunc && certain(v, o) && (!t || before(t, o)))
			return true;
	}
	return false;
}

/* The least size when t was the last truncation: what surely came after it counts. */
static uint64_t
least_size(const struct content *c, const struct view *v, const struct change *t)
{
	uint64_t lo = t ? t->off : c->size;

	for (uint32_t i = 0; i < c->nchange; i++) {
		const struct change *w = &c->change[i];

		if (!w->trunc && certain(v, w) && (!t || before(t, w)) && w->end > lo)
			lo = w->end;
	}
	return lo;
}

static bool
size_after(const struct content *c, const struct view *v, const struct change *t, uint64_t size)
{
	uint64_t lo = least_size(c, v, t);

	if (size <= lo)
		return size == lo;
	for (uint32_t i = 0; i < c->nchange; i++) {
		const struct change *w = &c->change[i];

		if (w->trunc || w->void_ || (t && before(w, t)))
			continue;
		/* what is not certain may have come in part, or still be on its way */
		if (w->end == size || (!certain(v, w) && w->off < size && size < w->end))
			return true;
	}
	return false;
}

bool
content_size_ok(const struct content *c, const struct view *v, uint64_t size)
{
	if (!trunc_outdone(c, v, NULL) && size_after(c, v, NULL, size))
		return true;
	for (uint32_t i = 0; i < c->nchange; i++) {
		const struct change *t = &c->change[i];

		if (t->trunc && !t->void_ && !trunc_outdone(c, v, t) && size_after(c, v, t, size))
			return true;
	}
	return false;
}

void
content_sizes(const struct content *c, const struct view *v, char *dst, size_t len)
{
	uint64_t seen = UINT64_MAX;
	size_t n = 0;

	dst[0] = 0;
	for (uint32_t i = 0; i <= 2 * c->nchange && n + 24 < len; i++) {
		const struct change *ch = &c->change[i / 2];
		uint64_t size = i == 2 * c->nchange ? least_size(c, v, NULL) :
		                i & 1               ? least_size(c, v, ch->trunc ? ch : NULL) :
		                ch->trunc           ? ch->off :
		                                      ch->end;

		if (size != seen && content_size_ok(c, v, size))
			n += (size_t)snprintf(dst + n, len - n, " %" PRIu64, size);
		seen = size;
	}
}

uint64_t
content_extent(const struct content *c)
{
	uint64_t end = c->size;

	for (uint32_t i = 0; i < c->nchange; i++) {
		const struct change *ch = &c->change[i];
		uint64_t e = ch->trunc ? ch->off : ch->end;

		if (!ch->void_ && e > end)
			end = e;
	}
	return end;
}

static uint32_t
base_id(const struct content *c, uint64_t off)
{
	for (uint32_t i = 0; i < c->nseg; i++)
		if (c->seg[i].off <= off && off < c->seg[i].end)
			return c->seg[i].id;
	return 0;
}

/* Where, after off, something begins or ends; at most end. */
static uint64_t
boundary(const struct content *c, uint64_t off, uint64_t end)
{
	for (uint32_t i = 0; i < c->nseg; i++) {
		const struct segment *s = &c->seg[i];

		if (s->off > off && s->off < end)
			end = s->off;
		if (s->end > off && s->end < end)
			end = s->end;
	}
	for (uint32_t i = 0; i < c->nchange; i++) {
		const struct change *ch = &c->change[i];

		if (ch->void_)
			continue;
		if (ch->off > off && ch->off < end)
			end = ch->off;
		if (ch->end > off && ch->end < end)
			end = ch->end;
	}
	return end;
}

/* Whose bytes may be seen at off: ids, the newest call first, the base last. */
static int
candidates(const struct content *c, const struct view *v, uint64_t off, uint32_t *ids)
{
	const struct change *over[CANDIDATES];
	int n = 0, nids = 0;
	bool base = true;

	for (uint32_t i = c->nchange; i-- > 0 && n < CANDIDATES;) {
		const struct change *ch = &c->change[i];

		if (ch->void_ || off < ch->off || off >= ch->end)
			continue;
		over[n++] = ch;
		base = base && !certain(v, ch);
	}
	for (int i = 0; i < n; i++) {
		bool out = false;

		for (int k = 0; k < n && !out; k++)
			out = certain(v, over[k]) && before(over[i], over[k]);
		if (!out)
			ids[nids++] = over[i]->trunc ? 0 : over[i]->id;
	}
	if (base)
		ids[nids++] = base_id(c, off);
	return nids;
}

static void
gather_segment(struct content *c, uint32_t id, uint64_t off, uint64_t end)
{
	struct segment *last = c->nnext ? &c->next[c->nnext - 1] : NULL;

	if (!id)
		return;
	if (last && last->id == id && last->end == off) {
		last->end = end;
		return;
	}
	c->next = grown(c->next, c->nnext, &c->next_cap, sizeof(*c->next));
	c->next[c->nnext++] = (struct segment){ .off = off, .end = end, .id = id };
}

/* Whose bytes are these?  Ids are counted up from 1, so all can be tried. */
static uint32_t
whose(const uint8_t *data, uint64_t off, size_t len, size_t *n)
{
	for (uint32_t id = 1; len >= 8 && id < IDS_TRIED; id++) {
		*n = pattern_match(data, id, off, len);
		if (*n >= 8)
			return id;
	}
	return 0;
}

/* Says what a wrong byte is: zeros, another write's, or nobody's. */
static void
explain(uint64_t off, const uint8_t *data, size_t len, const uint32_t *ids, int nids, char *why,
        size_t why_len)
{
	size_t n, m, zeros = pattern_match(data, 0, off, len);
	uint32_t id = zeros ? 0 : whose(data, off, len, &m);

	n = (size_t)snprintf(why, why_len, "at byte %" PRIu64 ": found ", off);
	if (zeros)
		n += (size_t)snprintf(why + n, why_len - n, "%zu zeros", zeros);
	else if (id)
		n += (size_t)snprintf(why + n, why_len - n, "%zu bytes of write #%u", m, id);
	else
		n += (size_t)snprintf(why + n, why_len - n, "bytes of no write (%02x)", data[0]);
	n += (size_t)snprintf(why + n, why_len - n, ", allowed is");
	for (int i = 0; i < nids && n + 24 < why_len; i++)
		n += (size_t)snprintf(why + n, why_len - n, ids[i] ? " #%u" : " zeros", ids[i]);
}

int
content_check(struct content *c, const struct view *v, uint64_t off, const uint8_t *data,
              size_t len, bool gather, uint64_t *torn, char *why, size_t why_len)
{
	uint32_t ids[CANDIDATES + 1];
	uint64_t end = off + len;

	while (off < end) {
		uint64_t to = boundary(c, off, end);
		int nids = candidates(c, v, off, ids), runs = 0;

		while (off < to) {
			size_t best = 0;
			uint32_t id = 0;

			for (int i = 0; i < nids && best < to - off; i++) {
				size_t m = pattern_match(data, ids[i], off, to - off);

				if (m > best) {
					best = m;
					id = ids[i];
				}
			}
			if (!best) {
				explain(off, data, end - off, ids, nids, why, why_len);
				return -1;
			}
			if (gather)
				gather_segment(c, id, off, off + best);
			off += best;
			data += best;
			runs++;
		}
		if (runs > 1)
			++*torn;
	}
	return 0;
}

static int
range_order(const void *a, const void *b)
{
	const struct byte_range *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

static int
range_add(struct byte_range *r, int n, int max, uint64_t size, uint64_t off, uint64_t end)
{
	off = off > MARGIN ? off - MARGIN : 0;
	end = end < size - MARGIN && size > MARGIN ? end + MARGIN : size;
	if (off >= end || n == max)
		return n;
	r[n] = (struct byte_range){ .off = off, .len = end - off };
	return n + 1;
}

int
content_ranges(const struct content *c, uint64_t size, struct byte_range *r, int max)
{
	int n = 0, m = 0;

	if (!size)
		return 0;
	if (size <= WHOLE) {
		r[0] = (struct byte_range){ .off = 0, .len = size };
		return 1;
	}
	n = range_add(r, n, max, size, 0, 1);
	n = range_add(r, n, max, size, size - 1, size);
	n = range_add(r, n, max, size, size / 2, size / 2 + 1);
	for (uint32_t i = 0; i < c->nseg; i++)
		n = range_add(r, n, max, size, c->seg[i].off, c->seg[i].end);
	for (uint32_t i = 0; i < c->nchange; i++) {
		const struct change *ch = &c->change[i];

		n = range_add(r, n, max, size, ch->off, ch->trunc ? ch->off + 1 : ch->end);
	}
	assert(n < max);
	qsort(r, (size_t)n, sizeof(*r), range_order);
	for (int i = 1; i < n; i++) {
		uint64_t end = r[i].off + r[i].len;

		if (r[i].off > r[m].off + r[m].len)
			r[++m] = r[i];
		else if (end > r[m].off + r[m].len)
			r[m].len = end - r[m].off;
	}
	return m + 1;
}

static int
segment_order(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->off < y->off ? -1 : x->off > y->off;
}

void
content_settled(struct content *c, uint64_t size)
{
	struct segment *old = c->seg;
	uint32_t cap = c->seg_cap, m = 0;

	if (c->nnext)
		qsort(c->next, c->nnext, sizeof(*c->next), segment_order);
	for (uint32_t i = 1; i < c->nnext; i++) {
		assert(c->next[i].off >= c->next[m].end);
		if (c->next[i].id == c->next[m].id && c->next[i].off == c->next[m].end)
			c->next[m].end = c->next[i].end;
		else
			c->next[++m] = c->next[i];
	}
	c->seg = c->next;
	c->nseg = c->nnext ? m + 1 : 0;
	c->seg_cap = c->next_cap;
	c->next = old;
	c->next_cap = cap;
	c->nnext = 0;
	c->nchange = 0;
	c->size = size;
}
