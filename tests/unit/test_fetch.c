/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#include "tests/fake/plan.h"

#include "store/cache.c"
/* Both files have a name for their own state and for its buckets. */
#define bucket_of fetch_bucket_of
#define mine fetch_mine
#define REFETCHES 1
#include "store/fetch.c"
#include "store/fetch_get.c"
#undef mine
#undef bucket_of

static bool
is_cached(uint64_t slice, uint32_t frame)
{
	return lookup(mine, slice, frame) != NONE;
}

/* ---- objects: the bytes of each block tell slice and place */

#define ENCODED 100 /* slices from here on are stored in frames of every kind */
#define SEALED  200 /* and those are sealed, too: with the first key or the second */

static uint8_t
byte_at(uint64_t slice, uint64_t off)
{
	if (slice >= ENCODED)
		return (uint8_t)(slice * 31 + off / 500 + off % 7);
	return (uint8_t)((slice * 31 + off * 7 + (off >> 8) * 13 + (off >> 16) * 101) ^ (off >> 3));
}

/* The bytes of a block; a few are kept, since there are thousands of runs. */
static const uint8_t *
block_bytes(uint64_t slice, uint64_t index)
{
	static struct { uint64_t slice, index; uint8_t bytes[BLOCK_BYTES]; } kept[4], *k;

	k = &kept[(slice + index) % ARRAY_LEN(kept)];
	if (k->slice != slice || k->index != index)
		for (uint64_t i = 0; i < BLOCK_BYTES; i++)
			k->bytes[i] = byte_at(slice, index * BLOCK_BYTES + i);
	k->slice = slice;
	k->index = index;
	return k->bytes;
}

/* What is in the object: as above, or of three frames one raw, one by lz4, one by zstd. */
struct stored {
	struct block_rec rec;
	uint8_t bytes[BLOCK_BYTES + FRAMES_PER_BLOCK * SEAL_BYTES];
};

static struct stored *
block_stored(uint64_t slice, uint32_t index, uint32_t plain)
{
	static struct known { uint64_t slice; uint32_t index, plain; struct stored s; } known[3], *k;

	k = &known[(slice + index) % ARRAY_LEN(known)];
	if (k->slice == slice && k->index == index && k->plain == plain)
		return &k->s;
	*k = (struct known){ slice, index, plain, { .rec = { .plain = plain, .key_epoch = slice < SEALED ? 0 : 1 + slice % 2 } } };
	for (uint32_t at = 0; at < plain; at += FRAME_BYTES) {
		struct block_rec *rec = &k->s.rec;
		struct frame_how how = { .choice = { slice < ENCODED ? CODEC_RAW : (enum codec)(rec->nframes % 3), rec->nframes % 3 == 2 } };
		const struct frame_place place = { .epoch = rec->key_epoch, .slice = slice, .index = index, .block_plain = plain,
		                                   .frame = rec->nframes };
		struct frame_rec *f = &rec->frame[rec->nframes++];
		const uint8_t *stored = frame_encode(&how, &place, block_bytes(slice, index) + at, MIN(plain - at, FRAME_BYTES), f);

		memcpy(k->s.bytes + rec->stored, stored, f->stored);
		rec->stored += f->stored;
	}
	return &k->s;
}

/* An object with the frames of another slice in it, where that is not 0. */
static uint64_t instead;
/* And the plain length of the block that it holds, where its name has another. */
static uint32_t lie;

enum how { WELL, MISSING, DAMAGED, SHORT, BROKEN, AWAY };

/* What went ill for good: damage is only that when no other GET is sent for it. */
static int ill;

/* GETs that came damaged, and are asked for again. */
static struct { const struct obj_req *r; int times; } damaged[32];

static void
judge(const struct obj_req *r, unsigned how)
{
	size_t i = 0, empty = 0;

	while (i < ARRAY_LEN(damaged) && damaged[i].r != r)
		i++;
	while (damaged[empty].r)
		empty++;
	cr_assert(eq(int, r->afresh, i < ARRAY_LEN(damaged)));
	if (i == ARRAY_LEN(damaged)) {
		i = empty;
		damaged[i].times = 0;
	}
	damaged[i].r = how == DAMAGED && damaged[i].times++ < REFETCHES ? r : NULL;
	if (how != WELL && !damaged[i].r)
		ill++;
}

/* Damaged: a bit of the second byte of the first frame that it gets. */
static int
read_object(struct obj_req *r, unsigned how)
{
	static const int results[] = {
		[MISSING] = -ENOENT, [SHORT] = -E_DAMAGED, [BROKEN] = -EIO, [AWAY] = -E_JUKEBOX,
	};
	const char *base = strrchr(r->name, '/');
	unsigned long slice, index;
	unsigned plain;
	uint64_t len = 0;
	struct stored *s;

	judge(r, how);
	cr_assert(eq(int, sscanf(base, "/%lu_%lu_%u", &slice, &index, &plain), 3));
	if (how != WELL && how != DAMAGED)
		return results[how];
	s = block_stored(instead ? instead : slice, (uint32_t)index, lie ? lie : plain);
	for (int i = 0; i < r->niov; len += r->iov[i++].iov_len)
		memcpy(r->iov[i].iov_base, s->bytes + r->off + len, r->iov[i].iov_len);
	cr_assert(eq(u64, len, r->len));
	if (how == DAMAGED)
		((uint8_t *)r->iov[0].iov_base)[1] ^= 4;
	return 0;
}

/* A reader: its fetch, and what came of it. */
struct reader {
	struct cache_fetch f;
	struct op op;
	int answers;
};

static void
reader_answered(struct op *op)
{
	container_of(op, struct reader, op)->answers++;
}

static void
reader_init(struct reader *r, uint64_t slice, uint32_t first, uint32_t n, uint32_t plain)
{
	*r = (struct reader){
		.f = { .store = &fake_store, .prefix = "export", .slice = slice, .first = first, .n = n,
		       .index = first / 64 },
		.op.resume = reader_answered,
	};
	r->f.rec = block_stored(slice, first / 64, plain)->rec;
}

static enum op_state
reader_start(struct reader *r)
{
	enum op_state s = cache_fetch(&r->f, &r->op);

	if (s == OP_DONE)
		r->answers++;
	return s;
}

/* Answered once; what it got is right, and is put. */
static void
reader_end(struct reader *r)
{
	cr_assert(eq(int, r->answers, 1));
	for (uint32_t i = 0; i < r->f.n; i++) {
		uint64_t at = (uint64_t)(r->f.first + i) * FRAME_BYTES;
		uint32_t len = MIN(FRAME_BYTES, r->f.rec.plain - (r->f.first + i) % 64 * FRAME_BYTES);

		if (r->op.res < 0) {
			cr_assert(eq(ptr, r->f.out[i], NULL));
			continue;
		}
		cr_assert(ne(ptr, r->f.out[i], NULL));
		bool same = memcmp(r->f.out[i]->data, block_bytes(r->f.slice, r->f.index) +
		                   at % BLOCK_BYTES, len) == 0;
		cr_assert(same);
		buf_put(r->f.out[i]);
	}
}

static void
enter(uint32_t frames)
{
	log_set_level(LOG_ERROR);
	fake_do = read_object;
	plan_reset();
	cache_init(frames);
}

/* No buffer is held but by the cache, and by it no more when it has ended. */
static void
leave(void)
{
	cr_assert(eq(u64, cache_stats(0)->frames, fake_held));
	cache_fini();
	cr_assert(eq(int, fake_held, 0));
}

static void
reset_stats(void)
{
	memset(stats, 0, sizeof(stats));
	frame_start(1, 1);
	seal_start((const uint8_t *)"0123456789abcdef");
	seal_add(1, AEAD_AES256GCM, (const uint8_t *)"a key of thirty-two bytes, it is");
	seal_add(2, AEAD_CHACHA20, (const uint8_t *)"another of as many bytes, it is!");
}

static void
stop(void)
{
	frame_stop();
	seal_stop();
}

TestSuite(fetch, .init = reset_stats, .fini = stop);

/* Any range of a block, the short last frame too, in one GET; then from memory. */
Test(fetch, ranges)
{
	static const uint32_t plains[] = { 1, 65536, 65537, 1000000, (uint32_t)BLOCK_BYTES };

	enter(1000);
	for (size_t p = 0; p < ARRAY_LEN(plains); p++) {
		uint32_t frames = (plains[p] + 65535) / 65536;

		for (uint32_t first = 0; first < frames; first += 1 + frames / 5)
			for (uint32_t n = 1; first + n <= frames; n += 1 + frames / 4) {
				struct reader r;

				for (int warm = 0; warm < 2; warm++) {
					fake_gets = 0;
					reader_init(&r, 9, 128 + first, n, plains[p]);
					cr_assert(eq(int, reader_start(&r), OP_DONE));
					cr_assert(eq(int, r.op.res, 0));
					reader_end(&r);
					cr_assert(eq(int, fake_gets, !warm));
				}
				cache_forget(9, 128, 64);
			}
	}
	leave();
}

/* Only what is missing is fetched, and what is contiguous at once. */
Test(fetch, gaps)
{
	struct reader r;

	enter(100);
	for (uint32_t i = 1; i < 64; i += 2) {
		reader_init(&r, 9, i, 1, (uint32_t)BLOCK_BYTES);
		reader_start(&r);
		reader_end(&r);
	}
	fake_gets = 0;
	reader_init(&r, 9, 0, 64, (uint32_t)BLOCK_BYTES);
	cr_assert(eq(int, reader_start(&r), OP_DONE));
	reader_end(&r);
	cr_assert(eq(int, fake_gets, 32));
	cr_assert(eq(u64, cache_stats(0)->hits, 32));
	cr_assert(eq(u64, cache_stats(0)->misses, 64));
	cr_assert(eq(u64, cache_stats(0)->fetched_bytes, BLOCK_BYTES));
	leave();
}

/* Of frames that are encoded, too, no more than theirs come. */
static void
ranges(uint64_t slice)
{
	enter(1000);
	for (uint32_t first = 0; first < 64; first += 5)
		for (uint32_t n = 1; first + n <= 64; n += 1 + n / 2) {
			struct reader r;
			uint64_t bytes = 0, before = cache_stats(0)->fetched_bytes;

			fake_gets = 0;
			reader_init(&r, slice, first, n, (uint32_t)BLOCK_BYTES - 1000);
			for (uint32_t k = first; k < first + n; k++)
				bytes += r.f.rec.frame[k].stored;
			if (reader_start(&r) == OP_PENDING)
				fake_laps();
			cr_assert(eq(int, r.op.res, 0));
			reader_end(&r);
			cr_assert(eq(int, fake_gets, 1));
			cr_assert(eq(u64, cache_stats(0)->fetched_bytes - before, bytes));
			cache_forget(slice, 0, 64);
		}
	leave();
}

Test(fetch, encoded_ranges)
{
	ranges(ENCODED);
}

Test(fetch, sealed_ranges)
{
	ranges(SEALED);
	ranges(SEALED + 1);
}

/*
 * Readers whose ranges overlap in every way, one frame cached already; memory
 * and store answer now or later, well or ill, and the reactor runs between them or not.
 */
static void
every_plan(uint64_t slice)
{
	static const struct { uint32_t first, n; } range[] = { { 0, 4 }, { 2, 5 } };
	static const unsigned hows = DAMAGED + 1;
	uint64_t plans = 0, good = 0, errors;
	uint32_t plain = 6 * 65536 + 100;

	fake_hows = hows;
	fake_bufs_plan = true;
	do {
		struct reader r[ARRAY_LEN(range)], extra;
		int wrong = 0;

		cache_init(10);
		struct buf *b = fake_buf_new();
		memcpy(b->data, block_bytes(slice, 0) + 3 * 65536, 65536);
		cache_insert(slice, 3, b, 65536);
		buf_put(b);
		fake_do = read_object;
		fake_gets = ill = 0;
		errors = cache_stats(0)->errors;
		for (size_t i = 0; i < ARRAY_LEN(range); i++) {
			reader_init(&r[i], slice, range[i].first, range[i].n, plain);
			reader_start(&r[i]);
			if (plan_choice(2))
				fake_laps();
		}
		do
			fake_laps();
		while (fake_serve());
		for (size_t i = 0; i < ARRAY_LEN(range); i++) {
			wrong += r[i].op.res < 0;
			good += r[i].op.res == 0;
			reader_end(&r[i]);
		}
		errors = cache_stats(0)->errors - errors;
		/* A GET that went ill is somebody's error, and nobody's error comes from nothing. */
		cr_assert(eq(u64, errors, ill));
		cr_assert(eq(int, wrong > 0, ill > 0));
		if (ill == 0)
			cr_assert(le(int, fake_gets, 3 * (REFETCHES + 1)));
		/* What is cached now is right: a damaged frame is not. */
		fake_hows = 1;
		fake_bufs_plan = false;
		for (uint32_t i = 0; i < 7; i++)
			if (is_cached(slice, i)) {
				reader_init(&extra, slice, i, 1, plain);
				cr_assert(eq(int, reader_start(&extra), OP_DONE));
				reader_end(&extra);
			}
		fake_hows = hows;
		fake_bufs_plan = true;
		leave();
		plans++;
	} while (plan_again());
	cr_assert(lt(u64, 2000, plans));
	cr_assert(lt(u64, 1000, good));
}

Test(fetch, every_plan, .timeout = 600)
{
	every_plan(9);
}

/* Decoded on the spot and by a worker. */
Test(fetch, encoded_every_plan, .timeout = 600)
{
	every_plan(ENCODED);
}

Test(fetch, sealed_every_plan, .timeout = 600)
{
	every_plan(SEALED);
}

/* The reader gets an error and no byte, with a line of log and no second GET; what it asked for is not cached. */
static void
refused(struct reader *r, int err)
{
	fake_gets = fake_logged = 0;
	if (reader_start(r) == OP_PENDING)
		fake_laps();
	cr_assert(eq(int, r->op.res, err));
	cr_assert(eq(int, fake_gets, err == -E_DAMAGED));
	cr_assert(ge(int, fake_logged, 1));
	reader_end(r);
	cr_assert(not(is_cached(r->f.slice, r->f.first)));
	cache_forget(r->f.slice, r->f.first, r->f.n);
}

/*
 * Somebody who may write to the bucket gives other frames than those that belong there, and has the records' checksums
 * and lengths right, though he cannot: here, and by a worker.
 */
Test(fetch, sealed_elsewhere)
{
	enum { PLAIN = 10 * 65536 };
	struct reader r;

	enter(100);
	for (uint64_t slice = SEALED; slice <= SEALED + 1; slice++)
		for (uint32_t n = 1; n <= 6; n += 5) {
			struct stored *s = block_stored(slice, 0, PLAIN);
			struct frame_rec *f = s->rec.frame, was = f[0];
			uint32_t third = f[0].stored + f[1].stored + f[2].stored;

			/* Two frames of a block, of the same length, in each other's place. */
			cr_assert(f[0].stored == f[3].stored && f[0].stored == FRAME_BYTES + SEAL_BYTES);
			for (int times = 0; times < 2; times++) {
				for (uint32_t i = 0; i < f[0].stored; i++) {
					uint8_t b = s->bytes[i];

					s->bytes[i] = s->bytes[third + i];
					s->bytes[third + i] = b;
				}
				was = f[0];
				f[0] = f[3];
				f[3] = was;
				reader_init(&r, slice, 0, n, PLAIN);
				if (times == 0)
					refused(&r, -E_DAMAGED);
			}
			reader_start(&r);
			fake_laps();
			cr_assert(eq(int, r.op.res, 0), "and back again");
			reader_end(&r);
			cache_forget(slice, 0, 64);

			/* Another file's object of the same length, sealed with the same key. */
			reader_init(&r, slice, 0, n, PLAIN);
			instead = slice + 2;
			r.f.rec = block_stored(instead, 0, PLAIN)->rec;
			refused(&r, -E_DAMAGED);
			instead = 0;

			/* The record says that the block is shorter, or that it is by another codec, or key. */
			reader_init(&r, slice, 0, n, PLAIN);
			r.f.rec.plain -= 65536;
			r.f.rec.nframes--;
			lie = PLAIN;
			refused(&r, -E_DAMAGED);
			lie = 0;
			reader_init(&r, slice, 1, n, PLAIN);
			r.f.rec.frame[1].codec = CODEC_ZSTD;
			refused(&r, -E_DAMAGED);
			reader_init(&r, slice, 0, n, PLAIN);
			r.f.rec.key_epoch = 3 - r.f.rec.key_epoch;
			refused(&r, -E_DAMAGED);
			reader_init(&r, slice, 0, n, PLAIN);
			r.f.rec.key_epoch = 9;
			refused(&r, -EIO);
			reader_init(&r, slice, 0, n, PLAIN);
			r.f.rec.key_epoch = 0; /* as if it were not sealed at all */
			fake_gets = 0;
			cr_assert(eq(int, reader_start(&r), OP_DONE));
			cr_assert(r.op.res == -E_DAMAGED && fake_gets == 0);
		}
	leave();
}

/* A frame matches its checksum and does not decode: an error for who wants it, one line of log; it is not asked for again. */
Test(fetch, encoded_wrong)
{
	struct reader r, other;

	enter(100);
	for (uint32_t n = 1; n <= 6; n += 5) { /* here, and by a worker */
		struct frame_rec *f = &r.f.rec.frame[2];

		reader_init(&r, ENCODED, 2, n, 10 * 65536);
		f->codec = CODEC_LZ4; /* it is by zstd */
		fake_gets = fake_logged = 0;
		if (reader_start(&r) == OP_PENDING)
			fake_laps();
		cr_assert(eq(int, r.op.res, -E_DAMAGED));
		cr_assert(eq(int, fake_gets, 1));
		cr_assert(eq(int, fake_logged, 1));
		reader_end(&r);
		cr_assert(not(is_cached(ENCODED, 2)));
		cr_assert(eq(u64, cache_stats(0)->frames, n - 1));
		reader_init(&other, ENCODED, 3, 1, 10 * 65536);
		reader_start(&other);
		cr_assert(eq(int, other.op.res, 0));
		reader_end(&other);
		cache_forget(ENCODED, 0, 64);
	}
	leave();
}

/* Each way a GET can fail: the error, one log line where nobody else will log it, and nothing is cached. */
Test(fetch, errors)
{
	static const struct { unsigned how; int err, logged, left; } of[] = {
		{ MISSING, -EIO, 1, 0 },  { DAMAGED, -E_DAMAGED, REFETCHES + 1, 4 }, { SHORT, -E_DAMAGED, 1, 0 },
		{ BROKEN, -EIO, 1, 0 },   { AWAY, -E_JUKEBOX, 0, 0 },
	};
	struct reader r;

	enter(100);
	fake_hows = AWAY + 1;
	for (size_t i = 0; i < ARRAY_LEN(of); i++) {
		plan_reset();
		plan[0].digit = of[i].how; /* and now */
		plan[0].base = fake_hows;
		plan_len = 1;
		for (int k = 0; of[i].how == DAMAGED && k < REFETCHES; k++) { /* each time */
			plan[plan_len].digit = 0;
			plan[plan_len++].base = 2;
			plan[plan_len++] = plan[0];
		}
		fake_logged = 0;
		reader_init(&r, 9, 1, 5, 10 * 65536);
		cr_assert(eq(int, reader_start(&r), OP_DONE));
		cr_assert(eq(int, r.op.res, of[i].err));
		cr_assert(eq(int, fake_logged, of[i].logged));
		cr_assert(eq(u64, cache_stats(0)->errors, i + 1));
		reader_end(&r);
		/* Of a damaged GET the frames that match their checksums are good. */
		cr_assert(eq(u64, cache_stats(0)->frames, of[i].left));
		cr_assert(not(is_cached(9, 1)));
		cache_forget(9, 0, 64);
	}
	leave();
}

/* Damaged on its way only: the second GET is good, and nobody hears of the first. */
Test(fetch, damaged_once)
{
	struct reader r;

	enter(100);
	fake_hows = DAMAGED + 1;
	plan[0].digit = DAMAGED;
	plan[0].base = fake_hows;
	plan_len = 1;
	fake_gets = 0;
	reader_init(&r, 9, 1, 5, 10 * 65536);
	cr_assert(eq(int, reader_start(&r), OP_DONE));
	cr_assert(eq(int, r.op.res, 0));
	cr_assert(eq(int, fake_gets, 2));
	reader_end(&r);
	leave();
}

/* One frame of a flight is damaged: only who wants that one has an error. */
Test(fetch, damage_is_local)
{
	struct reader r[3];

	enter(100);
	fake_hows = DAMAGED + 1;
	plan[0].digit = DAMAGED;
	plan[0].base = fake_hows;
	plan[1].digit = 1; /* later */
	plan[1].base = 2;
	for (plan_len = 2; plan_len < 2 * (REFETCHES + 1); plan_len++)
		plan[plan_len] = plan[plan_len - 2];
	reader_init(&r[0], 9, 1, 5, 10 * 65536);
	reader_init(&r[1], 9, 2, 2, 10 * 65536);
	reader_init(&r[2], 9, 1, 1, 10 * 65536);
	for (int i = 0; i < 3; i++)
		cr_assert(eq(int, reader_start(&r[i]), OP_PENDING));
	fake_laps();
	cr_assert(eq(int, fake_gets, REFETCHES + 1));
	cr_assert(eq(int, r[0].op.res, -E_DAMAGED));
	cr_assert(eq(int, r[1].op.res, 0));
	cr_assert(eq(int, r[2].op.res, -E_DAMAGED));
	for (int i = 0; i < 3; i++)
		reader_end(&r[i]);
	leave();
}

/* Records come from a database, which may be damaged. */
Test(fetch, bad_records)
{
	struct reader r;

	enter(100);
	for (int i = 0; i < 13; i++) {
		struct block_rec *rec = &r.f.rec;
		int want = -E_DAMAGED;

		reader_init(&r, 9, 5, 5, 10 * 65536);
		switch (i) {
		case 0: rec->plain = 0; break;
		case 1: rec->plain--; break;
		case 2: rec->plain = UINT32_MAX; break;
		case 3: rec->nframes = 9; break;
		case 4: rec->nframes = 65; break;
		case 5: rec->off = UINT64_MAX; break;
		case 6: rec->frame[0].stored++; break;
		case 7: rec->frame[9].stored = 0; break;
		case 8: rec->frame[7].stored = UINT32_MAX; break;
		case 9: rec->frame[7].codec = 200; want = -E_FORMAT; break;
		case 10: rec->frame[7].codec = CODEC_LZ4; break;
		case 11: rec->frame[7] = (struct frame_rec){ .codec = CODEC_ZSTD, .stored = 0 }; break;
		case 12: rec->frame[7] = (struct frame_rec){ .codec = CODEC_ZSTD, .stored = 65537 }; break;
		}
		cr_assert(eq(int, reader_start(&r), OP_DONE));
		cr_assert(eq(int, r.op.res, want), "%d", i);
		cr_assert(eq(int, fake_logged, i + 1));
		reader_end(&r);
	}
	/* More than the block has. */
	reader_init(&r, 9, 8, 3, 10 * 65536);
	reader_start(&r);
	cr_assert(eq(int, r.op.res, -E_DAMAGED));
	reader_end(&r);
	cr_assert(eq(int, fake_gets, 0));
	leave();
}

/* Who holds buffers does not wait for more; who holds none does. */
Test(fetch, memory_short)
{
	struct reader r;
	struct buf *other[8];

	enter(100);
	fake_bufs = 8;
	for (int i = 0; i < 5; i++)
		other[i] = buf_get(BUF_LARGE, BUF_DRAIN);
	reader_init(&r, 9, 0, 4, 10 * 65536);
	r.f.nowait = true;
	cr_assert(eq(int, reader_start(&r), OP_DONE));
	cr_assert(eq(int, r.op.res, -E_JUKEBOX));
	reader_end(&r);
	cr_assert(eq(int, fake_held, 5));
	r.f.nowait = false;
	r.answers = 0;
	cr_assert(eq(int, reader_start(&r), OP_PENDING));
	cr_assert(not(fake_serve()));
	cr_assert(eq(int, fake_held, 5));
	buf_put(other[4]);
	cr_assert(fake_serve());
	fake_laps();
	cr_assert(eq(int, r.op.res, 0));
	reader_end(&r);
	for (int i = 0; i < 4; i++)
		buf_put(other[i]);
	leave();
}

/* While it stands in line for two frames, one of the other two, which were cached, is evicted. */
Test(fetch, evicted_in_line)
{
	struct reader r[2];
	struct buf *other[6];

	enter(100);
	fake_bufs = 8;
	reader_init(&r[0], 9, 0, 2, 10 * 65536);
	reader_start(&r[0]);
	reader_end(&r[0]);
	for (int i = 0; i < 5; i++)
		other[i] = buf_get(BUF_LARGE, BUF_DRAIN);
	fake_bufs_plan = true;
	plan_reset();
	plan[0].digit = 1;
	plan[0].base = 2;
	plan_len = 1;
	reader_init(&r[1], 9, 0, 4, 10 * 65536);
	cr_assert(eq(int, reader_start(&r[1]), OP_PENDING));
	cr_assert(eq(u64, fake_reclaim(1), BUF_LARGE_BYTES));
	cr_assert(fake_serve());
	fake_bufs = 7; /* it has 2 and needs 3 now: it asks for as many as it can ever need, and holds none */
	fake_laps();
	cr_assert(eq(int, r[1].answers, 0));
	cr_assert(eq(int, fake_line->n, 4));
	cr_assert(eq(int, fake_held, 5 + (int)cache_stats(0)->frames));
	buf_put(other[4]);
	fake_bufs = 8;
	cr_assert(fake_serve());
	fake_laps();
	cr_assert(eq(int, r[1].op.res, 0));
	reader_end(&r[1]);
	for (int i = 0; i < 4; i++)
		buf_put(other[i]);
	leave();
}

/* More fetches than contexts: those in line are served in order, each of them. */
Test(fetch, more_than_contexts)
{
	static struct reader r[3 * FETCHES];
	int answered = 0;

	enter(1000);
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		plan_reset();
		plan[0].digit = 0;
		plan[0].base = 1;
		plan[1].digit = i < FETCHES;
		plan[1].base = 2;
		plan_len = 2;
		reader_init(&r[i], 1, i, 1, (uint32_t)BLOCK_BYTES);
		cr_assert(eq(int, reader_start(&r[i]), OP_PENDING));
	}
	plan_seed = 1;
	fake_laps();
	for (size_t i = 0; i < ARRAY_LEN(r); i++) {
		answered += r[i].answers;
		cr_assert(eq(int, r[i].op.res, 0));
		reader_end(&r[i]);
	}
	cr_assert(eq(int, answered, (int)ARRAY_LEN(r)));
	leave();
}

/* Readers who come and go, hold what they got for a while, and want more than there is memory: none waits for ever. */
Test(fetch, many_readers)
{
	enum { READERS = 12, ROUNDS = 30000 };
	static struct reader r[READERS];
	bool busy[READERS] = { false };
	uint64_t served = 0, failed_ones = 0;

	enter(10);
	plan_seed = 4711;
	fake_bufs = 20; /* eight readers of four frames could hold more */
	fake_hows = DAMAGED + 1;
	for (int round = 0; round < ROUNDS; round++) {
		int i = (int)plan_dice(READERS);

		if (!busy[i]) {
			uint32_t first = plan_dice(12), n = 1 + plan_dice(4);

			fake_hows = plan_dice(20) ? 1 : DAMAGED + 1;
			reader_init(&r[i], 1 + plan_dice(2), first, n, 16 * 65536);
			r[i].f.nowait = plan_dice(5) == 0;
			reader_start(&r[i]);
			busy[i] = true;
		} else if (r[i].answers) {
			failed_ones += r[i].op.res < 0;
			reader_end(&r[i]);
			served++;
			busy[i] = false;
		} else if (plan_dice(3)) {
			runq_drain(&fake_queue, 1);
		} else {
			fake_serve();
		}
		cr_assert(le(int, fake_held, fake_bufs));
	}
	/* All that hold something put it: everybody must come to an end now. */
	for (int left = READERS, laps = 0; left > 0; laps++) {
		cr_assert(lt(int, laps, 1000));
		fake_serve();
		fake_laps();
		left = 0;
		for (int i = 0; i < READERS; i++) {
			if (busy[i] && r[i].answers) {
				reader_end(&r[i]);
				busy[i] = false;
			}
			left += busy[i];
		}
	}
	cr_assert(lt(u64, 3000, served));
	cr_assert(lt(u64, 100, failed_ones));
	leave();
}
