/* SPDX-License-Identifier: Apache-2.0 */
/* How connections end: clients that leave, hang or sleep, servers that close. */
#include "tests/unit/net_echo.h"

static void
reset(int fd)
{
	struct linger l = { 1, 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

/* Clients that leave at every point, by close and by reset. */
Test(net_ends, clients_that_leave, .timeout = 600)
{
	static const struct {
		char kind;
		uint32_t len, payload;
	} plan[] = {
		{ 'e', 1000, 0 },     { 'e', 1000, 500 },     { 'f', 1000, 500 },
		{ 'f', 1 << 19, 0 },  { 'f', 1 << 19, 1000 }, { 'f', 1 << 19, 1 << 18 },
		{ 'p', 1 << 19, 10 }, { 'p', 100000, 100000 }, { 'f', 1 << 19, 1 << 19 },
		{ 'e', 0, 0 },
	};

	start(1);
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < ARRAY_LEN(plan); i++) {
			int fd = dial(), waits = round == 2;

			send_part(fd, plan[i].kind, plan[i].len, plan[i].payload);
			if (waits)
				usleep(5000);
			if (round % 2)
				reset(fd);
			else
				close(fd);
		}
	one_client((struct client){ .seed = 1, .kinds = "efp", .frames = 50, .max_bytes = 50000 });
	stop();
	/* Some had left before they were accepted. */
	cr_assert(ge(int, atomic_load(&opened), 2 * (int)ARRAY_LEN(plan) + 1));
	cr_assert(le(int, atomic_load(&opened), 3 * (int)ARRAY_LEN(plan) + 1));
	cr_assert(lt(int, 0, atomic_load(&fill_errors)));
}

Test(net_ends, the_server_closes, .timeout = 600)
{
	char c;

	start(1);
	for (int i = 0; i < 50; i++) {
		int fd = dial();

		send_part(fd, 'c', 0, 0);
		cr_assert(eq(int, (int)recv(fd, &c, 1, 0), 0));
		close(fd);
	}
	cr_assert(eq(int, atomic_load(&opened), 50));
	stop();
}

/* The end comes in the middle of everything. */
Test(net_ends, the_end_closes_what_is_under_way, .timeout = 600)
{
	int fd[30];

	start(2);
	for (int i = 0; i < 30; i++) {
		fd[i] = dial();
		send_part(fd[i], "efp"[i % 3], 1 << 19, i % 2 ? 1 << 17 : 10);
	}
	EVENTUALLY(atomic_load(&opened) == 30);
	stop();
	for (int i = 0; i < 30; i++)
		close(fd[i]);
}

/* A client that sends and never reads, until the server has stopped to read as well. */
static int
dial_sleeper(void)
{
	static uint8_t frame[HEADER + 100000] = { 'e', 100000 >> 16, (100000 >> 8) & 0xff, 100000 & 0xff };
	int fd = dial(), small = 4096, refused = 0;
	size_t at = 0;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	while (refused < 20) {
		ssize_t n = send(fd, frame + at, sizeof(frame) - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			at = (at + (size_t)n) % sizeof(frame); /* the next begins where this one ends */
		} else {
			refused++;
			usleep(5000);
		}
	}
	return fd;
}

/* What the server holds for it is bounded, and others go on. */
Test(net_ends, a_reader_that_sleeps_stops_nobody_else, .timeout = 600)
{
	int fd;

	unsent_limit = MIB;
	start(1);
	fd = dial_sleeper();
	one_client((struct client){ .seed = 2, .kinds = "efp", .frames = 100, .max_bytes = 50000 });
	cr_assert(lt(u64, net_stats(0)->bytes_in, 30 * MIB));
	close(fd);
	stop();
}

/* The end while the kernel has a send that does not go on: its memory comes back after it. */
Test(net_ends, the_end_cuts_sends_that_are_stuck, .timeout = 600)
{
	int fd[4];

	unsent_limit = MIB;
	start(2);
	for (int i = 0; i < 4; i++)
		fd[i] = dial_sleeper();
	stop();
	cr_assert(lt(int, 0, atomic_load(&send_errors)));
	for (int i = 0; i < 4; i++)
		close(fd[i]);
}

Test(net_ends, idle_connections_are_closed_and_active_ones_not, .timeout = 600)
{
	int idle, busy;
	char c;

	server_opts.idle_timeout_ns = 3000 * MS;
	start(1);
	idle = dial();
	busy = dial();
	/* Until the idle one is closed: the other spoke all the while, and is not. */
	do {
		uint8_t back[4];

		usleep(50000);
		send_part(busy, 'e', 0, 0);
		cr_assert(eq(int, (int)recv(busy, back, 4, MSG_WAITALL), 4));
	} while (recv(idle, &c, 1, MSG_DONTWAIT) != 0);
	cr_assert(eq(int, (int)recv(busy, &c, 1, 0), 0)); /* now silent, it is closed too */
	close(idle);
	close(busy);
	stop();
}
