/* SPDX-License-Identifier: Apache-2.0 */
/* Upload, cache and fetch together, on real cores, with real buffers and files. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/blockio.h"
#include "tests/fake/rig.h"

#define FRAMES 8
#define PLAIN  (7 * FRAME_BYTES + 1234)
#define SLICES 24

static struct objstore *store;
static char dir[128];
static const uint8_t uuid[16] = "0123456789abcde";
static struct block_rec recs[SLICES + 1];

static int
core_init(int core, void *arg)
{
	int err = upload_init(2);

	(void)core;
	(void)arg;
	return err < 0 ? err : cache_init(40);
}

static void
core_fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	cache_fini();
	upload_fini();
}

static void
setup(void)
{
	char url[160], why[256] = "";

	snprintf(dir, sizeof(dir), "%s/objects", rig_dir());
	snprintf(url, sizeof(url), "file://%s", dir);
	cr_assert(objstore_open(&store, url, true, why) == 0, "%s", why);
	rig_start(2, core_init, core_fini);
}

static void
teardown(void)
{
	rig_stop(); /* asserts that every pool is full */
	objstore_close(store);
	rig_dir_remove();
}

TestSuite(blockio, .init = setup, .fini = teardown);

static uint8_t
byte_at(uint64_t slice, uint32_t off)
{
	return (uint8_t)(slice * 37 + off * 11 + (off >> 8) * 5 + (off >> 16) * 3);
}

/* ---- one block up, from pieces that end nowhere in particular */

struct up {
	struct upload u;
	struct upload_block block;
	struct bufref part[40];
	struct op *wait;
	struct op op;
};

static void
up_done(struct op *op)
{
	struct up *up = container_of(op, struct up, op);

	for (int i = 0; i < up->block.nparts; i++)
		if (up->part[i].buf)
			buf_put(up->part[i].buf);
	recs[up->block.slice] = up->block.rec;
	up->wait->res = op->res;
	up->wait->resume(up->wait);
}

static enum op_state
start_up(void *arg, struct op *wait)
{
	struct up *up = arg;
	uint32_t at = 0;

	while (at < PLAIN) {
		struct bufref *p = &up->part[up->block.nparts++];

		p->len = MIN(PLAIN - at, 20000u + at % 40000);
		p->buf = buf_get(BUF_LARGE, BUF_DRAIN);
		p->off = 100;
		assert(p->buf);
		for (uint32_t i = 0; i < p->len; i++)
			p->buf->data[p->off + i] = byte_at(up->block.slice, at + i);
		at += p->len;
	}
	up->block.part = up->part;
	up->block.plain = PLAIN;
	up->u = (struct upload){ .store = store, .prefix = "export", .uuid = uuid, .block = &up->block,
	                         .nblocks = 1 };
	up->wait = wait;
	up->op.resume = up_done;
	if (upload_run(&up->u, &up->op) == OP_DONE)
		reactor_post(&up->op, up->op.res);
	return OP_PENDING;
}

static void
upload(uint64_t slice)
{
	struct up up = { .block.slice = slice };

	cr_assert(eq(int, rig_call(slice % 2, start_up, &up), 0));
	cr_assert(eq(u32, recs[slice].nframes, FRAMES));
}

/* ---- frames down, checked and put on their core */

struct down {
	struct cache_fetch f;
	struct op *wait;
	struct op op;
};

static void
down_done(struct op *op)
{
	struct down *d = container_of(op, struct down, op);
	int res = op->res;

	for (uint32_t k = 0; op->res == 0 && k < d->f.n; k++) {
		uint32_t from = (d->f.first + k) * FRAME_BYTES, to = MIN(from + FRAME_BYTES, PLAIN);

		for (uint32_t i = from; i < to; i++)
			if (d->f.out[k]->data[i - from] != byte_at(d->f.slice, i))
				res = -EILSEQ;
		buf_put(d->f.out[k]);
	}
	d->wait->res = res;
	d->wait->resume(d->wait);
}

static enum op_state
start_down(void *arg, struct op *wait)
{
	struct down *d = arg;

	d->wait = wait;
	d->op.resume = down_done;
	if (cache_fetch(&d->f, &d->op) == OP_DONE)
		reactor_post(&d->op, d->op.res);
	return OP_PENDING;
}

static int
fetch(int core, uint64_t slice, uint32_t first, uint32_t n)
{
	struct down d = { .f = { .store = store, .prefix = "export", .slice = slice, .first = first, .n = n,
	                         .rec = recs[slice] } };

	return rig_call(core, start_down, &d);
}

static char *
path_of(uint64_t slice)
{
	static char path[400];
	char name[OBJECT_NAME_MAX];

	object_name(name, "export", slice, 0, &recs[slice]);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* ---- tests */

Test(blockio, there_and_back)
{
	for (uint64_t s = 1; s <= 3; s++)
		upload(s);
	for (int core = 0; core < 2; core++)
		for (uint64_t s = 1; s <= 3; s++)
			for (uint32_t first = 0; first < FRAMES; first++)
				for (uint32_t n = 1; first + n <= FRAMES; n++)
					cr_assert(eq(int, fetch(core, s, first, n), 0));
	cr_assert(eq(u64, cache_stats(0)->frames, 24));
	cr_assert(eq(u64, cache_stats(0)->errors, 0));
}

/* The object is on disk as store/block.h has it: whoever finds it can read it without us. */
Test(blockio, object_explains_itself)
{
	static uint8_t object[PLAIN + 4096];
	uint64_t off;
	uint32_t len, crc, n;
	struct object_seal seal;
	uint8_t id[16];
	ssize_t got;
	int fd;

	upload(1);
	fd = open(path_of(1), O_RDONLY);
	got = read(fd, object, sizeof(object));
	close(fd);
	cr_assert(eq(int, (int)got, (int)(PLAIN + 32 + FRAMES * 9 + 64)));
	cr_assert(eq(int, object_footer_decode(object + got - 64, (uint64_t)got, id, &seal, &off, &len, &crc, &n), 0));
	cr_assert(eq(u64, off, PLAIN));
	cr_assert(eq(int, memcmp(id, uuid, 16), 0));
	for (uint32_t i = 0; i < PLAIN; i++)
		cr_assert(object[i] == byte_at(1, i));
}

/* On the disk something happens to it: an error for those frames, and never other bytes. */
Test(blockio, damaged_short_and_missing)
{
	uint64_t errors = cache_stats(0)->errors;
	uint8_t b;
	int fd;

	log_set_level((enum log_level)-1);
	upload(1);
	fd = open(path_of(1), O_RDWR);
	cr_assert(eq(int, (int)pread(fd, &b, 1, 2 * FRAME_BYTES + 500), 1));
	b ^= 1;
	cr_assert(eq(int, (int)pwrite(fd, &b, 1, 2 * FRAME_BYTES + 500), 1));
	cr_assert(eq(int, fetch(0, 1, 0, FRAMES), -E_DAMAGED));
	cr_assert(eq(int, fetch(0, 1, 2, 1), -E_DAMAGED));
	cr_assert(eq(int, fetch(0, 1, 0, 2), 0));
	cr_assert(eq(int, fetch(0, 1, 3, 5), 0));
	cr_assert(eq(int, ftruncate(fd, 6 * FRAME_BYTES + 5), 0));
	cr_assert(eq(int, fetch(1, 1, 6, 1), -E_DAMAGED));
	cr_assert(eq(int, fetch(1, 1, 5, 1), 0));
	cr_assert(eq(int, unlink(path_of(1)), 0));
	close(fd);
	cr_assert(eq(int, fetch(1, 1, 5, 1), 0)); /* cached */
	cr_assert(eq(int, fetch(1, 1, 4, 1), -EIO));
	cr_assert(eq(u64, cache_stats(0)->errors - errors, 2));
	cr_assert(eq(u64, cache_stats(1)->errors, 2));
}

static void
reader(int i)
{
	unsigned seed = (unsigned)i * 7919 + 1;

	for (int n = 0; n < 200; n++) {
		uint32_t first, slice;

		seed = seed * 1103515245 + 12345;
		slice = 1 + (seed >> 8) % SLICES;
		first = (seed >> 16) % FRAMES;
		if (fetch((seed >> 24) % 2, slice, first, 1 + (seed >> 20) % (FRAMES - first)) != 0)
			abort();
	}
}

/* Twenty readers want up to 160 frames at once of memory for 64: all are served. */
Test(blockio, more_readers_than_memory, .timeout = 600)
{
	for (uint64_t s = 1; s <= SLICES; s++)
		upload(s);
	rig_threads(20, reader);
	cr_assert(lt(u64, 100, cache_stats(0)->evicted));
}
