/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that change a file or its attributes: SETATTR, WRITE, COMMIT. */
#include <stdlib.h>

#include "tests/client/pattern.h"
#include "tests/crash/pick.h"

static const uint32_t want_notsync[] = { NFSERR_NOT_SYNC, ANY_END };

/* So many chunks of 64 MiB that a truncation of one takes several steps. */
enum { CHUNKS = 400, CHUNKS_MANY = 280 };

static bool
has_many_chunks(const struct node *n)
{
	return n->type == NFS_REG && n->id % 40 == 39;
}

bool
pick_is_growing(struct world *w, const struct node *n)
{
	return n && has_many_chunks(n) && n->content.nseg < CHUNKS_MANY && rng_percent(&w->rng, 98);
}

/* Untouched since the last check, so that its ctime is known. */
static bool
ctime_known(const struct world *w, const struct node *n)
{
	return n->base_known && n->touched <= w->round_start && n->linked <= w->round_start &&
	       !n->busy_links && !n->users && !n->writers;
}

bool
pick_setattr(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = w->node[rng_below(&w->rng, w->nnodes)];
	struct act *a;

	if (n == w->root || n->type == NFS_LNK || n->dying || n->busy_attr)
		return false;
	/* nfs-ganesha refuses some of these on fifos and sockets */
	if (n->type >= NFS_SOCK && !r->opt.strict)
		return false;
	a = pick_begin(r, lane, NFS_SETATTR);
	a->n1 = n;
	a->effect = a->held_attr = true;
	a->calm = !n->writers && !n->users && !n->busy_links;
	if (rng_percent(&w->rng, 60))
		pick_mode(w, &a->sattr);
	/* nfs-ganesha makes two changes of mode and owner */
	if (rng_percent(&w->rng, 20) && (r->opt.strict || !a->sattr.set)) {
		a->sattr.set |= NFS_SET_UID | NFS_SET_GID;
		a->sattr.uid = (uint32_t)rng_below(&w->rng, 1000);
		a->sattr.gid = (uint32_t)rng_below(&w->rng, 1000);
	}
	if (rng_percent(&w->rng, 40) && (r->opt.strict || !a->sattr.set)) {
		a->sattr.set |= NFS_SET_MTIME | NFS_SET_ATIME;
		a->sattr.mtime = pick_time(w);
		a->sattr.atime = pick_time(w);
	} else if (rng_percent(&w->rng, 10)) {
		a->sattr.set |= NFS_SET_MTIME_NOW;
	}
	if (ctime_known(w, n) && rng_percent(&w->rng, 30)) {
		a->guarded = true;
		a->guard = n->base.ctime;
	} else if (rng_percent(&w->rng, 6)) {
		a->guarded = true;
		a->guard = 12345;
		a->want = want_notsync;
		a->effect = false;
	}
	nfs_setattr(&a->call, &lane->conn, &n->fh, &a->sattr, a->guarded ? &a->guard : NULL);
	act_launch(a);
	return true;
}

/* Where the data of a file lies: most are small; some are sparse and reach far. */
static uint64_t
file_base(struct world *w, const struct node *n)
{
	if (has_many_chunks(n))
		return rng_below(&w->rng, CHUNKS) << 26;
	static const uint64_t far[] = { 0, 63ull << 20, 64ull << 20, (4ull << 30) - 70000,
		                        5ull << 30, (1ull << 40) - 4096 };

	return n->id % 20 == 19 ? far[rng_below(&w->rng, 6)] : 0;
}

static uint64_t
file_span(const struct node *n)
{
	return n->id % 20 < 14 ? 192 << 10 : n->id % 20 < 19 ? 2 << 20 : 1 << 20;
}

uint64_t
pick_offset(struct world *w, const struct node *n)
{
	uint64_t off = rng_below(&w->rng, file_span(n));

	if (rng_percent(&w->rng, 40))
		off &= ~4095ull;
	if (rng_percent(&w->rng, 15))
		off = 0;
	/* at what is the end, as appends do */
	if (!has_many_chunks(n) && rng_percent(&w->rng, 15) && content_extent(&n->content) < file_span(n))
		return content_extent(&n->content);
	return file_base(w, n) + off;
}

static struct node *
pick_file(struct world *w)
{
	struct node *n = world_pick(w, NFS_REG);

	/* the first with many chunks gets enough to have them */
	if (rng_percent(&w->rng, 12))
		for (uint32_t i = 0; i < w->nnodes; i++)
			if (has_many_chunks(w->node[i]) && !w->node[i]->dying)
				return w->node[i];
	/* a few files get most of the calls, so that they meet */
	if (rng_percent(&w->rng, 50))
		for (uint32_t i = 0; i < w->nnodes; i++) {
			struct node *o = w->node[(w->round * 7 + i) % w->nnodes];

			if (o->type == NFS_REG && !o->dying && rng_percent(&w->rng, 20)) {
				n = o;
				break;
			}
		}
	return n;
}

bool
pick_trunc(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = pick_file(w);
	struct act *a;

	if (!n || n->content.nchange >= CHANGES_MAX || pick_is_growing(w, n))
		return false;
	a = pick_begin(r, lane, NFS_SETATTR);
	a->n1 = n;
	a->sattr.set = NFS_SET_SIZE;
	switch (rng_below(&w->rng, 4)) {
	case 0:
		a->sattr.size = 0;
		break;
	case 1:
		a->sattr.size = pick_offset(w, n);
		break;
	default:
		a->sattr.size = rng_below(&w->rng, content_extent(&n->content) + 5000);
	}
	if (n->id % 20 != 19 && a->sattr.size > file_span(n) + (1 << 20))
		a->sattr.size = file_span(n);
	a->off = a->sattr.size;
	a->effect = a->has_change = true;
	a->change = content_trunc(&n->content, a->sattr.size, a->issue);
	nfs_setattr(&a->call, &lane->conn, &n->fh, &a->sattr, NULL);
	act_launch(a);
	return true;
}

static uint32_t
pick_len(struct world *w, const struct node *n)
{
	uint64_t d = rng_below(&w->rng, 100), max = file_span(n);
	uint64_t len = d < 55 ? rng_between(&w->rng, 1, 4096) :
	               d < 65 ? 4096u << rng_below(&w->rng, 5) :
	               d < 90 ? rng_between(&w->rng, 1, 65536) :
	               d < 97 ? rng_between(&w->rng, 65536, 300000) :
	               d < 98 ? 1 << 20 :
	                        rng_between(&w->rng, 1, 1 << 20);

	if (has_many_chunks(n) && len > 8192)
		len %= 8192;
	return (uint32_t)(len < max ? len : max) + !len;
}

bool
pick_write(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = pick_file(w);
	struct act *a;
	uint64_t d;

	if (!n || n->content.nchange >= CHANGES_MAX)
		return false;
	a = pick_begin(r, lane, NFS_WRITE);
	d = rng_below(&w->rng, 100);
	a->n1 = n;
	a->off = pick_offset(w, n);
	a->len = pick_len(w, n);
	a->how = d < 45 ? NFS_UNSTABLE : d < 65 ? NFS_DATA_SYNC : NFS_FILE_SYNC;
	a->id = ++w->last_id;
	a->data = malloc(a->len);
	if (!a->data)
		abort();
	pattern_fill(a->data, a->id, a->off, a->len);
	a->effect = a->has_change = true;
	a->change = content_write(&n->content, a->id, a->off, a->len, a->issue);
	nfs_write(&a->call, &lane->conn, &n->fh, a->off, a->data, a->len, a->how);
	act_launch(a);
	return true;
}

bool
pick_commit(struct run *r, struct lane *lane)
{
	struct world *w = &r->world;
	struct node *n = pick_file(w);
	struct act *a;

	if (!n)
		return false;
	a = pick_begin(r, lane, NFS_COMMIT);
	a->n1 = n;
	if (rng_percent(&w->rng, 20)) {
		a->off = rng_below(&w->rng, file_span(n));
		a->len = (uint32_t)rng_log(&w->rng, 1 << 20);
	}
	nfs_commit(&a->call, &lane->conn, &n->fh, a->off, a->len);
	act_launch(a);
	return true;
}
