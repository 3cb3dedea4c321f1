/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts at random instants, over many runs on one and on several cores: writes,
 * truncations and uploads as the data path does them, with real extents, and a disk that
 * has written any sectors of what was in flight.  After each cut the log is replayed over
 * what was uploaded, and every cell of every file must hold the last value that was
 * durable, or one that came after it.
 */
#include "store/extent.h"
#include "tests/unit/journal_rig.h"

/* The disk is the test's own, so its files may as well be in memory. */
static void
setup_in_memory(void)
{
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	setup();
}

TestSuite(journal_power, .init = setup_in_memory, .fini = teardown, .timeout = 300);

#define FILES 5
#define CELLS 24 /* of PAGE bytes */
#define HIST  2048

/* What a cell has held since it was last known for sure. */
struct past { uint64_t value, seq; };
struct cell { struct past past[HIST]; int n; uint64_t stored; };

struct file {
	struct cell cell[CELLS];
	struct extents extents;
	uint64_t last_seq;
	bool cutting;         /* a TRUNC is on its way: as under the inode's lock */
	uint64_t cut_seq, cut_cell;
};

static struct file file[FILES];
static struct journal *j[FAKE_CORES];
#define ROUNDS 200
static uint64_t tail[ROUNDS + 1][FAKE_CORES]; /* what was put for each epoch and core */
static uint64_t next_value, epoch;
static struct scanned old;
static bool old_done;

static int
owner(int f)
{
	return f % fake_cores;
}

static unsigned
dice(unsigned n)
{
	return (unsigned)random() % n;
}

/* ---- what the data path does */

static void
remember(struct cell *c, uint64_t value, uint64_t seq)
{
	cr_assert(lt(int, c->n, HIST));
	c->past[c->n++] = (struct past){ value, seq };
}

static void
do_write(int f)
{
	uint32_t cell = dice(CELLS), n = 1 + dice(MIN(16, CELLS - cell));
	struct bufref ref = { .buf = buf_get(BUF_LARGE, BUF_INGEST), .len = n * PAGE - dice(2) * 100 };
	struct jloc loc;
	uint64_t seq;

	fake_core = owner(f);
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t at = 0; at < PAGE; at += 8)
			put_le64(ref.buf->data + i * PAGE + at, next_value + i);
	if (!file[f].cutting && journal_append(j[fake_core], J_WRITE, (uint64_t)f + 1, cell * PAGE, 0, &ref,
	                                       &seq, &loc) == 0) {
		/*
		 * The last cell may be short: a file of the model has whole cells, its rest
		 * doesn't matter.
		 */
		cr_assert(eq(int, extent_insert(&file[f].extents, cell * PAGE, ref.len, ref.buf, 0, &loc,
		                                seq, 0), 0));
		for (uint32_t i = 0; i < n; i++)
			remember(&file[f].cell[cell + i], next_value + i, seq);
		file[f].last_seq = seq;
		next_value += n;
	}
	buf_put(ref.buf);
	fake_core = 0;
}

static void
cut_applied(int f)
{
	for (uint64_t c = file[f].cut_cell; c < CELLS; c++) {
		struct cell *cell = &file[f].cell[c];

		cell->stored = 0;
		cell->past[cell->n - 1].seq = file[f].cut_seq;
	}
	extent_cut(&file[f].extents, file[f].cut_cell * PAGE);
	file[f].cutting = false;
}

static void
do_trunc(int f)
{
	struct jloc loc;

	fake_core = owner(f);
	if (file[f].cutting) {
		if (journal_durable(j[fake_core]) >= file[f].cut_seq)
			cut_applied(f);
	} else if (journal_durable(j[fake_core]) >= file[f].last_seq) {
		file[f].cut_cell = dice(CELLS);
		if (journal_append(j[fake_core], J_TRUNC, (uint64_t)f + 1, file[f].cut_cell * PAGE, 0, NULL,
		                   &file[f].cut_seq, &loc) == 0) {
			file[f].cutting = true;
			for (uint64_t c = file[f].cut_cell; c < CELLS; c++)
				remember(&file[f].cell[c], 0, UINT64_MAX); /* promised once it is applied */
		}
	}
	fake_core = 0;
}

/* The value of a cell in an extent, from its buffer or from the journal. */
static uint64_t
value_of(const struct extent *e, uint64_t cell)
{
	uint32_t at = e->boff + (uint32_t)(cell * PAGE - e->off);
	uint8_t page[PAGE] __attribute__((aligned(PAGE)));

	if (e->buf)
		return get_le64(e->buf->data + at);
	cr_assert(eq(i64, pread(e->loc.seg->fd, page, PAGE, e->loc.off + at), PAGE));
	return get_le64(page);
}

/*
 * Some of a file's extents go to the object store, durable ones only: replayed without a
 * record, the log would lay what it covers over it again.  Then the tail is put.
 */
static void
do_upload(int f)
{
	uint64_t from = dice(2) ? 0 : dice(CELLS), upto;
	struct extent *e;

	fake_core = owner(f);
	upto = file[f].cutting ? 0 : journal_durable(j[fake_core]);
	for (uint64_t c = from; upto > 0 && c < CELLS; c++) {
		struct cell *cell = &file[f].cell[c];

		e = extent_at(&file[f].extents, c * PAGE);
		if (!e || e->off > c * PAGE)
			continue;
		if (e->seq <= upto)
			cell->stored = value_of(e, c);
	}
	/* Sometimes durable ones lose their memory instead. */
	for (e = extent_at(&file[f].extents, 0); e; e = extent_next(&file[f].extents, e))
		if (e->buf && e->seq <= journal_durable(j[fake_core]) && dice(4) == 0) {
			buf_put(e->buf);
			e->buf = NULL;
		}
	if (upto > 0)
		extent_drop(&file[f].extents, from * PAGE, UINT64_MAX, upto);
	tail[epoch][fake_core] = journal_tail(j[fake_core]);
	fake_core = 0;
}

static void
do_disk(void)
{
	if (fake_nio == 0)
		return;
	fake_io_finish((int)dice((unsigned)fake_nio), dice(8) ? SSIZE_MAX : (ssize_t)dice(20) * 1000);
}

/* ---- the cut */

/* Any sectors of what was in flight are on disk. */
static void
tear(const struct fake_io *io)
{
	unsigned mode = dice(4); /* none, all, some, a first part */
	uint64_t sectors = fake_io_bytes(io) / 512, first = dice((unsigned)sectors + 1), n = 0;
	int fd = fcntl(io->fd, F_DUPFD_CLOEXEC, 0);

	for (int i = 0; io->write && i < io->niov; i++)
		for (size_t at = 0; at < io->iov[i].iov_len; at += 512, n++)
			if (mode == 1 || (mode == 2 && dice(2)) || (mode == 3 && n < first))
				cr_assert(eq(i64, pwrite(fd, (uint8_t *)io->iov[i].iov_base + at, 512,
				                         (off_t)(io->off + n * 512)), 512));
	close(fd);
}

static void
power_cut(void)
{
	int cores = fake_cores;

	fake_end_works();
	/* What was durable is known for sure. */
	for (int f = 0; f < FILES; f++)
		for (int c = 0; c < CELLS; c++) {
			struct cell *cell = &file[f].cell[c];
			int sure = 0;

			for (int i = 0; i < cell->n; i++)
				if (cell->past[i].seq <= journal_durable(j[owner(f)]))
					sure = i;
			cell->n -= sure;
			memmove(cell->past, cell->past + sure, sizeof(cell->past[0]) * (size_t)cell->n);
		}
	for (int i = 0; i < fake_nio; i++)
		tear(&fake_io[i]);
	fake_nio = 0;
	for (fake_core = cores - 1; fake_core >= 0; fake_core--) {
		for (int f = 0; f < FILES; f++)
			if (owner(f) == fake_core)
				extents_clear(&file[f].extents);
		extent_fini();
	}
	for (int c = cores - 1; c >= 0; c--) {
		fake_core = c;
		drop_journal(j[c]);
	}
	if (!old_done)
		journal_scan_free();
}

/* ---- the start */

static uint64_t
tail_of(void *arg, uint32_t core, uint64_t e)
{
	(void)arg;
	cr_assert(e <= epoch && core < FAKE_CORES);
	return tail[e][core];
}

/* The log over what was uploaded: into extents, as a start does it. */
static void
replay(void)
{
	for (size_t i = 0; i < old.n; i++) {
		const struct jrecord *r = &old.rec[i];
		int f = (int)r->ino - 1;

		cr_assert(f >= 0 && f < FILES);
		fake_core = owner(f);
		if (r->kind == J_WRITE) {
			cr_assert(eq(int, extent_insert(&file[f].extents, r->off, r->len, NULL, 0, &r->loc,
			                                r->seq, 0), 0));
		} else {
			extent_cut(&file[f].extents, r->off);
			jloc_put(&r->loc);
			for (uint64_t c = r->off / PAGE; c < CELLS; c++)
				file[f].cell[c].stored = 0;
		}
	}
	fake_core = 0;
}

static void
check(unsigned round)
{
	for (int f = 0; f < FILES; f++)
		for (uint64_t c = 0; c < CELLS; c++) {
			struct cell *cell = &file[f].cell[c];
			struct extent *e = extent_at(&file[f].extents, c * PAGE);
			uint64_t value = e && e->off <= c * PAGE ? value_of(e, c) : cell->stored;
			bool legal = false;

			for (int i = 0; i < cell->n; i++)
				legal |= cell->past[i].value == value;
			cr_assert(legal, "round %u, file %d, cell %d: %llu, but %llu was durable", round, f,
			          (int)c, (unsigned long long)value,
			          (unsigned long long)cell->past[0].value);
			cell->past[0] = (struct past){ value, 0 };
			cell->n = 1;
		}
}

static void
start(unsigned round)
{
	char why[256];

	fake_start(1 + (int)dice(3));
	cr_assert(eq(int, journal_scan(dir, uuid, tail_of, NULL, &old.rec, &old.n, &old.max_seq,
	                               &old.max_epoch, why), 0), "%s", why);
	cr_assert(le(u64, old.max_epoch, epoch));
	for (fake_core = 0; fake_core < fake_cores; fake_core++)
		cr_assert(eq(int, extent_init(4096), 0));
	for (int f = 0; f < FILES; f++) {
		extents_init(&file[f].extents);
		file[f].last_seq = 0;
		file[f].cutting = false;
	}
	replay();
	free(old.rec);
	check(round);
	epoch++;
	old_done = dice(2);
	if (old_done)
		journal_scan_done();
	for (fake_core = 0; fake_core < fake_cores; fake_core++)
		j[fake_core] = open_journal(512 * KIB, epoch, old.max_seq + 1);
	fake_core = 0;
}

static void
run(unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		int f = (int)dice(FILES);

		switch (dice(16)) {
		case 0: case 1: case 2: case 3: case 4:
			do_write(f);
			break;
		case 5:
			do_trunc(f);
			break;
		case 6: case 7:
			do_upload(f);
			break;
		case 8:
			fake_now_ns += 15 * 1000000;
			break;
		case 9: case 10: case 11:
			do_disk();
			break;
		default:
			fake_lap();
			break;
		}
		if (!old_done && dice(10) == 0) {
			journal_scan_done();
			old_done = true;
		}
	}
}

Test(journal_power, cuts)
{
	const char *seed = getenv("SEED");
	unsigned long reused = 0;

	srandom(seed ? (unsigned)atoi(seed) : 1);
	log_set_level(-1);
	next_value = 1;
	for (int f = 0; f < FILES; f++)
		for (int c = 0; c < CELLS; c++)
			file[f].cell[c].n = 1; /* zeros */
	for (unsigned round = 0; round < ROUNDS; round++) {
		start(round);
		run(dice(3) ? dice(400) : dice(6000));
		for (int c = 0; c < fake_cores; c++)
			reused += j[c]->number > j[c]->files;
		power_cut();
	}
	cr_assert(lt(u64, 20, reused), "segments were used again in some runs: %lu", reused);
}
