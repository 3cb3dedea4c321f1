/* SPDX-License-Identifier: Apache-2.0 */
/* The operations: how each is started, and what answer is a good one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/load.h"

static const char *const names[OPS] = {
	[DO_NULL] = "null", [DO_GETATTR] = "getattr", [DO_LOOKUP] = "lookup", [DO_READ] = "read",
	[DO_SEQREAD] = "seqread", [DO_WRITE] = "write", [DO_SEQWRITE] = "seqwrite",
	[DO_WRITESYNC] = "writesync", [DO_COMMIT] = "commit", [DO_CREATE] = "create",
	[DO_REMOVE] = "remove", [DO_RENAME] = "rename", [DO_MKDIR] = "mkdir", [DO_RMDIR] = "rmdir",
	[DO_READDIRPLUS] = "readdirplus",
};

static const struct nfs_sattr file_mode = { .set = NFS_SET_MODE, .mode = 0644 };
static const struct nfs_sattr dir_mode = { .set = NFS_SET_MODE, .mode = 0755 };

int
op_find(const char *name)
{
	for (int i = 0; i < OPS; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

const char *
op_name(enum load_op op)
{
	return names[op];
}

bool
op_makes(enum load_op op)
{
	return op == DO_CREATE || op == DO_RENAME || op == DO_MKDIR;
}

/* ---- names of our own making */

void
pool_init(struct pool *p)
{
	*p = (struct pool){ .id = malloc(LOAD_POOL * sizeof(*p->id)) };
	if (!p->id)
		measure_fail("memory", errno);
}

void
pool_push(struct pool *p, uint64_t id)
{
	if (p->head - p->tail == LOAD_POOL)
		measure_fail("too many names made: shorter rounds, please", 0);
	p->id[p->head++ % LOAD_POOL] = id;
}

bool
pool_pop(struct pool *p, uint64_t *id)
{
	if (p->head == p->tail)
		return false;
	*id = p->id[p->tail++ % LOAD_POOL];
	return true;
}

/* What a folder can have of folders, on ext4 as here, is 65,000 less those that are under way. */
#define FOLDERS_MAX 60000u

static bool
may_mkdir(const struct worker *w)
{
	return w->folders.head - w->folders.tail < (uint64_t)FOLDERS_MAX / w->o->threads * w->o->dirs;
}

/* ---- starting */

static const struct nfs_fh *
dir_of(const struct worker *w, uint64_t id)
{
	return &w->world->dirs[id % w->o->dirs];
}

/* A random place in the data file, aligned to the transfer. */
static uint64_t
random_off(struct worker *w)
{
	return rng_below(&w->rng, w->o->size / w->o->bytes) * w->o->bytes;
}

/* Each worker goes over the whole file; their requests need no order among them. */
static uint64_t
next_off(struct worker *w)
{
	return w->next_seq++ % (w->o->size / w->o->bytes) * w->o->bytes;
}

static void
start_write(struct slot *s, const struct nfs_fh *fh, enum nfs_stable stable)
{
	nfs_write(&s->call, s->conn, fh, s->arg, world_page(s->w->world, s->arg), s->w->o->bytes, stable);
}

static void
start_readdir(struct slot *s)
{
	const struct worker *w = s->w;

	if (s->cookie == 0) {
		s->walk = (uint32_t)(s->arg % w->o->dirs);
		s->seen = 0;
	}
	nfs_readdirplus(&s->call, s->conn, &w->world->dirs[s->walk], s->cookie, s->verf, 65536, LOAD_IO_MAX);
}

bool
op_start(struct slot *s)
{
	struct worker *w = s->w;
	const struct world *d = w->world;
	char name[LOAD_NAME], to[LOAD_NAME];

	switch (s->op) {
	case DO_NULL:
		nfs_null(&s->call, s->conn);
		return true;
	case DO_GETATTR:
		s->arg = rng_below(&w->rng, w->o->hot < d->nhandles ? w->o->hot : d->nhandles);
		nfs_getattr(&s->call, s->conn, &d->handle[s->arg]);
		return true;
	case DO_LOOKUP:
		s->arg = rng_below(&w->rng, w->o->hot);
		world_name(name, 'f', 0, s->arg);
		nfs_lookup(&s->call, s->conn, dir_of(w, s->arg), name);
		return true;
	case DO_READ:
	case DO_SEQREAD:
		s->arg = s->op == DO_READ ? random_off(w) : next_off(w);
		nfs_read(&s->call, s->conn, &d->data, s->arg, w->o->bytes);
		return true;
	case DO_WRITE:
	case DO_WRITESYNC:
		s->arg = random_off(w);
		start_write(s, &d->data, s->op == DO_WRITE ? NFS_UNSTABLE : NFS_FILE_SYNC);
		return true;
	case DO_SEQWRITE:
		s->arg = next_off(w);
		start_write(s, w->o->fresh ? &d->fresh : &d->data, NFS_UNSTABLE);
		return true;
	case DO_COMMIT:
		nfs_commit(&s->call, s->conn, &d->data, 0, 0);
		return true;
	case DO_CREATE:
		s->arg = w->next_id++;
		world_name(name, 'c', w->index, s->arg);
		nfs_create(&s->call, s->conn, dir_of(w, s->arg), name, NFS_GUARDED, &file_mode, 0);
		return true;
	case DO_REMOVE:
		if (!pool_pop(&w->names, &s->arg))
			return false;
		world_name(name, 'c', w->index, s->arg);
		nfs_remove(&s->call, s->conn, dir_of(w, s->arg), name);
		return true;
	case DO_RENAME: /* to a new name; into another folder where there are several */
		if (!pool_pop(&w->names, &s->arg))
			return false;
		s->arg2 = w->next_id++;
		world_name(name, 'c', w->index, s->arg);
		world_name(to, 'c', w->index, s->arg2);
		nfs_rename(&s->call, s->conn, dir_of(w, s->arg), name, dir_of(w, s->arg2), to);
		return true;
	case DO_MKDIR:
		if (!may_mkdir(w))
			return false;
		s->arg = w->next_id++;
		world_name(name, 'd', w->index, s->arg);
		nfs_mkdir(&s->call, s->conn, dir_of(w, s->arg), name, &dir_mode);
		return true;
	case DO_RMDIR:
		if (!pool_pop(&w->folders, &s->arg))
			return false;
		world_name(name, 'd', w->index, s->arg);
		nfs_rmdir(&s->call, s->conn, dir_of(w, s->arg), name);
		return true;
	case DO_READDIRPLUS:
		start_readdir(s);
		return true;
	case OPS:
		break;
	}
	abort();
}

/* ---- checking */

_Noreturn static void
wrong(const struct slot *s, const char *what)
{
	char msg[200];

	snprintf(msg, sizeof(msg), "%s: %s (argument %llu)", names[s->op], what, (unsigned long long)s->arg);
	measure_fail(msg, 0);
}

/*
 * The ends of every READ, a piece at random, and one in 64 from end to end: a server
 * that answers with other bytes, or with none, must not look fast.
 */
static void
check_read(struct slot *s, const struct nfs_result *r)
{
	struct worker *w = s->w;
	const uint8_t *want = world_page(w->world, s->arg);
	uint32_t n = w->o->bytes, piece = 64, at = (uint32_t)rng_below(&w->rng, n - piece + 1);

	if (r->count != n || r->data_len != n)
		wrong(s, "a short READ");
	if (rng_below(&w->rng, 64) == 0)
		piece = n, at = 0;
	if (memcmp(r->data, want, 8) != 0 || memcmp(r->data + n - 8, want + n - 8, 8) != 0 ||
	    memcmp(r->data + at, want + at, piece) != 0)
		wrong(s, "READ brought other bytes than were written");
	w->checked += piece + 16;
	w->bytes += n;
}

static void
check_readdir(struct slot *s, struct nfs_result *r)
{
	struct worker *w = s->w;
	struct nfs_dirent e;
	uint64_t n = 0;
	int err;

	while ((err = nfs_dirent_next(r, true, &e)) == 1) {
		s->cookie = e.cookie;
		n++;
	}
	if (err < 0)
		wrong(s, "a page that RFC 1813 does not know");
	if (n == 0 && !r->eof)
		wrong(s, "an empty page that is not the last");
	w->entries += n;
	s->seen += n;
	s->verf = r->verf;
	if (!r->eof)
		return;
	/* files that are there all the time must be seen */
	if (s->seen < w->o->files / w->o->dirs)
		wrong(s, "the walk missed files");
	s->cookie = s->verf = 0;
}

uint32_t
op_finish(struct slot *s, struct nfs_result *r)
{
	struct worker *w = s->w;
	char msg[100];
	int err;

	if (s->op == DO_NULL) {
		if (s->call.res < 0)
			measure_fail("null", -s->call.res);
		return 0;
	}
	err = nfs_result(&s->call, r);
	if (err < 0)
		measure_fail(names[s->op], -err);
	if (r->status == NFSERR_JUKEBOX) {
		if (s->op == DO_REMOVE || s->op == DO_RENAME)
			pool_push(&w->names, s->arg);
		if (s->op == DO_RMDIR)
			pool_push(&w->folders, s->arg);
		return r->status;
	}
	if (r->status != NFS_OK) {
		snprintf(msg, sizeof(msg), "the server says %s", nfs_status_name(r->status));
		wrong(s, msg);
	}
	switch (s->op) {
	case DO_GETATTR:
		if (r->attr.fileid != w->world->fileid[s->arg])
			wrong(s, "attributes of another file");
		break;
	case DO_LOOKUP:
		if (s->arg < w->world->nhandles && !nfs_fh_equal(&r->fh, &w->world->handle[s->arg]))
			wrong(s, "the handle of another file");
		break;
	case DO_READ:
	case DO_SEQREAD:
		check_read(s, r);
		break;
	case DO_WRITE:
	case DO_SEQWRITE:
	case DO_WRITESYNC:
		if (r->count != w->o->bytes)
			wrong(s, "a short WRITE");
		if (s->op == DO_WRITESYNC && r->committed != NFS_FILE_SYNC)
			wrong(s, "FILE_SYNC was asked for and not given");
		w->bytes += r->count;
		break;
	case DO_CREATE:
		pool_push(&w->names, s->arg);
		break;
	case DO_RENAME:
		pool_push(&w->names, s->arg2);
		break;
	case DO_MKDIR:
		pool_push(&w->folders, s->arg);
		break;
	case DO_READDIRPLUS:
		check_readdir(s, r);
		break;
	case DO_NULL: case DO_COMMIT: case DO_REMOVE: case DO_RMDIR: case OPS:
		break;
	}
	return 0;
}
