/* SPDX-License-Identifier: Apache-2.0 */
/* Whose the objects are: markers say which volume's, the claim says which server's. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "reactor/log.h"
#include "reactor/reactor.h"
#include "tools/backup_object.h"
#include "tools/oncore.h"
#include "tools/volume.h"

#define RETRY_S 2

/*
 * The lock file is who we are: its inode number and time of birth stay when the disk
 * moves to another machine, and a copy of the directory has others.
 */
static int
instance_of(int fd, char out[64])
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &st) < 0)
		return -errno;
	snprintf(out, 64, "%" PRIx64 "-%" PRIx64 ".%09" PRIu32, (uint64_t)st.stx_ino, (uint64_t)st.stx_btime.tv_sec,
		st.stx_btime.tv_nsec);
	return 0;
}

static int
who_am_i(const struct volume_open *v, const struct config *c, struct claim_owner *me)
{
	char path[PATH_MAX];

	memset(me, 0, sizeof(*me));
	if (gethostname(me->host, sizeof(me->host) - 1) < 0)
		snprintf(me->host, sizeof(me->host), "unknown");
	snprintf(me->where, sizeof(me->where), "%.128s", realpath(c->journal, path) ? path : c->journal);
	for (char *p = me->where; *p; p++)
		if (*p == '\n')
			*p = '?';
	return instance_of(v->lock_fd, me->instance);
}

static enum op_state
take(void *arg, struct op *op)
{
	return claim_take(arg, op);
}

static enum op_state
release(void *arg, struct op *op)
{
	return claim_release(arg, op);
}

void
volume_say_owner(const struct claim_owner *o, char out[256])
{
	char since[32] = "an unknown time";
	time_t t = (time_t)o->since_s;
	struct tm tm;

	if (o->epoch && gmtime_r(&t, &tm))
		strftime(since, sizeof(since), "%Y-%m-%d %H:%M:%S UTC", &tm);
	snprintf(out, 256, "%.64s (%.60s, since %s)", o->epoch ? o->host : "another host", o->epoch ? o->where : "no telling which", since);
}

/* Before garbage of theirs could be deleted. */
static int
find_backups(struct volume_open *v, struct objstore *store, char why[256])
{
	const struct backup_place at = { .store = store, .prefix = v->shares[0].prefix };
	int err;

	free(v->backup);
	err = backup_list(&at, &v->backup, &v->nbackups);
	if (err < 0)
		snprintf(why, 256, "cannot list the backups in %.100s: %s", store->url, objstore_error(err));
	return err;
}

static int
take_once(struct volume_open *v, struct objstore *store, char why[256])
{
	char owner[256];
	int err;

	v->claim.store = store;
	if ((err = volume_check_markers(v, store, why)) < 0)
		return err;
	err = on_core(0, take, &v->claim);
	if (err == 0)
		return find_backups(v, store, why);
	if (err == -EBUSY) {
		volume_say_owner(&v->claim.other, owner);
		snprintf(why, 256, "the objects in %.40s are owned by %.120s; when that one is gone for good: dittofs serve --take-over",
			store->url, owner);
	} else if (err < 0) {
		snprintf(why, 256, "cannot claim the objects in %.100s: %s", store->url, objstore_error(err));
	}
	return err;
}

/* The store is away or slow: it may come back. */
static bool
worth_waiting(int err)
{
	return err == -EIO || err == -E_JUKEBOX || err == -ETIMEDOUT;
}

int
volume_claim(struct volume_open *v, const struct config *c, const sigset_t *stop, char why[256])
{
	const struct timespec pause = { .tv_sec = RETRY_S };
	struct objstore *store;
	int err;

	v->claim = (struct claim){ .prefix = v->shares[0].prefix, .take_over = c->take_over };
	if ((err = who_am_i(v, c, &v->claim.me)) < 0)
		return err;
	/* A store of its own: what it keeps for each core must not outlive these reactors. */
	if ((err = volume_store_open(&store, c, 1, false, why)) < 0)
		return err;
	if ((err = volume_store_start(store, why)) < 0)
		goto close;
	for (bool said = false; (err = take_once(v, store, why)) < 0 && worth_waiting(err); said = true) {
		if (!said)
			log_warn("%s; waiting for the object store", why);
		if (sigtimedwait(stop, NULL, &pause) > 0)
			break;
	}
	reactor_stop();
	reactor_join();
close:
	objstore_close(store);
	if (err < 0)
		return err;
	log_info("owner of the objects in %s since epoch %" PRIu64, v->store->url, v->claim.me.epoch);
	return 0;
}

void
volume_release(struct volume_open *v)
{
	v->claim.store = v->store;
	int err = on_core(0, release, &v->claim);

	if (err < 0)
		log_warn("the objects stay claimed by this server: their store does not answer; only another machine will notice");
}
