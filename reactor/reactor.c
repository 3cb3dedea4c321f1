/* SPDX-License-Identifier: Apache-2.0 */
/* The cores' threads: their start, their laps, their end. */
#include "reactor/reactor.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "reactor/core.h"
#include "reactor/log.h"
#include "reactor/uring.h"

#define OPS_A_LAP    1024
#define SLOW_LAP_NS  (25 * 1000000ull)
#define SLOW_LOG_NS  1000000000ull /* at most one line so often */
#define STOP_LAP_NS  1000000ull    /* while stopping, look around so often */
#define STOP_LOG_NS  (5 * 1000000000ull)
#define SPIN_CHECKS  16 /* looks at memory between two looks at the clock */

/* How far the start, or the end, has come.  Cores wait for it under `lock`. */
enum phase { SETUP, INIT, RUN, FINI, GONE };

struct core {
	_Alignas(CACHELINE) struct reactor_stats stats;
	pthread_t thread;
	int id, ring_fd, event_fd;
	int err; /* of setup or init */
	char why[256];
	/* For the end: written by the core at the end of a lap, read by core 0. */
	_Atomic uint64_t laps, sent, taken;
	_Atomic bool quiet;
};

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

static _Atomic bool stopping, ended;

static __thread struct {
	struct core *core;
	struct runq ready;
	struct lap_hook *hooks, **hooks_tail;
	uint64_t now_ns, wall_ns;
	uint64_t slow_logged_ns, slow_unlogged;
	uint64_t event;             /* what was read from event_fd */
	struct ring_req event_read;
} me;

__thread struct lap_clock lap_clock;

/* ---- what everybody asks */

static __thread int core_id_plus_1;

int
reactor_core(void)
{
	return core_id_plus_1 - 1;
}

int
reactor_cores(void)
{
	return ncores > 0 ? ncores : 1;
}

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t
reactor_now_ns(void)
{
	return me.now_ns ? me.now_ns : clock_ns(CLOCK_MONOTONIC);
}

uint64_t
reactor_wall_ns(void)
{
	return me.wall_ns ? me.wall_ns : clock_ns(CLOCK_REALTIME);
}

const struct reactor_stats *
reactor_stats(int core)
{
	assert(core >= 0 && core < ncores);
	return &cores[core].stats;
}

struct reactor_stats *
core_stats(void)
{
	return &me.core->stats;
}

int
core_ring_fd(int core)
{
	return cores[core].ring_fd;
}

bool
core_ended(void)
{
	return atomic_load_explicit(&ended, memory_order_relaxed);
}

void
core_wake(int core)
{
	uint64_t one = 1;

	ssize_t n = write(cores[core].event_fd, &one, sizeof(one));

	assert(n == sizeof(one));
}

void
reactor_post(struct op *op, int res)
{
	runq_push(&me.ready, op, res);
}

void
reactor_hook(struct lap_hook *h)
{
	h->next = NULL;
	*me.hooks_tail = h;
	me.hooks_tail = &h->next;
}

/* ---- laps */

static void
take_time(void)
{
	uint64_t wall = clock_ns(CLOCK_REALTIME);

	me.now_ns = clock_ns(CLOCK_MONOTONIC);
	/* When the clock is set back, ours creeps: a change always has a later time. */
	me.wall_ns = MAX(wall, me.wall_ns + 1);
}

static int
run_ops(void)
{
	int n;

	for (n = 0; me.ready.head && n < OPS_A_LAP; n++) {
		uintptr_t fn = (uintptr_t)me.ready.head->resume;

		runq_drain(&me.ready, 1);
		lap_ran(fn);
	}
	return n;
}

static void
run_hooks(void)
{
	for (struct lap_hook *h = me.hooks; h; h = h->next) {
		h->run(h);
		lap_ran((uintptr_t)h->run);
	}
}

static void
log_slow(uint64_t took_ns, uint64_t ticks)
{
	stat_add(&me.core->stats.slow_laps, 1);
	if (me.now_ns - me.slow_logged_ns < SLOW_LOG_NS) {
		me.slow_unlogged++;
		return;
	}
	me.slow_logged_ns = me.now_ns;
	log_warn("a lap took %llu ms, %llu ms of it in %s (%llu more slow laps not logged)",
	         (unsigned long long)(took_ns / 1000000),
	         (unsigned long long)((double)took_ns * (double)lap_clock.worst /
	                              (double)MAX(ticks, 1u) / 1000000),
	         symbol_name(lap_clock.worst_fn), (unsigned long long)me.slow_unlogged);
	me.slow_unlogged = 0;
}

/* Returns how many things it found to do. */
static int
lap(void)
{
	struct reactor_stats *s = &me.core->stats;
	uint64_t start = lap_ticks(), start_ns, took_ns;
	int cqes, ops, n;

	take_time();
	start_ns = me.now_ns;
	lap_clock = (struct lap_clock){ .mark = start };
	cqes = ring_reap(&me.ready);
	n = cqes + shard_poll() + timer_run(me.now_ns);
	ops = run_ops();
	run_hooks();
	n += ops + net_flush();
	buf_flush();
	shard_flush();
	lap_ran((uintptr_t)lap);

	stat_add(&s->laps, 1);
	stat_add(&s->cqes, (uint64_t)cqes);
	stat_add(&s->ops, (uint64_t)ops);
	if (n > 0) {
		took_ns = clock_ns(CLOCK_MONOTONIC) - start_ns;
		stat_add(&s->busy_ns, took_ns);
		if (took_ns > SLOW_LAP_NS)
			log_slow(took_ns, lap_ticks() - start);
	}
	return n;
}

static bool
anything_ready(void)
{
	return me.ready.head || ring_ready() || shard_ready();
}

/* Polls for the configured time.  True when there is something to do. */
static bool
spin(uint64_t until_ns)
{
	uint64_t due = timer_next_ns();

	for (;;) {
		uint64_t now;

		for (int i = 0; i < SPIN_CHECKS; i++) {
			if (anything_ready())
				return true;
			cpu_relax();
		}
		now = clock_ns(CLOCK_MONOTONIC);
		if (now >= due)
			return true;
		if (now >= until_ns)
			return false;
	}
}

static void
sleep_until(uint64_t due_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	if (due_ns <= now)
		return;
	if (shard_sleep_begin()) {
		stat_add(&me.core->stats.sleeps, 1);
		stat_add(&me.core->stats.enters, 1);
		ring_sleep(due_ns - now);
		shard_sleep_end();
	}
}

static void
event_read(struct ring_req *r, int res, uint32_t flags)
{
	(void)flags;
	(void)res;
	ring_read_event(me.core->event_fd, &me.event, r);
}

/* ---- the end of the laps */

/* The event read is always under way. */
static bool
quiet(void)
{
	return !anything_ready() && ring_inflight() <= 1 && !shard_blocked() &&
	       worker_outstanding() == 0 && buf_idle() && net_idle();
}

/*
 * All cores are done when all are quiet and no message is on its way.  Core 0
 * looks twice: what was sent by the second look is what was taken by the first,
 * and every core has made a whole lap between (Mattern's four counters, 1987).
 */
static void
look_around(void)
{
	static uint64_t laps_then[REACTOR_MAX_CORES], taken_then;
	static bool looked;
	uint64_t sent = 0, taken = 0;

	for (int i = 0; looked && i < ncores; i++)
		if (atomic_load(&cores[i].laps) < laps_then[i] + 2)
			return;
	for (int i = 0; i < ncores; i++) {
		laps_then[i] = atomic_load(&cores[i].laps);
		if (!atomic_load(&cores[i].quiet)) {
			looked = false;
			return;
		}
		taken += atomic_load(&cores[i].taken);
		sent += atomic_load(&cores[i].sent);
	}
	if (looked && sent == taken_then && taken == taken_then) {
		looked = false;
		atomic_store(&ended, true);
		return;
	}
	looked = true;
	taken_then = taken;
}

/* Once a lap while stopping.  True: leave the loop. */
static bool
stop_lap(uint64_t *complain_ns)
{
	struct core *c = me.core;

	net_shutdown();
	atomic_store(&c->quiet, quiet());
	atomic_store(&c->taken, shard_taken());
	atomic_store(&c->sent, shard_sent());
	atomic_fetch_add(&c->laps, 1);
	if (c->id == 0)
		look_around();
	if (me.now_ns > *complain_ns && !atomic_load(&c->quiet)) {
		*complain_ns = me.now_ns + STOP_LOG_NS;
		log_warn("the end waits for: %u ring operations, %u workers%s%s",
		         ring_inflight() - 1, worker_outstanding(),
		         net_idle() ? "" : ", connections", buf_idle() ? "" : ", buffers");
	}
	return atomic_load(&ended);
}

static void
run_laps(void)
{
	uint64_t spin_ns = (overcommitted ? MIN(opts.busy_poll_us, 2u) : opts.busy_poll_us) * 1000ull;
	uint64_t complain_ns = 0;

	for (;;) {
		bool stop = atomic_load_explicit(&stopping, memory_order_acquire);
		int did = lap();

		if (stop) {
			if (complain_ns == 0)
				complain_ns = me.now_ns + STOP_LOG_NS;
			if (stop_lap(&complain_ns))
				return;
		}
		stat_add(&me.core->stats.enters, (uint64_t)ring_submit());
		if (did > 0 || anything_ready())
			continue;
		if (shard_blocked()) {
			sched_yield(); /* the receiver makes room soon, but wakes nobody for it */
			continue;
		}
		if (spin_ns > 0 && !stop && spin(me.now_ns + spin_ns))
			continue;
		sleep_until(MIN(timer_next_ns(),
		                stop ? me.now_ns + STOP_LAP_NS : me.now_ns + 1000000000));
	}
}

/* ---- threads */

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
	runq_init(&me.ready);
	me.hooks = NULL;
	me.hooks_tail = &me.hooks;
	me.core = c;
	take_time();
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
		snprintf(c->why, sizeof(c->why), "no memory for the buffers");
		goto no_bufs;
	}
	err = net_core_init(opts.max_conns, opts.recv_bufs, opts.recv_buf_bytes, c->why);
	if (err < 0)
		goto no_net;
	me.event_read.done = event_read;
	ring_read_event(c->event_fd, &me.event, &me.event_read);
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
		take_time();
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

static void *
core_main(void *arg)
{
	struct core *c = arg;
	bool up;

	core_id_plus_1 = c->id + 1;
	c->err = setup(c);
	up = c->err >= 0;
	pthread_mutex_lock(&lock);
	arrive();
	wait_phase(INIT);
	if (phase == INIT) {
		init_turn(c);
		wait_phase(RUN);
		pthread_mutex_unlock(&lock);
		run_laps();
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
	core_id_plus_1 = 0;
	return NULL;
}

/* ---- start and stop, on any other thread */

static int
check_descriptors(char why[256])
{
	struct rlimit lim;
	uint64_t each;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return -errno;
	if (lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &lim);
		(void)getrlimit(RLIMIT_NOFILE, &lim);
	}
	/* A quarter is for files: databases, segments, rings. */
	each = lim.rlim_cur / 4 * 3 / (uint64_t)ncores;
	if (each < 64) {
		snprintf(why, 256, "too few descriptors: RLIMIT_NOFILE is %llu, %d cores need at least "
		         "%d (ulimit -n, or LimitNOFILE= of the service)",
		         (unsigned long long)lim.rlim_cur, ncores, ncores * 86 + 4);
		return -EMFILE;
	}
	if (each < opts.max_conns) {
		log_warn("%llu descriptors allow %llu connections a core, not %u",
		         (unsigned long long)lim.rlim_cur, (unsigned long long)each, opts.max_conns);
		opts.max_conns = (uint32_t)each;
	}
	/* Only for who may not lock memory without limit. */
	if (getrlimit(RLIMIT_MEMLOCK, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		(void)setrlimit(RLIMIT_MEMLOCK, &lim);
	}
	return 0;
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
		char name[16];

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
	atomic_store(&stopping, false);
	atomic_store(&ended, false);
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
		atomic_store(&stopping, true);
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
	err = check_descriptors(why);
	if (err < 0)
		goto no_cores;
	err = make_cores(why);
	if (err < 0)
		goto no_cores;
	err = shard_init(ncores);
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
reactor_stop(void)
{
	atomic_store(&stopping, true);
	for (int i = 0; i < ncores; i++)
		core_wake(i);
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
