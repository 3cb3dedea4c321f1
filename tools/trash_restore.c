/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/trash_restore.h"

#include <stdio.h>
#include <stdlib.h>

#include "meta/trash.h"
#include "reactor/log.h"
#include "tools/metadata.h"
#include "tools/oncore.h"
#include "tools/trash_walk.h"

#define DEEP 64 /* directories that come back with what was in them */

/* What is to come back; its record is read again when its turn comes. */
struct want { uint64_t second, ino; };

static struct {
	struct job job;
	struct restore_report report;
	const struct daemon *daemon;
	char path[4096];
	bool force;
	/* the thread's own */
	const struct share_rec *share;
	struct origins *origins;
	struct want *want;
	size_t nwant, cap;
	uint64_t *seen;          /* hashes of places that were restored to: an open table */
	size_t nslots;
} restoring = { .job = JOB_INIT };

static void
count(uint64_t *what)
{
	job_lock(&restoring.job);
	++*what;
	job_unlock(&restoring.job);
}

static void
refuse(const struct trash_item *it, int err)
{
	job_lock(&restoring.job);
	if (restoring.report.nrefused < RESTORE_REFUSED)
		restoring.report.refused[restoring.report.nrefused] = (struct restore_refused){ strdup(origins_path(restoring.origins, it)), err };
	restoring.report.nrefused++;
	job_unlock(&restoring.job);
}

/* ---- one */

static enum op_state
start_rename(void *arg, struct op *op)
{
	return meta_rename(arg, op);
}

static int
restore_to(const struct trash_item *it, const struct attr *dir, bool force)
{
	char name[NAME_BYTES_MAX];
	struct meta_rename m = {
		.req.f = trash_folder_ref(trash_folder(trash_place(it->share, it->second))),
		.from = { .s = name }, .to = { .s = it->rec.name, .len = it->rec.name_len },
		.to_dir = { .ino = dir->ino, .gen = dir->gen, .share = dir->share }, .no_replace = !force,
	};

	m.from.len = trash_name(name, &it->rec, it->ino);
	return on_core(shard_owner(m.req.f.ino), start_rename, &m);
}

/* What has that name now; -ENOENT. */
static int
named(uint64_t dir, const char *name, uint32_t len, struct attr *a)
{
	uint8_t key[KV_KEY_MAX], val[DIRENT_BYTES];
	const struct volume *v = &restoring.daemon->vol.vol;
	struct dirent_rec d;
	int res = kv_get_now(key, key_dirent(key, dir, name_hash(v->secret, name, len), name, len), val, sizeof(val));

	if (res >= 0)
		res = dirent_decode(&d, val, MIN((size_t)res, sizeof(val)));
	return res < 0 ? res : metadata_attr(d.ino, a);
}

/* The record of what is in the trash. */
static int
item_of(const struct attr *a, struct trash_item *it)
{
	*it = (struct trash_item){ .share = a->share, .second = trash_second(a->parent), .ino = a->ino };
	return metadata_trashed(a, &it->rec);
}

/*
 * The directory that it was in: as it is; or what has its path now; or, brought back, itself.  -ENOENT: it is gone for good.
 */
static int
home_of(const struct trash_item *it, struct attr *dir, int deep)
{
	struct trash_item above;
	struct attr up;
	int err = metadata_attr(it->rec.parent, dir);

	if (err < 0 || !trash_holds(dir))
		return err;
	err = deep < DEEP ? item_of(dir, &above) : -ELOOP;
	if (err == 0)
		err = home_of(&above, &up, deep + 1);
	if (err < 0)
		return err;
	err = restore_to(&above, &up, false);
	if (err == 0)
		count(&restoring.report.restored);
	if (err != -EEXIST)
		return err;
	err = named(up.ino, above.rec.name, above.rec.name_len, dir);
	return err == 0 && dir->type != FT_DIR ? -ENOTDIR : err;
}

/* Marks the place; false: something newer was restored there. */
static bool
is_first(uint64_t dir, const struct trash_rec *r)
{
	uint64_t h = mix64(name_hash(restoring.daemon->vol.vol.secret, r->name, r->name_len) ^ mix64(dir)) | 1;
	size_t at = h % restoring.nslots;

	while (restoring.seen[at] != 0 && restoring.seen[at] != h)
		at = (at + 1) % restoring.nslots;
	if (restoring.seen[at] == h)
		return false;
	restoring.seen[at] = h;
	return true;
}

static void
restore(const struct want *w)
{
	struct trash_item it;
	struct attr a, dir, there;
	int err = metadata_attr(w->ino, &a);

	/* Restored with what was in it, or removed for good meanwhile. */
	if (err == 0 && (!trash_holds(&a) || trash_second(a.parent) != w->second))
		return;
	if (err == 0)
		err = item_of(&a, &it);
	if (err < 0)
		return;
	err = home_of(&it, &dir, 0);
	if (err == 0 && !is_first(dir.ino, &it.rec)) {
		count(&restoring.report.older);
		return;
	}
	if (err == 0)
		err = restore_to(&it, &dir, restoring.force);
	if (err == 0)
		count(&restoring.report.restored);
	else if (a.type == FT_DIR && named(dir.ino, it.rec.name, it.rec.name_len, &there) == 0 && there.type == FT_DIR)
		return; /* there is one: what was in it goes there */
	else
		refuse(&it, err);
}

/* ---- all */

static int
add_want(uint64_t second, uint64_t ino)
{
	if (restoring.nwant == restoring.cap) {
		size_t cap = 2 * restoring.cap + 64;
		struct want *v = realloc(restoring.want, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		restoring.want = v;
		restoring.cap = cap;
	}
	restoring.want[restoring.nwant++] = (struct want){ second, ino };
	count(&restoring.report.found);
	return 0;
}

static int
see(void *arg, const struct trash_item *it)
{
	size_t len = strlen(restoring.path);
	const char *path = origins_path(restoring.origins, it);

	(void)arg;
	count(&restoring.report.looked);
	if (job_ending(&restoring.job))
		return -ECANCELED;
	return !strncmp(path, restoring.path, len) && (path[len] == '/' || path[len] == '\0') ? add_want(it->second, it->ino) : 0;
}

static int
find_all(void)
{
	const struct volume_open *v = &restoring.daemon->vol;
	struct trash_item from = { 0 };
	struct attr a;
	uint64_t ino;

	for (int i = 0; i < v->nshares && !from.share; i++) {
		size_t len = strlen(v->shares[i].name);

		if (!strncmp(restoring.path, v->shares[i].name, len) && (restoring.path[len] == '/' || restoring.path[len] == '\0'))
			from.share = v->shares[i].id;
	}
	if (!from.share)
		return -ENOENT;
	/* Where it is, or as it was. */
	if (metadata_find(v, restoring.path, &ino) == 0 && metadata_attr(ino, &a) == 0 && trash_holds(&a))
		return add_want(trash_second(a.parent), ino);
	return trash_walk(&from, see, NULL);
}

static int
run(void)
{
	int err;

	restoring.origins = origins_new(&restoring.daemon->vol);
	err = restoring.origins ? find_all() : -ENOMEM;
	restoring.nslots = 2 * restoring.nwant + 64;
	restoring.seen = err == 0 ? calloc(restoring.nslots, sizeof(*restoring.seen)) : NULL;
	if (err == 0 && !restoring.seen)
		err = -ENOMEM;
	for (size_t i = restoring.nwant; err == 0 && i-- > 0;) {
		restore(&restoring.want[i]);
		if (job_ending(&restoring.job))
			err = -ECANCELED;
	}
	free(restoring.seen);
	free(restoring.want);
	restoring.want = NULL;
	restoring.nwant = restoring.cap = 0;
	origins_free(restoring.origins);
	log_info("trash: %lu of %lu restored, %lu refused", restoring.report.restored, restoring.report.found, restoring.report.nrefused);
	return err;
}

/* ---- from the admin thread */

static void
forget_last(void)
{
	job_lock(&restoring.job);
	for (uint64_t i = 0; i < MIN(restoring.report.nrefused, RESTORE_REFUSED); i++)
		free(restoring.report.refused[i].path);
	memset(&restoring.report, 0, sizeof(restoring.report));
	job_unlock(&restoring.job);
}

int
trash_restore_start(const struct daemon *d, const char *path, bool force)
{
	size_t len = strlen(path);

	if (job_ready(&restoring.job) < 0)
		return -EBUSY;
	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len >= sizeof(restoring.path))
		return -ENAMETOOLONG;
	forget_last();
	memcpy(restoring.path, path, len);
	restoring.path[len] = '\0';
	restoring.daemon = d;
	restoring.force = force;
	return job_start(&restoring.job, run);
}

void
trash_restore_stop(void)
{
	job_stop(&restoring.job);
	forget_last();
}

void
trash_restore_look(void (*see_report)(const struct restore_report *r, void *arg), void *arg)
{
	job_lock(&restoring.job);
	restoring.report.job = restoring.job.state;
	see_report(&restoring.report, arg);
	job_unlock(&restoring.job);
}
