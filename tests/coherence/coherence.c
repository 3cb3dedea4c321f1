/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coherence --binary PATH --dir DIR: what was acknowledged over one connection
 * is what every other connection sees at once.
 *
 * Lanes have a file each.  A lane changes its file over some connection (CREATE, WRITE, SETATTR, REMOVE,
 * RENAME), and when that is answered asks LOOKUP, GETATTR and ACCESS over all connections, which
 * hang on different cores, while the other lanes do the same.  One thread, one loop.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/client/nfs.h"
#include "tests/client/rand.h"
#include "tests/client/server.h"

enum { CONNS = 8, LANES = 24, DIRS = 4, LOOKS = 3 * CONNS, BLOCK = 4096, FAILURES_TOLD = 8, ANSWER_MS = 60000 };

struct lane;

struct look {
	struct rpc_call call;
	struct lane *lane;
};

struct lane {
	struct rpc_call change;
	struct look look[LOOKS];
	struct test *test;
	uint32_t id, dir, serial; /* the serial is in its name */
	uint32_t looking;         /* looks not answered yet */
	bool exists;
	/* As acknowledged, or as it will be when the change is. */
	struct nfs_fh fh;
	uint32_t mode;
	uint64_t size, ctime;
	char name[32];
};

struct test {
	struct rpc_loop loop;
	struct rpc_cred cred;
	struct rpc_conn conn[CONNS];
	struct server server;
	struct rng rng;
	struct nfs_fh root, dir[DIRS];
	struct lane lane[LANES];
	uint64_t end_ns, changes[NFS_PROCS], looks;
	uint32_t running;         /* lanes */
	int failures;
};

static const uint8_t block[BLOCK];

static void lane_change(struct lane *l);

static void
fail(struct test *t, const char *proc, const struct lane *l, const char *what, uint64_t got, uint64_t want)
{
	if (t->failures++ < FAILURES_TOLD)
		fprintf(stderr, "coherence: %s of %s: %s is %lu, not %lu\n", proc, l->name, what, (unsigned long)got,
		        (unsigned long)want);
}

static struct rpc_conn *
any_conn(struct test *t)
{
	return &t->conn[rng_below(&t->rng, CONNS)];
}

/* ---- what everybody must see */

static void
check_attr(const struct lane *l, const char *proc, const struct nfs_attr *a)
{
	if (a->mode != l->mode)
		fail(l->test, proc, l, "the mode", a->mode, l->mode);
	if (a->size != l->size)
		fail(l->test, proc, l, "the size", a->size, l->size);
	if (a->ctime < l->ctime)
		fail(l->test, proc, l, "ctime", a->ctime, l->ctime);
}

static void
looked(struct rpc_call *call)
{
	struct look *k = (struct look *)(void *)call;
	struct lane *l = k->lane;
	const char *proc = nfs_proc_name(call->proc);
	uint32_t gone = call->proc == NFS_LOOKUP ? NFSERR_NOENT : NFSERR_STALE;
	struct nfs_result r;
	int err = nfs_result(call, &r);

	l->test->looks++;
	if (err || r.status != (l->exists ? NFS_OK : gone))
		fail(l->test, proc, l, "the status", err ? (uint64_t)-err : r.status, l->exists ? NFS_OK : gone);
	else if (l->exists && r.has_attr)
		check_attr(l, proc, &r.attr);
	if (!err && l->exists && call->proc == NFS_LOOKUP && !nfs_fh_equal(&r.fh, &l->fh))
		fail(l->test, proc, l, "the handle", 0, 1);
	if (--l->looking == 0)
		lane_change(l);
}

static void
lane_look(struct lane *l)
{
	struct test *t = l->test;

	l->looking = LOOKS;
	for (uint32_t i = 0; i < CONNS; i++) {
		for (uint32_t k = 3 * i; k < 3 * i + 3; k++)
			l->look[k].call.done = looked;
		nfs_lookup(&l->look[3 * i].call, &t->conn[i], &t->dir[l->dir], l->name);
		nfs_getattr(&l->look[3 * i + 1].call, &t->conn[i], &l->fh);
		nfs_access(&l->look[3 * i + 2].call, &t->conn[i], &l->fh, 0x3f);
	}
}

/* ---- changes */

static void
changed(struct rpc_call *call)
{
	struct lane *l = (struct lane *)(void *)call;
	struct nfs_result r;
	int err = nfs_result(call, &r);

	if (err || r.status != NFS_OK) {
		fail(l->test, nfs_proc_name(call->proc), l, "the status", err ? (uint64_t)-err : r.status, NFS_OK);
		l->test->running--;
		return;
	}
	l->test->changes[call->proc]++;
	if (call->proc == NFS_CREATE)
		l->fh = r.fh;
	if (r.has_attr)
		l->ctime = r.attr.ctime;
	else if ((call->proc == NFS_WRITE || call->proc == NFS_SETATTR) && r.wcc.has_after)
		l->ctime = r.wcc.after.ctime;
	lane_look(l);
}

static void
lane_change(struct lane *l)
{
	struct test *t = l->test;
	struct nfs_sattr sattr = { .set = NFS_SET_MODE };
	struct rpc_conn *conn = any_conn(t);
	uint64_t dice = rng_below(&t->rng, 16);

	if (rpc_now_ns() > t->end_ns) {
		t->running--;
		return;
	}
	l->change.done = changed;
	l->change.data_len = 0;
	if (!l->exists) {
		l->exists = true;
		l->mode = sattr.mode = (uint32_t)rng_below(&t->rng, 512) | 0600;
		l->size = 0;
		snprintf(l->name, sizeof(l->name), "lane%u.%u", l->id, l->serial++ % 3); /* names come again */
		nfs_create(&l->change, conn, &t->dir[l->dir], l->name, NFS_UNCHECKED, &sattr, 0);
	} else if (dice < 2) {
		l->exists = false;
		nfs_remove(&l->change, conn, &t->dir[l->dir], l->name);
	} else if (dice < 6) {
		l->size += BLOCK;
		nfs_write(&l->change, conn, &l->fh, l->size - BLOCK, block, BLOCK,
		          dice < 5 ? NFS_UNSTABLE : NFS_FILE_SYNC);
	} else if (dice < 8) {
		sattr.set = NFS_SET_SIZE;
		l->size = sattr.size = rng_below(&t->rng, 3 * BLOCK);
		nfs_setattr(&l->change, conn, &l->fh, &sattr, NULL);
	} else if (dice < 10) {
		char to[32];

		snprintf(to, sizeof(to), "moved%u.%u", l->id, l->serial++ % 3);
		if (strcmp(to, l->name) == 0)
			snprintf(to, sizeof(to), "moved%u.x", l->id);
		nfs_rename(&l->change, conn, &t->dir[l->dir], l->name, &t->dir[l->dir], to);
		memcpy(l->name, to, sizeof(to));
	} else {
		l->mode = sattr.mode = (uint32_t)rng_below(&t->rng, 512) | 0600;
		nfs_setattr(&l->change, conn, &l->fh, &sattr, NULL);
	}
}

/* ---- around it */

struct made {
	struct rpc_call call;
	struct nfs_fh *fh;
	bool done;
};

static void
made_dir(struct rpc_call *call)
{
	struct made *m = (struct made *)(void *)call;
	struct nfs_result r;

	if (nfs_result(call, &r) == 0 && r.status == NFS_OK)
		*m->fh = r.fh;
	m->done = true;
}

static int
connect_all(struct test *t)
{
	for (int i = 0; i < CONNS; i++) {
		rpc_conn_init(&t->conn[i], &t->loop);
		t->conn[i].cred = &t->cred;
		if (rpc_conn_open(&t->conn[i], &t->server.addr) < 0)
			return -1;
	}
	return nfs_mount(&t->conn[0], "/export", &t->root, 10000);
}

static int
make_dirs(struct test *t)
{
	struct nfs_sattr sattr = { .set = NFS_SET_MODE, .mode = 0755 };

	for (int i = 0; i < DIRS; i++) {
		struct made m = { .call.done = made_dir, .fh = &t->dir[i] };
		char name[16];

		snprintf(name, sizeof(name), "dir%d", i);
		nfs_mkdir(&m.call, &t->conn[0], &t->root, name, &sattr);
		if (rpc_loop_until(&t->loop, &m.done, ANSWER_MS) < 0 || m.fh->len == 0)
			return -1;
	}
	return 0;
}

static void
run(struct test *t, double seconds)
{
	uint64_t deadline = rpc_now_ns() + (uint64_t)(seconds * 1e9) + ANSWER_MS * 1000000ull;

	t->end_ns = rpc_now_ns() + (uint64_t)(seconds * 1e9);
	t->running = LANES;
	for (uint32_t i = 0; i < LANES; i++) {
		struct lane *l = &t->lane[i];

		l->test = t;
		l->id = i;
		l->dir = i % DIRS;
		for (int k = 0; k < LOOKS; k++)
			l->look[k].lane = l;
		lane_change(l);
	}
	while (t->running > 0 && rpc_now_ns() < deadline)
		rpc_loop_run(&t->loop, 100);
	if (t->running > 0)
		fail(t, "the end", &t->lane[0], "lanes without an answer", t->running, 0);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = { { "binary", 1, NULL, 'b' }, { "dir", 1, NULL, 'd' }, { "cores", 1, NULL, 'c' },
		                               { "seconds", 1, NULL, 's' }, { "seed", 1, NULL, 'S' }, { NULL, 0, NULL, 0 } };
	static struct test t;
	static char volume[256], log[300];
	double seconds = 5;
	uint64_t seed = 1;
	int ch;

	t.server = (struct server){ .start_timeout_ms = 120000 };
	while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (ch) {
		case 'b': t.server.binary = optarg; break;
		case 'd': snprintf(volume, sizeof(volume), "%s/vol", optarg); snprintf(log, sizeof(log), "%s/server.log", optarg); break;
		case 'c': t.server.cores = atoi(optarg); break;
		case 's': seconds = atof(optarg); break;
		case 'S': seed = strtoull(optarg, NULL, 0); break;
		default: return 2;
		}
	}
	if (!t.server.binary || !*volume)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	t.server.dir = volume;
	t.server.log = log;
	rng_seed(&t.rng, seed);
	rpc_cred_sys(&t.cred, 0, 0, NULL, 0);
	if (rpc_loop_init(&t.loop, 2 * LANES * (LOOKS + 1), 1) < 0 ||
	    server_command(&t.server, (const char *const[]){ t.server.binary, "format", volume, NULL }) != 0 || server_start(&t.server) < 0 ||
	    connect_all(&t) != 0 || make_dirs(&t) < 0) {
		fprintf(stderr, "coherence: the server does not serve, see %s\n", log);
		return 2;
	}
	run(&t, seconds);
	for (int i = 0; i < CONNS; i++) {
		rpc_conn_close(&t.conn[i]);
		rpc_conn_abandon(&t.conn[i]);
	}
	if (server_stop(&t.server, 30000) < 0)
		fail(&t, "SIGTERM", &t.lane[0], "its status", 1, 0);
	printf("%lu CREATE, %lu WRITE, %lu SETATTR, %lu RENAME, %lu REMOVE, looked at %lu times over %d connections\n",
	       (unsigned long)t.changes[NFS_CREATE], (unsigned long)t.changes[NFS_WRITE], (unsigned long)t.changes[NFS_SETATTR],
	       (unsigned long)t.changes[NFS_RENAME], (unsigned long)t.changes[NFS_REMOVE], (unsigned long)t.looks, CONNS);
	printf("%d passed, %d failed, 0 skipped\n", t.failures == 0, t.failures > 0);
	return t.failures > 0;
}
