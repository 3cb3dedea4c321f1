/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/disk.h"
#include "reactor/shard.h"
#include "tests/unit/oncore.h"

/*
 * One script, run with the arena registered with the ring and without: writes,
 * reads back in every form, and provokes each error.
 */
enum step { WRITE_ONE, WRITE_MANY, WRITE_PLAIN, SYNC, READ_ONE, READ_MANY, READ_MIXED, READ_END, BAD_FD };

static int fd;
static enum step step;
static struct op op;
static struct buf *b[4];
static uint8_t *plain; /* memory outside the arena */
static struct iovec iov[4];
static int steps_done;

static void
fill(uint8_t *p, size_t n, int seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)((i * 31 + (size_t)seed) >> 3);
}

static void
expect(const uint8_t *p, size_t n, int seed)
{
	for (size_t i = 0; i < n; i++)
		assert(p[i] == (uint8_t)((i * 31 + (size_t)seed) >> 3));
}

static void
go_on(enum step s, enum op_state state)
{
	step = s;
	assert(state == OP_PENDING);
}

static struct iovec *
four(uint8_t *third)
{
	for (int i = 0; i < 4; i++)
		iov[i] = (struct iovec){ b[i]->data, 4096 };
	if (third)
		iov[2].iov_base = third;
	return iov;
}

static void
disk_step(struct op *o)
{
	steps_done++;
	switch (step) {
	case WRITE_ONE:
		assert(o->res == 65536);
		for (int i = 0; i < 4; i++)
			fill(b[i]->data, 4096, 100 + i);
		go_on(WRITE_MANY, disk_writev(fd, four(NULL), 4, 65536, true, o));
		break;
	case WRITE_MANY:
		assert(o->res == 4 * 4096);
		fill(plain, 4096, 77);
		go_on(WRITE_PLAIN, disk_writev(fd, four(plain), 4, 65536 + 16384, false, o));
		break;
	case WRITE_PLAIN:
		assert(o->res == 4 * 4096);
		go_on(SYNC, disk_fdatasync(fd, o));
		break;
	case SYNC:
		assert(o->res == 0);
		memset(b[0]->data, 0, 65536);
		go_on(READ_ONE, disk_read(fd, b[0]->data, 65536, 0, o));
		break;
	case READ_ONE:
		assert(o->res == 65536);
		expect(b[0]->data, 65536, 5);
		for (int i = 0; i < 4; i++)
			memset(b[i]->data, 0, 4096);
		go_on(READ_MANY, disk_readv(fd, four(NULL), 4, 65536, o));
		break;
	case READ_MANY:
		assert(o->res == 4 * 4096);
		for (int i = 0; i < 4; i++)
			expect(b[i]->data, 4096, 100 + i);
		memset(plain, 0, 4096);
		go_on(READ_MIXED, disk_readv(fd, four(plain), 4, 65536 + 16384, o));
		break;
	case READ_MIXED:
		assert(o->res == 4 * 4096);
		expect(plain, 4096, 77);
		expect(b[3]->data, 4096, 103);
		/* Past the end: short, then nothing. */
		go_on(READ_END, disk_read(fd, b[0]->data, 8192, 65536 + 32768 - 4096, o));
		break;
	case READ_END:
		assert(o->res == 4096);
		go_on(BAD_FD, disk_read(-1, b[0]->data, 4096, 0, o));
		break;
	case BAD_FD:
		assert(o->res == -EBADF);
		for (int i = 0; i < 4; i++)
			buf_put(b[i]);
		finish();
		break;
	}
}

static void
disk_body(int core)
{
	char name[] = "/tmp/test_disk.XXXXXX";

	(void)core;
	fd = mkostemp(name, O_CLOEXEC);
	assert(fd >= 0);
	unlink(name);
	(void)fcntl(fd, F_SETFL, O_DIRECT); /* where the file system has it */
	for (int i = 0; i < 4; i++)
		assert((b[i] = buf_get(BUF_LARGE, BUF_INGEST)) != NULL);
	plain = aligned_alloc(4096, 4096);
	fill(b[0]->data, 65536, 5);
	op.resume = disk_step;
	go_on(WRITE_ONE, disk_write(fd, b[0]->data, 65536, 0, &op));
}

static void
run(bool registered)
{
	struct on_cores o = { .opts = { .cores = 1, .buf_bytes = 4 * MIB, .touch = registered },
	                      .body = disk_body };

	on_cores_run(&o);
	cr_assert(eq(int, steps_done, BAD_FD + 1));
}

Test(disk, every_form_with_registered_memory)
{
	run(true);
}

Test(disk, every_form_with_plain_memory)
{
	run(false);
}

/* Core 1 writes what core 0 has filled: every ring knows every arena. */
static struct shard_msg gift;
static int gift_fd;

static void
gift_read(struct op *o)
{
	assert(o->res == 65536);
	expect(b[0]->data, 65536, 9);
	buf_put(b[0]);
	buf_put(b[1]); /* both go home */
	finish();
}

static void
gift_written(struct op *o)
{
	assert(o->res == 2 * 65536);
	memset(b[0]->data, 0, 65536);
	o->resume = gift_read;
	disk_read(gift_fd, b[0]->data, 65536, 0, o);
}

static void
write_gift(struct shard_msg *m)
{
	(void)m;
	assert(reactor_core() == 1 && b[0]->home == 0);
	for (int i = 0; i < 2; i++)
		iov[i] = (struct iovec){ b[i]->data, 65536 };
	op.resume = gift_written;
	disk_writev(gift_fd, iov, 2, 0, true, &op);
}

static void
gift_body(int core)
{
	char name[] = "/tmp/test_disk.XXXXXX";

	if (core != 0)
		return;
	gift_fd = mkostemp(name, O_CLOEXEC);
	unlink(name);
	for (int i = 0; i < 2; i++) {
		b[i] = buf_get(BUF_LARGE, BUF_INGEST);
		fill(b[i]->data, 65536, 9 + i);
	}
	gift.run = write_gift;
	shard_send(1, &gift);
}

Test(disk, buffers_of_another_core)
{
	struct on_cores o = { .opts = { .cores = 2, .buf_bytes = 8 * MIB, .touch = true },
	                      .body = gift_body };

	on_cores_run(&o);
	cr_assert(eq(int, op.res, 65536));
}

/* More operations at once than the ring has entries. */
#define MANY 500

struct one {
	struct op op;
	uint32_t *word;
};

static struct one many[MANY];
static int left;

static void
read_back(struct op *o)
{
	struct one *m = container_of(o, struct one, op);

	assert(o->res == 4 && *m->word == (uint32_t)(m - many));
	free(m->word);
	if (--left == 0)
		finish();
}

static void
written(struct op *o)
{
	struct one *m = container_of(o, struct one, op);

	assert(o->res == 4);
	*m->word = 0;
	o->resume = read_back;
	disk_read(fd, m->word, 4, (uint64_t)(m - many) * 4, o);
}

static void
many_body(int core)
{
	char name[] = "/tmp/test_disk.XXXXXX";

	(void)core;
	fd = mkostemp(name, O_CLOEXEC);
	unlink(name);
	left = MANY;
	for (int i = 0; i < MANY; i++) {
		many[i].op.resume = written;
		many[i].word = malloc(4);
		*many[i].word = (uint32_t)i;
		disk_write(fd, many[i].word, 4, (uint64_t)i * 4, &many[i].op);
	}
}

Test(disk, more_than_the_ring_holds)
{
	struct on_cores o = { .opts = { .cores = 1, .ring_entries = 16, .buf_bytes = MIB },
	                      .body = many_body };

	on_cores_run(&o);
	cr_assert(eq(int, left, 0));
}
