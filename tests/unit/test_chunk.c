/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>

#include "meta/chunk.h"

/* A small chunk as bytes: which slice shows at each position, and which of its bytes. */
#define SPACE 512
struct byte { uint64_t slice; uint32_t off; };

static uint64_t seed;

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static void
paint(struct byte *m, const struct slice_rec *r)
{
	for (uint32_t i = 0; i < r->len; i++)
		m[r->pos + i] = (struct byte){ r->slice, r->slice ? r->off + i : 0 };
}

static bool
shows(const struct byte *m, uint64_t slice)
{
	for (uint32_t i = 0; i < SPACE; i++)
		if (m[i].slice == slice)
			return true;
	return false;
}

static void
check_same(const struct pieces *p, const struct byte *m)
{
	uint32_t at = 0;
	uint64_t covered = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct slice_rec *r = &p->v[i];

		cr_assert(r->slice != 0 && r->len > 0 && r->pos >= at);
		for (; at < r->pos; at++)
			cr_assert(eq(u64, m[at].slice, 0));
		for (uint32_t k = 0; k < r->len; k++, at++) {
			cr_assert(eq(u64, m[at].slice, r->slice));
			cr_assert(eq(u32, m[at].off, r->off + k));
		}
	}
	for (; at < SPACE; at++)
		cr_assert(eq(u64, m[at].slice, 0));
	for (at = 0; at < SPACE; at++)
		covered += m[at].slice != 0;
	cr_assert(eq(u64, pieces_covered(p), covered));
}

static struct slice_rec
random_rec(uint64_t slice)
{
	uint32_t pos = rnd(SPACE), len = 1 + rnd(rnd(2) ? SPACE / 8 : SPACE - pos);

	len = MIN(len, SPACE - pos);
	return (struct slice_rec){ pos, len, slice ? rnd(1000) : 0, slice };
}

/* Records laid down one by one, and decoded at once, both show what the bytes show. */
Test(chunk, overlay_is_what_bytes_say)
{
	for (seed = 1; seed <= 400; seed++) {
		struct byte map[SPACE] = { 0 };
		struct pieces step = { 0 }, all = { 0 };
		uint8_t val[64 * SLICE_REC_BYTES];
		uint64_t start = seed;
		uint32_t n = 1 + rnd(64);

		for (uint32_t i = 0; i < n; i++) {
			struct slice_rec r = random_rec(rnd(6) ? i + 1 : 0);

			slice_encode(val + i * SLICE_REC_BYTES, &r);
			paint(map, &r);
			cr_assert(eq(int, pieces_insert(&step, &r, 1), 0));
			check_same(&step, map);
		}
		cr_assert(eq(int, chunk_decode(val, n * SLICE_REC_BYTES, &all), 0));
		check_same(&all, map);
		for (uint32_t pos = 0; pos < SPACE; pos++) {
			uint32_t k = pieces_find(&all, pos);

			if (map[pos].slice)
				cr_assert(k < all.n && all.v[k].pos <= pos && all.v[k].slice == map[pos].slice);
			else
				cr_assert(k == all.n || all.v[k].pos > pos);
		}
		pieces_fini(&step);
		pieces_fini(&all);
		seed = start;
	}
}

/* Many disjoint records at once, as a flush brings them; the lost slices are those that no byte shows any more. */
Test(chunk, batches_and_lost_slices)
{
	for (seed = 1; seed <= 400; seed++) {
		struct byte map[SPACE] = { 0 };
		struct pieces p = { 0 };
		uint64_t start = seed, next = 1;

		for (int round = 0; round < 20; round++) {
			struct slice_rec b[SPACE];
			struct byte old[SPACE];
			uint64_t ids[SPACE];
			uint32_t nb = 0, nlost, expect = 0;

			for (uint32_t pos = rnd(64); pos < SPACE && nb < 20;) {
				uint32_t want = 1 + rnd(40), len = MIN(want, SPACE - pos);
				/* Now and then two pieces of one slice, or a hole. */
				uint64_t slice = rnd(5) == 0 ? 0 : rnd(3) || next == 1 ? next++ : next - 1;

				b[nb++] = (struct slice_rec){ pos, len, slice ? rnd(1000) : 0, slice };
				pos += len + (rnd(3) ? rnd(60) : 0);
			}
			memcpy(old, map, sizeof(old));
			for (uint32_t i = 0; i < nb; i++)
				paint(map, &b[i]);
			nlost = pieces_lost(&p, b, nb, ids);
			for (uint64_t s = 1; s < next; s++) {
				bool in_b = false, listed = false;

				for (uint32_t i = 0; i < nb; i++)
					in_b |= b[i].slice == s;
				for (uint32_t i = 0; i < nlost; i++)
					listed |= ids[i] == s;
				if (in_b)
					continue; /* the caller's own */
				cr_assert(eq(int, listed, shows(old, s) && !shows(map, s)));
				expect += listed;
			}
			cr_assert(le(u32, expect, nlost));
			cr_assert(eq(int, pieces_insert(&p, b, nb), 0));
			check_same(&p, map);
		}
		pieces_fini(&p);
		seed = start;
	}
}

Test(chunk, neighbours_of_one_slice_join)
{
	struct slice_rec a = { 0, 100, 0, 7 }, hole = { 40, 20, 0, 0 }, back = { 40, 20, 40, 7 };
	struct pieces p = { 0 };

	pieces_insert(&p, &a, 1);
	pieces_insert(&p, &hole, 1);
	cr_assert(eq(u32, p.n, 2));
	cr_assert(eq(u64, pieces_covered(&p), 80));
	pieces_insert(&p, &back, 1);
	cr_assert(eq(u32, p.n, 1));
	cr_assert(eq(u32, p.v[0].len, 100));
	pieces_fini(&p);
}

/* What the disk says is checked, never believed. */
Test(chunk, damaged_values_are_refused)
{
	struct slice_rec bad[] = {
		{ 0, 0, 0, 1 },                             /* empty */
		{ CHUNK_BYTES, 1, 0, 1 },                   /* behind the chunk */
		{ CHUNK_BYTES - 1, 2, 0, 1 },               /* beyond its end */
		{ 0, 2, CHUNK_BYTES - 1, 1 },               /* beyond the slice's */
		{ UINT32_MAX, UINT32_MAX, UINT32_MAX, 1 },
	};
	struct slice_rec good = { 5, 6, 7, 8 };
	uint8_t val[2 * SLICE_REC_BYTES];
	struct pieces p = { 0 };

	slice_encode(val, &good);
	cr_assert(eq(int, chunk_decode(val, SLICE_REC_BYTES, &p), 0));
	cr_assert(eq(u32, p.n, 1));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		slice_encode(val + SLICE_REC_BYTES, &bad[i]);
		cr_assert(eq(int, chunk_decode(val, 2 * SLICE_REC_BYTES, &p), -E_DAMAGED));
		cr_assert(eq(u32, p.n, 0));
	}
	cr_assert(eq(int, chunk_decode(val, SLICE_REC_BYTES - 1, &p), -E_DAMAGED));
	cr_assert(eq(int, chunk_decode(val, 0, &p), 0));
	cr_assert(eq(u32, p.n, 0));
}

/* 16,384 slices of 4 KiB in random order: decoding and finding stay fast, and nothing is lost. */
Test(chunk, many_slices)
{
	uint32_t n = 16384, *order = malloc(n * sizeof(*order));
	uint8_t *val = malloc((size_t)n * SLICE_REC_BYTES);
	struct pieces p = { 0 };

	seed = 1;
	for (uint32_t i = 0; i < n; i++)
		order[i] = i;
	for (uint32_t i = n - 1; i > 0; i--) {
		uint32_t k = rnd(i + 1), t = order[i];

		order[i] = order[k];
		order[k] = t;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct slice_rec r = { order[i] * 4096, 4096, 0, i + 1 };

		slice_encode(val + (size_t)i * SLICE_REC_BYTES, &r);
	}
	cr_assert(eq(int, chunk_decode(val, (size_t)n * SLICE_REC_BYTES, &p), 0));
	cr_assert(eq(u32, p.n, n));
	for (uint32_t i = 0; i < n; i++)
		cr_assert(eq(u64, p.v[pieces_find(&p, order[i] * 4096 + 17)].slice, i + 1));
	pieces_fini(&p);
	free(val);
	free(order);
}
