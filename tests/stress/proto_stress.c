/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of clients against a live server of two cores over a made-up meta/:
 * every procedure, pipelined, on connections that come, go and break off in the
 * middle, while another thread asks for statistics.  For the thread sanitizer.
 *
 *   proto_stress [SECONDS]
 */
#include <pthread.h>
#include <time.h>

#include "tests/fake/proto_live.h"

#define CLIENTS 6

static time_t until;
static uint64_t replies[CLIENTS];

struct client {
	struct client_msg msg;
	uint8_t buf[2 << 20];
	unsigned seed;
};

static pthread_mutex_t xid_lock = PTHREAD_MUTEX_INITIALIZER;

static void
make_call(struct client *c)
{
	/* client_xid is one for all. */
	pthread_mutex_lock(&xid_lock);
	client_call(&c->msg, (uint32_t)rand_r(&c->seed) % NFS3_PROCS, 100 + (uint64_t)rand_r(&c->seed) % 50);
	pthread_mutex_unlock(&xid_lock);
}

static void *
client_run(void *arg)
{
	int id = (int)(intptr_t)arg;
	struct client *c = calloc(1, sizeof *c);

	fake_need(c != NULL, "no memory");
	c->seed = (unsigned)id;
	while (time(NULL) < until) {
		int fd = live_connect(0), rounds = rand_r(&c->seed) % 20, sent;
		bool breaks = rand_r(&c->seed) % 4 == 0;
		struct wire_in r;

		for (int i = 0; i < rounds; i++) {
			for (sent = 0; sent < 20; sent++) {
				make_call(c);
				fake_need(live_send(fd, c->msg.bytes, c->msg.len), "the server closed");
			}
			if (breaks && i == rounds - 1)
				break;
			while (sent-- > 0) {
				fake_need(live_reply(fd, c->buf, sizeof c->buf, &r), "no reply");
				replies[id]++;
			}
		}
		if (breaks)
			live_send(fd, c->msg.bytes, c->msg.len / 2);
		close(fd);
	}
	free(c);
	return NULL;
}

int
main(int argc, char **argv)
{
	pthread_t thread[CLIENTS];
	char why[256] = "";
	uint64_t sum = 0;

	live_opts.max_calls = 64;
	live_opts.max_reads = 16;
	live_opts.max_dir_pages = 4;
	if (live_start(2, why) < 0) {
		fprintf(stderr, "%s\n", why);
		return 1;
	}
	until = time(NULL) + (argc > 1 ? atoi(argv[1]) : 6);
	for (int i = 0; i < CLIENTS; i++)
		pthread_create(&thread[i], NULL, client_run, (void *)(intptr_t)i);
	while (time(NULL) < until) {
		static struct proto_stats total;
		struct server_client list[4];

		fake_need(server_clients(list, 4) >= 0, "no answer");
		memset(&total, 0, sizeof total);
		for (int i = 0; i < 2; i++)
			stats_sum(&total, server_stats(i));
		usleep(10000);
	}
	for (int i = 0; i < CLIENTS; i++) {
		pthread_join(thread[i], NULL);
		sum += replies[i];
	}
	live_stop(5000);
	printf("%llu replies\n", (unsigned long long)sum);
	return sum == 0;
}
