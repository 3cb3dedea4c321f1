/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal on real cores and a real disk: writers that append, wait until it is
 * durable, retire what they wrote before, around a small ring; then the next run finds
 * what was left.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "reactor/buf.h"
#include "reactor/log.h"
#include "store/journal.h"
#include "tests/fake/rig.h"

#define CORES   2
#define WRITERS 24 /* a core */
#define WRITES  400 /* each */

static const uint8_t uuid[16] = "a volume's uuid";

struct writer {
	struct op op;
	struct buf_wait wait;
	struct buf *buf, *check;
	struct jread read;
	int core, id, n;
	uint64_t seq;
	uint32_t len;
	struct jloc loc, before;
	enum { W_BUF, W_ROOM, W_SYNCED, W_READ } stage;
};

static struct writer writer[CORES][WRITERS];
static struct journal *journal[CORES];
static struct op *waiter_of[CORES];
static int running[CORES];
static uint64_t first_seq, epoch;

static void
fill(uint8_t *p, uint32_t len, uint64_t ino, uint64_t off)
{
	for (uint32_t i = 0; i < len; i++)
		p[i] = (uint8_t)(mix64(ino << 32 ^ off ^ i / 16) >> (i % 8 * 4));
}

static uint64_t
ino_of(const struct writer *w)
{
	return (uint64_t)(w->core * WRITERS + w->id + 1);
}

/* Now and then it reads back what it has just written. */
static void
writer_run(struct op *op)
{
	struct writer *w = container_of(op, struct writer, op);
	struct journal *j = journal[w->core];
	struct bufref ref;

	for (;;) {
		switch (w->stage) {
		case W_BUF:
			w->len = 1 + (uint32_t)(mix64((uint64_t)w->n * 77 + ino_of(w)) % BUF_LARGE_BYTES);
			fill(w->buf->data, w->len, ino_of(w), (uint64_t)w->n);
			fallthrough;
		case W_ROOM:
			cr_assert(ge(int, op->res, 0));
			ref = (struct bufref){ .buf = w->buf, .len = w->len };
			if (journal_append(j, J_WRITE, ino_of(w), (uint64_t)w->n, 1, &ref, &w->seq, &w->loc) < 0) {
				w->stage = W_ROOM;
				if (journal_wait_room(j, w->len, op) == OP_PENDING)
					return;
				break;
			}
			w->stage = W_SYNCED;
			if (journal_sync(j, w->seq, op) == OP_PENDING)
				return;
			break;
		case W_SYNCED:
			cr_assert(eq(int, op->res, 0));
			if (w->before.seg)
				jloc_put(&w->before);
			w->before = w->loc;
			w->stage = W_READ;
			if (w->n % 16 == 0) {
				if (journal_read(&w->read, &w->loc, w->check, op) == OP_PENDING)
					return;
				break;
			}
			fallthrough;
		case W_READ:
			cr_assert(eq(int, op->res, 0));
			if (w->n % 16 == 0)
				cr_assert(eq(int, memcmp(w->check->data, w->buf->data, w->len), 0));
			buf_put(w->buf);
			if (++w->n == WRITES) {
				buf_put(w->check);
				if (--running[w->core] == 0)
					reactor_post(waiter_of[w->core], 0);
				return;
			}
			w->stage = W_BUF;
			if (buf_get_many(&w->wait, &w->buf, 1, BUF_LARGE, BUF_INGEST, op) == OP_PENDING)
				return;
			break;
		}
	}
}

static enum op_state
start_writers(void *arg, struct op *op)
{
	int core = reactor_core();

	(void)arg;
	waiter_of[core] = op;
	running[core] = WRITERS;
	for (int i = 0; i < WRITERS; i++) {
		struct writer *w = &writer[core][i];

		*w = (struct writer){ .op.resume = writer_run, .core = core, .id = i };
		w->check = buf_get(BUF_LARGE, BUF_DRAIN);
		if (buf_get_many(&w->wait, &w->buf, 1, BUF_LARGE, BUF_INGEST, &w->op) == OP_DONE)
			reactor_post(&w->op, 0);
	}
	return OP_PENDING;
}

static int
init(int core, void *arg)
{
	struct journal_opts o = { .dir = rig_dir(), .uuid = uuid, .bytes = 8 * MIB, .epoch = epoch,
	                          .first_seq = first_seq };
	char why[256];

	(void)arg;
	return journal_open(&journal[core], core, &o, why);
}

static void
fini(int core, void *arg)
{
	(void)arg;
	journal_close(journal[core]);
}

static void
write_on(int core)
{
	cr_assert(eq(int, rig_call(core, start_writers, NULL), 0));
}

/* Each writer's last record is there, whole; what was retired may be. */
static size_t
check_scan(void)
{
	bool seen[CORES * WRITERS + 1] = { false };
	uint64_t max_seq, max_epoch;
	struct jrecord *rec;
	char why[256];
	size_t n;

	cr_assert(eq(int, journal_scan(rig_dir(), uuid, NULL, NULL, &rec, &n, &max_seq, &max_epoch, why), 0),
	          "%s", why);
	for (size_t i = 0; i < n; i++) {
		cr_assert(rec[i].ino > 0 && rec[i].ino <= CORES * WRITERS);
		seen[rec[i].ino] = rec[i].off == WRITES - 1;
		jloc_put(&rec[i].loc);
	}
	for (int i = 1; i <= CORES * WRITERS; i++)
		cr_assert(seen[i], "writer %d's last record", i);
	cr_assert(eq(u64, max_epoch, epoch));
	cr_assert(lt(u64, first_seq, max_seq));
	first_seq = max_seq + 1;
	free(rec);
	return n;
}

Test(journal_live, writers_around_the_ring, .timeout = 600)
{
	first_seq = 1;
	for (epoch = 1; epoch <= 2; epoch++) {
		rig_start(CORES, init, fini);
		rig_threads(CORES, write_on);
		for (int c = 0; c < CORES; c++) {
			const struct journal_stats *s = journal_stats(journal[c]);

			cr_assert(eq(u64, s->records, WRITERS * WRITES));
			cr_assert(lt(u64, s->groups, s->records), "some shared a group");
			cr_assert(lt(u64, 32 * 8 * MIB, s->bytes), "many times around the ring");
		}
		rig_stop();
		/* Their holds end after the journal: nothing of it was uploaded. */
		for (int c = 0; c < CORES; c++)
			for (int i = 0; i < WRITERS; i++)
				jloc_put(&writer[c][i].before);
		check_scan();
		journal_scan_done(); /* all was put: the files go */
	}
	rig_dir_remove();
}
