/* SPDX-License-Identifier: Apache-2.0 */
/* The server on real cores and sockets. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <pthread.h>

#include "tests/fake/proto_live.h"

static char why[256];
static struct client_msg msg;
static uint8_t buf[2 << 20];

static void
start(int cores)
{
	cr_assert(eq(int, live_start(cores, why), 0), "%s", why);
}

static uint64_t
calls_now(void)
{
	uint64_t n = 0;

	for (int i = 0; i < reactor_cores(); i++)
		n += __atomic_load_n(&server_stats(i)->calls_now, __ATOMIC_RELAXED);
	return n;
}

/* Reads what there is to read of a file, whole; the bytes are right. */
static void
check_file(int fd)
{
	struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_READ);
	struct wire_in r;
	const uint8_t *data;
	uint32_t n;

	client_put_fh(w, 101);
	wire_put_u64(w, 0);
	wire_put_u32(w, 1 << 20);
	client_end_msg(&msg);
	cr_assert(live_send(fd, msg.bytes, msg.len));
	cr_assert(live_reply(fd, buf, sizeof buf, &r));
	live_check(&r, 0);
	r.p += 4 + 84 + 8;
	data = wire_get_bytes(&r, 1 << 20, &n);
	cr_assert(eq(u32, n, FAKE_FILE_BYTES));
	for (uint32_t i = 0; i < n; i++)
		cr_assert(data[i] == fake_byte(i));
}

Test(server, every_procedure_on_many_connections, .timeout = 600)
{
	for (int cores = 1; cores <= 3; cores++) {
		uint64_t calls = 0;

		start(cores);
		for (int i = 0; i < 20; i++) {
			int fd = live_connect(0);

			for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
				struct wire_in r;

				client_call(&msg, proc, 100 + (uint64_t)i);
				cr_assert(live_send(fd, msg.bytes, msg.len));
				cr_assert(live_reply(fd, buf, sizeof buf, &r));
				cr_assert(eq(u32, live_check(&r, 0), client_xid - 1));
			}
			check_file(fd);
			close(fd);
		}
		for (int i = 0; i < cores; i++)
			for (int p = 0; p < STATS_PROCS; p++)
				calls += server_stats(i)->proc[p].calls;
		cr_assert(eq(u64, calls, 20 * NFS3_PROCS));
		live_stop(1000);
	}
}

Test(server, a_megabyte_in_the_midst_of_others, .timeout = 600)
{
	int fd;

	start(2);
	fd = live_connect(0);
	for (int i = 0; i < 20; i++) {
		struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_WRITE);
		struct wire_in r;

		client_put_fh(w, 102);
		wire_put_u64(w, 0);
		wire_put_u32(w, (1 << 20) - (uint32_t)i);
		wire_put_u32(w, 2);
		wire_put_u32(w, (1 << 20) - (uint32_t)i);
		w->p += ROUND_UP((1 << 20) - i, 4);
		client_end_msg(&msg);
		cr_assert(live_send(fd, msg.bytes, msg.len));
		client_call(&msg, NFS3_GETATTR, 101);
		cr_assert(live_send(fd, msg.bytes, msg.len));
		for (int k = 0; k < 2; k++) {
			cr_assert(live_reply(fd, buf, sizeof buf, &r));
			live_check(&r, 0);
		}
		check_file(fd);
	}
	close(fd);
	live_stop(1000);
}

Test(server, slow_readers_and_half_records_disturb_nobody, .timeout = 600)
{
	int slow[8], half[40], fd;

	start(2);
	for (int i = 0; i < 8; i++) {
		slow[i] = live_connect(4096);
		for (int k = 0; k < 100; k++) {
			struct wire_out *w = client_begin(&msg, NFS3_PROGRAM, NFS3_READ);

			client_put_fh(w, 101);
			wire_put_u64(w, 0);
			wire_put_u32(w, 1 << 20);
			client_end_msg(&msg);
			live_send(slow[i], msg.bytes, msg.len);
		}
	}
	for (int i = 0; i < 40; i++) {
		half[i] = live_connect(0);
		client_call(&msg, i & 1 ? NFS3_WRITE : NFS3_LOOKUP, 101);
		live_send(half[i], msg.bytes, msg.len - 8);
	}
	fd = live_connect(0);
	for (int i = 0; i < 50; i++)
		check_file(fd);
	/* 8 MiB each is the limit; half records of WRITEs are calls, others are none. */
	cr_assert(le(u64, calls_now(), 8 * 8 + 20));
	live_stop(200); /* nobody takes the replies: the grace ends it */
	for (int i = 0; i < 8; i++)
		close(slow[i]);
	for (int i = 0; i < 40; i++)
		close(half[i]);
	close(fd);
}

Test(server, stops_with_the_replies_out, .timeout = 600)
{
	struct wire_in r;
	int fd, n = 0;

	start(2);
	fd = live_connect(0);
	for (int i = 0; i < 50; i++) {
		client_call(&msg, NFS3_GETATTR, 100 + (uint64_t)i);
		live_send(fd, msg.bytes, msg.len);
	}
	cr_assert(live_reply(fd, buf, sizeof buf, &r)); /* they have been taken */
	live_stop(5000);
	/* What was taken was answered before the end, and whole. */
	for (n = 1; live_reply(fd, buf, sizeof buf, &r); n++)
		live_check(&r, 0);
	cr_assert(lt(int, 0, n));
	close(fd);
}

/* Half a WRITE is nothing that the end waits for. */
Test(server, stops_at_once_with_half_a_write, .timeout = 600)
{
	time_t before = time(NULL);
	int fd;

	start(2);
	fd = live_connect(0);
	client_call(&msg, NFS3_WRITE, 101);
	live_send(fd, msg.bytes, msg.len - 4);
	while (calls_now() == 0)
		usleep(1000);
	live_stop(30000);
	cr_assert(lt(int, (int)(time(NULL) - before), 20));
	close(fd);
}

Test(server, who_is_connected, .timeout = 600)
{
	struct server_client list[4];
	struct wire_in r;
	int fd[3];

	start(2);
	cr_assert(eq(int, server_clients(list, 4), 0));
	for (int i = 0; i < 3; i++) {
		fd[i] = live_connect(0);
		struct wire_out *w = client_begin(&msg, MOUNT3_PROGRAM, MOUNT3_MNT);
		wire_put_string(w, i ? "/export/sub" : "/export");
		client_end_msg(&msg);
		live_send(fd[i], msg.bytes, msg.len);
		cr_assert(live_reply(fd[i], buf, sizeof buf, &r));
		live_check(&r, 0);
	}
	cr_assert(eq(int, server_clients(list, 4), 1));
	cr_assert(eq(u32, list[0].conns, 3));
	cr_assert(eq(u64, list[0].ops, 3));
	cr_assert(lt(u64, 100, list[0].bytes_in));
	cr_assert(lt(u64, 100, list[0].bytes_out));
	cr_assert(eq(int, list[0].nmounts, 2));
	cr_assert(eq(str, list[0].mount[0], (char *)"/export"));
	cr_assert(eq(str, list[0].mount[1], (char *)"/export/sub"));
	cr_assert(eq(int, list[0].addr.ss_family, AF_INET));
	/* A client without a connection is one as long as it mounts. */
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	for (int i = 0; i < 1000 && list[0].conns > 0; i++) {
		usleep(1000);
		cr_assert(eq(int, server_clients(list, 4), 1));
	}
	cr_assert(eq(u32, list[0].conns, 0));
	cr_assert(eq(int, list[0].nmounts, 2));
	live_stop(1000);
}

Test(server, a_port_that_is_taken, .timeout = 600)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	cr_assert(eq(int, bind(fd, (struct sockaddr *)&at, sizeof at), 0));
	cr_assert(eq(int, listen(fd, 1), 0));
	getsockname(fd, (struct sockaddr *)&at, &len);
	((struct sockaddr_in *)&live_opts.addr)->sin_port = at.sin_port;
	cr_assert(eq(int, live_start(2, why), -EADDRINUSE));
	cr_assert(strstr(why, "taken") != NULL, "%s", why);
	close(fd);
}

Test(server, rules_that_are_wrong, .timeout = 600)
{
	struct server_opts o = { .exports = &live_export, .nexports = 0, .volume = &client_volume };

	cr_assert(eq(int, server_init(0, &o, why), -EINVAL));
	o.nexports = 1;
	cr_assert(eq(int, server_init(0, &o, why), -EINVAL)); /* an empty one */
	cr_assert(strlen(why) > 10);
}
