/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole reactor on the test's own thread: every lap, completion and clock tick
 * happens when the test says so.  Include it once, in the test: it takes the place of
 * all of reactor/ but op, log and crash.
 *
 *   fake_lap()      runs what is ready on every core: ops, due timers, work, hooks
 *   fake_io[]       disk operations under way, oldest first; fake_io_finish ends one
 *   fake_bufs_out   buffers that are not home
 */
#ifndef TESTS_FAKE_ONE_THREAD_H
#define TESTS_FAKE_ONE_THREAD_H

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/buf.h"
#include "reactor/disk.h"
#include "reactor/reactor.h"
#include "reactor/shard.h"
#include "reactor/worker.h"

#define FAKE_CORES  4
#define FAKE_IO_MAX 256

struct fake_io {
	struct op *op;
	int core, fd, niov;
	bool write, durable;
	const struct iovec *iov;
	struct iovec one;
	uint64_t off;
};

struct fake_hook { struct lap_hook *hook; int core; };
struct fake_timer { struct timer *timer; int core; };

static int fake_core, fake_cores = 1;
static uint64_t fake_now_ns = 1000000000;
static struct runq fake_ready[FAKE_CORES];
static struct fake_hook fake_hooks[16];
static int fake_nhooks;
static struct fake_timer fake_timers[16];
static struct work *fake_works[16];
static int fake_nworks;
static struct fake_io fake_io[FAKE_IO_MAX];
static int fake_nio;
static int fake_bufs_out, fake_slabs_out;
static int fake_bufs_max = 1 << 20;

static uint8_t fake_zeros[BUF_LARGE_BYTES] __attribute__((aligned(PAGE)));
uint8_t *const buf_zeros = fake_zeros;

int reactor_core(void) { return fake_core; }
int reactor_cores(void) { return fake_cores; }
uint64_t reactor_now_ns(void) { return fake_now_ns; }
uint64_t reactor_clock_ns(void) { return fake_now_ns; }
uint64_t reactor_wall_ns(void) { return fake_now_ns; }

static inline void
fake_need(bool ok, const char *what)
{
	if (!ok) {
		fprintf(stderr, "fake reactor: %s\n", what);
		abort();
	}
}

static inline void
fake_start(int cores)
{
	fake_need(cores <= FAKE_CORES, "too many cores");
	fake_cores = cores;
	fake_core = 0;
	fake_nhooks = fake_nio = fake_nworks = 0;
	memset(fake_timers, 0, sizeof(fake_timers));
	for (int i = 0; i < FAKE_CORES; i++)
		runq_init(&fake_ready[i]);
}

void
reactor_post(struct op *op, int res)
{
	runq_push(&fake_ready[fake_core], op, res);
}

void
reactor_hook(struct lap_hook *h)
{
	fake_need(fake_nhooks < (int)ARRAY_LEN(fake_hooks), "too many hooks");
	fake_hooks[fake_nhooks++] = (struct fake_hook){ h, fake_core };
}

void
timer_start(struct timer *t, uint64_t delay_ns, struct op *op)
{
	uint32_t i = 0;

	fake_need(t->slot == 0, "the timer runs already");
	while (fake_timers[i].timer)
		fake_need(++i < ARRAY_LEN(fake_timers), "too many timers");
	fake_timers[i] = (struct fake_timer){ t, fake_core };
	t->op = op;
	t->due_ns = fake_now_ns + delay_ns;
	t->slot = i + 1;
}

bool
timer_stop(struct timer *t)
{
	if (t->slot == 0)
		return false;
	fake_timers[t->slot - 1].timer = NULL;
	t->slot = 0;
	return true;
}

enum op_state
worker_run(struct work *w, int (*run)(struct work *w), struct op *wait)
{
	fake_need(fake_nworks < (int)ARRAY_LEN(fake_works), "too much work");
	w->run = run;
	w->wait = wait;
	w->core = fake_core;
	fake_works[fake_nworks++] = w;
	return OP_PENDING;
}

static inline void
fake_run_works(void)
{
	struct work *w[ARRAY_LEN(fake_works)];
	int n = fake_nworks;

	memcpy(w, fake_works, sizeof(w));
	fake_nworks = 0;
	for (int i = 0; i < n; i++) {
		int res;

		fake_core = -1;
		res = w[i]->run(w[i]);
		fake_core = w[i]->core;
		reactor_post(w[i]->wait, res);
	}
}

static inline int
fake_run_ready(void)
{
	int ran = 0;

	for (fake_core = 0; fake_core < fake_cores; fake_core++)
		ran += runq_drain(&fake_ready[fake_core], 1 << 20);
	fake_core = 0;
	return ran;
}

/* What the workers do comes to its end, without a lap; before a test pulls the plug. */
static inline void
fake_end_works(void)
{
	while (fake_run_ready() > 0 || fake_nworks > 0)
		fake_run_works();
}

/* Returns how many ops ran. */
static inline int
fake_lap(void)
{
	int ran;

	fake_run_works();
	ran = fake_run_ready();
	for (size_t i = 0; i < ARRAY_LEN(fake_timers); i++) {
		struct timer *t = fake_timers[i].timer;

		if (!t || t->due_ns > fake_now_ns)
			continue;
		fake_core = fake_timers[i].core;
		timer_stop(t);
		t->op->res = 0;
		t->op->resume(t->op);
		ran++;
	}
	ran += fake_run_ready();
	for (int i = 0; i < fake_nhooks; i++) {
		fake_core = fake_hooks[i].core;
		fake_hooks[i].hook->run(fake_hooks[i].hook);
	}
	fake_core = 0;
	return ran;
}

/* ---- disk */

static inline enum op_state
fake_io_add(struct fake_io io)
{
	fake_need(fake_nio < FAKE_IO_MAX, "too many disk operations");
	io.core = fake_core;
	fake_io[fake_nio++] = io;
	return OP_PENDING;
}

enum op_state
disk_readv(int fd, const struct iovec *iov, int niov, uint64_t off, struct op *op)
{
	return fake_io_add((struct fake_io){ .op = op, .fd = fd, .iov = iov, .niov = niov, .off = off });
}

enum op_state
disk_read(int fd, void *p, uint32_t len_bytes, uint64_t off, struct op *op)
{
	return fake_io_add((struct fake_io){ .op = op, .fd = fd, .one = { p, len_bytes }, .off = off });
}

enum op_state
disk_writev(int fd, const struct iovec *iov, int niov, uint64_t off, bool durable, struct op *op)
{
	return fake_io_add((struct fake_io){ .op = op, .fd = fd, .iov = iov, .niov = niov, .off = off,
	                                     .write = true, .durable = durable });
}

static inline size_t
fake_io_bytes(const struct fake_io *io)
{
	size_t n = 0;

	if (!io->iov)
		return io->one.iov_len;
	for (int i = 0; i < io->niov; i++)
		n += io->iov[i].iov_len;
	return n;
}

/* Does the first `limit` bytes of the operation, in whole sectors. */
static inline ssize_t
fake_io_do(const struct fake_io *io, size_t limit)
{
	const struct iovec *iov = io->iov ? io->iov : &io->one;
	int niov = io->iov ? io->niov : 1;
	size_t done = 0;

	limit = ROUND_DOWN(limit, 512);
	for (int i = 0; i < niov && done < limit; i++) {
		size_t len = MIN(iov[i].iov_len, limit - done);
		off_t at = (off_t)(io->off + done);
		ssize_t n = io->write ? pwrite(io->fd, iov[i].iov_base, len, at)
		                      : pread(io->fd, iov[i].iov_base, len, at);

		if (n < 0)
			return -errno;
		done += (size_t)n;
		if ((size_t)n < len)
			break;
	}
	return (ssize_t)done;
}

/* Ends fake_io[i]: with an error (res < 0), or after at most `res` bytes. */
static inline void
fake_io_finish(int i, ssize_t res)
{
	struct fake_io io = fake_io[i];

	fake_need(i < fake_nio, "no such disk operation");
	memmove(fake_io + i, fake_io + i + 1, sizeof(io) * (size_t)(--fake_nio - i));
	if (res >= 0)
		res = fake_io_do(&io, (size_t)res);
	fake_core = io.core;
	reactor_post(io.op, (int)res);
	fake_core = 0;
}

/* Everything that is under way, and what follows from it, goes well. */
static inline void
fake_settle(void)
{
	for (int idle = 0; idle < 2; ) {
		idle = fake_lap() == 0 && fake_nio == 0 && fake_nworks == 0 ? idle + 1 : 0;
		while (fake_nio > 0)
			fake_io_finish(0, SSIZE_MAX);
	}
}

/* ---- memory: each buffer is an allocation of its own, so that ASan sees its bounds */

struct buf *
buf_get(enum buf_class class, enum buf_use use)
{
	uint32_t cap = class == BUF_LARGE ? BUF_LARGE_BYTES : BUF_SMALL_BYTES;
	struct buf *b;

	(void)use;
	if (fake_bufs_out >= fake_bufs_max)
		return NULL;
	b = calloc(1, sizeof(*b));
	fake_need(b, "no memory");
	*b = (struct buf){ .data = aligned_alloc(PAGE, cap), .cap = cap, .refs = 1, .class = class,
	                   .home = (uint16_t)fake_core };
	fake_need(b->data, "no memory");
	fake_bufs_out++;
	return b;
}

struct buf *
buf_keep(struct buf *b)
{
	assert(b->refs > 0);
	b->refs++;
	return b;
}

void
buf_put(struct buf *b)
{
	assert(b->refs > 0);
	if (--b->refs > 0)
		return;
	free(b->data);
	free(b);
	fake_bufs_out--;
}

int
slab_init(struct slab *s, const char *name, size_t size, uint32_t count)
{
	*s = (struct slab){ .name = name, .size = (uint32_t)size, .count = count, .core = fake_core };
	return 0;
}

void *
slab_get(struct slab *s)
{
	void *p = s->used < s->count ? calloc(1, s->size) : NULL;

	if (p) {
		s->used++;
		fake_slabs_out++;
	}
	return p;
}

void
slab_put(struct slab *s, void *p)
{
	assert(s->used > 0);
	s->used--;
	fake_slabs_out--;
	free(p);
}

void
slab_fini(struct slab *s)
{
	assert(s->used == 0);
}

/* ---- what only the other helpers of the tests ask for: not here */

int reactor_start(const struct reactor_opts *o, char why[256]) { (void)o; (void)why; abort(); }
void reactor_stop(void) { abort(); }
void reactor_join(void) { abort(); }
void shard_post(int core, struct shard_msg *m) { (void)core; (void)m; abort(); }
void shard_send(int core, struct shard_msg *m) { (void)core; (void)m; abort(); }

#endif
