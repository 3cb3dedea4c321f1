/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fake/rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "reactor/shard.h"

static char dir[64];

struct rig_msg {
	struct shard_msg msg;
	struct op op;
	enum op_state (*start)(void *arg, struct op *op);
	void *arg;
	sem_t done;
};

static void
fail(const char *what)
{
	fprintf(stderr, "rig: %s\n", what);
	abort();
}

void
rig_start(int cores, int (*init)(int core, void *arg), void (*fini)(int core, void *arg))
{
	struct reactor_opts o = {
		.cores = cores,
		.ring_entries = 256,
		.buf_bytes = (uint64_t)cores * 4 * MIB,
		.recv_bufs = 16,
		.max_conns = 16,
		.worker_threads = 2,
		.init = init,
		.fini = fini,
	};
	char why[256] = "";

	if (reactor_start(&o, why) < 0)
		fail(why);
}

void
rig_stop(void)
{
	reactor_stop();
	reactor_join();
}

static void
msg_resumed(struct op *op)
{
	sem_post(&container_of(op, struct rig_msg, op)->done);
}

static void
msg_run(struct shard_msg *m)
{
	struct rig_msg *r = container_of(m, struct rig_msg, msg);

	if (r->start(r->arg, &r->op) == OP_DONE)
		sem_post(&r->done);
}

int
rig_call(int core, enum op_state (*start)(void *arg, struct op *op), void *arg)
{
	struct rig_msg r = { .msg.run = msg_run, .op.resume = msg_resumed, .start = start, .arg = arg };

	sem_init(&r.done, 0, 0);
	shard_post(core, &r.msg);
	while (sem_wait(&r.done) < 0)
		;
	sem_destroy(&r.done);
	return r.op.res;
}

struct rig_thread {
	pthread_t thread;
	void (*fn)(int i);
	int i;
};

static void *
thread_main(void *arg)
{
	struct rig_thread *t = arg;

	t->fn(t->i);
	return NULL;
}

void
rig_threads(int n, void (*fn)(int i))
{
	struct rig_thread *t = calloc((size_t)n, sizeof(*t));

	for (int i = 0; i < n; i++) {
		t[i].fn = fn;
		t[i].i = i;
		if (pthread_create(&t[i].thread, NULL, thread_main, &t[i]))
			fail("no thread");
	}
	for (int i = 0; i < n; i++)
		pthread_join(t[i].thread, NULL);
	free(t);
}

static void
shell(const char *cmd)
{
	if (system(cmd) != 0)
		fail(cmd);
}

const char *
rig_dir(void)
{
	if (!dir[0]) {
		snprintf(dir, sizeof(dir), "/tmp/dittofs-test-XXXXXX");
		if (!mkdtemp(dir))
			fail("mkdtemp");
	}
	return dir;
}

void
rig_dir_remove(void)
{
	char cmd[128];

	if (!dir[0])
		return;
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	shell(cmd);
	dir[0] = 0;
}

void
rig_copy(const char *from, const char *to)
{
	char cmd[1024];

	/* This process stands still meanwhile: a file that RocksDB makes or removes would be in one half only. */
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'; kill -STOP $PPID; cp -a '%s' '%s'; rc=$?; kill -CONT $PPID; exit $rc",
	         to, from, to);
	shell(cmd);
}

size_t
rig_differs(const uint8_t *a, const uint8_t *b, size_t n)
{
	size_t i = 0;

	if (memcmp(a, b, n) == 0)
		return n;
	while (a[i] == b[i])
		i++;
	return i;
}

void
rig_break_mlog(const char *from)
{
	char logs[512], link[64], target[512];
	int full = open("/dev/full", O_WRONLY), broken = 0;

	snprintf(logs, sizeof(logs), "%s/mlog/", from);
	for (int fd = 3; fd < 256; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = 0;
		if (strncmp(target, logs, strlen(logs)) == 0)
			broken += dup2(full, fd) == fd;
	}
	close(full);
	if (!broken)
		fail("the log is not open");
}
