/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>

#include "meta/compact_plan.h"

/* The first MiBs of a chunk in cells: which slice shows in each, and which of its cells. */
#define CELL  512u
#define CELLS (uint32_t)(4 * MIB / CELL)
struct cell { uint64_t slice; uint32_t off; };

static struct cell shows[CELLS], was[CELLS];
static struct pieces p;
static uint64_t seed, last_slice;
static struct compact_plan plan;
static struct slice_rec recs[PLAN_RECORDS];
static const struct compact_rule rule = { .merge = 5, .gathered = 100 };

static uint32_t
rnd(uint32_t below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % below;
}

static void
insert(const struct slice_rec *r, uint32_t n)
{
	cr_assert(eq(int, pieces_insert(&p, r, n), 0));
	for (uint32_t k = 0; k < n; k++)
		for (uint32_t i = 0; i < r[k].len / CELL; i++)
			shows[r[k].pos / CELL + i] = (struct cell){ r[k].slice, r[k].slice ? r[k].off / CELL + i : 0 };
}

/* A new slice over [pos, pos + len); a hole. */
static void
put(uint32_t pos, uint32_t len)
{
	insert(&(struct slice_rec){ .pos = pos, .len = len, .slice = ++last_slice }, 1);
}

static void
cut(uint32_t pos, uint32_t len)
{
	insert(&(struct slice_rec){ .pos = pos, .len = len }, 1);
}

static void
reset(uint64_t s)
{
	pieces_fini(&p);
	memset(shows, 0, sizeof(shows));
	seed = s;
	last_slice = 0;
}

/* What each cell of the plan's slice holds: the cells that were planned, in order. */
static void
commit(uint64_t slice)
{
	static struct cell held[CELLS];
	uint32_t n = 0, nrecs;

	for (uint32_t k = 0; k < plan.n; k++)
		for (uint32_t i = 0; i < plan.src[k].len / CELL; i++)
			held[n++] = (struct cell){ plan.src[k].slice, plan.src[k].off / CELL + i };
	cr_assert(eq(u32, n * CELL, plan.bytes));
	nrecs = compact_records(&plan, &p, slice, recs);
	for (uint32_t k = 0; k < nrecs; k++) {
		cr_assert(recs[k].len > 0 && recs[k].slice == slice && recs[k].off + recs[k].len <= plan.bytes);
		cr_assert(k == 0 || recs[k].pos >= recs[k - 1].pos + recs[k - 1].len);
		/* Not one byte reads as another than before. */
		for (uint32_t i = 0; i < recs[k].len / CELL; i++) {
			struct cell *now = &shows[recs[k].pos / CELL + i], *new = &held[recs[k].off / CELL + i];

			cr_assert(now->slice == new->slice && now->off == new->off);
		}
	}
	if (nrecs > 0)
		insert(recs, nrecs);
}

static uint32_t
merge_all(void)
{
	uint32_t plans = 0;

	for (uint32_t from = 0; from < CHUNK_BYTES; from = plan.upto, plans++) {
		if (!compact_next(&p, &rule, from, MIB, &plan))
			break;
		cr_assert(plan.bytes <= MIB && plan.n >= 2 && plan.upto > from);
		commit(++last_slice);
	}
	return plans;
}

Test(compact_plan, what_is_not_worth_it)
{
	reset(1);
	cr_assert(compact_next(&p, &rule, 0, MIB, &plan) == false);
	put(0, 4 * MIB);
	put(4096, 4096);
	cr_assert(compact_next(&p, &rule, 0, MIB, &plan) == false); /* three to merge */
	/* One slice with holes is one to merge. */
	reset(1);
	put(0, 2 * MIB);
	for (uint32_t at = 0; at < 2 * MIB; at += 8192)
		cut(at, 4096);
	cr_assert(compact_next(&p, &rule, 0, MIB, &plan) == false);
	/* Large pieces, however many. */
	reset(1);
	for (uint32_t at = 0; at < 4 * MIB; at += 2 * FRAME_BYTES)
		put(at, 2 * FRAME_BYTES);
	cr_assert(compact_next(&p, &rule, 0, MIB, &plan) == false);
	pieces_fini(&p);
}

Test(compact_plan, a_frame_in_which_five_are_to_be_merged)
{
	reset(1);
	put(0, 4 * MIB);
	put(MIB + 4096, 4096);
	put(MIB + 16384, 512);
	cr_assert(compact_next(&p, &rule, 0, MIB, &plan));
	cr_assert(eq(u32, plan.n, 5));
	cr_assert(eq(u32, plan.bytes, FRAME_BYTES));
	cr_assert(eq(u32, plan.src[0].pos, MIB));
	cr_assert(eq(u32, plan.src[0].off, MIB));
	commit(++last_slice);
	cr_assert(eq(u32, p.n, 3));
	cr_assert(compact_next(&p, &rule, 0, MIB, &plan) == false);
	pieces_fini(&p);
}

/* One page a frame: no frame is worth it, all together are. */
Test(compact_plan, many_have_gathered)
{
	reset(1);
	put(0, 4 * MIB);
	for (uint32_t k = 0; k < 49; k++)
		put(k * FRAME_BYTES + 8192, 4096);
	cr_assert(eq(u32, p.n, 99));
	cr_assert(compact_next(&p, &rule, 0, MIB, &plan) == false);
	put(49 * FRAME_BYTES + 8192, 4096);
	cr_assert(eq(u32, merge_all(), 3)); /* the fourth MiB has too few */
	cr_assert(eq(u32, p.n, 3 + 5));
	pieces_fini(&p);
}

Test(compact_plan, holes_stay)
{
	reset(7);
	for (uint32_t i = 0; i < 400; i++)
		put(rnd(CELLS / 2) * 2 * CELL, CELL);
	memcpy(was, shows, sizeof(was));
	cr_assert(lt(u32, 0, merge_all()));
	for (uint32_t i = 0; i < CELLS; i++)
		cr_assert(eq(int, shows[i].slice == 0, was[i].slice == 0));
	pieces_fini(&p);
}

/* A window of more pieces than a plan has room for is merged in parts, and is done some time. */
Test(compact_plan, more_pieces_than_a_plan_holds)
{
	int rounds = 0;

	reset(3);
	for (uint32_t at = 0; at < FRAME_BYTES; at += 13)
		cr_assert(eq(int, pieces_insert(&p, &(struct slice_rec){ .pos = at, .len = 13, .slice = at + 1 }, 1), 0));
	for (; compact_next(&p, &rule, 0, MIB, &plan); rounds++) {
		uint32_t n = compact_records(&plan, &p, 1000000 + (uint64_t)rounds, recs);

		cr_assert(eq(u32, n, 1));
		cr_assert(eq(int, pieces_insert(&p, recs, n), 0));
		cr_assert(lt(int, rounds, 10));
	}
	cr_assert(eq(u32, p.n, 1));
	pieces_fini(&p);
}

/* Writes, holes and cuts between the plan and its commit. */
Test(compact_plan, what_has_changed_meanwhile_is_left_alone)
{
	for (uint64_t round = 1; round <= 300; round++) {
		uint32_t writes = 1 + rnd(300), end;

		reset(round);
		if (rnd(2))
			put(0, CELLS * CELL);
		for (uint32_t i = 0; i < writes; i++) {
			uint32_t len = 1 + rnd(rnd(4) ? 16 : 256), at = rnd(CELLS - len);

			rnd(8) ? put(at * CELL, len * CELL) : cut(at * CELL, len * CELL);
		}
		for (uint32_t from = 0; compact_next(&p, &rule, from, (uint32_t)MIB * (1 + rnd(4)), &plan); from = plan.upto) {
			for (uint32_t i = rnd(20); i > 0; i--) {
				uint32_t len = 1 + rnd(32), at = rnd(CELLS - len);

				rnd(3) ? put(at * CELL, len * CELL) : cut(at * CELL, len * CELL);
			}
			if (rnd(4) == 0) {
				end = rnd(CELLS);
				cut(end * CELL, (CELLS - end) * CELL);
			}
			memcpy(was, shows, sizeof(was));
			commit(++last_slice);
			for (uint32_t i = 0; i < CELLS; i++)
				cr_assert(eq(int, shows[i].slice == 0, was[i].slice == 0));
		}
		merge_all();
		for (int i = 0; i < 3; i++)
			merge_all();
		cr_assert(compact_next(&p, &rule, 0, MIB, &plan) == false, "round %lu: it comes to no end", round);
	}
	pieces_fini(&p);
}
