/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast does an NFSv3 server answer, and what does it cost on both sides?  See usage().
 * One JSON line per test on stdout.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/load.h"

static void
usage(FILE *f)
{
	fputs("usage: load ADDR:PORT EXPORT [OPTION]... TEST...\n"
	      "\n"
	      "Calls an NFSv3 server over TCP and prints one JSON line per test: calls, MB and entries a\n"
	      "second, latencies, the CPU of client and server (cores in use), how much was checked.\n"
	      "Every answer is decoded and must be OK; READs are compared with what was written, by samples.\n"
	      "\n"
	      "TEST is an operation or a mix with weights (getattr:70,read:25,write:5) of\n"
	      "  null getattr lookup read seqread write (UNSTABLE) seqwrite writesync (FILE_SYNC) commit\n"
	      "  create remove rename mkdir rmdir readdirplus\n"
	      "Tests run in their order on what the earlier ones made: remove takes what create left.\n"
	      "write and seqwrite end with a COMMIT that is part of the time.\n"
	      "\n"
	      "  --depth N        calls outstanding, all connections together (1)\n"
	      "  --conns N        connections (4, at most the depth)\n"
	      "  --threads N      threads (1)\n"
	      "  --rate R         open loop: R calls a second, whether or not the last are answered;\n"
	      "                   latency counts from when a call should have started\n"
	      "  --seconds S      of each test (1); --warm S before it (0.2)\n"
	      "  --ops N          instead of seconds: so many calls (readdirplus: whole walks)\n"
	      "  --bytes N        of a READ or WRITE (4096)\n"
	      "  --size MIB       of the data file (64)\n"
	      "  --files N        that lookup, getattr and readdirplus find (1000)\n"
	      "  --dirs N         folders that files, creates and removes spread over (1)\n"
	      "  --dir NAME       folder below the export where all happens (load)\n"
	      "  --hot N          lookup and getattr use the first N files only\n"
	      "  --seed N         of what is chosen at random: another one, other files (0)\n"
	      "  --pid PID        of the server, for its CPU\n"
	      "  --mount-port P   where MOUNT is, when not on NFS's port\n"
	      "  --congestion C   TCP congestion control of our side (cubic; \"\": the system's)\n"
	      "  --fresh          seqwrite writes a new file each time\n"
	      "  --spin           poll, never sleep\n"
	      "  --keep           leave what create and mkdir made\n"
	      "  --canned         the server is bare_echo --rpc: no mount, all handles and bytes are zeros\n", f);
}

static struct sockaddr_in
address(const char *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	const char *colon = strrchr(s, ':');
	char host[64];

	if (!colon)
		measure_fail("an address is ADDR:PORT", EINVAL);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - s), s);
	if (inet_pton(AF_INET, host, &a.sin_addr) != 1)
		measure_fail(s, EINVAL);
	a.sin_port = htons((uint16_t)atoi(colon + 1));
	return a;
}

static double
number(const char *name, const char *s, double lo, double hi)
{
	char *end;
	double v = strtod(s, &end);

	if (*end || end == s || v < lo || v > hi)
		measure_fail(name, ERANGE);
	return v;
}

static struct load_opts
options(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "depth", 1, 0, 'd' }, { "conns", 1, 0, 'c' }, { "threads", 1, 0, 't' }, { "rate", 1, 0, 'r' },
		{ "seconds", 1, 0, 's' }, { "warm", 1, 0, 'w' }, { "ops", 1, 0, 'o' }, { "bytes", 1, 0, 'b' },
		{ "size", 1, 0, 'z' }, { "files", 1, 0, 'f' }, { "dirs", 1, 0, 'D' }, { "dir", 1, 0, 'n' },
		{ "pid", 1, 0, 'p' }, { "mount-port", 1, 0, 'm' }, { "congestion", 1, 0, 'C' },
		{ "hot", 1, 0, 'H' }, { "fresh", 0, 0, 'F' }, { "spin", 0, 0, 'S' }, { "keep", 0, 0, 'k' },
		{ "canned", 0, 0, 'a' }, { "seed", 1, 0, 'e' }, { "help", 0, 0, 'h' },
		{ 0, 0, 0, 0 },
	};
	struct load_opts o = { .dir = "load", .congestion = "cubic", .threads = 1, .conns = 4, .depth = 1,
	                       .seconds = 1, .warm = 0.2, .bytes = LOAD_PAGE, .size = 64 << 20, .files = 1000,
	                       .dirs = 1 };
	uint16_t mount_port = 0;
	int c, which;

	while ((c = getopt_long(argc, argv, "h", longs, &which)) != -1) {
		const char *name = c == '?' || c == 'h' ? "" : longs[which].name;

		switch (c) {
		case 'd': o.depth = (uint32_t)number(name, optarg, 1, LOAD_DEPTH); break;
		case 'c': o.conns = (uint32_t)number(name, optarg, 1, LOAD_CONNS * LOAD_THREADS); break;
		case 't': o.threads = (uint32_t)number(name, optarg, 1, LOAD_THREADS); break;
		case 'r': o.rate = number(name, optarg, 1, 1e8); break;
		case 's': o.seconds = number(name, optarg, 0.01, 86400); break;
		case 'w': o.warm = number(name, optarg, 0, 3600); break;
		case 'o': o.ops = (uint64_t)number(name, optarg, 1, 1e12); break;
		case 'b': o.bytes = (uint32_t)number(name, optarg, 64, LOAD_IO_MAX); break;
		case 'z': o.size = (uint64_t)number(name, optarg, 1, 1 << 20) << 20; break;
		case 'f': o.files = (uint64_t)number(name, optarg, 1, 1e8); break;
		case 'D': o.dirs = (uint32_t)number(name, optarg, 1, 100000); break;
		case 'n': o.dir = optarg; break;
		case 'p': o.pid = (uint32_t)number(name, optarg, 1, 1 << 30); break;
		case 'm': mount_port = (uint16_t)number(name, optarg, 1, 65535); break;
		case 'C': o.congestion = optarg; break;
		case 'H': o.hot = (uint64_t)number(name, optarg, 1, 1e8); break;
		case 'e': o.seed = (uint64_t)number(name, optarg, 0, 1e9); break;
		case 'F': o.fresh = true; break;
		case 'S': o.spin = true; break;
		case 'k': o.keep = true; break;
		case 'a': o.canned = true; break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (argc - optind < 3) {
		usage(stderr);
		exit(2);
	}
	if (o.bytes & (o.bytes - 1))
		measure_fail("--bytes is a power of two", 0);
	o.addr = o.mount_addr = address(argv[optind]);
	if (mount_port)
		o.mount_addr.sin_port = htons(mount_port);
	o.export = argv[optind + 1];
	if (!o.hot || o.hot > o.files)
		o.hot = o.files;
	if (o.conns > o.depth)
		o.conns = o.depth;
	if (o.threads > o.conns)
		o.threads = o.conns;
	if (o.depth / o.threads >= LOAD_DEPTH || o.conns / o.threads >= LOAD_CONNS)
		measure_fail("more threads for so many, please", 0);
	return o;
}

static void
worker_init(struct worker *w, const struct load_opts *o, struct world *world, uint32_t i)
{
	*w = (struct worker){ .o = o, .world = world, .index = i };
	w->nconns = o->conns / o->threads + (i < o->conns % o->threads);
	w->nslots = o->depth / o->threads + (i < o->depth % o->threads);
	w->conn = calloc(w->nconns, sizeof(*w->conn));
	w->slot = calloc(w->nslots, sizeof(*w->slot));
	if (!w->conn || !w->slot)
		measure_fail("memory", ENOMEM);
	/* names no run before has used: microseconds since boot, a year of them before they repeat */
	w->next_id = measure_now_ns() / 1000;
	w->next_seq = i * (o->size / o->bytes) / o->threads;
	rng_seed(&w->rng, o->seed * LOAD_THREADS + i + 1);
	pool_init(&w->names);
	pool_init(&w->folders);
	world_connect(w);
	for (uint32_t k = 0; k < w->nslots; k++) {
		w->slot[k].w = w;
		w->slot[k].conn = &w->conn[k % w->nconns];
	}
}

static bool
mentions(int argc, char **argv, const char *const *words)
{
	for (int i = optind + 2; i < argc; i++)
		for (const char *const *word = words; *word; word++)
			if (strstr(argv[i], *word))
				return true;
	return false;
}

int
main(int argc, char **argv)
{
	static struct world world;
	struct load_opts o = options(argc, argv);
	struct worker *workers = calloc(o.threads, sizeof(*workers));
	bool only_null = true;

	if (!workers)
		measure_fail("memory", ENOMEM);
	for (uint32_t i = 0; i < o.threads; i++)
		worker_init(&workers[i], &o, &world, i);
	for (int i = optind + 2; i < argc; i++)
		only_null &= strcmp(argv[i], "null") == 0;
	if (o.canned)
		world_canned(&workers[0]);
	else if (!only_null) /* NULL works without a world, and with servers that know nothing else */
		world_prepare(&workers[0], mentions(argc, argv, (const char *[]){ "getattr", NULL }),
		              mentions(argc, argv, (const char *[]){ "lookup", "readdirplus", NULL }),
		              mentions(argc, argv, (const char *[]){ "read", "write", "commit", NULL }));
	for (int i = optind + 2; i < argc; i++)
		run_test(workers, argv[i]);
	for (uint32_t i = 0; i < o.threads; i++) {
		struct worker *w = &workers[i];

		if (!o.keep)
			world_clean(w);
		for (uint32_t k = 0; k < w->nconns; k++) {
			rpc_conn_close(&w->conn[k]);
			rpc_conn_abandon(&w->conn[k]);
		}
	}
	return 0;
}
