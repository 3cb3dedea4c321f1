/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of the journal on two cores, one after the other, for the thread sanitizer:
 *
 *	journal_stress [SECONDS]
 *
 * Writers go around a small ring, and meanwhile put the records of the run before from
 * whichever core; its segments must go, and only then may the ring go on.
 */
#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/log.h"
#include "store/journal.h"
#include "tests/fake/rig.c"

#define CORES   2
#define WRITERS 8   /* a core */
#define WRITES  150 /* each, at least */

static const uint8_t uuid[16] = "a volume's uuid";

struct writer {
	struct op op;
	struct buf *buf;
	int core, n;
	bool appended;
	struct jloc loc, before;
};

static struct writer writer[CORES][WRITERS];
static struct journal *journal[CORES];
static struct op *waiter[CORES];
static int running[CORES];
static uint64_t epoch, max_seq, all_records;
static struct jrecord *old;
static size_t nold;
static _Atomic size_t next_old;

static void
put_old(void)
{
	size_t i = atomic_fetch_add(&next_old, 1);

	if (i < nold)
		jloc_put(&old[i].loc);
}

static void
writer_run(struct op *op)
{
	struct writer *w = container_of(op, struct writer, op);
	struct bufref ref = { .buf = w->buf, .len = 1 + (uint32_t)(w->n * 977) % BUF_LARGE_BYTES };
	uint64_t seq;

	for (;;) {
		if (op->res < 0)
			fail("a write failed");
		if (w->appended) {
			jloc_put(&w->before);
			w->before = w->loc;
			w->appended = false;
			put_old();
			if (++w->n >= WRITES && atomic_load(&next_old) >= nold) {
				if (--running[w->core] == 0)
					reactor_post(waiter[w->core], 0);
				return;
			}
		}
		if (journal_append(journal[w->core], J_WRITE, (uint64_t)w->core + 1, (uint64_t)w->n, 0, &ref,
		                   &seq, &w->loc) < 0) {
			put_old();
			if (journal_wait_room(journal[w->core], ref.len, op) == OP_PENDING)
				return;
			continue;
		}
		w->appended = true;
		if (journal_sync(journal[w->core], seq, op) == OP_PENDING)
			return;
	}
}

/* One that waits for room puts nothing; so this goes on beside the writers. */
static enum op_state
put_some(void *arg, struct op *op)
{
	(void)arg;
	for (int i = 0; i < 8; i++)
		put_old();
	return op_done(op, 0);
}

static enum op_state
start_writers(void *arg, struct op *op)
{
	int core = reactor_core();

	(void)arg;
	waiter[core] = op;
	running[core] = WRITERS;
	for (int i = 0; i < WRITERS; i++) {
		writer[core][i] = (struct writer){ .op.resume = writer_run, .core = core,
		                                   .buf = buf_get(BUF_LARGE, BUF_DRAIN) };
		reactor_post(&writer[core][i].op, 0);
	}
	return OP_PENDING;
}

static int
init(int core, void *arg)
{
	struct journal_opts o = { .dir = rig_dir(), .uuid = uuid, .bytes = 4 * MIB, .epoch = epoch,
	                          .first_seq = max_seq + 1 };
	char why[256];

	(void)arg;
	if (journal_open(&journal[core], core, &o, why) < 0)
		fail(why);
	if (core == CORES - 1)
		journal_scan_done();
	return 0;
}

static void
fini(int core, void *arg)
{
	(void)arg;
	all_records += journal_stats(journal[core])->records;
	journal_close(journal[core]);
	for (int i = 0; i < WRITERS; i++)
		buf_put(writer[core][i].buf);
}

static void
thread(int i)
{
	if (i < CORES) {
		rig_call(i, start_writers, NULL);
		return;
	}
	while (atomic_load(&next_old) < nold) {
		rig_call(i % CORES, put_some, NULL);
		usleep(1000);
	}
}

/* Segments of earlier runs. */
static int
old_files(void)
{
	DIR *d = opendir(rig_dir());
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d)) != NULL) {
		unsigned core;
		unsigned long long of;

		if (sscanf(e->d_name, "%u-%llx-", &core, &of) == 2 && of < epoch)
			n++;
	}
	closedir(d);
	return n;
}

static void
one_run(void)
{
	uint64_t max_epoch;
	char why[256];

	if (journal_scan(rig_dir(), uuid, NULL, NULL, &old, &nold, &max_seq, &max_epoch, why) < 0)
		fail(why);
	if (max_epoch != epoch++)
		fail("the last run left nothing");
	atomic_store(&next_old, 0);
	rig_start(CORES, init, fini);
	rig_threads(2 * CORES, thread);
	for (int i = 0; old_files() > 0; i++) {
		if (i == 1000)
			fail("the last run's segments stay");
		usleep(10000);
	}
	rig_stop();
	for (int c = 0; c < CORES; c++)
		for (int i = 0; i < WRITERS; i++)
			jloc_put(&writer[c][i].before);
	free(old);
}

int
main(int argc, char **argv)
{
	time_t until = time(NULL) + (argc > 1 ? atoi(argv[1]) : 6);
	int runs = 0;

	log_set_level(LOG_ERROR);
	do {
		one_run();
		runs++;
	} while (time(NULL) < until);
	rig_dir_remove();
	printf("%d runs, %llu records\n", runs, (unsigned long long)all_records);
	return 0;
}
