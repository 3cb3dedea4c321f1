/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FSSTAT's bytes and inodes in use against what a walk finds, also in the trash.  What a fresh
 * volume shows beyond its root is taken as given; uploads may move `used` while we
 * look, so a difference counts only when it stays.
 */
#include <inttypes.h>
#include <time.h>

#include "tests/crash/check.h"

enum { LOOKS = 20, LOOKS_EXPIRING = 200, PAUSE_MS = 50, TRASH_PAGE = 65536 };

static void
sum_again(struct job *j)
{
	nfs_getattr(&j->call, j->conn, &j->n->fh);
	job_started(j);
}

static void
sum_step(struct job *j, struct nfs_result *res)
{
	if (res->status != NFS_OK) {
		run_fail(j->check->run, j->n->id, 0, "n%u: GETATTR answers %s", j->n->id,
		         nfs_status_name(res->status));
		return;
	}
	j->check->used += res->attr.used;
	j->check->files++;
}

static bool
sum_start(struct check *c, struct job *j)
{
	struct world *w = &c->run->world;

	if (c->next == w->nnodes)
		return false;
	j->n = w->node[c->next++];
	j->step = sum_step;
	j->again = sum_again;
	sum_again(j);
	return true;
}

/* ---- the trash: .trash, whose entries are more folders, one after the other */

static void
trash_page(struct job *j)
{
	const struct check *c = j->check;

	if (c->ntrash_dirs == 0)
		nfs_lookup(&j->call, j->conn, &c->run->world.root_fh, ".trash");
	else
		nfs_readdirplus(&j->call, j->conn, &c->trash_dir[j->range], j->cookie, j->verf, TRASH_PAGE, TRASH_PAGE);
	job_started(j);
}

static void
trash_entry(struct job *j, const struct nfs_dirent *e)
{
	struct check *c = j->check;

	j->cookie = e->cookie;
	if (e->name[0] == '.' && e->name_len <= 2)
		return;
	if (j->range > 0) {
		c->used += e->has_attr ? e->attr.used : 0;
		c->files++;
	} else if (!e->has_fh || c->ntrash_dirs == TRASH_DIRS_MAX) {
		run_fail(c->run, 0, 0, "the trash lists \"%.*s\" without a handle", (int)e->name_len, e->name);
	} else {
		c->trash_dir[c->ntrash_dirs++] = e->fh;
	}
}

static void
trash_step(struct job *j, struct nfs_result *res)
{
	struct check *c = j->check;
	struct nfs_dirent e;

	if (res->status != NFS_OK) {
		run_fail(c->run, 0, 0, "%s in the trash answers %s", nfs_proc_name(j->call.proc), nfs_status_name(res->status));
		return;
	}
	if (c->ntrash_dirs == 0) {
		c->trash_dir[c->ntrash_dirs++] = res->fh;
	} else {
		while (nfs_dirent_next(res, true, &e) > 0)
			trash_entry(j, &e);
		j->verf = res->verf;
		if (res->eof) {
			j->cookie = j->verf = 0;
			j->range++;
		}
	}
	if (j->range < (int)c->ntrash_dirs && !c->run->failed)
		trash_page(j);
}

static bool
trash_start(struct check *c, struct job *j)
{
	if (c->next++ || !c->run->trash)
		return false;
	c->ntrash_dirs = 0;
	j->n = NULL;
	j->range = 0;
	j->cookie = j->verf = 0;
	j->step = trash_step;
	j->again = trash_page;
	trash_page(j);
	return true;
}

/* ---- */

static void
stat_again(struct job *j)
{
	nfs_fsstat(&j->call, j->conn, &j->check->run->world.root_fh);
	job_started(j);
}

static void
stat_step(struct job *j, struct nfs_result *res)
{
	if (res->status != NFS_OK)
		run_fail(j->check->run, 0, 0, "FSSTAT answers %s", nfs_status_name(res->status));
	j->check->stat_used = res->tbytes - res->fbytes;
	j->check->stat_files = res->tfiles - res->ffiles;
}

static bool
stat_start(struct check *c, struct job *j)
{
	if (c->next++)
		return false;
	j->n = NULL;
	j->step = stat_step;
	j->again = stat_again;
	stat_again(j);
	return true;
}

int
check_usage(struct check *c)
{
	struct run *r = c->run;
	struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000 };
	int err, looks = r->trash == TRASH_SHORT ? LOOKS_EXPIRING : LOOKS;

	for (int i = 0; i < looks; i++) {
		c->used = c->files = 0;
		err = check_phase(c, sum_start);
		if (!err)
			err = check_phase(c, trash_start);
		if (!err)
			err = check_phase(c, stat_start);
		if (err)
			return err;
		if (!r->usage_known) {
			r->usage_known = true;
			r->usage_bytes = c->stat_used - c->used;
			r->usage_files = c->stat_files - c->files;
		}
		if (c->stat_used - c->used == r->usage_bytes &&
		    c->stat_files - c->files == r->usage_files)
			return 0;
		nanosleep(&pause, NULL);
	}
	run_fail(r, 0, 0,
	         "FSSTAT says %" PRIu64 " bytes and %" PRIu64 " inodes are used, a walk finds %" PRIu64
	         " and %" PRIu64 " (a fresh volume had %" PRId64 " and %" PRId64 " more)",
	         c->stat_used, c->stat_files, c->used, c->files, (int64_t)r->usage_bytes,
	         (int64_t)r->usage_files);
	return -1;
}
