/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long does it take until small files are durable?  Each is made, written and
 * committed (CREATE, WRITE, COMMIT: open, write, fsync, close), `depth` of them at a time; each that is
 * there starts the next.  One JSON line: files a second, and the latency of COMMIT.
 *
 *   fsync ADDR:PORT EXPORT [--files N] [--bytes N] [--depth N] [--mount-port P] [--stable] [--dir NAME]
 *
 * --stable: WRITE is FILE_SYNC, and there is no COMMIT; its latency is printed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/measure.h"
#include "tests/client/nfs.h"

enum { CONNS = 4, DEPTH_MAX = 1024, BYTES_MAX = 1 << 20, ANSWER_MS = 60000 };

struct slot {
	struct rpc_call call; /* first: done() casts */
	struct nfs_fh fh;
	uint64_t start_ns;    /* of the COMMIT, or of the stable WRITE */
};

static struct {
	struct sockaddr_in addr;
	uint64_t files, begun, done, jukebox;
	uint32_t bytes, depth;
	uint16_t mount_port; /* 0: MOUNT is on NFS's own */
	bool stable, idle;
	struct nfs_fh dir;
	struct rpc_loop loop;
	struct rpc_conn conn[CONNS];
	struct slot slot[DEPTH_MAX];
	struct hist latency;
	uint8_t data[BYTES_MAX];
} b = { .files = 10000, .bytes = 8192, .depth = 64 };

static void on_done(struct rpc_call *call);

static struct rpc_conn *
conn_of(const struct slot *s)
{
	return &b.conn[(s - b.slot) % CONNS];
}

static void
make_next(struct slot *s)
{
	static const struct nfs_sattr sattr = { .set = NFS_SET_MODE, .mode = 0644 };
	char name[32];

	if (b.begun == b.files)
		return;
	snprintf(name, sizeof(name), "f%07llu", (unsigned long long)b.begun++);
	s->call.done = on_done;
	nfs_create(&s->call, conn_of(s), &b.dir, name, NFS_GUARDED, &sattr, 0);
}

static void
write_it(struct slot *s)
{
	memcpy(b.data, &s->start_ns, sizeof(s->start_ns)); /* no two files are alike */
	nfs_write(&s->call, conn_of(s), &s->fh, 0, b.data, b.bytes, b.stable ? NFS_FILE_SYNC : NFS_UNSTABLE);
}

static void
is_durable(struct slot *s)
{
	hist_add(&b.latency, b.loop.now_ns - s->start_ns);
	if (++b.done == b.files)
		b.idle = true;
	make_next(s);
}

static void
on_done(struct rpc_call *call)
{
	struct slot *s = (struct slot *)call;
	struct nfs_result r;
	int err = nfs_result(call, &r);

	if (err < 0 || (r.status != NFS_OK && r.status != NFSERR_JUKEBOX)) {
		fprintf(stderr, "%s: %s\n", nfs_proc_name(call->proc), err < 0 ? strerror(-err) : nfs_status_name(r.status));
		exit(1);
	}
	if (r.status == NFSERR_JUKEBOX) {
		b.jukebox++;
		if (call->proc == NFS_COMMIT)
			nfs_commit(&s->call, conn_of(s), &s->fh, 0, 0);
		else if (call->proc == NFS_WRITE)
			write_it(s);
		else
			measure_fail("CREATE is told JUKEBOX", 0);
		return;
	}
	switch (call->proc) {
	case NFS_CREATE:
		s->fh = r.fh;
		s->start_ns = rpc_now_ns();
		write_it(s);
		break;
	case NFS_WRITE:
		if (b.stable) {
			is_durable(s);
			break;
		}
		s->start_ns = rpc_now_ns();
		nfs_commit(&s->call, conn_of(s), &s->fh, 0, 0);
		break;
	default:
		is_durable(s);
		break;
	}
}

/* ---- setting up */

static struct nfs_result made;
static bool made_done;

static void
on_made(struct rpc_call *call)
{
	int err = nfs_result(call, &made);

	if (err < 0 || made.status != NFS_OK || !made.has_fh)
		measure_fail("cannot make the directory", err < 0 ? -err : 0);
	made_done = true;
}

static void
connect_all(const char *export, const char *dir)
{
	static struct rpc_cred cred;
	static struct rpc_call call;
	struct sockaddr_in mount_addr = b.addr;
	struct rpc_conn mount;
	struct nfs_fh root;
	int err;

	rpc_cred_sys(&cred, 0, 0, NULL, 0);
	if (rpc_loop_init(&b.loop, DEPTH_MAX, (uint32_t)measure_now_ns()) < 0)
		measure_fail("the client's loop", ENOMEM);
	if (b.mount_port)
		mount_addr.sin_port = htons(b.mount_port);
	rpc_conn_init(&mount, &b.loop);
	mount.cred = &cred;
	rpc_conn_open(&mount, &mount_addr);
	err = nfs_mount(&mount, export, &root, ANSWER_MS);
	if (err)
		measure_fail("MOUNT is refused", err < 0 ? -err : 0);
	rpc_conn_close(&mount);
	for (int i = 0; i < CONNS; i++) {
		rpc_conn_init(&b.conn[i], &b.loop);
		b.conn[i].cred = &cred;
		rpc_conn_open(&b.conn[i], &b.addr);
	}
	call.done = on_made;
	nfs_mkdir(&call, &b.conn[0], &root, dir, &(struct nfs_sattr){ .set = NFS_SET_MODE, .mode = 0755 });
	if (rpc_loop_until(&b.loop, &made_done, ANSWER_MS) < 0)
		measure_fail("no answer", ETIMEDOUT);
	b.dir = made.fh;
}

static void
take_addr(const char *s)
{
	char host[64];
	unsigned port;

	if (sscanf(s, "%63[^:]:%u", host, &port) != 2 || inet_pton(AF_INET, host, &b.addr.sin_addr) != 1)
		measure_fail("an address is like 127.0.0.1:2049", 0);
	b.addr.sin_family = AF_INET;
	b.addr.sin_port = htons((uint16_t)port);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "files", 1, NULL, 'f' }, { "bytes", 1, NULL, 'b' }, { "depth", 1, NULL, 'd' }, { "stable", 0, NULL, 's' },
		{ "mount-port", 1, NULL, 'm' }, { "dir", 1, NULL, 'D' }, { 0 },
	};
	const char *dir = "fsync";
	uint64_t start;
	double t;
	int ch;

	while ((ch = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (ch) {
		case 'f': b.files = strtoull(optarg, NULL, 0); break;
		case 'b': b.bytes = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 'd': b.depth = (uint32_t)strtoul(optarg, NULL, 0); break;
		case 'm': b.mount_port = (uint16_t)atoi(optarg); break;
		case 's': b.stable = true; break;
		case 'D': dir = optarg; break;
		default: return 2;
		}
	}
	if (argc - optind != 2 || b.depth == 0 || b.depth > DEPTH_MAX || b.bytes < 8 || b.bytes > BYTES_MAX || b.files == 0)
		measure_fail("fsync ADDR:PORT EXPORT [--files N] [--bytes N] [--depth 1..1024] [--stable] [--dir NAME]", 0);
	take_addr(argv[optind]);
	connect_all(argv[optind + 1], dir);
	start = measure_now_ns();
	for (uint32_t i = 0; i < b.depth; i++)
		make_next(&b.slot[i]);
	while (!b.idle)
		rpc_loop_run(&b.loop, 1000);
	t = (double)(measure_now_ns() - start) / 1e9;
	json_begin();
	json_str("test", b.stable ? "write_file_sync" : "commit");
	json_num("files", (double)b.files, 0);
	json_num("bytes", b.bytes, 0);
	json_num("depth", b.depth, 0);
	json_num("files_per_s", (double)b.files / t, 1);
	json_num("p50_ms", hist_quantile_us(&b.latency, 0.5) / 1e3, 2);
	json_num("p99_ms", hist_quantile_us(&b.latency, 0.99) / 1e3, 2);
	json_num("max_ms", (double)b.latency.max_ns / 1e6, 2);
	json_num("jukebox", (double)b.jukebox, 0);
	json_end();
	return 0;
}
