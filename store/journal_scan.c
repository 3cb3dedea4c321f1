/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The segments of earlier runs: read at the start, deleted when their data has reached
 * the object store, strictly in the order of the log.  Epochs before later ones too:
 * replaying a record without those that came after it would bring old data back.  That is
 * also why this run's ring overwrites nothing while any of them is left (jscan_is_left).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "reactor/log.h"
#include "store/journal_impl.h"

/* All cores; who may touch what: */
static struct {
	_Atomic uint32_t left;    /* any: segments in the list; from journal_scan on */
	_Atomic bool done;        /* any: journal_scan_done has been called */
	struct jseg *head;        /* in log order; the starting thread's, after that the reaper's */
	char dir[JPATH_MAX];
	struct journal *_Atomic journal[REACTOR_MAX_CORES];
	struct journal *_Atomic reaper;
	/* the reaper's */
	uint64_t wait_seq[REACTOR_MAX_CORES]; /* head goes when every journal is durable up to here */
	bool reaping, broken;
	struct work work;
	struct op op;
} scan;

/* ---- reading */

struct found {
	struct jseg *seg;
	struct jhead head;
	bool discard;
};

struct scanner {
	const uint8_t *uuid;
	uint64_t (*tail)(void *arg, uint32_t core, uint64_t epoch);
	void *arg;
	char *why;
	struct found *file;
	size_t nfiles, files_cap;
	struct jrecord *rec;
	size_t nrecs, recs_cap;
	uint64_t max_seq, max_epoch;
	struct jgroup_found group;
};

/* Room for one more; the array may move. */
static int
grow_array(void *array, size_t n, size_t *cap, size_t size)
{
	void **p = array, *more;

	if (n < *cap)
		return 0;
	more = reallocarray(*p, *cap ? *cap * 2 : 64, size);
	if (!more)
		return -ENOMEM;
	*cap = *cap ? *cap * 2 : 64;
	*p = more;
	return 0;
}

static ssize_t
read_file(void *arg, void *p, size_t len, uint64_t off)
{
	const struct jseg *s = arg;
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(s->fd, (uint8_t *)p + got, len - got, (off_t)(off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static struct jseg *
seg_new(const char *dir, const char *name)
{
	struct jseg *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	atomic_init(&s->holders, 1);
	s->fd = -1;
	if (snprintf(s->path, sizeof(s->path), "%s/%s", dir, name) < (int)sizeof(s->path))
		return s;
	free(s);
	return NULL;
}

/*
 * Only what is being read, or has live records, is open: after many crashes there may be many
 * files.
 */
static int
seg_open(struct jseg *s)
{
	struct stat st;

	s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd < 0 || fstat(s->fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size > UINT32_MAX)
		return -E_FORMAT;
	s->bytes = (uint32_t)st.st_size;
	(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

static void
seg_close(struct jseg *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static int
parse_init(struct jparse *p, struct jseg *s)
{
	int err = seg_open(s);

	*p = (struct jparse){ .read = read_file, .arg = s, .size = s->bytes };
	return err < 0 ? err : jparse_init(p);
}

/* To its end: closed, unless there are live records to read later. */
static void
parse_fini(struct jparse *p)
{
	struct jseg *s = p->arg;

	jparse_fini(p);
	if (s->fd < 0)
		return;
	(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (jseg_is_live(s))
		jseg_direct(s->fd);
	else
		seg_close(s);
}

static int
explain(struct scanner *sc, const struct jseg *s, int err)
{
	const char *path = s ? s->path : "";

	switch (-err) {
	case E_FORMAT:
		snprintf(sc->why, 256, "%.180s is no journal of a version that this program knows", path);
		break;
	case ENOMEM:
		snprintf(sc->why, 256, "no memory to read the journal");
		break;
	default:
		snprintf(sc->why, 256, "cannot read %.180s: %s", path, strerror(-err));
		break;
	}
	return err;
}

static int
add_file(struct scanner *sc, const char *dir, const char *name)
{
	struct found *f;
	struct jparse p;
	int err = grow_array(&sc->file, sc->nfiles, &sc->files_cap, sizeof(*sc->file));

	if (err < 0)
		return explain(sc, NULL, err);
	f = &sc->file[sc->nfiles];
	*f = (struct found){ 0 };
	f->seg = seg_new(dir, name);
	if (!f->seg)
		return explain(sc, NULL, -ENOMEM);
	sc->nfiles++;
	err = parse_init(&p, f->seg);
	if (err == 0)
		f->head = p.head;
	parse_fini(&p);
	if (err == -ENODATA || err == -E_DAMAGED) {
		/* Made ahead and never used; or a crash tore the write of its first group. */
		if (err == -E_DAMAGED)
			log_warn("journal %s: its header is not readable: ignored", f->seg->path);
		f->discard = true;
		return 0;
	}
	if (err < 0)
		return explain(sc, f->seg, err);
	if (memcmp(f->head.uuid, sc->uuid, 16) != 0) {
		snprintf(sc->why, 256, "%.160s belongs to another volume: is this the right journal "
		         "directory?", f->seg->path);
		return -E_FORMAT;
	}
	f->seg->core = f->head.core;
	f->seg->epoch = f->head.epoch;
	f->seg->number = f->head.number;
	f->seg->first_seq = f->head.first_seq;
	sc->max_epoch = MAX(sc->max_epoch, f->head.epoch);
	return 0;
}

static bool
is_segment_name(const char *name)
{
	size_t len = strlen(name), ext = strlen(".journal");

	return len > ext && name[0] != '.' && strcmp(name + len - ext, ".journal") == 0;
}

static int
list_files(struct scanner *sc, const char *dir)
{
	struct dirent *e;
	int err = 0;
	DIR *d = opendir(dir);

	if (!d) {
		err = -errno;
		snprintf(sc->why, 256, "cannot read the journal directory %.160s: %s", dir, strerror(-err));
		return err;
	}
	while (err == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (is_segment_name(e->d_name))
			err = add_file(sc, dir, e->d_name);
	if (err == 0 && errno != 0)
		err = explain(sc, NULL, -errno);
	closedir(d);
	return err;
}

/* The log's order; those without a header last. */
static int
by_order(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->discard != y->discard)
		return x->discard ? 1 : -1;
	if (x->head.epoch != y->head.epoch)
		return x->head.epoch < y->head.epoch ? -1 : 1;
	if (x->head.core != y->head.core)
		return x->head.core < y->head.core ? -1 : 1;
	if (x->head.number != y->head.number)
		return x->head.number < y->head.number ? -1 : 1;
	return 0;
}

/* ---- one stream: the segments of one core and epoch */

static int
take_record(struct scanner *sc, struct jseg *s, uint32_t i)
{
	const struct jrec *r = &sc->group.rec[i];
	struct jrecord *out;

	if (grow_array(&sc->rec, sc->nrecs, &sc->recs_cap, sizeof(*sc->rec)) < 0)
		return -ENOMEM;
	out = &sc->rec[sc->nrecs++];
	*out = (struct jrecord){
		.ino = r->ino,
		.off = r->off,
		.seq = sc->group.desc.first_seq + i,
		.time_ns = r->time_ns,
		.len = r->len,
		.kind = r->kind,
		.loc = { .seg = s, .off = sc->group.payload[i], .len = r->len, .crc = r->crc },
	};
	atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);
	return 0;
}

/*
 * The log has ended at `seq`.  Is there more of it behind?  After a crash some
 * groups may be, which were in flight together with the torn one; they were never
 * acknowledged.  Anything that says that `seq` itself was durable tells of damage.
 */
static int
look_behind(struct scanner *sc, struct jparse *p, const struct found *f, const struct found *end,
            bool torn)
{
	uint64_t seen = p->seq, durable = 0;
	int r = jparse_later(p, &seen, &durable);

	/* The last group of all knows most. */
	for (const struct found *last = end - 1; r >= 0 && last > f; last--) {
		uint64_t here = p->seq;
		struct jparse q;

		seen = MAX(seen, last->head.first_seq);
		r = parse_init(&q, last->seg);
		if (r == 0) {
			q.off = 0;
			r = jparse_later(&q, &here, &durable);
		}
		parse_fini(&q);
		seen = MAX(seen, here);
		if (r == 1)
			break;
	}
	if (r < 0)
		return r;
	if (seen > p->seq)
		sc->max_seq = MAX(sc->max_seq, seen);
	if (durable >= p->seq)
		log_error("journal %s at %llu: damaged at record %llu; it and what follows up to %llu "
		          "is lost, although it was acknowledged",
		          f->seg->path, (unsigned long long)p->off, (unsigned long long)p->seq,
		          (unsigned long long)seen);
	else if (torn || seen > p->seq)
		log_warn("journal %s at %llu: ends in a torn group at record %llu; what was not "
		         "acknowledged is cut off", f->seg->path, (unsigned long long)p->off,
		         (unsigned long long)p->seq);
	return 0;
}

/*
 * Takes the records of one segment from `tail` on.  0: it ends there; 1: in a torn group;
 * -errno.
 */
static int
scan_segment(struct scanner *sc, struct jparse *p, struct jseg *s, uint64_t tail)
{
	struct jgroup_found *g = &sc->group;
	int r = parse_init(p, s);

	if (r < 0)
		return r;
	p->tail = tail;
	while ((r = jparse_next(p, g)) == 1)
		for (uint32_t i = 0; i < g->desc.nrec; i++)
			if (g->desc.first_seq + i >= tail && take_record(sc, s, i) < 0)
				return -ENOMEM;
	return r == -E_DAMAGED ? 1 : r;
}

/* The segment that goes on with `seq`, or `end`.  A gap among what is retired harms nobody. */
static struct found *
next_segment(struct found *f, struct found *end, uint64_t seq, uint64_t tail)
{
	for (f++; f < end && f->head.first_seq < seq; f++) {
		log_warn("journal %s: another segment has the same records: ignored", f->seg->path);
		f->discard = true;
	}
	return f < end && (f->head.first_seq == seq || f->head.first_seq <= tail) ? f : end;
}

/* Reads [f, end).  The chain of sequence numbers runs from segment to segment. */
static int
scan_stream(struct scanner *sc, struct found *f, struct found *end)
{
	uint64_t tail = sc->tail ? sc->tail(sc->arg, f->head.core, f->head.epoch) : 0;

	while (f < end) {
		struct found *next = end;
		struct jparse p;
		int r = scan_segment(sc, &p, f->seg, tail);

		if (r >= 0) {
			sc->max_seq = MAX(sc->max_seq, p.seq - 1);
			next = next_segment(f, end, p.seq, tail);
			if (next == end)
				r = look_behind(sc, &p, f, end, r == 1);
		}
		parse_fini(&p);
		if (r < 0)
			return explain(sc, f->seg, r);
		/*
		 * What doesn't go on must not be found by the next start, when what is before
		 * it has gone.
		 */
		for (f++; f < next; f++)
			f->discard = true;
	}
	return 0;
}

/* ---- start */

static int
delete_now(struct jseg *s)
{
	int err = unlink(s->path) < 0 && errno != ENOENT ? -errno : jdir_sync(scan.dir);

	if (err < 0)
		log_error("cannot delete %s: %s; journal space does not come back before it is gone",
		          s->path, strerror(-err));
	return err;
}

static void
scanner_free(struct scanner *sc, bool files_too)
{
	if (files_too) {
		for (size_t i = 0; i < sc->nrecs; i++)
			jloc_put(&sc->rec[i].loc);
		for (size_t i = 0; i < sc->nfiles; i++)
			jseg_release(sc->file[i].seg);
		free(sc->rec);
	}
	free(sc->file);
}

/*
 * What is discarded goes to the front of the list, its newest first: it may never come back
 * alone.
 */
static void
keep_list(struct scanner *sc)
{
	struct jseg **at = &scan.head;

	for (int discard = 1; discard >= 0; discard--)
		for (size_t k = 0; k < sc->nfiles; k++) {
			struct found *f = &sc->file[discard ? sc->nfiles - 1 - k : k];

			if (f->discard != (bool)discard)
				continue;
			*at = f->seg;
			at = &f->seg->next;
			atomic_fetch_add(&scan.left, 1);
		}
	*at = NULL;
}

int
journal_scan(const char *dir, const uint8_t uuid[16],
             uint64_t (*tail)(void *arg, uint32_t core, uint64_t epoch), void *arg,
             struct jrecord **recs, size_t *nrecs, uint64_t *max_seq, uint64_t *max_epoch,
             char why[256])
{
	struct scanner sc = { .uuid = uuid, .tail = tail, .arg = arg, .why = why };
	int err;

	assert(!scan.head);
	why[0] = '\0';
	err = list_files(&sc, dir);
	if (err == 0 && sc.nfiles > 0)
		qsort(sc.file, sc.nfiles, sizeof(*sc.file), by_order);
	for (size_t i = 0, n; err == 0 && i < sc.nfiles && !sc.file[i].discard; i = n) {
		for (n = i + 1; n < sc.nfiles && !sc.file[n].discard; n++)
			if (sc.file[n].head.core != sc.file[i].head.core ||
			    sc.file[n].head.epoch != sc.file[i].head.epoch)
				break;
		err = scan_stream(&sc, sc.file + i, sc.file + n);
	}
	if (err < 0) {
		scanner_free(&sc, true);
		return err;
	}
	snprintf(scan.dir, sizeof(scan.dir), "%s", dir);
	keep_list(&sc);
	atomic_store(&scan.done, false);
	*recs = sc.rec;
	*nrecs = sc.nrecs;
	*max_seq = sc.max_seq;
	*max_epoch = sc.max_epoch;
	scanner_free(&sc, false);
	return 0;
}

static struct journal *
reaper(void)
{
	return atomic_load_explicit(&scan.reaper, memory_order_relaxed);
}

static void
drop_head(void)
{
	struct jseg *s = scan.head;

	scan.head = s->next;
	atomic_fetch_sub(&scan.left, 1);
	jseg_release(s);
}

void
journal_scan_done(void)
{
	/*
	 * Once journals are open, what covers a record may not be durable yet: the reaper looks
	 * after that.
	 */
	while (!reaper() && scan.head && !jseg_is_live(scan.head) && delete_now(scan.head) == 0)
		drop_head();
	atomic_store_explicit(&scan.done, true, memory_order_release);
}

void
journal_scan_free(void)
{
	while (scan.head)
		drop_head();
	atomic_store(&scan.done, false);
	scan.reaping = scan.broken = false;
}

/* ---- while the cores run: the first journal that was opened deletes, for all */

bool
jscan_is_left(void)
{
	return atomic_load_explicit(&scan.left, memory_order_acquire) > 0;
}

bool
jscan_wants_poll(const struct journal *j)
{
	return reaper() == j && jscan_is_left();
}

void
jscan_opened(struct journal *j)
{
	struct journal *none = NULL;

	atomic_store(&scan.journal[j->core], j);
	(void)atomic_compare_exchange_strong(&scan.reaper, &none, j);
}

void
jscan_closed(struct journal *j)
{
	atomic_store(&scan.journal[j->core], NULL);
	if (reaper() != j)
		return;
	assert(!scan.reaping);
	atomic_store(&scan.reaper, NULL);
	journal_scan_free();
}

/*
 * A record may have gone because a newer one of this run covers it; the segment stays
 * until all that had been appended by then, on any core, is durable.
 */
static bool
is_head_durable(void)
{
	for (int i = 0; i < REACTOR_MAX_CORES; i++) {
		struct journal *j = atomic_load_explicit(&scan.journal[i], memory_order_acquire);

		if (j && atomic_load_explicit(&j->durable, memory_order_acquire) < scan.wait_seq[i])
			return false;
	}
	return true;
}

static void
note_head(void)
{
	for (int i = 0; i < REACTOR_MAX_CORES; i++) {
		struct journal *j = atomic_load_explicit(&scan.journal[i], memory_order_acquire);

		scan.wait_seq[i] = j ? atomic_load_explicit(&j->last, memory_order_acquire) : 0;
	}
	scan.head->retiring = true;
}

static int
reap_work(struct work *w)
{
	(void)w;
	return delete_now(scan.head);
}

static void
reaped(struct op *op)
{
	scan.reaping = false;
	if (op->res < 0) {
		scan.broken = true;
		return;
	}
	crash_point("journal.segment_deleted");
	drop_head();
	jscan_reap(reaper());
}

void
jscan_reap(struct journal *j)
{
	if (reaper() != j || !atomic_load_explicit(&scan.done, memory_order_acquire) || !scan.head ||
	    scan.reaping || scan.broken || jseg_is_live(scan.head))
		return;
	if (!scan.head->retiring)
		note_head();
	if (!is_head_durable())
		return;
	scan.reaping = true;
	scan.op.resume = reaped;
	worker_run(&scan.work, reap_work, &scan.op);
}
