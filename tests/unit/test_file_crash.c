/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 in the middle of everything: a child works on a volume and notes in
 * shared memory what was acknowledged; the next child opens the volume again and
 * must find all of it, and what was under way done, not done, or done in part.
 */
#include "tests/fake/data_world.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

TestSuite(file_crash, .timeout = 600);

#define FILES 4
#define SPAN  (5 * MIB)
#define CHILD_S 100 /* a child's time */
#define CHURN 2 /* threads that make and remove files */

enum { NOTHING, WRITING, CUTTING };

struct shared_file {
	struct fref f;
	uint64_t size, rnd, done;
	/* under way */
	volatile int kind;
	uint64_t off, len, new_size;
	uint8_t bytes[SPAN], fresh[FILE_IO_MAX];
};

struct shared {
	struct shared_file file[FILES];
	uint64_t rnd;
	volatile int churned;
	volatile bool failed;
};

static struct shared *sh;
static uint8_t *got[FILES];

#define CHECK(cond, ...)                                                   \
	do {                                                               \
		if (!(cond)) {                                             \
			fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);    \
			fprintf(stderr, __VA_ARGS__);                      \
			fprintf(stderr, "\n");                             \
			sh->failed = true;                                 \
			_exit(9);                                          \
		}                                                          \
	} while (0)

static uint64_t
rnd(uint64_t *state, uint64_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % below;
}

/* ---- the work */

static void
one_write(struct shared_file *s)
{
	uint64_t off = rnd(&s->rnd, SPAN), x = rnd(&s->rnd, 1u << 31) | 1;
	uint32_t len = (uint32_t)(1 + rnd(&s->rnd, rnd(&s->rnd, 3) ? 20000 : FILE_IO_MAX));
	bool commit = rnd(&s->rnd, 2);
	int res;

	if (rnd(&s->rnd, 3) == 0)
		off = ROUND_DOWN(off, FRAME_BYTES);
	len = (uint32_t)MIN(len, SPAN - off);
	for (uint32_t i = 0; i < len; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		s->fresh[i] = (uint8_t)(x >> 56);
	}
	s->off = off;
	s->len = len;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	s->kind = WRITING;
	res = data_write(s->f, off, s->fresh, len, commit ? STABLE_UNSTABLE : STABLE_DATA_SYNC);
	if (res == 0 && commit)
		res = data_commit(s->f);
	CHECK(res == 0 || res == -E_JUKEBOX, "write: %d", res);
	if (res < 0)
		return; /* still under way, as far as we know */
	memcpy(s->bytes + off, s->fresh, len);
	s->size = MAX(s->size, off + len);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	s->kind = NOTHING;
	s->done++;
}

static void
one_cut(struct shared_file *s)
{
	uint64_t size = rnd(&s->rnd, 4) ? rnd(&s->rnd, SPAN) : 0;
	int res;

	s->new_size = size;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	s->kind = CUTTING;
	do
		res = data_truncate(s->f, size);
	while (res == -E_JUKEBOX);
	CHECK(res == 0, "truncate: %d", res);
	if (size < s->size)
		memset(s->bytes + size, 0, s->size - size);
	s->size = size;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	s->kind = NOTHING;
	s->done++;
}

/* Files that come and go, with data in every stage of its life. */
static void
churn(int i)
{
	static uint8_t junk[300000];
	uint64_t state = sh->rnd + (uint64_t)i;

	for (;;) {
		char name[32];
		struct fref f;

		snprintf(name, sizeof(name), "churn-%d-%lu", i, state);
		f = data_create(name);
		(void)data_write(f, 0, junk, (uint32_t)(1 + rnd(&state, sizeof(junk))), STABLE_UNSTABLE);
		usleep((useconds_t)rnd(&state, 30000));
		if (rnd(&state, 8))
			CHECK(data_unlink(name) == 0, "unlink");
		sh->churned++;
	}
}

static void
work(int i)
{
	struct shared_file *s = &sh->file[i % FILES];

	if (i >= FILES)
		churn(i);
	for (;;)
		if (s->kind == NOTHING && rnd(&s->rnd, 8) == 0)
			one_cut(s);
		else if (s->kind == NOTHING)
			one_write(s);
		else
			usleep(1000000); /* a JUKEBOX: unknown until the next start */
}

static void
worker_child(const char *point, int cores)
{
	if (point)
		setenv("DITTOFS_CRASH_AT", point, 1);
	data_open(cores);
	rig_threads(FILES + CHURN, work);
}

/* ---- the check */

static void
verify(struct shared_file *s, int i)
{
	uint64_t size = data_attr(s->f).size;
	uint64_t low = s->size, high = s->size;
	int n;

	if (s->kind == WRITING)
		high = MAX(s->size, s->off + s->len);
	if (s->kind == CUTTING)
		CHECK(size == s->size || size == s->new_size, "size %lu, not %lu nor %lu", size, s->size, s->new_size);
	else
		CHECK(size >= low && size <= high, "size %lu, not %lu to %lu", size, low, high);
	n = data_read(s->f, 0, got[i], (uint32_t)SPAN);
	CHECK(n == (int)size, "read %d of %lu", n, size);
	if (s->kind == CUTTING && size == s->new_size && size < s->size)
		memset(s->bytes + size, 0, SPAN - size);
	for (uint64_t k = 0; k < size; k++) {
		bool maybe = s->kind == WRITING && k >= s->off && k < s->off + s->len;

		CHECK(got[i][k] == s->bytes[k] || (maybe && got[i][k] == s->fresh[k - s->off]),
		      "file %d byte %lu is %02x, not %02x (size %lu, kind %d)", i, k, got[i][k], s->bytes[k], size, s->kind);
	}
	memset(s->bytes, 0, SPAN);
	memcpy(s->bytes, got[i], size);
	s->size = size;
	s->kind = NOTHING;
}

static void
checker_child(int cores)
{
	for (int i = 0; i < FILES; i++)
		got[i] = malloc(SPAN);
	data_open(cores);
	for (int i = 0; i < FILES; i++)
		verify(&sh->file[i], i);
	/* Now and then it goes on with what replay brought, and nothing uploaded. */
	if (rnd(&sh->rnd, 3)) {
		data_drain();
		for (int i = 0; i < FILES; i++)
			verify(&sh->file[i], i);
		data_check();
	}
	data_close();
	_exit(0);
}

static void
format_child(void)
{
	data_format();
	data_open(2);
	for (int i = 0; i < FILES; i++) {
		char name[8];

		snprintf(name, sizeof(name), "f%d", i);
		sh->file[i].f = data_create(name);
		sh->file[i].rnd = sh->rnd + (uint64_t)i;
	}
	data_close();
	_exit(0);
}

/* ---- rounds */

static void
reap(pid_t pid, int cause) /* the status: 0 or a signal */
{
	int status = 0;

	waitpid(pid, &status, 0);
	cr_assert(sh->failed == false, "a child found something wrong");
	cr_assert(status == cause, "a child ended with %x", (unsigned)status);
}

static pid_t
child(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	cr_assert(ge(int, pid, 0));
	/* An assertion of Criterion's in a child has nobody to tell, and waits: so does what hangs. */
	if (pid == 0)
		alarm(CHILD_S);
	return pid;
}

static void
round_at(const char *point, unsigned limit_ms)
{
	pid_t pid = child();
	int status, cores = (int)(1 + rnd(&sh->rnd, 3));

	if (pid == 0)
		worker_child(point, cores);
	for (unsigned ms = 0; ms < limit_ms; ms += 5) {
		if (waitpid(pid, &status, WNOHANG) == pid) {
			cr_assert(sh->failed == false, "the worker found something wrong");
			cr_assert(status == SIGKILL, "the worker ended with %x", (unsigned)status);
			pid = 0;
			break;
		}
		usleep(5000);
	}
	if (pid) {
		kill(pid, SIGKILL);
		reap(pid, SIGKILL);
	}
	cores = (int)(1 + rnd(&sh->rnd, 3));
	pid = child();
	if (pid == 0)
		checker_child(cores);
	reap(pid, 0);
}

static void
start(uint64_t seed, uint64_t journal_bytes, uint32_t segment_bytes)
{
	pid_t pid;

	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	cr_assert(sh != MAP_FAILED, "mmap");
	sh->rnd = seed;
	log_set_level(LOG_ERROR);
	data.buf_bytes = 16 * MIB;
	data.file.journal_bytes = journal_bytes;
	data.file.segment_bytes = segment_bytes;
	data.file.upload_delay_ns = 20000000;
	snprintf(data.path, sizeof(data.path), "%s", rig_dir());
	pid = child();
	if (pid == 0)
		format_child();
	reap(pid, 0);
}

static void
end(void)
{
	uint64_t done = 0;

	for (int i = 0; i < FILES; i++)
		done += sh->file[i].done;
	fprintf(stderr, "%lu changes acknowledged, %d files made\n", done, sh->churned);
	rig_dir_remove();
}

static int
env_int(const char *name, int otherwise)
{
	return getenv(name) ? atoi(getenv(name)) : otherwise;
}

Test(file_crash, at_any_instant)
{
	int n = env_int("CRASH_ROUNDS", 12);

	start((uint64_t)env_int("CRASH_SEED", 1), 12 * MIB, 512 * KIB);
	for (int i = 0; i < n; i++)
		round_at(NULL, (unsigned)(20 + rnd(&sh->rnd, 700)));
	end();
}

/* A journal that never wraps: all of a run is on disk, and all that counts is what RocksDB says of it. */
Test(file_crash, with_a_large_journal)
{
	int n = env_int("CRASH_ROUNDS", 12);

	start((uint64_t)env_int("CRASH_SEED", 3), 192 * MIB, 0);
	data.file.upload_delay_ns = 1000000;
	for (int i = 0; i < n; i++)
		round_at(NULL, (unsigned)(20 + rnd(&sh->rnd, 700)));
	end();
}

#ifdef CRASH_POINTS
Test(file_crash, at_every_point)
{
	static const char *const point[] = {
		"write.appended", "flush.uploaded", "flush.batch_applied", "flush.synced", "flush.retired",
		"trunc.prepared", "trunc.journaled", "trunc.applied", "file.hold_released", "replay.done",
		"replay.truncated", "replay.released", "garbage.deleted", "garbage.forgotten", "journal.group_written",
		"journal.segment_free", "journal.segment_deleted", "kv.batch_added", "kv.before_apply", "kv.applied",
		"mlog.before_write", "mlog.written", "mlog.durable",
		"objfile.before_rename", "objfile.after_rename", "unlink.commit", "setattr.commit", "txn.applied",
	};
	int n = env_int("CRASH_ROUNDS", 1);

	start((uint64_t)env_int("CRASH_SEED", 2), 12 * MIB, 512 * KIB);
	for (int r = 0; r < n; r++)
		for (size_t i = 0; i < ARRAY_LEN(point); i++) {
			char at[64];

			snprintf(at, sizeof(at), "%s:%lu", point[i], 1 + rnd(&sh->rnd, 30));
			round_at(at, 1200);
		}
	end();
}
#endif
