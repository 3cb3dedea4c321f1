/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load --binary PATH --dir DIR: formats a volume, serves it, and holds it
 * under a thousand connections for 20 s.
 */
#include "tests/load/load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/client/pattern.h"

enum { OPEN_MS = 60000, END_MS = 120000, FAILURES_TOLD = 8 };
/*
 * A window is 5 s, and goes on until there were 100 answers a healthy connection on average: on a machine that is
 * busy with other things there is nothing to be said before.
 */
enum { WINDOW_S = 5, WINDOW_MAX_S = 60, WINDOW_ANSWERS = 100 };

#define SECOND 1000000000ull

struct options {
	const char *binary, *dir;
	uint32_t conns, depth, seconds;
	int cores, mount_offset;
	uint64_t seed, budget;
};

struct test {
	struct load load;
	struct options opt;
	char volume[256], log[300];
	int passed, failed, skipped;
	uint64_t starved;      /* windows in which a healthy connection got nothing */
	uint64_t least_window; /* the fewest answers that a healthy one got in a window */
	uint64_t in_window;    /* answers that all of them have got in this one */
	bool kind_stuck;
};

void
load_fail(struct load *l, const char *fmt, ...)
{
	va_list ap;

	if (l->failures++ >= FAILURES_TOLD)
		return;
	fprintf(stderr, "load: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

static void
check(struct test *t, bool good, const char *fmt, ...)
{
	va_list ap;

	printf("%s ", good ? "ok  " : "FAIL");
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	*(good ? &t->passed : &t->failed) += 1;
}

static void
raise_limit(uint32_t conns)
{
	struct rlimit rl = { .rlim_cur = 4 * conns + 1024, .rlim_max = 4 * conns + 1024 }, old;

	getrlimit(RLIMIT_NOFILE, &old);
	if (old.rlim_max > rl.rlim_max)
		rl.rlim_max = old.rlim_max;
	if (old.rlim_cur < rl.rlim_cur && setrlimit(RLIMIT_NOFILE, &rl) < 0)
		fprintf(stderr, "load: cannot raise the number of descriptors to %u: %s\n",
		        4 * conns + 1024, strerror(errno));
}

/* memory.budget_bytes of `dittofs status DIR --json`; 0 when it does not say. */
static uint64_t
budget(const struct test *t)
{
	static char text[1 << 20];
	char cmd[600], *p;
	FILE *f;
	size_t n;

	if (t->opt.budget)
		return t->opt.budget;
	snprintf(cmd, sizeof(cmd), "'%s' status '%s' --json 2>>'%s'", t->opt.binary, t->volume, t->log);
	f = popen(cmd, "r");
	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	if (pclose(f) != 0)
		return 0;
	p = strstr(text, "\"memory\"");
	p = p ? strstr(p, "\"budget_bytes\"") : NULL;
	p = p ? strchr(p, ':') : NULL;
	return p ? strtoull(p + 1, NULL, 10) : 0;
}

static int
serve(struct test *t)
{
	struct load *l = &t->load;
	const char *argv[] = { t->opt.binary, "format", t->volume, NULL };
	struct rpc_conn conn;
	struct sockaddr_in addr;
	int err;

	snprintf(t->volume, sizeof(t->volume), "%s/volume", t->opt.dir);
	snprintf(t->log, sizeof(t->log), "%s/server.log", t->opt.dir);
	l->server = (struct server){ .binary = t->opt.binary, .dir = t->volume, .log = t->log,
		                     .cores = t->opt.cores, .start_timeout_ms = 120000 };
	mkdir(t->opt.dir, 0755);
	if (server_command(&l->server, argv) != 0 || server_start(&l->server) != 0) {
		load_fail(l, "the server does not start, see %s", t->log);
		return -1;
	}
	l->addr = addr = l->server.addr;
	addr.sin_port = htons((uint16_t)(ntohs(addr.sin_port) + t->opt.mount_offset));
	rpc_conn_init(&conn, &l->loop);
	conn.cred = &l->cred;
	err = rpc_conn_open(&conn, &addr);
	if (!err)
		err = nfs_mount(&conn, "/export", &l->root, 10000);
	rpc_conn_close(&conn);
	if (err)
		load_fail(l, "MOUNT: %s", err < 0 ? strerror(-err) : "refused");
	return err ? -1 : 0;
}

static void
make_load(struct test *t)
{
	struct load *l = &t->load;
	uint32_t odd = t->opt.conns / 60 + 1; /* slow, half a mark, half a WRITE, idle: so many each */

	for (uint32_t i = 1; i <= PATTERNS; i++) {
		l->pattern[i] = malloc(FILE_BYTES + READ_MAX);
		if (!l->pattern[i])
			abort();
		pattern_fill(l->pattern[i], i, 0, FILE_BYTES);
		memcpy(l->pattern[i] + FILE_BYTES, l->pattern[i], READ_MAX);
	}
	l->npeers = t->opt.conns;
	l->depth = t->opt.depth;
	l->peer = calloc(l->npeers, sizeof(*l->peer));
	if (!l->peer)
		abort();
	for (uint32_t i = 0; i < l->npeers; i++) {
		struct peer *p = &l->peer[i];

		p->load = l;
		p->id = i;
		/* spread, so that no core gets all of one sort */
		p->role = i % 13 || i / 13 >= 4 * odd ? HEALTHY : (enum role)(SLOW + i / 13 % 4);
		l->n[p->role]++;
	}
}

static bool
open_all(struct test *t)
{
	struct load *l = &t->load;
	uint64_t end = rpc_now_ns() + OPEN_MS * 1000000ull;
	uint32_t open = 0;

	for (uint32_t i = 0; i < l->npeers; i++) {
		int err = peer_start(&l->peer[i]);

		if (err) {
			load_fail(l, "connection %u: %s", i, strerror(-err));
			return false;
		}
	}
	while (open < l->npeers && rpc_now_ns() < end) {
		rpc_loop_run(&l->loop, 10);
		open = 0;
		for (uint32_t i = 0; i < l->npeers; i++)
			open += l->peer[i].conn.state == RPC_OPEN;
	}
	if (open < l->npeers)
		load_fail(l, "%u of %u connections are open after %d s", open, l->npeers,
		          OPEN_MS / 1000);
	return open == l->npeers;
}

static void
window_count(struct test *t)
{
	const struct load *l = &t->load;

	t->in_window = 0;
	for (uint32_t i = 0; i < l->npeers; i++)
		if (l->peer[i].role == HEALTHY)
			t->in_window += l->peer[i].served - l->peer[i].served_before;
}

/* A window is over: did everybody, and every kind of call, get something? */
static void
window_end(struct test *t, uint64_t done_before[KINDS], double seconds)
{
	struct load *l = &t->load;
	uint64_t least = UINT64_MAX;

	for (uint32_t i = 0; i < l->npeers; i++) {
		struct peer *p = &l->peer[i];
		uint64_t n = p->served - p->served_before;

		p->served_before = p->served;
		if (p->role != HEALTHY)
			continue;
		if (n < least)
			least = n;
		if (!n && !t->starved++)
			load_fail(l, "connection %u got no answer for %.1f s, while all got %" PRIu64, i, seconds, t->in_window);
	}
	if (least < t->least_window)
		t->least_window = least;
	for (int k = 0; k < K_BIG_READ; k++) {
		if (l->done[k] == done_before[k] && !t->kind_stuck) {
			t->kind_stuck = true;
			load_fail(l, "no %s was answered for %.1f s", kind_name(k), seconds);
		}
		done_before[k] = l->done[k];
	}
	printf("  %.1f s: %.0f calls/s, fewest on a connection %" PRIu64 ", VmRSS %" PRIu64 " MiB\n",
	       seconds, (double)t->in_window / seconds, least, server_memory_kib(&l->server, "VmRSS") / 1024);
	fflush(stdout);
}

static void
run(struct test *t)
{
	struct load *l = &t->load;
	uint64_t done[KINDS] = { 0 }, end = rpc_now_ns() + t->opt.seconds * SECOND;

	while (rpc_now_ns() < end && !l->failures) {
		uint64_t begin = rpc_now_ns(), took = 0;

		t->in_window = 0;
		while ((took < WINDOW_S * SECOND || t->in_window < WINDOW_ANSWERS * l->n[HEALTHY]) && took < WINDOW_MAX_S * SECOND &&
		       !l->failures) {
			rpc_loop_run(&l->loop, 10);
			window_count(t);
			took = rpc_now_ns() - begin;
		}
		if (!l->failures)
			window_end(t, done, (double)took / (double)SECOND);
	}
}

/* No new calls; slow readers read: everything that was asked for must come. */
static uint32_t
finish(struct test *t)
{
	struct load *l = &t->load;
	uint64_t end = rpc_now_ns() + END_MS * 1000000ull;
	uint32_t left = 1;

	l->stopping = true;
	for (uint32_t i = 0; i < l->npeers; i++)
		if (l->peer[i].role == SLOW)
			peer_resume(&l->peer[i]);
	while (left && rpc_now_ns() < end && !l->failures) {
		rpc_loop_run(&l->loop, 10);
		left = 0;
		for (uint32_t i = 0; i < l->npeers; i++)
			left += peer_open_calls(&l->peer[i]);
	}
	return left;
}

static int
order(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
print_fairness(const struct test *t)
{
	const struct load *l = &t->load;
	uint64_t *n = calloc(l->npeers, sizeof(*n));
	uint32_t k = 0;

	if (!n)
		abort();
	for (uint32_t i = 0; i < l->npeers; i++)
		if (l->peer[i].role == HEALTHY)
			n[k++] = l->peer[i].served;
	qsort(n, k, sizeof(*n), order);
	printf("calls on each of %u healthy connections: min %" PRIu64 ", median %" PRIu64
	       ", max %" PRIu64 "\n",
	       k, n[0], n[k / 2], n[k - 1]);
	for (int i = 0; i < KINDS; i++)
		if (l->done[i])
			printf("  %-12s %8" PRIu64 " answered, mean %7.1f ms, max %7.1f ms\n",
			       kind_name(i), l->done[i],
			       (double)l->latency_sum[i] / 1e6 / (double)l->done[i],
			       (double)l->latency_max[i] / 1e6);
	printf("  %" PRIu64 " JUKEBOX, %" PRIu64 " MiB read, %" PRIu64 " MiB written\n", l->jukebox,
	       l->bytes_read >> 20, l->bytes_written >> 20);
	free(n);
}

static void
check_memory(struct test *t)
{
	uint64_t peak = server_memory_kib(&t->load.server, "VmHWM") << 10, most = budget(t);

	if (!most) {
		printf("skip memory: no budget in `status --json`; peak RSS %" PRIu64 " MiB\n",
		       peak >> 20);
		t->skipped++;
		return;
	}
	check(t, peak && peak <= most, "memory: peak RSS %" PRIu64 " MiB, budget %" PRIu64 " MiB",
	      peak >> 20, most >> 20);
}

/* The odd ones are still there, and a newcomer is served. */
static void
check_newcomer(struct test *t)
{
	struct load *l = &t->load;
	struct sockaddr_in addr = l->addr;
	struct rpc_conn conn;
	struct nfs_fh root;
	int err;

	addr.sin_port = htons((uint16_t)(ntohs(addr.sin_port) + t->opt.mount_offset));
	rpc_conn_init(&conn, &l->loop);
	conn.cred = &l->cred;
	err = rpc_conn_open(&conn, &addr);
	if (!err)
		err = nfs_mount(&conn, "/export", &root, END_MS);
	rpc_conn_close(&conn);
	check(t, err == 0 && nfs_fh_equal(&root, &l->root), "a new connection is served");
}

static void
test_run(struct test *t)
{
	struct load *l = &t->load;
	uint32_t left, cut = 0;

	printf("load: %u connections with %u calls each: %u healthy, %u slow readers, %u half open, "
	       "%u idle\n",
	       l->npeers, l->depth, l->n[HEALTHY], l->n[SLOW], l->n[HALF_MARK] + l->n[HALF_WRITE],
	       l->n[IDLE]);
	fflush(stdout);
	if (serve(t) < 0 || setup_tree(l) < 0) {
		check(t, false, "start");
		return;
	}
	if (open_all(t))
		run(t);
	check(t, !t->starved && !t->kind_stuck && !l->failures,
	      "nobody starves: at least %" PRIu64 " answers on every healthy connection in any window",
	      t->least_window == UINT64_MAX ? 0 : t->least_window);
	left = finish(t);
	for (uint32_t i = 0; i < l->npeers; i++)
		cut += l->peer[i].closed;
	check(t, left == 0, "every call is answered, the slow readers' too (%u are not)", left);
	check(t, l->failures == 0, "every answer is well-formed and right (%u odd connections were closed)",
	      cut);
	check_memory(t);
	check_newcomer(t);
	check(t, !server_ended(&l->server) && l->loop.strays == 0,
	      "the server runs, and answered nothing that was not asked");
	print_fairness(t);
}

static void
test_end(struct test *t)
{
	struct load *l = &t->load;

	for (uint32_t i = 0; l->peer && i < l->npeers; i++) {
		if (!l->peer[i].conn.loop)
			continue;
		l->peer[i].conn.on_close = NULL;
		rpc_conn_close(&l->peer[i].conn);
		rpc_conn_abandon(&l->peer[i].conn);
		free(l->peer[i].op);
	}
	if (l->server.pid)
		check(t, server_stop(&l->server, END_MS) == 0, "SIGTERM ends it");
	rpc_loop_fini(&l->loop);
	for (uint32_t i = 1; i <= PATTERNS; i++)
		free(l->pattern[i]);
	free(l->peer);
}

static int
usage(void)
{
	fprintf(stderr, "usage: load --binary PATH --dir DIR [--conns N] [--depth N] [--seconds N]\n"
	                "            [--cores N] [--seed S] [--budget BYTES] [--mount-offset N]\n");
	return 2;
}

static int
parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "binary", 1, NULL, 'b' },  { "dir", 1, NULL, 'd' },
		{ "conns", 1, NULL, 'n' },   { "depth", 1, NULL, 'D' },
		{ "seconds", 1, NULL, 's' }, { "cores", 1, NULL, 'c' },
		{ "seed", 1, NULL, 'S' },    { "budget", 1, NULL, 'B' },
		{ "mount-offset", 1, NULL, 'm' }, { NULL, 0, NULL, 0 },
	};
	int ch;

	*o = (struct options){ .conns = 1000, .depth = 64, .seconds = 20, .seed = 1 };
	while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (ch) {
		case 'b': o->binary = optarg; break;
		case 'd': o->dir = optarg; break;
		case 'n': o->conns = (uint32_t)atoi(optarg); break;
		case 'D': o->depth = (uint32_t)atoi(optarg); break;
		case 's': o->seconds = (uint32_t)atoi(optarg); break;
		case 'c': o->cores = atoi(optarg); break;
		case 'S': o->seed = strtoull(optarg, NULL, 0); break;
		case 'B': o->budget = strtoull(optarg, NULL, 0); break;
		case 'm': o->mount_offset = atoi(optarg); break;
		default: return -1;
		}
	}
	return o->binary && o->dir && o->conns && o->depth ? 0 : -1;
}

int
main(int argc, char **argv)
{
	struct test *t = calloc(1, sizeof(*t));
	int rc;

	if (!t || parse(&t->opt, argc, argv) < 0)
		return usage();
	t->least_window = UINT64_MAX;
	signal(SIGPIPE, SIG_IGN);
	raise_limit(t->opt.conns);
	rng_seed(&t->load.rng, t->opt.seed);
	rpc_cred_sys(&t->load.cred, 0, 0, NULL, 0);
	if (rpc_loop_init(&t->load.loop, t->opt.conns * (t->opt.depth + 1) + 256, 1) < 0)
		return 2;
	make_load(t);
	test_run(t);
	test_end(t);
	printf("%d passed, %d failed, %d skipped\n", t->passed, t->failed, t->skipped);
	rc = t->failed ? 1 : 0;
	free(t);
	return rc;
}
