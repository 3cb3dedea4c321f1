/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can the disk acknowledge at best?  Writes shaped like a journal's, without one: O_DIRECT
 * and RWF_DSYNC into a prewritten file, two in flight, acknowledged in order.
 *
 *   bare_disk records DIR [--clients N] [--bytes N] [--seconds S]
 *       N clients, each waits until its record is durable and then has the next: records that
 *       came while writes were under way leave together (group commit)
 *   bare_disk stream DIR [--bytes N] [--in-flight N] ...
 *       writes of --bytes back to back; the file is as large as --size MIB and used again
 *
 * Nothing is copied or checksummed: the records are there already.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/measure.h"
#include "bench/lib/uring.h"

enum { PAGE = 4096, IN_FLIGHT = 64, WRITE_MAX = 4 << 20 };

static struct {
	uint32_t clients, bytes, in_flight, size_mib;
	double seconds;
} o = { 64, 0, 2, 256, 1 };

static int file;
static uint8_t *page;

static void
prewrite(const char *dir)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/bare_disk.tmp", dir);
	file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT, 0600);
	if (file < 0)
		measure_fail(path, errno);
	unlink(path);
	page = aligned_alloc(PAGE, WRITE_MAX);
	if (!page)
		measure_fail("memory", ENOMEM);
	for (uint32_t i = 0; i < WRITE_MAX; i++)
		page[i] = (uint8_t)(i * 2654435761u >> 13);
	for (uint64_t at = 0; at < (uint64_t)o.size_mib << 20; at += 1 << 20)
		if (pwrite(file, page, 1 << 20, (off_t)at) != 1 << 20)
			measure_fail(path, errno);
	if (fsync(file) < 0)
		measure_fail(path, errno);
}

static uint32_t
round_up(uint64_t bytes)
{
	return (uint32_t)((bytes + PAGE - 1) / PAGE * PAGE);
}

struct group {
	uint32_t records, bytes;
	uint64_t start_ns;
	bool done;
};

/*
 * `ready` clients have a record; a group takes them all, but no more than its share of the
 * clients: otherwise all would ride in one group, and there would be none to follow it.
 */
static void
run(bool stream)
{
	struct group group[IN_FLIGHT] = { 0 };
	struct hist latency = { 0 };
	struct uring u = { 0 };
	struct io_uring_cqe *cqe;
	uint64_t at = 0, first = 0, next = 0, records = 0, groups = 0, bytes = 0, cpu, start, now;
	uint32_t ready = o.clients, share = (o.clients + o.in_flight - 1) / o.in_flight;
	double s;

	if (share > WRITE_MAX / o.bytes)
		share = WRITE_MAX / o.bytes;
	uring_init(&u, 0, 0, 0);
	cpu = measure_cpu_ns(0);
	start = now = measure_now_ns();
	while (now - start < (uint64_t)(o.seconds * 1e9) || first != next) {
		bool over = now - start >= (uint64_t)(o.seconds * 1e9);

		while (!over && next - first < o.in_flight && (stream || ready)) {
			struct group *g = &group[next % IN_FLIGHT];
			struct io_uring_sqe *sqe = uring_sqe(&u);
			uint32_t n = stream ? 1 : ready < share ? ready : share, len;

			len = round_up((uint64_t)n * o.bytes);
			*g = (struct group){ .records = n, .bytes = len, .start_ns = now };
			ready -= stream ? 0 : n;
			if (at + len > (uint64_t)o.size_mib << 20)
				at = 0;
			io_uring_prep_write(sqe, file, page, len, at);
			sqe->rw_flags = RWF_DSYNC;
			io_uring_sqe_set_data64(sqe, next % IN_FLIGHT);
			at += len;
			next++;
		}
		uring_wait(&u, 1000);
		now = measure_now_ns();
		while (io_uring_peek_cqe(&u.ring, &cqe) == 0) {
			struct group *g = &group[cqe->user_data];

			if (cqe->res != (int)g->bytes)
				measure_fail("write", cqe->res < 0 ? -cqe->res : EIO);
			g->done = true;
			io_uring_cqe_seen(&u.ring, cqe);
		}
		for (; first != next && group[first % IN_FLIGHT].done; first++) {
			struct group *g = &group[first % IN_FLIGHT];

			for (uint32_t i = 0; i < g->records; i++)
				hist_add(&latency, now - g->start_ns);
			ready += stream ? 0 : g->records;
			records += g->records;
			bytes += (uint64_t)g->records * o.bytes;
			groups++;
		}
	}
	s = (double)(now - start) / 1e9;
	cpu = measure_cpu_ns(0) - cpu;
	json_begin();
	json_str("test", stream ? "stream" : "records");
	json_num("depth", stream ? o.in_flight : o.clients, 0);
	json_num("bytes", o.bytes, 0);
	json_num("seconds", s, 3);
	json_num("ops_per_s", (double)records / s, 1);
	json_num("mb_per_s", (double)bytes / 1e6 / s, 2);
	json_num("group", (double)records / (double)groups, 1);
	json_num("p50_us", hist_quantile_us(&latency, 0.5), 1);
	json_num("p99_us", hist_quantile_us(&latency, 0.99), 1);
	json_num("server_cpu", (double)cpu / 1e9 / s, 3);
	json_end();
	uring_fini(&u);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "clients", 1, 0, 'c' }, { "bytes", 1, 0, 'b' }, { "in-flight", 1, 0, 'f' }, { "size", 1, 0, 'z' },
		{ "seconds", 1, 0, 's' }, { 0, 0, 0, 0 },
	};
	bool stream;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'c': o.clients = (uint32_t)atoi(optarg); break;
		case 'b': o.bytes = (uint32_t)atoi(optarg); break;
		case 'f': o.in_flight = (uint32_t)atoi(optarg); break;
		case 'z': o.size_mib = (uint32_t)atoi(optarg); break;
		case 's': o.seconds = atof(optarg); break;
		default: measure_fail("see the head of bench/bare_disk.c", EINVAL);
		}
	stream = optind < argc && strcmp(argv[optind], "stream") == 0;
	if (optind + 2 != argc || (!stream && strcmp(argv[optind], "records") != 0))
		measure_fail("see the head of bench/bare_disk.c", EINVAL);
	if (!o.bytes)
		o.bytes = stream ? 1 << 20 : 4096;
	if (o.bytes > WRITE_MAX || (stream && o.bytes % PAGE) || !o.clients || !o.in_flight || o.in_flight > IN_FLIGHT || o.size_mib < 4)
		measure_fail("a number is out of range", ERANGE);
	prewrite(argv[optind + 1]);
	run(stream);
	return 0;
}
