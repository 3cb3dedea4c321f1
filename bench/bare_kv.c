/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can RocksDB acknowledge at best under the same group commit?  Batches of the shapes that
 * meta/ writes, without it: a thread writes those of all waiting clients to the log's buffer,
 * another syncs the log; while one sync runs the next group gathers.
 *
 *   bare_kv DIR [--clients N] [--shape create|remove|rename] [--seconds S] [--entries N]
 *
 * DIR is made and removed again.  --entries: how many files are in the database before.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/measure.h"

enum { INODE_VALUE = 110, ENTRY_VALUE = 10, USAGE_VALUE = 16, OATH = 16 };

#define NEW_NAME 1000000000u

enum shape { CREATE, REMOVE, RENAME };
static const char *const shape_names[] = { "create", "remove", "rename" };

static struct {
	uint32_t clients, entries;
	double seconds;
	enum shape shape;
	const char *dir;
} o = { 64, 20000, 1, CREATE, NULL };

static rocksdb_t *db;
static rocksdb_writeoptions_t *wo;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wrote, synced;
	uint64_t applied, durable; /* batches */
	uint64_t groups;           /* syncs */
	bool over;
} g = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, false };

static void
check(char *msg)
{
	if (msg)
		measure_fail(msg, 0);
}

static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
	return x ^ x >> 33;
}

static size_t
inode_key(char key[32], uint64_t ino)
{
	key[0] = 'I';
	for (int i = 0; i < 8; i++)
		key[1 + i] = (char)(ino >> (56 - 8 * i));
	return 9;
}

/* directory, hash of the name, name */
static size_t
entry_key(char key[32], uint64_t name)
{
	uint64_t hash = mix(name);

	memset(key, 0, 9);
	key[0] = 'D';
	memcpy(key + 9, &hash, 8);
	return 17 + (size_t)snprintf(key + 17, 15, "f%08llu", (unsigned long long)name);
}

/* One change of the namespace, as meta/ commits it: see its create.c, unlink.c, rename.c. */
static void
batch_fill(rocksdb_writebatch_t *b, enum shape shape, uint64_t n)
{
	static const char value[128];
	char key[32];

	rocksdb_writebatch_clear(b);
	switch (shape) {
	case CREATE: /* of a file or a folder */
		rocksdb_writebatch_put(b, key, entry_key(key, n), value, ENTRY_VALUE);
		rocksdb_writebatch_put(b, key, inode_key(key, n), value, INODE_VALUE);
		break;
	case REMOVE:
		rocksdb_writebatch_delete(b, key, entry_key(key, n));
		rocksdb_writebatch_delete(b, key, inode_key(key, n));
		break;
	case RENAME:
		rocksdb_writebatch_delete(b, key, entry_key(key, n));
		rocksdb_writebatch_put(b, key, entry_key(key, n + NEW_NAME), value, ENTRY_VALUE);
		rocksdb_writebatch_put(b, key, inode_key(key, n), value, INODE_VALUE);
		break;
	}
	rocksdb_writebatch_put(b, key, inode_key(key, 1), value, INODE_VALUE); /* the folder's */
	if (shape != RENAME)
		rocksdb_writebatch_put(b, "U1", 2, value, USAGE_VALUE);
	rocksdb_writebatch_put_log_data(b, value, OATH);
}

static void *
syncer(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&g.lock);
	for (;;) {
		uint64_t upto;
		char *msg = NULL;

		while (g.applied == g.durable && !g.over)
			pthread_cond_wait(&g.wrote, &g.lock);
		if (g.applied == g.durable)
			break;
		upto = g.applied;
		pthread_mutex_unlock(&g.lock);
		rocksdb_flush_wal(db, 1, &msg);
		check(msg);
		pthread_mutex_lock(&g.lock);
		g.durable = upto;
		g.groups++;
		pthread_cond_signal(&g.synced);
	}
	pthread_mutex_unlock(&g.lock);
	return NULL;
}

/* All clients' batches, as soon as they may have the next. */
static void
run(void)
{
	rocksdb_writebatch_t *b = rocksdb_writebatch_create();
	uint64_t start, end, cpu, n = 0, free_clients;
	pthread_t thread;
	double s;

	for (; n < o.entries; n++) {
		char *msg = NULL;

		batch_fill(b, CREATE, n);
		rocksdb_write(db, wo, b, &msg);
		check(msg);
	}
	if (pthread_create(&thread, NULL, syncer, NULL) != 0)
		measure_fail("thread", EAGAIN);
	cpu = measure_cpu_ns(0);
	start = measure_now_ns();
	end = start + (uint64_t)(o.seconds * 1e9);
	n = o.shape == CREATE ? n : 0;
	pthread_mutex_lock(&g.lock);
	while (measure_now_ns() < end) {
		free_clients = o.clients - (g.applied - g.durable);
		if (!free_clients) {
			pthread_cond_wait(&g.synced, &g.lock);
			continue;
		}
		/* told as they come: the sync that waits for the first takes along what is there then */
		for (uint64_t i = 0; i < free_clients; i++) {
			char *msg = NULL;

			pthread_mutex_unlock(&g.lock);
			batch_fill(b, o.shape, n++);
			rocksdb_write(db, wo, b, &msg);
			check(msg);
			pthread_mutex_lock(&g.lock);
			if (g.applied++ == g.durable)
				pthread_cond_signal(&g.wrote);
		}
	}
	g.over = true;
	pthread_cond_signal(&g.wrote);
	pthread_mutex_unlock(&g.lock);
	pthread_join(thread, NULL);
	s = (double)(measure_now_ns() - start) / 1e9;
	cpu = measure_cpu_ns(0) - cpu;
	json_begin();
	json_str("test", shape_names[o.shape]);
	json_num("depth", o.clients, 0);
	json_num("seconds", s, 3);
	json_num("ops_per_s", (double)g.durable / s, 1);
	json_num("group", (double)g.durable / (double)g.groups, 1);
	json_num("server_cpu", (double)cpu / 1e9 / s, 3);
	json_num("server_us_per_op", (double)cpu / 1e3 / (double)g.durable, 3);
	json_end();
	rocksdb_writebatch_destroy(b);
}

static enum shape
shape_find(const char *name)
{
	for (enum shape i = CREATE; i <= RENAME; i++)
		if (strcmp(shape_names[i], name) == 0)
			return i;
	measure_fail(name, EINVAL);
}

int
main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "clients", 1, 0, 'c' }, { "shape", 1, 0, 'h' }, { "seconds", 1, 0, 's' }, { "entries", 1, 0, 'e' }, { 0, 0, 0, 0 },
	};
	rocksdb_options_t *op = rocksdb_options_create();
	char *msg = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'c': o.clients = (uint32_t)atoi(optarg); break;
		case 'h': o.shape = shape_find(optarg); break;
		case 's': o.seconds = atof(optarg); break;
		case 'e': o.entries = (uint32_t)atoi(optarg); break;
		default: measure_fail("see the head of bench/bare_kv.c", EINVAL);
		}
	if (optind + 1 != argc || !o.clients)
		measure_fail("see the head of bench/bare_kv.c", EINVAL);
	o.dir = argv[optind];
	rocksdb_options_set_create_if_missing(op, 1);
	rocksdb_options_set_error_if_exists(op, 1);
	rocksdb_options_set_manual_wal_flush(op, 1);
	rocksdb_options_set_write_buffer_size(op, 32 << 20);
	rocksdb_options_set_max_write_buffer_number(op, 4);
	rocksdb_options_set_info_log_level(op, 3);
	db = rocksdb_open(op, o.dir, &msg);
	check(msg);
	wo = rocksdb_writeoptions_create();
	run();
	rocksdb_writeoptions_destroy(wo);
	rocksdb_close(db);
	rocksdb_destroy_db(op, o.dir, &msg);
	check(msg);
	rocksdb_options_destroy(op);
	return 0;
}
