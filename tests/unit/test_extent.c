/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/one_thread.h"

#include "store/extent.h"
#include "store/journal_impl.h"

#define FILE_BYTES 4096 /* of the oracle */

/*
 * A record: a buffer whose bytes tell which record and which place, in a segment that counts
 * its holders.
 */
static struct jseg seg;
static struct extents t;

static uint8_t
byte_of(uint64_t seq, uint32_t i)
{
	return (uint8_t)(mix64(seq * 1000003 + i) >> 20);
}

static void
start(uint32_t max)
{
	fake_start(1);
	memset(&seg, 0, sizeof(seg));
	atomic_init(&seg.holders, 1);
	seg.fd = -1;
	cr_assert(eq(int, extent_init(max), 0));
	extents_init(&t);
}

static void
end(void)
{
	extents_clear(&t);
	cr_assert(eq(u64, t.bytes, 0));
	cr_assert(eq(u32, t.count, 0));
	cr_assert(eq(u32, seg.holders, 1), "live counts are home");
	cr_assert(eq(int, fake_bufs_out, 0));
	extent_fini();
}

/* As the data path does it: the record's live count passes over, the buffer is kept. */
static int
insert(uint64_t off, uint32_t len, uint64_t seq)
{
	struct buf *b = buf_get(BUF_LARGE, BUF_INGEST);
	struct jloc loc = { .seg = &seg, .off = (uint32_t)seq, .len = len };
	int r;

	for (uint32_t i = 0; i < len; i++)
		b->data[i] = byte_of(seq, i);
	atomic_fetch_add(&seg.holders, 1);
	r = extent_insert(&t, off, len, b, 0, &loc, seq, seq * 10);
	buf_put(b);
	if (r < 0)
		jloc_put(&loc);
	return r;
}

/* "off+len:seq ..." in order, and what must hold for every tree. */
static const char *
shape(void)
{
	static char out[4096];
	uint64_t bytes = 0, last = 0;
	uint32_t n = 0;
	size_t at = 0;

	out[0] = '\0';
	for (struct extent *e = extent_at(&t, 0); e; e = extent_next(&t, e)) {
		cr_assert(ge(u64, e->off, last), "no overlap, in order");
		cr_assert(lt(u32, 0, e->len));
		cr_assert(le(u32, e->boff + e->len, e->loc.len));
		last = e->off + e->len;
		bytes += e->len;
		n++;
		at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%llu+%u:%llu", n > 1 ? " " : "",
		                       (unsigned long long)e->off, e->len, (unsigned long long)e->seq);
		cr_assert(lt(sz, at, sizeof(out)));
	}
	cr_assert(eq(u64, bytes, t.bytes));
	cr_assert(eq(u32, n, t.count));
	return out;
}

static void
expect(const char *want)
{
	const char *is = shape();

	cr_assert(eq(int, strcmp(is, want), 0), "%s, not %s", is, want);
}

/* Every way in which a new extent can lie over one [100, 200). */
Test(extent, overlays)
{
	static const struct { uint64_t off; uint32_t len; const char *want; } c[] = {
		{ 0, 50, "0+50:2 100+100:1" },             /* before */
		{ 50, 50, "50+50:2 100+100:1" },           /* up to its start */
		{ 50, 100, "50+100:2 150+50:1" },          /* over its start */
		{ 50, 150, "50+150:2" },                   /* over all, to its end */
		{ 50, 200, "50+200:2" },                   /* over all and more */
		{ 100, 50, "100+50:2 150+50:1" },          /* its first half */
		{ 100, 100, "100+100:2" },                 /* the same */
		{ 100, 150, "100+150:2" },
		{ 120, 50, "100+20:1 120+50:2 170+30:1" }, /* in the middle */
		{ 199, 1, "100+99:1 199+1:2" },
		{ 150, 50, "100+50:1 150+50:2" },          /* its second half */
		{ 150, 100, "100+50:1 150+100:2" },        /* over its end */
		{ 200, 50, "100+100:1 200+50:2" },         /* from its end on */
		{ 300, 50, "100+100:1 300+50:2" },         /* behind */
	};

	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		start(16);
		cr_assert(eq(int, insert(100, 100, 1), 0));
		cr_assert(eq(int, insert(c[i].off, c[i].len, 2), 0));
		expect(c[i].want);
		end();
	}
}

Test(extent, overlays_many)
{
	start(16);
	for (uint64_t i = 0; i < 5; i++)
		insert(i * 100, 100, i + 1);
	expect("0+100:1 100+100:2 200+100:3 300+100:4 400+100:5");
	insert(50, 300, 6);
	expect("0+50:1 50+300:6 350+50:4 400+100:5");
	end();
}

Test(extent, cut)
{
	start(16);
	insert(0, 100, 1);
	insert(100, 100, 2);
	insert(300, 100, 3);
	extent_cut(&t, 400);
	expect("0+100:1 100+100:2 300+100:3");
	extent_cut(&t, 301);
	expect("0+100:1 100+100:2 300+1:3");
	extent_cut(&t, 150);
	expect("0+100:1 100+50:2");
	extent_cut(&t, 100);
	expect("0+100:1");
	extent_cut(&t, 0);
	expect("");
	end();
}

/* What was written after the upload began is newer, and stays. */
Test(extent, drop_keeps_newer)
{
	start(16);
	insert(0, 300, 1);
	insert(100, 100, 2);
	extent_drop(&t, 0, 300, 1);
	expect("100+100:2");
	extent_drop(&t, 120, 10, 2);
	expect("100+20:2 130+70:2");
	extent_drop(&t, 0, UINT64_MAX, 2);
	expect("");
	end();
}

Test(extent, at_and_next)
{
	struct extent *e;

	start(16);
	insert(100, 100, 1);
	insert(300, 100, 2);
	e = extent_at(&t, 0);
	cr_assert(eq(u64, e->off, 100));
	cr_assert(eq(ptr, extent_at(&t, 199), e));
	cr_assert(eq(ptr, extent_at(&t, 200), extent_next(&t, e)));
	cr_assert(eq(ptr, extent_at(&t, 400), NULL));
	cr_assert(eq(ptr, extent_next(&t, extent_next(&t, e)), NULL));
	end();
}

/* Pages that are found where they begin: each file has its own, and only as long as they are there. */
Test(extent, pages_of_two_files)
{
	struct extents other;
	struct extent *e;

	start(16);
	extents_init(&other);
	insert(PAGE, PAGE, 1);
	e = extent_at(&t, PAGE);
	cr_assert(eq(u64, e->seq, 1));
	cr_assert(eq(ptr, extent_at(&other, PAGE), NULL));
	insert(PAGE, PAGE, 2);
	cr_assert(eq(ptr, extent_at(&t, PAGE), e));
	cr_assert(eq(u64, e->seq, 2));
	insert(PAGE, 100, 3);
	cr_assert(eq(u64, extent_at(&t, PAGE)->seq, 3));
	cr_assert(eq(ptr, extent_at(&t, PAGE + 100), e), "its front is gone");
	insert(0, 2 * PAGE, 4);
	cr_assert(eq(u64, extent_at(&t, PAGE)->off, 0));
	extent_cut(&t, 0);
	cr_assert(eq(ptr, extent_at(&t, PAGE), NULL));
	cr_assert(eq(ptr, extent_at(&t, 0), NULL));
	end();
}

/* An empty slab: an insert changes nothing, a drop that would have to split leaves it dirty. */
Test(extent, slab_is_empty)
{
	start(3);
	insert(0, 100, 1);
	insert(200, 100, 2);
	cr_assert(eq(u32, extent_room(), 1));
	cr_assert(eq(int, insert(50, 10, 3), -ENOMEM), "needs two");
	expect("0+100:1 200+100:2");
	cr_assert(eq(int, insert(50, 60, 4), 0));
	expect("0+50:1 50+60:4 200+100:2");
	cr_assert(eq(int, insert(400, 1, 5), -ENOMEM));
	cr_assert(eq(int, insert(50, 60, 6), 0), "needs none");
	expect("0+50:1 50+60:6 200+100:2");
	extent_drop(&t, 210, 10, 9);
	expect("0+50:1 50+60:6 200+100:2");
	extent_drop(&t, 210, 90, 9);
	expect("0+50:1 50+60:6 200+10:2");
	end();
}

/* The bytes are only in the journal: no buffer, and splits keep it so. */
Test(extent, without_buffer)
{
	struct jloc loc = { .seg = &seg, .off = 8192, .len = 100 };

	start(8);
	atomic_fetch_add(&seg.holders, 1);
	cr_assert(eq(int, extent_insert(&t, 1000, 100, NULL, 0, &loc, 1, 0), 0));
	insert(1040, 20, 2);
	expect("1000+40:1 1040+20:2 1060+40:1");
	struct extent *e = extent_at(&t, 1060);
	cr_assert(eq(ptr, e->buf, NULL));
	cr_assert(eq(u32, e->boff, 60));
	cr_assert(eq(u32, seg.holders, 4), "one for each extent, and the list's");
	end();
}

/* Which record, and which of its bytes, lies at each place of the file; 0: none. */
struct oracle { uint64_t seq[FILE_BYTES]; uint8_t byte[FILE_BYTES]; };

static void
compare(const struct oracle *o, unsigned step)
{
	struct extent *e = extent_at(&t, 0);

	for (uint64_t i = 0; i < FILE_BYTES; i++) {
		while (e && e->off + e->len <= i)
			e = extent_next(&t, e);
		bool has = e && e->off <= i;

		cr_assert(eq(u64, has ? e->seq : 0, o->seq[i]), "step %u, byte %llu", step,
		          (unsigned long long)i);
		if (has)
			cr_assert(eq(u8, e->buf->data[e->boff + (i - e->off)], o->byte[i]));
	}
}

Test(extent, random_against_bytes)
{
	static struct oracle o;
	uint64_t seq = 0;

	srandom(7);
	start(4000);
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t off = (uint64_t)random() % FILE_BYTES;
		uint64_t len = 1 + (uint64_t)random() % (random() % 8 ? 100 : 2000);
		uint64_t upto = seq - MIN(seq, (uint64_t)random() % 40);

		if (random() % 4 == 0)
			off = ROUND_DOWN(off, 64u), len = 64; /* often the same place as another */
		len = MIN(len, FILE_BYTES - off);
		switch (random() % 10) {
		case 0:
			extent_cut(&t, off);
			for (uint64_t i = off; i < FILE_BYTES; i++)
				o.seq[i] = 0;
			break;
		case 1:
		case 2:
			extent_drop(&t, off, len, upto);
			for (uint64_t i = off; i < off + len; i++)
				if (o.seq[i] <= upto)
					o.seq[i] = 0;
			break;
		default:
			cr_assert(eq(int, insert(off, (uint32_t)len, ++seq), 0));
			for (uint64_t i = off; i < off + len; i++) {
				o.seq[i] = seq;
				o.byte[i] = byte_of(seq, (uint32_t)(i - off));
			}
			break;
		}
		if (step % 16 == 0) {
			shape();
			compare(&o, step);
			cr_assert(eq(u32, seg.holders, t.count + 1));
		}
	}
	end();
}
