/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "reactor/worker.h"
#include "tests/unit/oncore.h"

#define MS 1000000ull

/* ---- start and end */

static _Atomic int inits, finis;
static int fini_order[REACTOR_MAX_CORES];
static int fails_at = -1;

static int
count_init(int core, void *arg)
{
	(void)arg;
	cr_assert(eq(int, core, reactor_core()));
	cr_assert(eq(int, core, atomic_load(&inits))); /* upwards, one at a time */
	if (core == fails_at)
		return -EIO;
	inits++;
	return 0;
}

static void
count_fini(int core, void *arg)
{
	(void)arg;
	fini_order[finis++] = core;
}

Test(reactor, starts_and_ends_with_any_number_of_cores)
{
	static const int counts[] = { 1, 2, 3, 8 };
	char why[256];

	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct reactor_opts o = { .cores = counts[i], .pin = true, .busy_poll_us = 50,
		                          .buf_bytes = MIB, .init = count_init, .fini = count_fini };

		inits = finis = 0;
		cr_assert(eq(int, reactor_start(&o, why), 0), "%s", why);
		cr_assert(eq(int, atomic_load(&inits), counts[i]));
		cr_assert(eq(int, reactor_cores(), counts[i]));
		cr_assert(eq(int, reactor_core(), -1));
		reactor_stop();
		reactor_join();
		cr_assert(eq(int, atomic_load(&finis), counts[i]));
		for (int k = 0; k < counts[i]; k++)
			cr_assert(eq(int, fini_order[k], counts[i] - 1 - k));
	}
}

Test(reactor, a_failing_init_ends_the_start_and_undoes_the_others)
{
	char why[256];

	for (fails_at = 0; fails_at < 4; fails_at++) {
		struct reactor_opts o = { .cores = 4, .buf_bytes = MIB, .init = count_init,
		                          .fini = count_fini };

		inits = finis = 0;
		cr_assert(eq(int, reactor_start(&o, why), -EIO));
		cr_assert(eq(int, atomic_load(&inits), fails_at));
		cr_assert(eq(int, atomic_load(&finis), fails_at));
		cr_assert(ne(chr, why[0], 0));
	}
}

static void
try_start(int expect, const char *words)
{
	struct reactor_opts o = { .cores = 2, .buf_bytes = MIB };
	char why[256];
	int err = reactor_start(&o, why);

	cr_assert(eq(int, err, expect), "%d: %s", err, why);
	cr_assert(ne(ptr, strstr(why, words), NULL), "%s", why);
}

static void
forbid_io_uring(unsigned err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_LEN(code), code };

	cr_assert(eq(int, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0));
	cr_assert(eq(int, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0));
}

Test(reactor, says_when_io_uring_is_forbidden)
{
	forbid_io_uring(EPERM);
	try_start(-EPERM, "forbidden");
}

Test(reactor, says_when_there_is_no_io_uring)
{
	forbid_io_uring(ENOSYS);
	try_start(-ENOSYS, "no io_uring");
}

Test(reactor, says_when_descriptors_are_too_few)
{
	struct rlimit lim = { 100, 100 };

	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &lim), 0));
	try_start(-EMFILE, "RLIMIT_NOFILE is 100");
}

Test(reactor, raises_the_descriptor_limit)
{
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = 64;
	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &lim), 0));
	try_start(0, "");
	reactor_stop();
	reactor_join();
}

Test(reactor, says_when_memlock_is_too_low)
{
	struct rlimit lim = { 16384, 16384 };

	if (geteuid() != 0)
		cr_skip_test("needs root, to become somebody without CAP_IPC_LOCK");
	cr_assert(eq(int, setrlimit(RLIMIT_MEMLOCK, &lim), 0));
	cr_assert(eq(int, setresuid(65534, 65534, 65534), 0));
	try_start(-ENOMEM, "RLIMIT_MEMLOCK is 16 KiB");
}

/* Every step of the start that needs a descriptor fails once. */
Test(reactor, starts_or_says_why_with_any_number_of_free_descriptors)
{
	int taken[1000], n = 0, failed = 0, err;
	struct rlimit lim = { 1000, 1000 };

	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &lim), 0));
	while ((taken[n] = dup(0)) >= 0)
		n++;
	do {
		struct reactor_opts o = { .cores = 3, .buf_bytes = MIB, .touch = true };
		char why[256] = "";

		err = reactor_start(&o, why);
		if (err < 0) {
			cr_assert(ne(chr, why[0], 0));
			failed++;
			close(taken[--n]);
		}
	} while (err < 0 && n > 0);
	cr_assert(eq(int, err, 0));
	cr_assert(ge(int, failed, 6)); /* an eventfd and a ring for each core */
	reactor_stop();
	reactor_join();
}

/* And every step that needs memory, as far as a limit of the address space can tell. */
Test(reactor, starts_or_says_why_with_any_amount_of_memory, .timeout = 600)
{
	unsigned long pages;
	FILE *f = fopen("/proc/self/statm", "r");
	int err, failed = 0;

#if defined(__SANITIZE_ADDRESS__)
	cr_skip_test("the address sanitizer needs the address space itself");
#endif
	cr_assert(eq(int, fscanf(f, "%lu", &pages), 1));
	fclose(f);
	for (unsigned long more = 0;; more += 512) {
		struct reactor_opts o = { .cores = 2, .buf_bytes = 4 * MIB, .max_conns = 64,
		                          .worker_threads = 2, .touch = true };
		struct rlimit lim = { (pages + more) * PAGE, RLIM_INFINITY };
		char why[256] = "";

		cr_assert(eq(int, setrlimit(RLIMIT_AS, &lim), 0));
		err = reactor_start(&o, why);
		if (err == 0)
			break;
		cr_assert(ne(chr, why[0], 0));
		cr_assert(lt(int, ++failed, 1000));
	}
	cr_assert(ge(int, failed, 3));
	reactor_stop();
	reactor_join();
}

/* Who may pin little memory gets a working server and a warning. */
Test(reactor, goes_on_without_registered_buffers)
{
	struct reactor_opts o = { .cores = 2, .buf_bytes = 64 * MIB, .touch = true };
	struct rlimit lim = { 8 * MIB, 8 * MIB };
	char why[256], text[4096] = "";
	int fd = memfd_create("stderr", 0), old = dup(2);

	if (geteuid() != 0)
		cr_skip_test("needs root, to become somebody without CAP_IPC_LOCK");
	cr_assert(eq(int, setrlimit(RLIMIT_MEMLOCK, &lim), 0));
	cr_assert(eq(int, setresuid(65533, 65533, 65533), 0));
	dup2(fd, 2);
	int err = reactor_start(&o, why);
	dup2(old, 2);
	cr_assert(eq(int, err, 0), "%s", why);
	reactor_stop();
	reactor_join();
	cr_assert(ge(int, (int)pread(fd, text, sizeof(text) - 1, 0), 1));
	cr_assert(ne(ptr, strstr(text, "RLIMIT_MEMLOCK is 8192 KiB"), NULL), "%s", text);
}

/* ---- laps */

/* What runs on a core uses assert: a failed cr_assert jumps to another thread's stack. */
static struct op posted[3];
static struct lap_hook hooks[2];
static struct op keep_going;
static int results[3], nresults, hook_runs[2];

static void
nothing(struct op *op)
{
	(void)op;
}

static void
take_result(struct op *op)
{
	assert(nresults < 3);
	results[nresults++] = op->res;
}

static void
run_hook(struct lap_hook *h)
{
	hook_runs[h - hooks]++;
	if (h == &hooks[0])
		return;
	assert(hook_runs[0] == hook_runs[1]); /* in order, both once a lap */
	if (hook_runs[1] == 100)
		finish();
	else if (hook_runs[1] < 100)
		reactor_post(&keep_going, 0); /* what a hook posts makes another lap */
}

static void
laps_body(int core)
{
	(void)core;
	keep_going.resume = nothing;
	for (int i = 0; i < 3; i++) {
		posted[i].resume = take_result;
		reactor_post(&posted[i], 10 + i);
	}
	for (int i = 0; i < 2; i++) {
		hooks[i].run = run_hook;
		reactor_hook(&hooks[i]);
	}
}

static uint64_t laps, ops;

static void
laps_end(int core)
{
	laps = reactor_stats(core)->laps;
	ops = reactor_stats(core)->ops;
}

Test(reactor, ops_run_in_order_and_hooks_once_a_lap)
{
	on_cores(1, laps_body, laps_end);
	cr_assert(eq(int, nresults, 3));
	for (int i = 0; i < 3; i++)
		cr_assert(eq(int, results[i], 10 + i));
	cr_assert(ge(int, hook_runs[1], 100));
	cr_assert(eq(u64, laps, (uint64_t)hook_runs[1]));
	cr_assert(eq(u64, ops, 3 + 99));
}

/* However many ops become ready in a lap, the next lap runs them all. */
#define FLOOD 5000

static struct op flood[FLOOD];
static int flood_run, flood_laps;

static void
count_flood(struct op *op)
{
	(void)op;
	flood_run++;
}

static void
post_flood(struct lap_hook *h)
{
	(void)h;
	assert(flood_run == flood_laps * FLOOD);
	if (flood_laps == 20) {
		finish();
		return;
	}
	flood_laps++;
	for (int i = 0; i < FLOOD; i++)
		reactor_post(&flood[i], 0);
}

static void
flood_body(int core)
{
	(void)core;
	for (int i = 0; i < FLOOD; i++)
		flood[i].resume = count_flood;
	hooks[0].run = post_flood;
	reactor_hook(&hooks[0]);
}

Test(reactor, a_flood_of_ops_does_not_pile_up)
{
	on_cores(1, flood_body, NULL);
	cr_assert(eq(int, flood_run, 20 * FLOOD));
}

static uint64_t last_wall, last_now, first_ns;
static int ticks;
static bool ran_on;

static void
tick(struct lap_hook *h)
{
	uint64_t exact;

	(void)h;
	if (first_ns == 0)
		first_ns = reactor_now_ns();
	assert(reactor_wall_ns() > last_wall && reactor_now_ns() >= last_now);
	exact = reactor_clock_ns();
	assert(exact >= last_now);
	if (ticks % 100 == 0 && exact > first_ns + 5 * MS) { /* its rate is known by then */
		while (reactor_clock_ns() == exact)
			;
		ran_on = true;
	}
	last_wall = reactor_wall_ns();
	last_now = reactor_now_ns();
	if (++ticks >= 1000 && ran_on)
		finish();
	else
		reactor_post(&keep_going, 0);
}

static void
clock_body(int core)
{
	(void)core;
	keep_going.resume = nothing;
	hooks[0].run = tick;
	reactor_hook(&hooks[0]);
}

Test(reactor, wall_clock_advances_with_every_lap)
{
	on_cores(1, clock_body, NULL);
	cr_assert(ge(int, ticks, 1000));
}

static void
dawdle(struct op *op)
{
	(void)op;
	usleep(40000);
	finish();
}

static void
slow_body(int core)
{
	(void)core;
	posted[0].resume = dawdle;
	posted[1].resume = nothing;
	reactor_post(&posted[1], 0);
	reactor_post(&posted[0], 0);
}

static uint64_t slow_laps;

static void
slow_end(int core)
{
	slow_laps = reactor_stats(core)->slow_laps;
}

Test(reactor, a_slow_lap_is_logged_with_the_function_that_took_longest)
{
	char text[4096] = "";
	int fd = memfd_create("stderr", 0), old = dup(2);

	dup2(fd, 2);
	on_cores(1, slow_body, slow_end);
	dup2(old, 2);
	cr_assert(ge(int, (int)pread(fd, text, sizeof(text) - 1, 0), 1));
	cr_assert(ge(u64, slow_laps, 1));
	cr_assert(ne(ptr, strstr(text, "of it in dawdle"), NULL), "%s", text);
}

/* An idle core sleeps, and wakes for what comes. */
static uint64_t sleeps;
static struct timer nap;

static void
nap_over(struct op *op)
{
	(void)op;
	finish();
}

static void
nap_body(int core)
{
	(void)core;
	posted[0].resume = nap_over;
	timer_start(&nap, 100 * MS, &posted[0]);
}

static void
nap_end(int core)
{
	sleeps = reactor_stats(core)->sleeps;
	laps = reactor_stats(core)->laps;
}

Test(reactor, an_idle_core_sleeps)
{
	on_cores(1, nap_body, nap_end);
	cr_assert(ge(u64, sleeps, 1));
	cr_assert(le(u64, laps, 100)); /* the end looks around once a millisecond */
}

/* ---- timers */

#define TIMERS 2000

struct timed {
	struct timer t;
	struct op op;
	uint64_t due;
	bool stopped, fired;
};

static struct timed timed[TIMERS];
static uint64_t last_due;
static int fired, stopped;
static struct timer last_timer;
static struct op last_op;

static void
timer_fired(struct op *op)
{
	struct timed *d = container_of(op, struct timed, op);

	assert(!d->stopped && !d->fired && op->res == 0);
	assert(d->due <= reactor_now_ns()); /* never early */
	assert(d->due >= last_due);         /* the earliest first */
	last_due = d->due;
	d->fired = true;
	fired++;
	/* Stops some that wait; one that has fired says so. */
	for (int i = 0; i < 2; i++) {
		struct timed *other = &timed[rand() % TIMERS];
		bool was = timer_stop(&other->t);

		assert(!was || !other->fired);
		if (was) {
			other->stopped = true;
			stopped++;
		}
	}
}

static void
timers_over(struct op *op)
{
	(void)op;
	finish();
}

static void
timers_body(int core)
{
	(void)core;
	srand(7);
	for (int i = 0; i < TIMERS; i++) {
		uint64_t delay = (uint64_t)(rand() % 200) * MS;

		timed[i].op.resume = timer_fired;
		timed[i].due = reactor_now_ns() + delay;
		timer_start(&timed[i].t, delay, &timed[i].op);
	}
	last_op.resume = timers_over;
	timer_start(&last_timer, 250 * MS, &last_op);
	for (int i = 0; i < TIMERS / 10; i++) {
		struct timed *d = &timed[rand() % TIMERS];

		if (timer_stop(&d->t)) {
			d->stopped = true;
			stopped++;
		}
	}
}

Test(timer, fire_in_order_once_and_never_when_stopped)
{
	on_cores(1, timers_body, NULL);
	cr_assert(eq(int, fired + stopped, TIMERS));
	cr_assert(lt(int, TIMERS / 4, fired));
	cr_assert(lt(int, TIMERS / 4, stopped));
}

static int rearmed;

static void
rearm(struct op *op)
{
	if (++rearmed == 20)
		finish();
	else
		timer_start(&last_timer, MS, op);
}

static void
rearm_body(int core)
{
	(void)core;
	last_op.resume = rearm;
	timer_start(&last_timer, 0, &last_op);
}

Test(timer, may_start_again_from_its_own_op)
{
	on_cores(1, rearm_body, NULL);
	cr_assert(eq(int, rearmed, 20));
}

/* ---- workers */

#define WORKS 500

struct job {
	struct work w;
	struct op op;
	int n, core;
};

static struct job jobs[4][WORKS];
static _Atomic int on_worker, jobs_left;

static int
do_job(struct work *w)
{
	struct job *j = container_of(w, struct job, w);

	assert(reactor_core() == -1);
	on_worker++;
	if (j->n % 50 == 0)
		usleep(1000);
	return j->n % 3 == 0 ? -j->n - 1 : j->n;
}

static void
job_done(struct op *op)
{
	struct job *j = container_of(op, struct job, op);

	assert(reactor_core() == j->core);
	assert(op->res == (j->n % 3 == 0 ? -j->n - 1 : j->n));
	if (--jobs_left == 0)
		finish();
}

static void
worker_body(int core)
{
	for (int i = 0; i < WORKS; i++) {
		struct job *j = &jobs[core][i];

		*j = (struct job){ .n = i, .core = core, .op.resume = job_done };
		assert(worker_run(&j->w, do_job, &j->op) == OP_PENDING);
	}
}

Test(worker, results_come_back_to_the_calling_core)
{
	jobs_left = 4 * WORKS;
	on_cores(4, worker_body, NULL);
	cr_assert(eq(int, atomic_load(&on_worker), 4 * WORKS));
	cr_assert(eq(int, atomic_load(&jobs_left), 0));
}

static void
stop_at_once_body(int core)
{
	worker_body(core);
	if (core == 0)
		finish();
}

Test(worker, the_end_waits_for_work_under_way)
{
	jobs_left = 2 * WORKS;
	on_cores(2, stop_at_once_body, NULL);
	cr_assert(eq(int, atomic_load(&jobs_left), 0));
}

/* What another thread has in hand is waited for when it is held. */
static struct shard_msg late_msg;
static bool late_ran;

static void
late(struct shard_msg *m)
{
	(void)m;
	late_ran = true;
	reactor_release();
}

static void *
post_late(void *arg)
{
	usleep(50000);
	shard_post(0, arg);
	return NULL;
}

static void
hold_body(int core)
{
	pthread_t t;

	(void)core;
	late_msg.run = late;
	reactor_hold();
	assert(pthread_create(&t, NULL, post_late, &late_msg) == 0);
	pthread_detach(t);
	finish();
}

Test(reactor, the_end_waits_for_what_is_held)
{
	on_cores(1, hold_body, NULL);
	cr_assert(late_ran);
}
