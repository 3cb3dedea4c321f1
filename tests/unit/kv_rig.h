/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of kv.h: a database a test, its copy as a kill would have left it, and records
 * whose value follows from their number.
 */
#ifndef TESTS_UNIT_KV_RIG_H
#define TESTS_UNIT_KV_RIG_H

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "meta/kv.h"
#include "reactor/log.h"
#include "tests/fake/rig.h"

#define UNUSED __attribute__((unused))

static char db[128], copy[128];
/* A copy of files beside a flush is no instant: as a rule the log is so long that none comes by itself. */
static uint64_t log_bytes = 16 * MIB;

UNUSED static int
open_at(const char *path, bool create, char why[256])
{
	struct kv_opts o = { .path = path, .create = create, .cache_bytes = 8 * MIB, .memtable_bytes = 8 * MIB,
	                     .log_bytes = log_bytes };

	return kv_open(&o, why);
}

UNUSED static void
must_open(const char *path, bool create)
{
	char why[256] = "";
	int err = open_at(path, create, why);

	cr_assert(err == 0, "%d %s", err, why);
}

UNUSED static void
setup(void)
{
	log_set_level(LOG_ERROR); /* every cut tail is worth a warning */
	snprintf(db, sizeof(db), "%s/db", rig_dir());
	snprintf(copy, sizeof(copy), "%s/copy", rig_dir());
}

UNUSED static int
put_now(const char *key, const void *val, size_t len)
{
	struct kv_batch *b = kv_batch_new();
	int res;

	kv_batch_put(b, key, strlen(key), val, len);
	res = kv_write_now(b);
	kv_batch_free(b);
	return res;
}

UNUSED static int
put_n(int i)
{
	char key[32];

	snprintf(key, sizeof(key), "key%06d", i);
	return put_now(key, &i, sizeof(i));
}

UNUSED static bool
has_n(int i)
{
	char key[32];
	int got = 0;
	int res;

	snprintf(key, sizeof(key), "key%06d", i);
	res = kv_get_now(key, strlen(key), &got, sizeof(got));
	if (res == -ENOENT)
		return false;
	cr_assert(res == sizeof(got) && got == i);
	return true;
}

UNUSED static void
add(int n)
{
	struct kv_batch *b = kv_batch_new();
	uint8_t v[16];

	put_le64(v, (uint64_t)n);
	put_le64(v + 8, 1);
	kv_batch_merge(b, "Usum", 4, v, sizeof(v));
	kv_batch_merge(b, "Cappended", 9, v, 1);
	cr_assert(eq(int, kv_write_now(b), 0));
	kv_batch_free(b);
}

UNUSED static void
must_have_added(int n)
{
	uint8_t v[16];

	cr_assert(eq(int, kv_get_now("Usum", 4, v, sizeof(v)), n ? 16 : -ENOENT));
	cr_assert(eq(u64, n ? get_le64(v + 8) : 0, (uint64_t)n));
	cr_assert(eq(int, kv_get_now("Cappended", 9, v, 1), n ? n : -ENOENT));
}

UNUSED static void
flip(const char *path, off_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t c;

	cr_assert(pread(fd, &c, 1, at) == 1);
	c ^= 0x10;
	cr_assert(pwrite(fd, &c, 1, at) == 1);
	close(fd);
}

/* For rig_call: a batch that is written and, when it is durable, answered. */
struct put {
	struct kv_write w;
	struct kv_batch *b;
	int stage;
	struct op step, *wait;
};

UNUSED static void
put_run(struct op *step)
{
	struct put *p = container_of(step, struct put, step);
	enum op_state s = OP_DONE;

	if (p->stage == 0 && step->res == 0) {
		p->stage = 1;
		s = kv_sync(&p->w, step);
	}
	if (s == OP_PENDING)
		return;
	p->wait->res = step->res;
	p->wait->resume(p->wait);
}

UNUSED static enum op_state
start_put(void *arg, struct op *op)
{
	struct put *p = arg;

	p->wait = op;
	p->step.resume = put_run;
	p->stage = 0;
	if (kv_write(&p->w, p->b, &p->step) == OP_DONE)
		put_run(&p->step);
	return OP_PENDING;
}

#endif
