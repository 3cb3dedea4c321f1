/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The crash test.  A round: start the server on what the last round left, look
 * at everything and compare with what was acknowledged, work, and kill it, at
 * an instant or at a crash point.  tests/crash/README.md tells more.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/points.h"
#include "tests/crash/run.h"

enum { START_MS = 120000, STOP_MS = 120000, SETTLE_MS = 120000, TRIES = 6, LATE_ROUNDS = 12 };

/* How the calls without an answer are settled after a restart. */
enum after { LOOK_ONLY, RESEND_THEN_LOOK, LOOK_THEN_RESEND };

/* How a round ends. */
enum ending { KILL_ANY_TIME, KILL_AT_REST, KILL_AT_POINT, TERMINATE };

struct plan {
	enum ending ending;
	struct point *point;
	uint32_t count;
	char crash_at[96], marks[320], marks_env[360];
	const char *env[4];
};

struct crash {
	struct run run;
	struct points points;
	struct plan plan;
	char dir[256], log[300];
	int volume, passed, failed;
	uint64_t starts, start_ns, made_ns; /* made_ns: when the volume was */
	bool late; /* rounds beyond those asked for, for points that did not come */
};

static int
run_args(struct crash *c, const char *const *argv)
{
	struct server s = { .log = c->log };

	return server_command(&s, argv);
}

static void
volume_remove(struct crash *c)
{
	const char *argv[] = { "/bin/rm", "-rf", c->dir, c->log, NULL };
	struct server s = { .log = "/dev/null" };

	server_command(&s, argv);
}

/*
 * Dies in the middle of a format: the next one either makes the volume, or says
 * what is wrong; then serving it must not work either.
 */
static void
format_dies(struct crash *c, struct point *pt)
{
	struct run *r = &c->run;
	const char *argv[] = { r->opt.binary, "format", c->dir, NULL };
	char crash_at[96];
	const char *env[] = { crash_at, NULL };
	struct server s = { .binary = r->opt.binary, .dir = c->dir, .log = c->log, .env = env,
		            .start_timeout_ms = START_MS };
	int status;

	snprintf(crash_at, sizeof(crash_at), "DITTOFS_CRASH_AT=%s", pt->name);
	pt->planned++;
	status = server_command(&s, argv);
	pt->hit += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
	s.env = NULL;
	status = server_command(&s, argv);
	if (!WIFEXITED(status))
		run_fail(r, 0, 0, "format died after one that was killed at %s", pt->name);
	else if (WEXITSTATUS(status) != 0 && server_start(&s) == 0)
		run_fail(r, 0, 0, "format refuses what a kill at %s left, serve does not", pt->name);
	server_kill(&s);
}

static const char *
durability(const struct crash *c)
{
	if (c->run.opt.durability)
		return c->run.opt.durability;
	return c->volume % 2 ? "local" : "remote";
}

static enum trash
trash(const struct crash *c)
{
	if (c->run.opt.trash < TRASHES)
		return c->run.opt.trash;
	return c->volume % 4 == 0 ? TRASH_LONG : c->volume % 2 == 0 ? TRASH_SHORT : TRASH_NONE;
}

/* A volume of its own for each stretch of rounds; what was is kept after a failure. */
static int
volume_make(struct crash *c)
{
	const char *argv[] = { c->run.opt.binary, "format", c->dir, NULL, NULL, NULL, NULL, NULL };
	char note[320];

	do /* what an earlier run kept stays */
		snprintf(c->dir, sizeof(c->dir), "%s/volume%d", c->run.opt.dir, ++c->volume);
	while (access(c->dir, F_OK) == 0);
	snprintf(c->log, sizeof(c->log), "%s/volume%d.log", c->run.opt.dir, c->volume);
	for (int i = 0; i < c->points.n && !c->run.failed; i++) {
		struct point *pt = &c->points.point[i];

		if (pt->planned || strncmp(pt->name, POINTS_FORMAT, strlen(POINTS_FORMAT)) != 0)
			continue;
		format_dies(c, pt);
		volume_remove(c);
	}
	if (c->run.opt.key && c->volume % 4 >= 2) { /* one with each durability */
		argv[3] = "--encrypt";
		argv[4] = c->volume % 4 == 2 ? "aes256gcm" : "chacha20";
		argv[5] = "--encrypt-key";
		argv[6] = c->run.opt.key;
	}
	c->run.trash = trash(c);
	if (!c->run.failed && run_args(c, argv) == 0) {
		tune_volume(&c->run.rng, c->dir, &(struct tune){ durability(c), trash_retention[c->run.trash] }, note, sizeof(note));
		printf("volume %d:%s%s\n", c->volume, note, argv[3] ? " encrypted" : "");
		fflush(stdout);
		return 0;
	}
	fprintf(stderr, "crash: %s format %s failed, see %s\n", c->run.opt.binary, c->dir, c->log);
	return -1;
}

static void
log_tail(const struct crash *c)
{
	char cmd[400];

	fprintf(stderr, "  the end of %s:\n", c->log);
	snprintf(cmd, sizeof(cmd), "tail -n 25 '%s' | sed 's/^/    /' >&2", c->log);
	if (system(cmd) != 0)
		fprintf(stderr, "    (not readable)\n");
}

static bool
killed(const struct crash *c)
{
	return WIFSIGNALED(c->run.server.status) && WTERMSIG(c->run.server.status) == SIGKILL;
}

/* It is dead, and not by our hand: a crash point, or a bug. */
static void
died(struct crash *c, const char *when)
{
	struct run *r = &c->run;
	int st = r->server.status;

	if (killed(c) && c->plan.point) {
		points_learn(c->plan.point, c->plan.count, true);
		c->plan.point = NULL;
		return;
	}
	run_fail(r, 0, 0, "the server ended by itself %s: %s %d", when,
	         WIFSIGNALED(st) ? "signal" : "exit", WIFSIGNALED(st) ? WTERMSIG(st) : WEXITSTATUS(st));
	log_tail(c);
}

static struct points_where
where(const struct crash *c)
{
	return (struct points_where){ .remote = strcmp(durability(c), "remote") == 0,
		                      .age_ms = (rpc_now_ns() - c->made_ns) / 1000000 };
}

static void
plan_make(struct crash *c)
{
	struct points_where w = where(c);
	struct run *r = &c->run;
	struct plan *p = &c->plan;
	uint64_t d = rng_below(&r->rng, 100);
	int n = 0;

	*p = (struct plan){ 0 };
	if (d < 60 || c->late)
		p->point = points_pick(&c->points, &r->rng, &w, c->late, &p->count);
	if (p->point) {
		p->ending = KILL_AT_POINT;
		snprintf(p->crash_at, sizeof(p->crash_at), "DITTOFS_CRASH_AT=%s:%u", p->point->name,
		         p->count);
		p->env[n++] = p->crash_at;
	} else {
		p->ending = d < 88 ? KILL_ANY_TIME : d < 95 ? KILL_AT_REST : TERMINATE;
	}
	if (r->opt.powercut) {
		snprintf(p->marks, sizeof(p->marks), "%s/marks", r->opt.dir);
		snprintf(p->marks_env, sizeof(p->marks_env), "DITTOFS_SYNC_MARKS=%s", p->marks);
		unlink(p->marks);
		p->env[n++] = p->marks_env;
	}
}

/* Starts it as planned; without the crash point once it has died at it. */
static int
start(struct crash *c)
{
	struct run *r = &c->run;
	const char *env[4] = { 0 };
	int n = 0, err;
	char note[128];

	for (int i = 0; c->plan.env[i]; i++)
		if (c->plan.point || strncmp(c->plan.env[i], "DITTOFS_CRASH_AT", 16) != 0)
			env[n++] = c->plan.env[i];
	r->server.dir = c->dir;
	r->server.log = c->log;
	r->server.env = env;
	r->server.cores = r->opt.cores ? r->opt.cores : (int)rng_between(&r->rng, 1, 3);
	err = server_start(&r->server);
	r->server.env = NULL;
	c->starts++;
	c->start_ns += r->server.start_ns;
	snprintf(note, sizeof(note), "start, %d cores %s", r->server.cores,
	         c->plan.point ? c->plan.point->name : "");
	history_note(r->history, r->round, r->world.clock, note);
	if (err == -ECHILD) {
		died(c, "while starting");
		return r->failed ? -1 : -ECONNRESET;
	}
	if (err) {
		run_fail(r, 0, 0, "the server did not start in %d s", START_MS / 1000);
		log_tail(c);
		return -1;
	}
	return 0;
}

/* Nothing is in doubt any more: lets go of the calls. */
static void
forget_calls(struct run *r)
{
	run_disconnect(r);
	for (uint32_t i = 0; i < LANES; i++)
		rpc_conn_abandon(&r->lane[i].conn);
	for (uint32_t i = 0; i < ACTS; i++)
		if (r->act[i].state == ACT_AIR)
			act_finish(&r->act[i]);
}

static int
resend(struct run *r, bool checked)
{
	int err;

	for (uint32_t i = 0; i < ACTS; i++)
		if (r->act[i].state == ACT_AIR)
			act_resend(&r->act[i], checked);
	err = run_connect(r);
	return err ? err : run_settle(r, SETTLE_MS);
}

/* MOUNT, which must give the root that it gave before. */
static int
mount_again(struct run *r)
{
	struct nfs_fh root;
	int err = run_mount(r, &root);

	if (!err && !nfs_fh_equal(&root, &r->world.root_fh)) {
		run_fail(r, 0, 0, "the root's handle is another than before the restart");
		return -1;
	}
	return err;
}

/* One attempt to settle what the kill left behind: 0, -1, or the server went away. */
static int
settle(struct crash *c, enum after after)
{
	struct run *r = &c->run;
	bool all = r->round % 8 == 0;
	int err = mount_again(r);

	if (!err && after == RESEND_THEN_LOOK)
		err = resend(r, false);
	if (!err)
		err = verify_world(r, all);
	if (err)
		return err;
	if (after == LOOK_THEN_RESEND)
		return resend(r, true);
	if (after == LOOK_ONLY)
		forget_calls(r);
	return 0;
}

/*
 * Starts the server and settles, and again when it dies at its crash point
 * meanwhile.  After this the lanes are open and nothing is in the air.
 */
static int
start_and_settle(struct crash *c)
{
	struct run *r = &c->run;
	int err = 0;

	for (int i = 0; i < TRIES; i++) {
		enum after after = r->opt.resend ? (enum after)rng_below(&r->rng, 3) : LOOK_ONLY;

		err = start(c);
		if (err == -ECONNRESET)
			continue;
		if (!err)
			err = settle(c, after);
		if (!err && !run_connected(r))
			err = run_connect(r);
		if (!err || r->failed)
			return err;
		/* the only good reason is a crash point */
		run_disconnect(r);
		for (int k = 0; k < 200 && !server_ended(&r->server); k++)
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		if (!server_ended(&r->server)) {
			run_fail(r, 0, 0, "the server runs and does not answer: %s", strerror(-err));
			log_tail(c);
			return -1;
		}
		died(c, "while it was looked at");
		if (r->failed)
			return -1;
	}
	return err;
}

static void
terminate(struct crash *c)
{
	struct run *r = &c->run;
	uint64_t end = rpc_now_ns() + STOP_MS * 1000000ull;

	kill(r->server.pid, SIGTERM);
	r->stopping = true;
	while (!server_ended(&r->server) && rpc_now_ns() < end)
		rpc_loop_run(&r->loop, 5);
	if (r->server.pid) {
		run_fail(r, 0, 0, "SIGTERM did not end it in %d s", STOP_MS / 1000);
		log_tail(c);
	} else if (r->server.status != 0) {
		died(c, "after SIGTERM");
	}
}

static void
end_round(struct crash *c)
{
	struct run *r = &c->run;
	char note[96] = "kill -9";

	if (c->plan.ending == KILL_AT_REST)
		run_settle(r, SETTLE_MS);
	if (server_ended(&r->server)) {
		snprintf(note, sizeof(note), "died at %s:%u",
		         c->plan.point ? c->plan.point->name : "?", c->plan.count);
		died(c, "at work");
	} else if (c->plan.ending == TERMINATE && !r->failed) {
		snprintf(note, sizeof(note), "SIGTERM");
		terminate(c);
	} else {
		/* connections close before the process is gone: a thread may wait for the disk */
		for (int i = 0; i < 400 && !run_connected(r) && !server_ended(&r->server); i++)
			nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
		if (server_ended(&r->server))
			died(c, "at work");
		else if (!run_connected(r))
			run_fail(r, 0, 0, "the server closed a connection");
	}
	server_kill(&r->server);
	if (c->plan.point) {
		points_learn(c->plan.point, c->plan.count, false);
		c->plan.point = NULL;
	}
	run_drain(r);
	history_note(r->history, r->round, r->world.clock, note);
	if (!r->opt.powercut || c->plan.ending == TERMINATE)
		return;
	if (power_cut(&r->rng, c->plan.marks, r->opt.overcut, note, sizeof(note)) < 0)
		snprintf(note, sizeof(note), "power cut: no marks");
	history_note(r->history, r->round, r->world.clock, note);
}

static void
world_reset(struct crash *c)
{
	struct run *r = &c->run;

	forget_calls(r);
	world_fini(&r->world);
	r->usage_known = false;
	r->failed = false;
	r->server.addr.sin_port = 0;
}

/* A fresh volume, up to the first look at it; the server runs afterwards. */
static int
world_make(struct crash *c)
{
	struct run *r = &c->run;
	struct nfs_fh root = { 0 };
	int err;

	c->plan = (struct plan){ 0 };
	if (volume_make(c) < 0)
		return -1;
	c->made_ns = rpc_now_ns();
	world_init(&r->world, r->opt.seed + (uint64_t)c->volume * 1000003, &root);
	r->world.keeps = r->trash == TRASH_LONG;
	if (start(c) < 0)
		return -1;
	err = run_mount(r, &root);
	if (err) {
		run_fail(r, 0, 0, "MOUNT of /export: %s", err < 0 ? strerror(-err) : "refused");
		log_tail(c);
		return -1;
	}
	r->world.root_fh = r->world.root->fh = root;
	err = verify_world(r, true);
	if (err < 0 && !r->failed)
		run_fail(r, 0, 0, "the first look at a fresh volume: %s", strerror(-err));
	server_kill(&r->server);
	return r->failed ? -1 : 0;
}

static void
progress(const struct crash *c)
{
	const struct run *r = &c->run;
	const struct world *w = &r->world;

	if (!r->opt.verbose && r->round % 20)
		return;
	printf("round %u: %u nodes (%u directories, %u files), %" PRIu64 " calls, %" PRIu64
	       " answers, %" PRIu64 " sent again, %" PRIu64 " in doubt\n",
	       r->round, w->nnodes, w->ndirs, w->nfiles, r->tally.calls, r->tally.answered,
	       r->tally.resent, r->tally.doubt);
	fflush(stdout);
}

/* False when something failed. */
static bool
round_run(struct crash *c)
{
	struct run *r = &c->run;
	uint32_t ms;

	r->world.round = ++r->round;
	plan_make(c);
	ms = c->plan.point ? points_work_ms(c->plan.point) : 0;
	if (ms == 0)
		ms = (uint32_t)rng_between(&r->rng, 20, r->opt.work_ms);
	if (start_and_settle(c) == 0) {
		progress(c);
		run_work(r, ms);
	}
	if (r->server.pid || !r->failed)
		end_round(c);
	return !r->failed;
}

/* The last kill is looked at too, and a clean stop after it. */
static bool
last_look(struct crash *c)
{
	struct run *r = &c->run;

	c->plan = (struct plan){ 0 };
	if (start_and_settle(c) == 0)
		terminate(c);
	run_drain(r);
	if (!r->failed && start_and_settle(c) == 0)
		terminate(c);
	run_drain(r);
	server_kill(&r->server);
	return !r->failed;
}

static void
failed(struct crash *c)
{
	server_kill(&c->run.server);
	c->failed++;
	fprintf(stderr, "  kept: %s and %s\n", c->dir, c->log);
}

/* No crash point that was tried shall be left out: some more rounds for those that did not come. */
static bool
goes_on(struct crash *c, int n, int left)
{
	struct points_where w = where(c);

	c->late = n >= left && n < left + LATE_ROUNDS && points_missed(&c->points, &w);
	return c->late;
}

/* Rounds on one volume, until it is time for a new one or something fails. */
static int
stretch(struct crash *c, int left)
{
	struct run *r = &c->run;
	int n = 0, limit = left < (int)r->opt.reformat ? left : (int)r->opt.reformat;
	bool good = world_make(c) == 0;

	while (good && (n < limit || goes_on(c, n, left))) {
		good = round_run(c);
		if (good)
			n++;
	}
	/* the last round's kill is judged by the last look */
	if (good && !last_look(c)) {
		good = false;
		n--;
	}
	c->passed += n;
	if (good)
		volume_remove(c);
	else
		failed(c);
	world_reset(c);
	return good ? n : n + 1;
}

static int
report(const struct crash *c)
{
	const struct run *r = &c->run;
	int never;

	printf("%" PRIu64 " calls, %" PRIu64 " answered, %" PRIu64 " of them to an xid sent again, %" PRIu64
	       " JUKEBOX\n",
	       r->tally.calls, r->tally.answered, r->tally.resent, r->tally.jukebox);
	for (uint32_t i = 0; i < NFS_PROCS; i++)
		if (r->tally.by_proc[i])
			printf("  %s %" PRIu64, nfs_proc_name(i), r->tally.by_proc[i]);
	printf("\n%" PRIu64 " changes of names and attributes in doubt, %" PRIu64
	       " had happened; %" PRIu64 " ranges part old, part new\n",
	       r->tally.doubt, r->tally.doubt_done, r->tally.torn);
	printf("%" PRIu64 " starts, %.0f ms each\n", c->starts,
	       c->starts ? (double)c->start_ns / 1e6 / (double)c->starts : 0.0);
	never = points_report(&c->points);
	printf("%d passed, %d failed, %d skipped\n", c->passed, c->failed, never);
	return c->failed ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct crash *c = calloc(1, sizeof(*c));
	struct run *r = &c->run;
	int left, rc;

	if (options_parse(&r->opt, argc, argv) < 0)
		return options_usage();
	printf("crash: seed %" PRIu64 ", %d rounds, %s%s\n", r->opt.seed, r->opt.rounds,
	       r->opt.binary, r->opt.powercut ? ", with power cuts" : "");
	fflush(stdout);
	signal(SIGPIPE, SIG_IGN);
	mkdir(r->opt.dir, 0755);
	rng_seed(&r->rng, r->opt.seed);
	points_init(&c->points, r->opt.points);
	c->points.every = r->opt.rounds >= 3 * c->points.n;
	rpc_cred_sys(&r->cred, 0, 0, NULL, 0);
	r->history = history_new();
	if (!r->history || rpc_loop_init(&r->loop, 1024, (uint32_t)rng_next(&r->rng)) < 0)
		return 2;
	for (uint32_t i = 0; i < LANES; i++) {
		rpc_conn_init(&r->lane[i].conn, &r->loop);
		r->lane[i].run = r;
	}
	r->server.binary = r->opt.binary;
	r->server.start_timeout_ms = START_MS;
	for (left = r->opt.rounds; left > 0 && c->failed < r->opt.failures;)
		left -= stretch(c, left);
	rpc_loop_fini(&r->loop);
	rc = report(c);
	history_free(r->history);
	free(c);
	return rc;
}
