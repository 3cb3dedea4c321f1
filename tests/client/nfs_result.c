/* SPDX-License-Identifier: Apache-2.0 */
/* Results of NFSv3 procedures, decoded and checked (RFC 1813, 3.3). */
#include <errno.h>

#include "tests/client/nfs.h"

static uint64_t
get_time(struct wire_in *w)
{
	uint64_t sec = wire_get_u32(w);
	uint32_t nsec = wire_get_u32(w);

	if (nsec >= 1000000000u)
		w->bad = true;
	return sec * 1000000000u + nsec;
}

static void
get_fattr(struct wire_in *w, struct nfs_attr *a)
{
	enum { BYTES = 84 };
	const uint8_t *p = wire_get_fixed(w, BYTES);
	struct wire_in all;

	if (!p)
		return;
	all = (struct wire_in){ .p = p, .end = p + BYTES }; /* of a length that the compiler knows */
	a->type = wire_get_u32(&all);
	a->mode = wire_get_u32(&all);
	a->nlink = wire_get_u32(&all);
	a->uid = wire_get_u32(&all);
	a->gid = wire_get_u32(&all);
	a->size = wire_get_u64(&all);
	a->used = wire_get_u64(&all);
	a->rdev = wire_get_u64(&all);
	a->fsid = wire_get_u64(&all);
	a->fileid = wire_get_u64(&all);
	a->atime = get_time(&all);
	a->mtime = get_time(&all);
	a->ctime = get_time(&all);
	if (all.bad || a->type < NFS_REG || a->type > NFS_FIFO || a->mode > 07777)
		w->bad = true;
}

static bool
get_post_op(struct wire_in *w, struct nfs_attr *a)
{
	if (!wire_get_bool(w))
		return false;
	get_fattr(w, a);
	return true;
}

static void
get_wcc(struct wire_in *w, struct nfs_wcc *wcc)
{
	wcc->has_before = wire_get_bool(w);
	if (wcc->has_before) {
		wcc->size = wire_get_u64(w);
		wcc->mtime = get_time(w);
		wcc->ctime = get_time(w);
	}
	wcc->has_after = get_post_op(w, &wcc->after);
}

static void
get_fh(struct wire_in *w, struct nfs_fh *fh)
{
	const uint8_t *p = wire_get_bytes(w, sizeof(fh->data), &fh->len);

	if (p)
		memcpy(fh->data, p, fh->len);
}

static void
get_new_object(struct wire_in *w, struct nfs_result *r)
{
	if (r->status == NFS_OK) {
		r->has_fh = wire_get_bool(w);
		if (r->has_fh)
			get_fh(w, &r->fh);
		r->has_attr = get_post_op(w, &r->attr);
	}
	get_wcc(w, &r->wcc);
}

static void
get_read(struct wire_in *w, struct nfs_result *r)
{
	r->has_attr = get_post_op(w, &r->attr);
	if (r->status != NFS_OK)
		return;
	r->count = wire_get_u32(w);
	r->eof = wire_get_bool(w);
	r->data = wire_get_bytes(w, RPC_RECORD_MAX, &r->data_len);
	if (r->data_len != r->count)
		w->bad = true;
}

static void
get_write(struct wire_in *w, struct nfs_result *r)
{
	get_wcc(w, &r->wcc);
	if (r->status != NFS_OK)
		return;
	r->count = wire_get_u32(w);
	r->committed = wire_get_u32(w);
	r->verf = wire_get_u64(w);
	if (r->committed > NFS_FILE_SYNC)
		w->bad = true;
}

/* The entries are walked once here, so that nobody meets a broken one half way. */
static void
get_listing(struct wire_in *w, struct nfs_result *r, bool plus)
{
	struct nfs_dirent e;
	int more;

	r->has_attr = get_post_op(w, &r->attr);
	if (r->status != NFS_OK)
		return;
	r->verf = wire_get_u64(w);
	r->entries = *w;
	while ((more = nfs_dirent_next(r, plus, &e)) > 0)
		;
	if (more < 0) {
		w->bad = true;
		return;
	}
	struct wire_in start = *w;

	*w = r->entries;
	r->entries = start;
	r->eof = wire_get_bool(w);
}

static void
get_fsstat(struct wire_in *w, struct nfs_result *r)
{
	r->has_attr = get_post_op(w, &r->attr);
	if (r->status != NFS_OK)
		return;
	r->tbytes = wire_get_u64(w);
	r->fbytes = wire_get_u64(w);
	r->abytes = wire_get_u64(w);
	r->tfiles = wire_get_u64(w);
	r->ffiles = wire_get_u64(w);
	r->afiles = wire_get_u64(w);
	wire_get_u32(w); /* invarsec */
}

static void
get_fsinfo(struct wire_in *w, struct nfs_result *r)
{
	r->has_attr = get_post_op(w, &r->attr);
	if (r->status != NFS_OK)
		return;
	r->rtmax = wire_get_u32(w);
	r->rtpref = wire_get_u32(w);
	wire_get_u32(w); /* rtmult */
	r->wtmax = wire_get_u32(w);
	r->wtpref = wire_get_u32(w);
	wire_get_u32(w); /* wtmult */
	r->dtpref = wire_get_u32(w);
	r->maxfilesize = wire_get_u64(w);
	get_time(w); /* time_delta */
	r->properties = wire_get_u32(w);
}

static void
get_pathconf(struct wire_in *w, struct nfs_result *r)
{
	r->has_attr = get_post_op(w, &r->attr);
	if (r->status != NFS_OK)
		return;
	r->linkmax = wire_get_u32(w);
	r->name_max = wire_get_u32(w);
	for (int i = 0; i < 4; i++)
		wire_get_bool(w);
}

static void
get_results(enum nfs_proc proc, struct wire_in *w, struct nfs_result *r)
{
	switch (proc) {
	case NFS_GETATTR:
		r->has_attr = r->status == NFS_OK;
		if (r->has_attr)
			get_fattr(w, &r->attr);
		break;
	case NFS_LOOKUP:
		r->has_fh = r->status == NFS_OK;
		if (r->has_fh) {
			get_fh(w, &r->fh);
			r->has_attr = get_post_op(w, &r->attr);
		}
		r->wcc.has_after = get_post_op(w, &r->wcc.after);
		break;
	case NFS_ACCESS:
		r->has_attr = get_post_op(w, &r->attr);
		if (r->status == NFS_OK)
			r->access = wire_get_u32(w);
		break;
	case NFS_READLINK:
		r->has_attr = get_post_op(w, &r->attr);
		if (r->status == NFS_OK)
			r->data = wire_get_bytes(w, 4096, &r->data_len);
		break;
	case NFS_READ:
		get_read(w, r);
		break;
	case NFS_WRITE:
		get_write(w, r);
		break;
	case NFS_CREATE:
	case NFS_MKDIR:
	case NFS_SYMLINK:
	case NFS_MKNOD:
		get_new_object(w, r);
		break;
	case NFS_SETATTR:
	case NFS_REMOVE:
	case NFS_RMDIR:
		get_wcc(w, &r->wcc);
		break;
	case NFS_RENAME:
		get_wcc(w, &r->wcc);
		get_wcc(w, &r->wcc2);
		break;
	case NFS_LINK:
		r->has_attr = get_post_op(w, &r->attr);
		get_wcc(w, &r->wcc);
		break;
	case NFS_READDIR:
	case NFS_READDIRPLUS:
		get_listing(w, r, proc == NFS_READDIRPLUS);
		break;
	case NFS_FSSTAT:
		get_fsstat(w, r);
		break;
	case NFS_FSINFO:
		get_fsinfo(w, r);
		break;
	case NFS_PATHCONF:
		get_pathconf(w, r);
		break;
	case NFS_COMMIT:
		get_wcc(w, &r->wcc);
		if (r->status == NFS_OK)
			r->verf = wire_get_u64(w);
		break;
	case NFS_NULL:
	case NFS_PROCS:
		break;
	}
}

int
nfs_result(const struct rpc_call *call, struct nfs_result *r)
{
	struct wire_in w = call->reply;

	memset(r, 0, sizeof(*r));
	if (call->res)
		return call->res;
	if (call->proc != NFS_NULL)
		r->status = wire_get_u32(&w);
	get_results(call->proc, &w, r);
	return w.bad || w.p != w.end ? -EBADMSG : 0;
}

int
nfs_dirent_next(struct nfs_result *r, bool plus, struct nfs_dirent *e)
{
	struct wire_in *w = &r->entries;

	memset(e, 0, sizeof(*e));
	if (!wire_get_bool(w))
		return w->bad ? -EBADMSG : 0;
	e->fileid = wire_get_u64(w);
	e->name = (const char *)wire_get_bytes(w, 255, &e->name_len);
	e->cookie = wire_get_u64(w);
	if (plus) {
		e->has_attr = get_post_op(w, &e->attr);
		e->has_fh = wire_get_bool(w);
		if (e->has_fh)
			get_fh(w, &e->fh);
	}
	return w->bad || !e->name_len ? -EBADMSG : 1;
}
