/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes: every kind of frame, in any split, by any number of clients. */
#include "tests/unit/net_echo.h"

Test(net, every_kind_in_any_split, .timeout = 600)
{
	static const char *const kinds[] = { "e", "f", "p", "efp" };
	static const uint32_t sends[] = { 1, 7, 1500, 20000, 0 };
	unsigned seed = 1;

	start(1);
	for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
		for (size_t s = 0; s < ARRAY_LEN(sends); s++)
			one_client((struct client){ .seed = seed++, .kinds = kinds[k], .frames = 64,
			                            .max_bytes = sends[s] == 1 ? 2000 : 70000,
			                            .max_send = sends[s], .max_recv = sends[s] });
	stop();
	cr_assert(eq(int, atomic_load(&fill_errors), 0));
	cr_assert(eq(int, atomic_load(&send_errors), 0));
}

/* The sizes at which a fill changes its way. */
Test(net, fills_around_each_threshold, .timeout = 600)
{
	static const uint32_t sizes[] = { 1, 511, 512, 513, 2047, 2048, 2049, 16383, 16384, 16385,
	                                  32767, 32768, 65535, 65536, 65537, 1 << 20 };

	start(1);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		one_client((struct client){ .seed = (unsigned)i, .kinds = "f", .frames = 40,
		                            .max_bytes = MIN(sizes[i], (1u << 20) - 1) });
	stop();
}

Test(net, streams_of_large_fills, .timeout = 600)
{
	uint64_t recvs;

	start(1);
	one_client((struct client){ .seed = 5, .kinds = "f", .frames = 0, .max_bytes = 1 });
	recvs = net_stats(0)->recvs;
	for (int i = 0; i < 4; i++)
		one_client((struct client){ .seed = (unsigned)i, .kinds = "fffe", .frames = 100,
		                            .max_bytes = (1 << 20) - 1 });
	recvs = net_stats(0)->recvs - recvs;
	/* Far less than one a buffer's worth: the payload came straight. */
	cr_assert(lt(u64, recvs, 4000));
	stop();
}

Test(net, many_connections_of_all_kinds_and_paces, .timeout = 600)
{
	enum { N = 100 };
	static struct client c[N];

	start(2);
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = i % 3 ? "efp" : "e", .frames = 60,
		                        .max_bytes = i % 10 ? 5000 : 300000,
		                        .max_send = i % 4 ? 0 : 1000, .max_recv = i % 5 ? 0 : 3000,
		                        .slow_us = i % 7 ? 0 : 1000 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	/* SO_REUSEPORT spreads them: that one core gets none of 100 has odds of 1 in 2^99. */
	cr_assert(lt(u64, 0, net_stats(0)->accepted));
	cr_assert(lt(u64, 0, net_stats(1)->accepted));
	cr_assert(eq(u64, net_stats(0)->accepted + net_stats(1)->accepted, N));
	stop();
}

enum { TOGETHER = 40, SMALL = HEADER + 8 };

/* Frames that arrive in one piece; how many sends their answers took. */
static uint64_t
sends_of_many(uint32_t gather_bytes)
{
	uint8_t out[TOGETHER * SMALL], in[sizeof(out)];
	struct client c = { .seed = 1 };
	unsigned rnd = 1;
	uint64_t sends;

	server_opts.gather_bytes = gather_bytes;
	start(1);
	for (size_t i = 0; i < TOGETHER; i++)
		memcpy(out + i * SMALL, (uint8_t[SMALL]){ 'e', 0, 0, 8, (uint8_t)i }, SMALL);
	c.fd = dial();
	send_all(c.fd, out, sizeof(out), 0, &rnd);
	recv_all(&c, in, sizeof(in), &rnd);
	cr_assert(eq(int, memcmp(in, out, sizeof(out)), 0));
	close(c.fd);
	reactor_stop();
	reactor_join();
	sends = net_stats(0)->sends;
	return sends;
}

Test(net, answers_that_are_ready_together_leave_together)
{
	cr_assert(lt(u64, sends_of_many(0), TOGETHER));
}

Test(net, or_each_in_a_send_of_its_own)
{
	cr_assert(eq(u64, sends_of_many(1), TOGETHER));
}

Test(net, or_as_many_as_there_may_be)
{
	uint64_t sends = sends_of_many(3 * SMALL);

	cr_assert(le(u64, (TOGETHER + 2) / 3, sends));
}

/* More small answers than are sent as one piece, between larger ones, to a reader who sometimes sleeps. */
Test(net, small_answers_by_the_hundred, .timeout = 600)
{
	frame_count = 500;
	start(1);
	for (unsigned i = 0; i < 4; i++)
		one_client((struct client){ .seed = i, .kinds = "e", .frames = 2000, .max_bytes = i % 2 ? 520 : 3000,
		                            .slow_us = i < 2 ? 0 : 2000 });
	stop();
	cr_assert(eq(int, atomic_load(&send_errors), 0));
}

/* The submission queue fills up in the middle of a lap, again and again. */
Test(net, a_ring_smaller_than_the_load, .timeout = 600)
{
	enum { N = 60 };
	static struct client c[N];

	start_with((struct reactor_opts){ .cores = 1, .ring_entries = 4, .max_conns = 64 });
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "ef", .frames = 200,
		                        .max_bytes = 3000 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	stop();
}

/* More work than there are frames: the clients wait, and all get their answers. */
Test(net, pauses_when_a_pool_is_empty, .timeout = 600)
{
	enum { N = 20 };
	static struct client c[N];

	frame_count = 3;
	start(1);
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "efp", .frames = 50,
		                        .max_bytes = 40000, .max_send = i % 2 ? 0 : 500 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	stop();
}

/* Floods of small frames on connections that are paused most of the time. */
Test(net, paused_connections_do_not_take_the_shared_buffers, .timeout = 600)
{
	enum { N = 40 };
	static struct client c[N];

	unsent_limit = 1000;
	start_with((struct reactor_opts){ .cores = 1, .busy_poll_us = 20, .max_conns = 64,
	                                  .recv_bufs = 4, .recv_buf_bytes = 4096 });
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "e", .frames = 1000,
		                        .max_bytes = 200, .slow_us = i % 4 ? 0 : 300 };
		start_client(&c[i]);
	}
	for (int i = 0; i < N; i++)
		end_client(&c[i]);
	stop();
}
