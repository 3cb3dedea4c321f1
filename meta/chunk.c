/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/chunk.h"

#include <stdlib.h>

void
pieces_fini(struct pieces *p)
{
	free(p->v);
	*p = (struct pieces){ 0 };
}

static uint32_t
rec_end(const struct slice_rec *r)
{
	return r->pos + r->len;
}

/* Bytes [from, to) of a record. */
static struct slice_rec
rec_part(const struct slice_rec *r, uint32_t from, uint32_t to)
{
	return (struct slice_rec){
		.pos = from,
		.len = to - from,
		.off = r->slice ? r->off + (from - r->pos) : 0,
		.slice = r->slice,
	};
}

struct emit {
	struct slice_rec *out;
	uint32_t n;
	bool keep_holes;
};

/* Appends, joined with the last one where the two are neighbours in chunk and slice. */
static void
emit(struct emit *e, struct slice_rec r)
{
	struct slice_rec *last = e->n ? &e->out[e->n - 1] : NULL;

	if (r.len == 0 || (r.slice == 0 && !e->keep_holes))
		return;
	if (last && last->slice == r.slice && rec_end(last) == r.pos &&
	    (r.slice == 0 || last->off + last->len == r.off)) {
		last->len += r.len;
		return;
	}
	e->out[e->n++] = r;
}

uint32_t
chunk_overlay(const struct slice_rec *a, uint32_t na, const struct slice_rec *b, uint32_t nb,
              bool keep_holes, struct slice_rec *out)
{
	struct emit e = { .out = out, .keep_holes = keep_holes };
	uint32_t i = 0, done = 0; /* all of a[i] before `done` is dealt with */

	for (uint32_t k = 0; k < nb; k++) {
		for (; i < na && a[i].pos < b[k].pos; i++) {
			uint32_t from = MAX(a[i].pos, done), to = MIN(rec_end(&a[i]), b[k].pos);

			if (from < to)
				emit(&e, rec_part(&a[i], from, to));
			if (rec_end(&a[i]) > b[k].pos)
				break; /* its rest may show behind b[k] */
		}
		emit(&e, b[k]);
		done = rec_end(&b[k]);
		while (i < na && rec_end(&a[i]) <= done)
			i++;
	}
	for (; i < na; i++) {
		uint32_t from = MAX(a[i].pos, done);

		emit(&e, rec_part(&a[i], from, rec_end(&a[i])));
	}
	return e.n;
}

/*
 * A run of k records becomes at most 2k pieces, so each run of the merge has a
 * slot of twice its records, and two arrays take turns.
 */
static void
merge_runs(struct slice_rec *from, struct slice_rec *to, uint32_t *count, uint32_t n, uint32_t width)
{
	for (uint32_t lo = 0; lo < n; lo += 2 * width) {
		uint32_t mid = lo + width;

		if (mid >= n) {
			memcpy(&to[2 * lo], &from[2 * lo], count[lo] * sizeof(*to));
			continue;
		}
		count[lo] = chunk_overlay(&from[2 * lo], count[lo], &from[2 * mid], count[mid], true,
		                          &to[2 * lo]);
	}
}

int
chunk_decode(const uint8_t *val, size_t len, struct pieces *out)
{
	uint32_t n = (uint32_t)(len / SLICE_REC_BYTES);
	struct slice_rec *x, *y;
	uint32_t *count;
	int res = 0;

	pieces_fini(out);
	if (len % SLICE_REC_BYTES != 0 || len > UINT32_MAX)
		return -E_DAMAGED;
	if (n == 0)
		return 0;
	x = malloc(2 * (size_t)n * sizeof(*x));
	y = malloc(2 * (size_t)n * sizeof(*y));
	count = malloc(n * sizeof(*count));
	if (!x || !y || !count) {
		res = -ENOMEM;
		goto out;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct slice_rec *r = &x[2 * i];

		res = slice_decode(r, val + (size_t)i * SLICE_REC_BYTES);
		if (res < 0)
			goto out;
		res = -E_DAMAGED;
		if (r->len == 0 || r->pos >= CHUNK_BYTES || r->len > CHUNK_BYTES - r->pos ||
		    (r->slice && r->off > CHUNK_BYTES - r->len))
			goto out;
		res = 0;
		count[i] = 1;
	}
	for (uint32_t width = 1; width < n; width *= 2) {
		struct slice_rec *swap = x;

		merge_runs(x, y, count, n, width);
		x = y;
		y = swap;
	}
	out->n = chunk_overlay(x, count[0], NULL, 0, false, y);
	if (out->n > 0) {
		out->cap = out->n;
		out->v = y;
		y = NULL;
	}
out:
	free(x);
	free(y);
	free(count);
	return res;
}

int
pieces_insert(struct pieces *p, const struct slice_rec *b, uint32_t nb)
{
	uint32_t cap = p->n + 2 * nb;
	struct slice_rec *v = malloc(MAX(cap, 1u) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	p->n = chunk_overlay(p->v, p->n, b, nb, false, v);
	free(p->v);
	p->v = v;
	p->cap = cap;
	return 0;
}

uint32_t
pieces_find(const struct pieces *p, uint32_t pos)
{
	uint32_t lo = 0, hi = p->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (rec_end(&p->v[mid]) > pos)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

uint64_t
pieces_covered(const struct pieces *p)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < p->n; i++)
		sum += p->v[i].len;
	return sum;
}

/* Ids are kept as 2 * id here, so that the lowest bit is free for a mark that does not change the order. */
static int
id_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a >> 1, y = *(const uint64_t *)b >> 1;

	return (x > y) - (x < y);
}

static uint32_t
ids_unique(uint64_t *ids, uint32_t n)
{
	uint32_t m = 0;

	qsort(ids, n, sizeof(*ids), id_cmp);
	for (uint32_t i = 0; i < n; i++)
		if (m == 0 || ids[m - 1] != ids[i])
			ids[m++] = ids[i];
	return m;
}

/* Whether all of r lies under b[]; *k: the first of b that ends beyond an earlier r's start. */
static bool
hidden(const struct slice_rec *r, const struct slice_rec *b, uint32_t nb, uint32_t k)
{
	uint32_t at = r->pos;

	for (; k < nb && at < rec_end(r) && b[k].pos <= at; k++)
		at = MAX(at, rec_end(&b[k]));
	return at >= rec_end(r);
}

uint32_t
pieces_lost(const struct pieces *p, const struct slice_rec *b, uint32_t nb, uint64_t *ids)
{
	struct pieces newer = { .v = (struct slice_rec *)(uintptr_t)b, .n = nb };
	uint32_t n = 0, lost = 0;

	if (nb == 0)
		return 0;
	/* Candidates: slices with a hidden piece; only pieces from the first of b to the last can be. */
	for (uint32_t i = pieces_find(p, b[0].pos); i < p->n && p->v[i].pos < rec_end(&b[nb - 1]); i++)
		if (hidden(&p->v[i], b, nb, pieces_find(&newer, p->v[i].pos)))
			ids[n++] = p->v[i].slice << 1;
	n = ids_unique(ids, n);
	if (n == 0)
		return 0;
	/* A piece that shows saves its slice. */
	for (uint32_t i = 0; i < p->n; i++) {
		uint64_t key = p->v[i].slice << 1;
		uint64_t *id = bsearch(&key, ids, n, sizeof(*ids), id_cmp);

		if (id && !hidden(&p->v[i], b, nb, pieces_find(&newer, p->v[i].pos)))
			*id |= 1;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!(ids[i] & 1))
			ids[lost++] = ids[i] >> 1;
	return lost;
}
