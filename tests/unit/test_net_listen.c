/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: too many clients, too few descriptors, addresses that cannot be had. */
#include "tests/unit/net_echo.h"

static struct reactor_opts
listen_only(int cores)
{
	return (struct reactor_opts){ .cores = cores, .buf_bytes = MIB, .max_conns = 8,
	                              .init = server_init, .fini = server_fini };
}

Test(net_listen, more_clients_than_connections, .timeout = 600)
{
	enum { N = 4 + 16 }; /* as many again as the backlog holds */
	static struct client c[N];

	start_with((struct reactor_opts){ .cores = 1, .max_conns = 4 });
	for (int i = 0; i < N; i++) {
		c[i] = (struct client){ .seed = (unsigned)i, .kinds = "ef", .frames = 20,
		                        .max_bytes = 20000 };
		start_client(&c[i]);
	}
	/* Those in the backlog get their turn when others leave, whoever that is. */
	for (int left = N; left > 0;)
		for (int i = 0; i < N; i++)
			if (c[i].fd >= 0 && pthread_tryjoin_np(c[i].reader, NULL) == 0) {
				pthread_join(c[i].writer, NULL);
				close(c[i].fd);
				c[i].fd = -1;
				left--;
			}
	stop();
	cr_assert(eq(int, atomic_load(&opened), N));
}

/* No descriptor for an accept: the client waits, and is served when there is one again. */
Test(net_listen, accepts_again_when_descriptors_are_back, .timeout = 600)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct rlimit lim = { 500, 500 };
	int taken[500], n = 0, fd;
	uint8_t back[4];

	cr_assert(eq(int, setrlimit(RLIMIT_NOFILE, &lim), 0));
	start_with((struct reactor_opts){ .cores = 1, .max_conns = 8 });
	fd = socket(AF_INET, SOCK_STREAM, 0);
	while ((taken[n] = dup(0)) >= 0)
		n++;
	in.sin_port = htons(net_port());
	cr_assert(eq(int, connect(fd, (struct sockaddr *)&in, sizeof(in)), 0));
	send_part(fd, 'e', 0, 0);
	usleep(50000);
	cr_assert(eq(int, (int)recv(fd, back, 4, MSG_DONTWAIT), -1));
	cr_assert(eq(u64, net_stats(0)->accepted, 0));
	while (n > 0)
		close(taken[--n]);
	cr_assert(eq(int, (int)recv(fd, back, 4, MSG_WAITALL), 4));
	close(fd);
	stop();
}

static char listen_why[256];

static int
listen_fails(int core, void *arg)
{
	(void)core;
	(void)arg;
	server_opts.vt = &server_vt;
	return net_listen(&server_opts, listen_why);
}

static void
expect_listen(int err, const char *words)
{
	struct reactor_opts o = listen_only(1);
	char why[256];

	o.init = listen_fails;
	o.fini = NULL;
	cr_assert(eq(int, reactor_start(&o, why), err));
	cr_assert(ne(ptr, strstr(listen_why, words), NULL), "%s", listen_why);
}

Test(net_listen, says_why_it_cannot_listen)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	/* Even one that would share the port. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	cr_assert(eq(int, bind(fd, (struct sockaddr *)&in, sizeof(in)), 0));
	cr_assert(eq(int, listen(fd, 1), 0));
	getsockname(fd, (struct sockaddr *)&in, &len);
	loopback(ntohs(in.sin_port));
	expect_listen(-EADDRINUSE, "taken");
	close(fd);

	in.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, for documentation */
	memcpy(&server_opts.addr, &in, sizeof(in));
	expect_listen(-EADDRNOTAVAIL, "192.0.2.1 is not an address");

	loopback(0);
	server_opts.congestion = "carrier-pigeon";
	expect_listen(-ENOENT, "carrier-pigeon");
}

static sa_family_t peer_family;

static void *
note_peer(struct conn *c, const struct sockaddr_storage *peer)
{
	(void)c;
	peer_family = peer->ss_family;
	return NULL; /* refused */
}

static const struct conn_vt refusing_vt = { note_peer, server_input, server_closed };

static int
refusing_init(int core, void *arg)
{
	(void)core;
	(void)arg;
	server_opts.vt = &refusing_vt;
	return net_listen(&server_opts, listen_why);
}

Test(net_listen, an_ipv4_peer_of_an_ipv6_listener_is_ipv4_and_open_may_refuse)
{
	struct sockaddr_in6 in = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
	struct reactor_opts o = listen_only(2);
	char why[256], c;
	int fd;

	o.init = refusing_init;
	o.fini = NULL;
	memcpy(&server_opts.addr, &in, sizeof(in));
	if (reactor_start(&o, why) < 0)
		cr_skip_test("no IPv6 here");
	fd = dial();
	cr_assert(eq(int, (int)recv(fd, &c, 1, 0), 0));
	cr_assert(eq(int, peer_family, AF_INET));
	close(fd);
	stop();
}

static struct op closed_op;
static struct timer close_timer;
static _Atomic int closed_res = 1;

static void
all_closed(struct op *op)
{
	closed_res = op->res;
	assert(net_stats(0)->open == 0);
	reactor_stop();
}

static void
close_them(struct op *op)
{
	op->resume = all_closed;
	net_stop_accepting();
	if (net_close_all(op) == OP_DONE)
		all_closed(op);
}

static int
closing_init(int core, void *arg)
{
	int err = server_init(core, arg);

	closed_op.resume = close_them;
	timer_start(&close_timer, 100 * MS, &closed_op);
	return err;
}

Test(net_listen, close_all_says_when_none_is_left, .timeout = 600)
{
	struct reactor_opts o = listen_only(1);
	char why[256], c;
	int fd[5];

	loopback(0);
	o.init = closing_init;
	cr_assert(eq(int, reactor_start(&o, why), 0));
	for (int i = 0; i < 5; i++)
		fd[i] = dial();
	for (int i = 0; i < 5; i++)
		cr_assert(eq(int, (int)recv(fd[i], &c, 1, 0), 0));
	reactor_join();
	cr_assert(eq(int, atomic_load(&closed_res), 0));
	cr_assert(eq(int, atomic_load(&opened), 5));
	cr_assert(eq(int, atomic_load(&closed_calls), 5));
	for (int i = 0; i < 5; i++)
		close(fd[i]);
}
