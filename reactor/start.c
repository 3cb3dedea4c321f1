/* SPDX-License-Identifier: Apache-2.0 */
/* The cores' threads: how they start together and end together. */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "reactor/core.h"
#include "reactor/log.h"
#include "reactor/uring.h"

/* How far the start, or the end, has come.  Cores wait for it under `lock`. */
enum phase { SETUP, INIT, RUN, FINI, GONE };

static struct reactor_opts opts;
static struct core *cores;
static int ncores;
static bool overcommitted; /* more cores than CPUs */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
static enum phase phase;
static int turn;    /* the core whose turn it is in INIT and FINI */
static int arrived; /* cores that have done the phase's work */
static int inited;  /* cores whose init succeeded, 0 .. inited-1 */

static void
pin(int id)
{
	cpu_set_t allowed, one;
	int nth = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || nth++ != id)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		if (pthread_setaffinity_np(pthread_self(), sizeof(one), &one) != 0)
			log_warn("cannot pin core %d to CPU %d", id, cpu);
		return;
	}
}

static int
setup(struct core *c)
{
	int err;

	if (opts.pin && !overcommitted)
		pin(c->id);
	loop_init(c);
	err = ring_init(opts.ring_entries, c->why);
	if (err < 0)
		return err;
	c->ring_fd = ring_fd();
	err = timer_core_init();
	if (err < 0) {
		snprintf(c->why, sizeof(c->why), "no memory for the timers");
		goto no_timers;
	}
	err = buf_core_init(opts.touch);
	if (err < 0) {
		snprintf(c->why, sizeof(c->why), "no memory for %llu MiB of payload buffers: %s",
		         (unsigned long long)(opts.buf_bytes >> 20), strerror(-err));
		goto no_bufs;
	}
	err = net_core_init(opts.max_conns, opts.recv_bufs, opts.recv_buf_bytes, c->why);
	if (err < 0)
		goto no_net;
	loop_watch_event();
	return 0;
no_net:
	buf_core_fini();
no_bufs:
	timer_core_fini();
no_timers:
	ring_fini();
	return err;
}

static void
teardown(void)
{
	net_core_fini();
	buf_core_fini();
	timer_core_fini();
	ring_fini();
}

static void
advance(enum phase to)
{
	phase = to;
	arrived = 0;
	pthread_cond_broadcast(&moved);
}

static void
arrive(void)
{
	arrived++;
	pthread_cond_broadcast(&moved);
}

static void
wait_phase(enum phase p)
{
	while (phase < p)
		pthread_cond_wait(&moved, &lock);
}

/* In turn, one core at a time: init upwards, while none has failed. */
static void
init_turn(struct core *c)
{
	while (turn < c->id)
		pthread_cond_wait(&moved, &lock);
	if (inited == c->id) {
		pthread_mutex_unlock(&lock);
		buf_core_register();
		loop_take_time();
		c->err = opts.init ? opts.init(c->id, opts.arg) : 0;
		pthread_mutex_lock(&lock);
		if (c->err >= 0)
			inited++;
	}
	turn++;
	arrive();
}

/* Downwards, the cores whose init succeeded. */
static void
fini_turn(struct core *c)
{
	while (turn > c->id)
		pthread_cond_wait(&moved, &lock);
	if (c->id < inited && opts.fini) {
		pthread_mutex_unlock(&lock);
		opts.fini(c->id, opts.arg);
		pthread_mutex_lock(&lock);
	}
	if (turn-- == 0)
		advance(GONE);
	else
		arrive();
}

static uint64_t
spin_ns(void)
{
	/* Who spins takes the CPU from the core that it waits for. */
	uint32_t us = overcommitted ? MIN(opts.busy_poll_us, 2u) : opts.busy_poll_us;

	return us * 1000ull;
}

static void *
core_main(void *arg)
{
	struct core *c = arg;
	bool up;

	c->err = setup(c);
	up = c->err >= 0;
	pthread_mutex_lock(&lock);
	arrive();
	wait_phase(INIT);
	if (phase == INIT) {
		init_turn(c);
		wait_phase(RUN);
		pthread_mutex_unlock(&lock);
		loop_run(spin_ns());
		pthread_mutex_lock(&lock);
		if (++arrived == ncores) {
			turn = ncores - 1;
			advance(FINI);
		}
		wait_phase(FINI);
		fini_turn(c);
	}
	wait_phase(GONE);
	pthread_mutex_unlock(&lock);
	if (up)
		teardown();
	return NULL;
}

/* ---- start and stop, on any other thread */

int
reactor_raise_limits(int n, char why[256])
{
	struct rlimit lim;
	uint64_t each;

	/* Only for who may not lock memory without limit. */
	if (getrlimit(RLIMIT_MEMLOCK, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &lim);
	}
	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return -errno;
	if (lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
		(void)getrlimit(RLIMIT_NOFILE, &lim);
	}
	/* A quarter is for files: databases, segments, rings. */
	each = lim.rlim_cur / 4 * 3 / (uint64_t)n;
	if (each < 64) {
		snprintf(why, 256, "too few descriptors: RLIMIT_NOFILE is %llu, %d cores need at least "
		         "%d (ulimit -n, or LimitNOFILE= of the service)",
		         (unsigned long long)lim.rlim_cur, n, n * 86 + 4);
		return -EMFILE;
	}
	return (int)MIN(each, (uint64_t)INT_MAX);
}

static int
allowed_cpus(void)
{
	cpu_set_t allowed;

	return sched_getaffinity(0, sizeof(allowed), &allowed) < 0 ? 1 : CPU_COUNT(&allowed);
}

static void
take_opts(const struct reactor_opts *o)
{
	opts = *o;
	assert(o->cores > 0 && o->cores <= REACTOR_MAX_CORES);
	if (opts.ring_entries == 0)
		opts.ring_entries = 1024;
	if (opts.recv_bufs == 0)
		opts.recv_bufs = 256;
	if (opts.recv_buf_bytes == 0)
		opts.recv_buf_bytes = 16384;
	if (opts.max_conns == 0)
		opts.max_conns = 4096;
	if (opts.worker_threads == 0)
		opts.worker_threads = 4;
	ncores = opts.cores;
	overcommitted = ncores > allowed_cpus();
}

static int
limit_conns(char why[256])
{
	int each = reactor_raise_limits(ncores, why);

	if (each >= 0 && (uint32_t)each < opts.max_conns) {
		log_warn("the limit of descriptors allows %d connections a core, not %u", each, opts.max_conns);
		opts.max_conns = (uint32_t)each;
	}
	return MIN(each, 0);
}

static int
make_cores(char why[256])
{
	cores = aligned_alloc(CACHELINE, (size_t)ncores * sizeof(*cores));
	if (!cores) {
		snprintf(why, 256, "no memory");
		return -ENOMEM;
	}
	memset(cores, 0, (size_t)ncores * sizeof(*cores));
	for (int i = 0; i < ncores; i++) {
		cores[i].id = i;
		cores[i].event_fd = eventfd(0, EFD_CLOEXEC);
		if (cores[i].event_fd < 0) {
			int err = -errno;

			snprintf(why, 256, "cannot make an eventfd: %s", strerror(-err));
			while (i-- > 0)
				close(cores[i].event_fd);
			free(cores);
			return err;
		}
	}
	return 0;
}

static void
free_cores(void)
{
	for (int i = 0; i < ncores; i++)
		close(cores[i].event_fd);
	free(cores);
	cores = NULL;
	ncores = 0;
	loop_set_cores(NULL, 0);
}

/* Returns how many threads run. */
static int
make_threads(void)
{
	sigset_t all, before;
	int n;

	/* Signals are for the main thread; these would only be interrupted. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (n = 0; n < ncores; n++) {
		char name[32];

		if (pthread_create(&cores[n].thread, NULL, core_main, &cores[n]) != 0)
			break;
		snprintf(name, sizeof(name), "core-%d", n);
		pthread_setname_np(cores[n].thread, name);
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n;
}

static void
wait_arrived(int n)
{
	while (arrived < n)
		pthread_cond_wait(&moved, &lock);
}

static int
first_error(int n, char why[256])
{
	if (n < ncores) {
		snprintf(why, 256, "cannot start %d threads", ncores);
		return -EAGAIN;
	}
	for (int i = 0; i < n; i++)
		if (cores[i].err < 0) {
			memcpy(why, cores[i].why, 256);
			if (why[0] == '\0')
				snprintf(why, 256, "core %d could not start: %s", i,
				         strerror(-cores[i].err));
			return cores[i].err;
		}
	return 0;
}

static int
start_cores(char why[256])
{
	char note[256];
	int err, n;

	phase = SETUP;
	turn = arrived = inited = 0;
	loop_set_cores(cores, ncores);
	n = make_threads();
	pthread_mutex_lock(&lock);
	wait_arrived(n);
	err = first_error(n, why);
	if (err < 0) {
		advance(GONE);
		pthread_mutex_unlock(&lock);
		for (int i = 0; i < n; i++)
			pthread_join(cores[i].thread, NULL);
		return err;
	}
	/* Pinning touches all pages, which is just what was not wanted without `touch`. */
	if (opts.touch && buf_arena_register(note) < 0)
		log_warn("%s", note);
	advance(INIT);
	wait_arrived(ncores);
	err = first_error(ncores, why);
	if (err < 0)
		reactor_stop();
	advance(RUN);
	pthread_mutex_unlock(&lock);
	if (err < 0)
		for (int i = 0; i < ncores; i++)
			pthread_join(cores[i].thread, NULL);
	return err;
}

int
reactor_start(const struct reactor_opts *o, char why[256])
{
	int err;

	assert(!cores);
	why[0] = '\0';
	take_opts(o);
	symbol_init();
	err = limit_conns(why);
	if (err < 0)
		goto no_cores;
	err = make_cores(why);
	if (err < 0)
		goto no_cores;
	err = shard_init(ncores, opts.wake);
	if (err < 0)
		goto no_shard;
	err = buf_arena_map(ncores, opts.buf_bytes / (uint64_t)ncores);
	if (err < 0)
		goto no_arena;
	err = worker_start(opts.worker_threads);
	if (err < 0)
		goto no_workers;
	err = start_cores(why);
	if (err == 0)
		return 0;
	worker_stop();
no_workers:
	buf_arena_unmap();
no_arena:
	shard_fini();
no_shard:
	free_cores();
no_cores:
	if (why[0] == '\0')
		snprintf(why, 256, "cannot start: %s", strerror(-err));
	cores = NULL;
	ncores = 0;
	return err;
}

void
reactor_join(void)
{
	for (int i = 0; i < ncores; i++)
		pthread_join(cores[i].thread, NULL);
	worker_stop();
	buf_arena_unmap();
	shard_fini();
	free_cores();
}
