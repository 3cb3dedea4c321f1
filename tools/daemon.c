/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "crypto/seal.h"
#include "meta/preload.h"
#include "proto/server.h"
#include "tools/backup_job.h"
#include "tools/memsize.h"
#include "tools/oncore.h"
#include "tools/pending.h"
#include "tools/reload.h"
#include "tools/volume_keys.h"
#include "tools/warmup.h"

#define GRACE_MS 10000 /* for calls under way at SIGTERM */

/* Of a name and its attributes in short form, with the indexes over them when they are at their largest. */
#define NAME_BYTES 248
#define NAMES_MIN  1048576u
#define NAMES_MAX  (1u << 30)

#define HELPERS     4 /* threads for what blocks */
#define HELPERS_MAX 64

struct bringup {
	struct daemon d;
	struct server_opts server;
	char why[256];
};

/* Who took the objects over from us, when that was noticed. */
static struct {
	_Atomic bool is;
	struct claim_owner by;
} fenced;

static int
core_init(int core, void *arg)
{
	struct bringup *b = arg;
	int err;

	if ((err = objstore_init(b->d.vol.store, core, b->why)) < 0)
		return err;
	if ((err = meta_init(core)) < 0 || (err = file_init(core)) < 0) {
		snprintf(b->why, sizeof(b->why), "core %d cannot start: %s", core, strerror(err < -999 ? EIO : -err));
		return err;
	}
	return server_init(core, &b->server, b->why);
}

static void
core_fini(int core, void *arg)
{
	struct bringup *b = arg;

	server_fini(core);
	file_fini(core);
	meta_fini(core);
	objstore_fini(b->d.vol.store, core);
}

static uint64_t
wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int
usable_cores(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);
}

static enum op_state
stop_core(void *arg, struct op *op)
{
	(void)arg;
	return file_stop(op);
}

/* A second signal, while draining, ends the process at once: the journal has everything. */
static void *
second_signal(void *arg)
{
	int sig;

	sigwait(arg, &sig);
	log_warn("second signal: ending at once; the next start goes on from the journal");
	_exit(1);
}

static void
shut_down(struct bringup *b, sigset_t *set)
{
	pthread_t second;

	pthread_create(&second, NULL, second_signal, set);
	pthread_detach(second);
	preload_quit();
	warmup_cancel();
	b->d.stopping = true;
	log_info("stopping: calls under way get %d s", GRACE_MS / 1000);
	server_stop(GRACE_MS);
	if (b->d.config->drain) {
		b->d.draining = true;
		pending_drain(&b->d);
	}
}

/* Any core: another server owns the objects now, so this one must not answer any more. */
static void
on_fenced(const struct claim_owner *by)
{
	fenced.by = *by;
	atomic_store(&fenced.is, true);
	kill(getpid(), SIGTERM); /* serve() waits for one */
}

static int
stop_fenced(struct bringup *b, char why[256])
{
	struct pending left;
	char owner[256];

	server_stop(0);
	pending_look(&b->d, &left);
	volume_say_owner(&fenced.by, owner);
	snprintf(why, 256, "the server on %.140s has taken over the objects; %" PRIu64 " bytes not uploaded stay in the journal", owner,
		left.bytes);
	return -E_FENCED;
}

/* A terminal that hangs up ends the server as it ends others; who sends SIGHUP wants the config read again. */
static void
wait_for_end(struct bringup *b, const sigset_t *stop)
{
	sigset_t set = *stop;
	siginfo_t info;
	int sig;

	sigaddset(&set, SIGHUP);
	for (;;) {
		sig = sigwaitinfo(&set, &info);
		if (sig > 0 && (sig != SIGHUP || info.si_code == SI_KERNEL))
			return;
		if (sig > 0)
			reload(&b->d);
	}
}

static int
serve(struct bringup *b, sigset_t *set, char why[256])
{
	char addr[80];
	int err;

	if ((err = server_start(why)) < 0)
		return err;
	b->d.port = server_port();
	if ((err = admin_start(&b->d, why)) < 0) {
		server_stop(0);
		return err;
	}
	struct sockaddr_storage at = b->d.config->listen;

	if (at.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&at)->sin6_port = htons(b->d.port);
	else
		((struct sockaddr_in *)&at)->sin_port = htons(b->d.port);
	format_listen(&at, addr, sizeof(addr));
	log_info("serving %s on %s with %d core%s", b->d.config->shares[0].name, addr, b->d.cores, b->d.cores > 1 ? "s" : "");
	if (backup_job_start(&b->d) < 0)
		log_warn("no memory for backups of the metadata: none is made");
	if (b->d.config->preload && on_core(0, preload_start, NULL) < 0)
		log_warn("no memory to read names and attributes ahead");
	wait_for_end(b, set);
	if (atomic_load(&fenced.is))
		err = stop_fenced(b, why);
	else
		shut_down(b, set);
	admin_stop();
	return err;
}

/* Memory is used as they come, so a small volume does not pay for a large machine. */
static uint32_t
names_in_memory(const struct config *c)
{
	if (c->names)
		return c->names;
	return (uint32_t)MAX(NAMES_MIN, MIN(NAMES_MAX, memsize_bytes() / 8 / NAME_BYTES));
}

/* Two a core more where frames are encoded, so that what blocks is not left without. */
static int
helpers(const struct volume_open *v, int cores)
{
	bool encoding = seal_epoch() != 0;

	for (int i = 0; i < v->nshares; i++)
		encoding |= v->shares[i].codec != CODEC_RAW;
	return encoding ? MIN(HELPERS + 2 * cores, HELPERS_MAX) : HELPERS;
}

/* Old frames are decoded, whatever is done with new ones. */
static int
frames_start(const struct volume_open *v, int threads, char why[256])
{
	uint32_t level = 0;
	int err;

	for (int i = 0; i < v->nshares; i++)
		level = MAX(level, v->shares[i].level);
	err = frame_start(threads, level);
	if (err < 0)
		snprintf(why, 256, "no memory for compression");
	return err;
}

/* In the volume's order; a share that the config does not name keeps nothing. */
static void
retentions(const struct daemon *d, uint64_t out[CONFIG_SHARES_MAX])
{
	for (int i = 0; i < d->vol.nshares; i++)
		for (unsigned k = 0; k < d->config->nshares; k++)
			if (d->config->shares[k].share == d->vol.shares[i].id)
				out[i] = d->config->shares[k].retention_ns / 1000000000;
}

int
daemon_run(struct config *c, char *seen, char why[256])
{
	static struct bringup b;
	sigset_t set, all;
	int err;

	log_set_level(c->log_level);
	prctl(PR_SET_DUMPABLE, 0); /* no core dump of keys and payload */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	all = set;
	sigaddset(&all, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &all, NULL);

	b.d = (struct daemon){ .config = c, .seen = seen, .started_ns = wall_ns() };
	b.d.cores = c->cores ? (int)c->cores : usable_cores();
	if ((err = reactor_raise_limits(b.d.cores, why)) < 0 || (err = volume_open(&b.d.vol, c, b.d.cores, why)) < 0)
		return err;
	if ((err = volume_unlock(&b.d.vol, c, NULL, why)) < 0 || (err = volume_claim(&b.d.vol, c, &set, why)) < 0)
		goto close;
	const uint64_t epoch = b.d.vol.claim.me.epoch;

	if ((err = claim_guard(b.d.vol.store, b.d.vol.claim.prefix, epoch, on_fenced)) < 0)
		goto close;

	const uint32_t cores = (uint32_t)b.d.cores;
	uint64_t retention_s[CONFIG_SHARES_MAX] = { 0 };

	retentions(&b.d, retention_s);
	const struct meta_opts meta = {
		.max_inodes = MAX(1024, c->inodes / cores), .max_names = MAX(1024, names_in_memory(c) / cores),
		.volume = &b.d.vol.vol, .shares = b.d.vol.shares,
		.nshares = b.d.vol.nshares, .retention_s = retention_s, .objects_path = strncmp(c->objects, "file://", 7) ? NULL : c->objects + 7,
	};
	struct file_opts file = {
		.journal_dir = c->journal, .journal_bytes = c->journal_bytes,
		.uploads = (int)MAX(1, c->uploads / cores), .store = b.d.vol.store, .slice_floor = claim_slice_floor(epoch),
		.readahead_bytes = c->prefetch * 32 * MIB, .remote = c->remote, .journal_free = c->journal_free,
	};
	struct diskcache_opts disk = {
		.ndirs = c->cache_bytes > 0 ? (int)c->ncache_dirs : 0, .cores = b.d.cores, .bytes = c->cache_bytes,
		.free_ratio = c->cache_free, .verify = c->cache_verify,
	};
	const struct reactor_opts reactor = {
		.cores = b.d.cores, .busy_poll_us = (uint32_t)(c->busy_poll_ns / 1000), .wake = c->core_wake, .buf_bytes = c->buffer_bytes,
		.max_conns = MAX(16, c->max_connections / cores), .pin = true, .touch = true,
		.worker_threads = helpers(&b.d.vol, b.d.cores), .init = core_init, .fini = core_fini, .arg = &b,
	};

	b.server = (struct server_opts){
		.addr = c->listen, .congestion = c->congestion[0] ? c->congestion : NULL,
		.gather_bytes = (uint32_t)MAX(1, c->gather_bytes), .idle_timeout_ns = c->idle_timeout_ns, .exports = c->shares, .nexports = (int)c->nshares,
		.volume = &b.d.vol.vol, .rpcbind = c->rpcbind, .max_conns = reactor.max_conns,
	};
	reload_tunables(&file, c, cores);
	for (int i = 0; i < b.d.vol.nshares; i++)
		file.how[b.d.vol.shares[i].id] = volume_how(&b.d.vol.shares[i]);
	for (unsigned i = 0; i < c->ncache_dirs; i++)
		disk.dir[i] = c->cache_dir[i];
	memcpy(disk.uuid, b.d.vol.vol.uuid, sizeof(disk.uuid));
	backup_job_hold(&b.d);
	if ((err = meta_open(&meta, why)) < 0 || (err = file_open(&file, &b.d.vol.vol, why)) < 0)
		goto close;
	if ((err = diskcache_open(&disk)) < 0) {
		snprintf(why, 256, "cannot open the cache directories: %s", strerror(-err));
		goto close;
	}
	if ((err = frames_start(&b.d.vol, reactor.cores + reactor.worker_threads, why)) < 0)
		goto close;
	if ((err = reactor_start(&reactor, why)) < 0) {
		if (b.why[0])
			memcpy(why, b.why, 256);
		goto close;
	}
	err = serve(&b, &set, why);
	on_core(0, preload_stop, NULL);
	for (int i = 0; i < b.d.cores; i++)
		on_core(i, stop_core, NULL);
	if (err == 0)
		volume_release(&b.d.vol);
	reactor_stop();
	reactor_join();
close:
	frame_stop();
	diskcache_close();
	volume_close(&b.d.vol);
	if (err == 0)
		log_info("stopped; everything acknowledged is on disk");
	return err;
}
