/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast does an NFSv3 server answer?  Closed loop: `depth` calls outstanding
 * over up to 4 connections, each answered call starts the next.  One JSON line
 * per test on stdout: operations and MB per second, latency, CPU of both sides.
 *
 *   nfs ADDR:PORT EXPORT [--depth N] [--pid PID] [--mount-port P] [--seconds S] [--size MIB] [--files N] TEST...
 *
 * Tests, in an order that makes sense: write read randread randwrite create stat
 * readdirplus remove.  write lays the file down that read, randread and randwrite
 * use; create the files of stat, readdirplus and remove.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/client/nfs.h"
#include "tests/client/rand.h"

#define CONNS_MAX 4
#define DEPTH_MAX 1024
#define SAMPLES_MAX (1 << 20)
#define MIB (1u << 20)
#define PAGE 4096u
#define COMMIT_EVERY 64

struct slot {
	struct rpc_call call;
	uint64_t op;
	bool committing;
};

static struct {
	struct sockaddr_in addr;
	uint32_t depth, nconns, pid;
	uint16_t mount_port; /* 0: MOUNT is on NFS's own */
	uint64_t seconds, size, files;
	struct rpc_loop loop;
	struct rpc_conn conn[CONNS_MAX];
	struct rpc_cred cred;
	struct slot slot[DEPTH_MAX];
	struct nfs_fh root, dir, file;
	struct rng rng;
	uint8_t *data;

	/* the test that runs */
	void (*start)(struct slot *s);
	uint64_t nops;      /* 0: for `seconds` */
	uint64_t next, done, bytes, deadline_ns, nsamples, writes;
	uint32_t active;
	bool idle;
	uint32_t sample_us[SAMPLES_MAX];
} b;

static void
die(const char *what, int err)
{
	fprintf(stderr, "bench/nfs: %s: %s\n", what, err < 0 ? strerror(-err) : nfs_status_name((uint32_t)err));
	exit(1);
}

/* The call's result, which must be OK. */
static void
take(struct rpc_call *call, struct nfs_result *r)
{
	int err = nfs_result(call, r);

	if (err < 0 || r->status != NFS_OK)
		die(nfs_proc_name(call->proc), err < 0 ? err : (int)r->status);
}

/* ---- one call at a time, for setting up */

static struct nfs_result once_result;
static bool once_done;

static void
on_once(struct rpc_call *call)
{
	int err = nfs_result(call, &once_result);

	if (err < 0)
		die(nfs_proc_name(call->proc), err);
	once_done = true;
}

static struct rpc_call *
once(void)
{
	static struct rpc_call call;

	call.done = on_once;
	once_done = false;
	return &call;
}

static uint32_t
once_wait(void)
{
	if (rpc_loop_until(&b.loop, &once_done, 60000) < 0)
		die("no answer", -ETIMEDOUT);
	return once_result.status;
}

static struct nfs_fh
lookup(const struct nfs_fh *dir, const char *name)
{
	nfs_lookup(once(), &b.conn[0], dir, name);
	uint32_t status = once_wait();

	if (status != NFS_OK)
		die(name, (int)status);
	return once_result.fh;
}

/* ---- the loop of a test */

static void on_done(struct rpc_call *call);

static void
go(struct slot *s)
{
	bool over = b.nops ? b.next >= b.nops : rpc_now_ns() >= b.deadline_ns;

	if (over) {
		if (--b.active == 0)
			b.idle = true;
		return;
	}
	s->op = b.next++;
	s->call.done = on_done;
	b.start(s);
}

static void
on_done(struct rpc_call *call)
{
	struct slot *s = (struct slot *)call;
	struct nfs_result r;

	take(call, &r);
	if (b.nsamples < SAMPLES_MAX)
		b.sample_us[b.nsamples++] = (uint32_t)((b.loop.now_ns - call->start_ns) / 1000);
	b.done++;
	if (call->proc == NFS_READ)
		b.bytes += r.count;
	else if (call->proc == NFS_WRITE)
		b.bytes += r.count;
	go(s);
}

static struct rpc_conn *
conn_of(const struct slot *s)
{
	return &b.conn[(size_t)(s - b.slot) % b.nconns];
}

static void
start_write(struct slot *s)
{
	nfs_write(&s->call, conn_of(s), &b.file, s->op * MIB, b.data, MIB, NFS_UNSTABLE);
}

static void
start_read(struct slot *s)
{
	nfs_read(&s->call, conn_of(s), &b.file, s->op % b.size * MIB, MIB);
}

static void
start_randread(struct slot *s)
{
	nfs_read(&s->call, conn_of(s), &b.file, rng_below(&b.rng, b.size * MIB / PAGE) * PAGE, PAGE);
}

static void
start_randwrite(struct slot *s)
{
	if (b.writes++ % (COMMIT_EVERY + 1) == COMMIT_EVERY)
		nfs_commit(&s->call, conn_of(s), &b.file, 0, 0);
	else
		nfs_write(&s->call, conn_of(s), &b.file, rng_below(&b.rng, b.size * MIB / PAGE) * PAGE,
		          b.data + s->op % 255 * PAGE, PAGE, NFS_UNSTABLE);
}

static const char *
file_name(uint64_t n)
{
	static char name[32];

	snprintf(name, sizeof(name), "file.%08llu", (unsigned long long)n);
	return name;
}

static void
start_create(struct slot *s)
{
	static const struct nfs_sattr sattr = { .set = NFS_SET_MODE, .mode = 0644 };

	nfs_create(&s->call, conn_of(s), &b.dir, file_name(s->op), NFS_GUARDED, &sattr, 0);
}

static void
start_stat(struct slot *s)
{
	nfs_lookup(&s->call, conn_of(s), &b.dir, file_name(rng_below(&b.rng, b.files)));
}

static void
start_remove(struct slot *s)
{
	nfs_remove(&s->call, conn_of(s), &b.dir, file_name(s->op));
}

/* READDIRPLUS: each slot walks the directory by itself; a page is an operation, an entry counts as one too. */
static uint64_t cookie[DEPTH_MAX], verf[DEPTH_MAX], entries;

static void
start_readdir(struct slot *s)
{
	size_t i = (size_t)(s - b.slot);

	nfs_readdirplus(&s->call, conn_of(s), &b.dir, cookie[i], verf[i], 8192, 65536);
}

static void
on_readdir(struct rpc_call *call)
{
	struct slot *s = (struct slot *)call;
	size_t i = (size_t)(s - b.slot);
	struct nfs_result r;
	struct nfs_dirent e;

	take(call, &r);
	if (b.nsamples < SAMPLES_MAX)
		b.sample_us[b.nsamples++] = (uint32_t)((b.loop.now_ns - call->start_ns) / 1000);
	verf[i] = r.verf;
	while (nfs_dirent_next(&r, true, &e) == 1) {
		cookie[i] = e.cookie;
		entries++;
	}
	if (r.eof)
		cookie[i] = verf[i] = 0;
	if (rpc_now_ns() >= b.deadline_ns) {
		if (--b.active == 0)
			b.idle = true;
		return;
	}
	start_readdir(s);
}

/* ---- measuring */

/* CPU seconds of this process and of the server. */
static double
cpu_self(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double
cpu_server(void)
{
	char path[64], line[1024], *p;
	unsigned long user, sys;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/stat", b.pid);
	if (!b.pid || !(f = fopen(path, "re")))
		return 0;
	p = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
		return 0;
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

static int
by_value(const void *a, const void *c)
{
	return *(const uint32_t *)a < *(const uint32_t *)c ? -1 : *(const uint32_t *)a > *(const uint32_t *)c;
}

static void
run(const char *test, void (*start)(struct slot *), uint64_t nops, bool readdir)
{
	b.start = start;
	b.nops = nops;
	b.next = b.done = b.bytes = b.nsamples = b.writes = entries = 0;
	b.idle = false;
	b.active = b.depth;
	memset(cookie, 0, sizeof(cookie));
	double cpu = cpu_self(), server = cpu_server();
	uint64_t t0 = rpc_now_ns();

	b.deadline_ns = t0 + b.seconds * 1000000000;
	for (uint32_t i = 0; i < b.depth; i++) {
		if (readdir) {
			b.slot[i].call.done = on_readdir;
			start_readdir(&b.slot[i]);
		} else {
			go(&b.slot[i]);
		}
	}
	while (!b.idle)
		rpc_loop_run(&b.loop, 1000);
	if (start == start_write) { /* the promise is part of the price */
		nfs_commit(once(), &b.conn[0], &b.file, 0, 0);
		if (once_wait() != NFS_OK)
			die("COMMIT", (int)once_result.status);
	}
	double t = (double)(rpc_now_ns() - t0) / 1e9;
	uint64_t ops = readdir ? entries : b.done;

	qsort(b.sample_us, b.nsamples, sizeof(b.sample_us[0]), by_value);
	printf("{\"test\": \"%s\", \"depth\": %u, \"ops_per_s\": %.1f, \"mb_per_s\": %.2f, \"p50_us\": %u, \"p99_us\": %u,"
	       " \"client_cpu\": %.3f, \"server_cpu\": %.3f}\n", test, b.depth, (double)ops / t, (double)b.bytes / 1e6 / t,
	       b.nsamples ? b.sample_us[b.nsamples / 2] : 0, b.nsamples ? b.sample_us[b.nsamples * 99 / 100] : 0,
	       (cpu_self() - cpu) / t, (cpu_server() - server) / t);
	fflush(stdout);
}

static void
prepare(void)
{
	static const struct nfs_sattr sattr = { .set = NFS_SET_MODE, .mode = 0755 };

	nfs_mkdir(once(), &b.conn[0], &b.root, "bench", &sattr);
	if (once_wait() != NFS_OK && once_result.status != NFSERR_EXIST)
		die("mkdir bench", (int)once_result.status);
	b.dir = lookup(&b.root, "bench");
	nfs_create(once(), &b.conn[0], &b.root, "bench.data", NFS_UNCHECKED, &sattr, 0);
	if (once_wait() != NFS_OK)
		die("create bench.data", (int)once_result.status);
	b.file = lookup(&b.root, "bench.data");
	b.data = aligned_alloc(PAGE, MIB);
	for (size_t i = 0; i < MIB / 8; i++)
		((uint64_t *)(void *)b.data)[i] = rng_next(&b.rng);
}

static void
run_test(const char *t)
{
	if (!strcmp(t, "write"))
		run(t, start_write, b.size, false);
	else if (!strcmp(t, "read"))
		run(t, start_read, b.size * 2, false);
	else if (!strcmp(t, "randread"))
		run(t, start_randread, 0, false);
	else if (!strcmp(t, "randwrite"))
		run(t, start_randwrite, 0, false);
	else if (!strcmp(t, "create"))
		run(t, start_create, b.files, false);
	else if (!strcmp(t, "stat"))
		run(t, start_stat, 0, false);
	else if (!strcmp(t, "readdirplus"))
		run(t, NULL, 0, true);
	else if (!strcmp(t, "remove"))
		run(t, start_remove, b.files, false);
	else
		die(t, -EINVAL);
}

static void
connect_all(const char *export)
{
	int err;

	if (rpc_loop_init(&b.loop, DEPTH_MAX * 2, (uint32_t)getpid() << 16) < 0)
		die("out of memory", -ENOMEM);
	rpc_cred_sys(&b.cred, 0, 0, NULL, 0);
	for (uint32_t i = 0; i < b.nconns; i++) {
		rpc_conn_init(&b.conn[i], &b.loop);
		b.conn[i].cred = &b.cred;
		if ((err = rpc_conn_open(&b.conn[i], &b.addr)) < 0)
			die("connect", err);
	}
	if (!b.mount_port) {
		err = nfs_mount(&b.conn[0], export, &b.root, 10000);
	} else {
		static struct rpc_conn mount;
		struct sockaddr_in at = b.addr;

		at.sin_port = htons(b.mount_port);
		rpc_conn_init(&mount, &b.loop);
		mount.cred = &b.cred;
		if ((err = rpc_conn_open(&mount, &at)) == 0)
			err = nfs_mount(&mount, export, &b.root, 10000);
		rpc_conn_close(&mount);
		rpc_conn_abandon(&mount);
	}
	if (err)
		die("mount", err);
}

int
main(int argc, char **argv)
{
	b.depth = 1, b.seconds = 2, b.size = 256, b.files = 4000;
	char *colon = argc > 3 ? strchr(argv[1], ':') : NULL;

	if (!colon) {
		fprintf(stderr, "usage: nfs ADDR:PORT EXPORT [--depth N] [--pid PID] [--mount-port P] [--seconds S] [--size MIB] [--files N] TEST...\n");
		return 2;
	}
	*colon = '\0';
	b.addr.sin_family = AF_INET;
	b.addr.sin_port = htons((uint16_t)atoi(colon + 1));
	inet_pton(AF_INET, argv[1], &b.addr.sin_addr);
	rng_seed(&b.rng, 1);
	int i = 3;

	for (; i + 1 < argc && !strncmp(argv[i], "--", 2); i += 2) {
		uint64_t v = strtoull(argv[i + 1], NULL, 10);

		if (!strcmp(argv[i], "--depth") && v >= 1 && v <= DEPTH_MAX)
			b.depth = (uint32_t)v;
		else if (!strcmp(argv[i], "--pid"))
			b.pid = (uint32_t)v;
		else if (!strcmp(argv[i], "--mount-port"))
			b.mount_port = (uint16_t)v;
		else if (!strcmp(argv[i], "--seconds") && v)
			b.seconds = v;
		else if (!strcmp(argv[i], "--size") && v)
			b.size = v;
		else if (!strcmp(argv[i], "--files") && v)
			b.files = v;
		else
			die(argv[i], -EINVAL);
	}
	b.nconns = b.depth < CONNS_MAX ? b.depth : CONNS_MAX;
	connect_all(argv[2]);
	prepare();
	for (; i < argc; i++)
		run_test(argv[i]);
	for (uint32_t k = 0; k < b.nconns; k++) {
		rpc_conn_close(&b.conn[k]);
		rpc_conn_abandon(&b.conn[k]);
	}
	rpc_loop_fini(&b.loop);
	return 0;
}
