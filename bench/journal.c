/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What does the journal cost beside the bare disk?  Writers that wait for each 4 KiB
 * record to be durable, and streams of 1 MiB; beside them io_uring alone, which writes
 * groups of the same mean size, as many in flight, O_DIRECT and RWF_DSYNC, into a
 * prewritten file.  Medians of rounds that take turns.
 *
 *   journal [DIR [ROUNDS]]      DIR: an empty or new directory, ./bench-journal by default
 */
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/log.h"
#include "reactor/reactor.h"
#include "store/journal.h"

#define RING_BYTES    (256 * MIB)
#define SEGMENT_BYTES (64 * MIB)
#define MEASURE_NS    400000000ull
#define WRITERS_MAX   64
#define PIECES_MAX    16
#define ROUNDS_MAX    25

struct result {
	double records, mib;  /* a second */
	double group_records, group_bytes; /* mean */
};

static char dir[400];
static const uint8_t uuid[16];

static void
fail(const char *what, int err)
{
	fprintf(stderr, "journal: %s: %s\n", what, strerror(err));
	exit(1);
}

static uint64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- ours: writers on one core, each appends its pieces, waits, and does it again */

struct writer {
	struct op op;
	struct buf *buf[PIECES_MAX];
	struct jloc loc[PIECES_MAX];
	uint64_t seq;
	int done;          /* pieces appended */
	bool waiting;      /* for them to be durable */
};

static struct writer writer[WRITERS_MAX];
static int nwriters, npieces, running;
static uint32_t piece_bytes;
static struct journal *journal;
static uint64_t warm_bytes;      /* written before it is measured */
static uint64_t measure_bytes;   /* 0: for a time */
static uint64_t begin_ns, end_ns;
static struct journal_stats begin, end;

static bool
is_over(void)
{
	const struct journal_stats *s = journal_stats(journal);
	uint64_t now = now_ns();

	if (begin_ns == 0 && s->bytes >= warm_bytes) {
		begin_ns = now;
		begin = *s;
	}
	if (end_ns == 0 && begin_ns > 0 &&
	    (measure_bytes ? s->bytes - begin.bytes >= measure_bytes : now - begin_ns >= MEASURE_NS)) {
		end_ns = now;
		end = *s;
	}
	return end_ns > 0;
}

static enum op_state
append_all(struct writer *w)
{
	for (; w->done < npieces; w->done++) {
		struct bufref ref = { .buf = w->buf[w->done], .len = piece_bytes };
		int r = journal_append(journal, J_WRITE, 1, 0, 0, &ref, &w->seq, &w->loc[w->done]);

		if (r == -EAGAIN)
			return journal_wait_room(journal, (uint64_t)npieces * piece_bytes, &w->op);
		if (r < 0)
			fail("append", -r);
	}
	w->waiting = true;
	return journal_sync(journal, w->seq, &w->op);
}

static void
writer_run(struct op *op)
{
	struct writer *w = container_of(op, struct writer, op);

	do {
		if (op->res < 0)
			fail("write", -op->res);
		if (w->waiting) {
			for (int i = 0; i < npieces; i++)
				jloc_put(&w->loc[i]); /* as if it were uploaded */
			w->waiting = false;
			w->done = 0;
			if (is_over()) {
				if (--running == 0)
					reactor_stop();
				return;
			}
		}
	} while (append_all(w) == OP_DONE);
}

static int
core_init(int core, void *arg)
{
	struct journal_opts o = { .dir = dir, .uuid = uuid, .bytes = RING_BYTES,
	                          .segment_bytes = SEGMENT_BYTES, .epoch = now_ns(), .first_seq = 1 };
	char why[256];
	int err = journal_open(&journal, core, &o, why);

	(void)arg;
	if (err < 0)
		fail(why, -err);
	running = nwriters;
	for (int i = 0; i < nwriters; i++) {
		writer[i] = (struct writer){ .op.resume = writer_run };
		for (int k = 0; k < npieces; k++) {
			writer[i].buf[k] = buf_get(piece_bytes > BUF_SMALL_BYTES ? BUF_LARGE : BUF_SMALL, BUF_DRAIN);
			memset(writer[i].buf[k]->data, i + k, piece_bytes);
		}
		reactor_post(&writer[i].op, 0);
	}
	return 0;
}

static void
core_fini(int core, void *arg)
{
	(void)core;
	(void)arg;
	journal_close(journal);
	for (int i = 0; i < nwriters; i++)
		for (int k = 0; k < npieces; k++)
			buf_put(writer[i].buf[k]);
}

static struct result
ours(int writers, int pieces, uint32_t bytes, uint64_t warm, uint64_t measure)
{
	struct reactor_opts o = { .cores = 1, .busy_poll_us = 50, .buf_bytes = 64 * MIB, .max_conns = 16,
	                          .recv_bufs = 16, .pin = false, .touch = true, .worker_threads = 2,
	                          .init = core_init, .fini = core_fini };
	char why[256] = "";
	double s, groups;
	int err;

	nwriters = writers;
	npieces = pieces;
	piece_bytes = bytes;
	warm_bytes = warm;
	measure_bytes = measure;
	begin_ns = end_ns = 0;
	err = reactor_start(&o, why);
	if (err < 0)
		fail(why, -err);
	reactor_join();
	s = (double)(end_ns - begin_ns) / 1e9;
	groups = (double)(end.groups - begin.groups);
	return (struct result){
		.records = (double)(end.records - begin.records) / s,
		.mib = (double)(end.records - begin.records) * bytes / (double)MIB / s,
		.group_records = (double)(end.records - begin.records) / groups,
		.group_bytes = (double)(end.bytes - begin.bytes) / groups,
	};
}

/* ---- the disk alone */

static int
prewritten(const char *path, const void *page, uint32_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);

	if (fd < 0)
		fail(path, errno);
	for (uint64_t at = 0; at < SEGMENT_BYTES; at += bytes)
		if (pwrite(fd, page, bytes, (off_t)at) != bytes)
			fail(path, errno);
	if (fsync(fd) < 0)
		fail(path, errno);
	return fd;
}

/*
 * The same groups, and as many in flight as the writers' records were in: as far as a disk can
 * tell, the same.
 */
static struct result
bare(const struct result *like, uint32_t piece, int outstanding)
{
	int depth = (double)outstanding > 1.5 * like->group_records ? 2 : 1;
	uint32_t bytes = (uint32_t)ROUND_UP((uint64_t)(like->group_bytes + 0.5), PAGE);
	struct io_uring_cqe *cqe;
	struct io_uring ring;
	uint64_t at = 0, n = 0, start;
	char path[440];
	void *page;
	double s;
	int fd, err, under_way = 0;

	snprintf(path, sizeof(path), "%s/bare", dir);
	page = aligned_alloc(PAGE, MAX(bytes, MIB));
	memset(page, 7, MAX(bytes, MIB));
	fd = prewritten(path, page, MIB);
	err = io_uring_queue_init(8, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
	if (err < 0)
		fail("io_uring", -err);
	for (start = now_ns(); now_ns() - start < MEASURE_NS; ) {
		while (under_way < depth) {
			struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

			io_uring_prep_write(sqe, fd, page, bytes, at);
			sqe->rw_flags = RWF_DSYNC;
			at = at + 2 * bytes > SEGMENT_BYTES ? 0 : at + bytes;
			under_way++;
		}
		io_uring_submit_and_wait(&ring, 1);
		while (io_uring_peek_cqe(&ring, &cqe) == 0) {
			if (cqe->res != (int)bytes)
				fail("bare write", cqe->res < 0 ? -cqe->res : EIO);
			io_uring_cqe_seen(&ring, cqe);
			under_way--;
			n++;
		}
	}
	s = (double)(now_ns() - start) / 1e9;
	io_uring_queue_exit(&ring);
	close(fd);
	unlink(path);
	free(page);
	return (struct result){
		.records = (double)n * like->group_records / s,
		.mib = (double)n * like->group_records * piece / (double)MIB / s,
	};
}

/* ---- rounds */

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static const struct question {
	const char *name;
	int writers, pieces;
	uint32_t bytes;
	uint64_t warm, measure;
	bool stream;
} questions[] = {
	{ "4 KiB durable, 1 outstanding", 1, 1, 4096, 0, 0, false },
	{ "4 KiB durable, 16 outstanding", 16, 1, 4096, 0, 0, false },
	{ "4 KiB durable, 64 outstanding", 64, 1, 4096, 0, 0, false },
	{ "1 MiB x 8, ring in use again", 8, 16, 65536, 2 * RING_BYTES, 0, true },
	{ "1 MiB x 8, ring being made", 8, 16, 65536, 0, RING_BYTES, true },
};

int
main(int argc, char **argv)
{
	static double us[ARRAY_LEN(questions)][ROUNDS_MAX], disk[ARRAY_LEN(questions)][ROUNDS_MAX];
	static double ratio[ARRAY_LEN(questions)][ROUNDS_MAX], in_group[ARRAY_LEN(questions)][ROUNDS_MAX];
	int rounds = argc > 2 ? MIN(atoi(argv[2]), ROUNDS_MAX) : 9;

	snprintf(dir, sizeof(dir), "%s", argc > 1 ? argv[1] : "./bench-journal");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		fail(dir, errno);
	log_set_level(LOG_WARN);
	for (int r = 0; r < rounds; r++)
		for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
			const struct question *q = &questions[i];
			struct result o = ours(q->writers, q->pieces, q->bytes, q->warm, q->measure);
			struct result b = bare(&o, q->bytes, q->writers * q->pieces);

			us[i][r] = q->stream ? o.mib : o.records;
			disk[i][r] = q->stream ? b.mib : b.records;
			ratio[i][r] = us[i][r] / disk[i][r];
			in_group[i][r] = o.group_records;
		}
	printf("%-32s %14s %14s %8s %16s\n", "medians of rounds", "journal", "bare io_uring", "ratio",
	       "records a group");
	for (size_t i = 0; i < ARRAY_LEN(questions); i++)
		printf("%-32s %8.0f %s %8.0f %s %8.2f %16.1f\n", questions[i].name, median(us[i], rounds),
		       questions[i].stream ? "MiB/s" : "rec/s", median(disk[i], rounds),
		       questions[i].stream ? "MiB/s" : "rec/s", median(ratio[i], rounds),
		       median(in_group[i], rounds));
	rmdir(dir);
	return 0;
}
