/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/data_world.h"
#include "store/blockio.h"

TestSuite(read_look, .timeout = 600);

static uint8_t out[64 * PAGE];

struct page_read {
	struct data_read read;
	uint8_t page[PAGE];
	bool looked;
};

static enum op_state
start_look(void *arg, struct op *op)
{
	struct page_read *p = arg;

	p->looked = file_read_look(&p->read.r);
	if (p->looked) {
		cr_assert(p->read.r.len == PAGE && p->read.r.has_attr);
		read_take(&p->read);
	}
	return op_done(op, 0);
}

/* As the protocol does it on a connection of another core than the owner's: looks, and asks where that says nothing. */
static int
read_page(struct page_read *p, struct fref f, const struct cred *c, uint64_t page)
{
	int owner = shard_owner(f.ino);

	p->read.r = (struct file_read){ .req = { .cred = *c, .f = f }, .off = page * PAGE, .count = PAGE };
	p->read.to = p->page;
	memset(p->page, 0xaa, PAGE);
	rig_call((owner + 1) % data.cores, start_look, p);
	return p->looked ? 0 : rig_call(owner, start_read, &p->read);
}

/* What it brings, and whether its owner was asked. */
static void
expect(struct fref f, uint64_t page, const uint8_t *want, bool looked)
{
	struct page_read p;

	cr_assert(eq(int, read_page(&p, f, &superuser, page), 0));
	cr_assert(p.looked == looked, "page %lu: %s", page, looked ? "asked its owner" : "looked at what is old");
	cr_assert(memcmp(p.page, want, PAGE) == 0, "page %lu has other bytes", page);
}

/* Twice: what the owner was asked for it shows. */
static void
expect_shown(struct fref f, uint64_t page, const uint8_t *want)
{
	expect(f, page, want, false);
	expect(f, page, want, true);
}

static enum op_state
start_reclaim(void *arg, struct op *op)
{
	(void)arg;
	while (cache_reclaim(data.buf_bytes) > 0)
		;
	return op_done(op, 0);
}

Test(read_look, follows_every_change)
{
	static const struct cred other = { .uid = 1001, .gid = 100 };
	static const uint8_t zeros[PAGE];
	struct meta_setattr m = { .sattr = { .set_mode = true, .mode = 0600 } };
	struct page_read p;
	struct fref f;

	data.file.upload_delay_ns = 1ull << 62; /* when data_drain asks */
	data_start(2);
	f = m.req.f = data_create("a");
	data_fill(out, 4 * PAGE, 1);
	cr_assert(eq(int, data_write(f, 0, out, 4 * PAGE, STABLE_UNSTABLE), 0));
	data_drain();
	expect_shown(f, 0, out);
	expect_shown(f, 3, out + 3 * PAGE);

	/* Written: neither that page nor another, before and after it is uploaded. */
	data_fill(out, PAGE, 2);
	cr_assert(eq(int, data_write(f, 0, out, PAGE, STABLE_UNSTABLE), 0));
	expect_shown(f, 0, out);
	expect_shown(f, 3, out + 3 * PAGE);
	data_drain();
	cr_assert(eq(int, read_page(&p, f, &superuser, 0), 0));
	cr_assert(memcmp(p.page, out, PAGE) == 0);

	/* The frame is gone from memory; what its buffer holds next is nobody's page. */
	rig_call(shard_owner(f.ino), start_reclaim, NULL);
	expect_shown(f, 0, out);

	/* Shorter, and longer again. */
	cr_assert(eq(int, data_truncate(f, 100), 0));
	cr_assert(eq(int, data_truncate(f, 4 * PAGE), 0));
	memset(out + 100, 0, 4 * PAGE - 100);
	expect(f, 0, out, false);
	expect(f, 3, zeros, false);
	expect(f, 3, zeros, false); /* a hole is not in memory */

	/* Who may not read. */
	cr_assert(eq(int, data_write(f, PAGE, out, PAGE, STABLE_UNSTABLE), 0));
	data_drain();
	cr_assert(eq(int, read_page(&p, f, &other, 1), 0));
	cr_assert(eq(int, read_page(&p, f, &other, 1), 0));
	cr_assert(p.looked);
	cr_assert(eq(int, ON_OWNER(meta_setattr, &m), 0));
	cr_assert(eq(int, read_page(&p, f, &other, 1), -EACCES));
	expect_shown(f, 1, out);
	cr_assert(eq(int, read_page(&p, f, &other, 1), -EACCES));

	cr_assert(eq(int, data_unlink("a"), 0));
	cr_assert(eq(int, read_page(&p, f, &superuser, 1), -ESTALE));
	data_check();
	data_stop();
}

/* ---- while it is written */

#define PAGES  8
#define WRITES 3000
#define LOOKERS 2

static struct fref busy;
static _Atomic uint64_t written[PAGES]; /* acknowledged */
static _Atomic bool over;
static _Atomic unsigned looks;

static void
write_on(void)
{
	uint8_t page[PAGE];

	for (uint64_t n = 1; n <= WRITES; n++) {
		uint64_t k = mix64(n) % PAGES;

		for (uint32_t i = 0; i < PAGE; i += 8)
			memcpy(page + i, &n, 8);
		cr_assert(eq(int, data_write(busy, k * PAGE, page, PAGE, STABLE_UNSTABLE), 0));
		written[k] = n;
		if (n % 100 == 0) { /* clean for a while */
			data_drain();
			for (unsigned seen = looks; looks < seen + 4;)
				usleep(100);
		}
		if (n % 300 == 0)
			rig_call(shard_owner(busy.ino), start_reclaim, NULL);
	}
	over = true;
}

static void
look_on(int who)
{
	struct page_read p;

	for (uint64_t n = (uint64_t)who; !over; n += LOOKERS) {
		uint64_t k = mix64(n) % PAGES, least = written[k], have;

		cr_assert(eq(int, read_page(&p, busy, &superuser, k), 0));
		memcpy(&have, p.page, 8);
		cr_assert(have >= least, "page %lu: write %lu, when %lu was acknowledged", k, have, least);
		for (uint32_t i = 8; i < PAGE; i += 8)
			cr_assert(memcmp(p.page, p.page + i, 8) == 0, "page %lu is torn", k);
		looks += p.looked;
	}
}

static void
run(int i)
{
	if (i == 0)
		write_on();
	else
		look_on(i);
}

/* Who looks sees what was acknowledged before he did, or what is newer, and never a part of two. */
Test(read_look, sees_what_was_acknowledged)
{
	static const uint8_t zeros[PAGES * PAGE];

	data.file.upload_delay_ns = 1000000;
	data_start(3);
	busy = data_create("busy");
	cr_assert(eq(int, data_write(busy, 0, zeros, sizeof(zeros), STABLE_UNSTABLE), 0));
	rig_threads(1 + LOOKERS, run);
	cr_assert(looks >= 4 * WRITES / 100);
	cr_assert(eq(u64, data_stats().pages_copied, looks));
	data_check();
	data_stop();
}
