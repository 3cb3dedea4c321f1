/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/nfs3_xdr.h"

#include "proto/handle.h"

#define NS_PER_S 1000000000u

/* ---- arguments ---- */

static void
get_fh(struct xdr *d, struct fref *f)
{
	uint32_t len;
	const void *p = xdr_get_opaque(d, NFS3_FHSIZE, &len);
	int err;

	if (d->bad)
		return;
	err = handle_decode(f, p, len);
	if (err)
		xdr_refuse(d, err);
}

/* Any length: that a name is too long is the operation's to say. */
static void
get_name(struct xdr *d, struct meta_name *n)
{
	n->s = xdr_get_opaque(d, UINT32_MAX, &n->len);
}

static uint64_t
get_time(struct xdr *d)
{
	uint64_t s = xdr_get_u32(d);
	uint32_t ns = xdr_get_u32(d);

	if (ns >= NS_PER_S)
		xdr_refuse(d, -EINVAL);
	return s * NS_PER_S + ns;
}

static uint8_t
get_set_time(struct xdr *d, uint64_t *ns)
{
	uint8_t how = (uint8_t)xdr_get_enum(d, TIME_CLIENT);

	if (how == TIME_CLIENT)
		*ns = get_time(d);
	return how;
}

static void
get_sattr(struct xdr *d, struct sattr *s)
{
	*s = (struct sattr){ .set_mode = xdr_get_bool(d) };
	if (s->set_mode)
		s->mode = xdr_get_u32(d) & 07777;
	s->set_uid = xdr_get_bool(d);
	if (s->set_uid)
		s->uid = xdr_get_u32(d);
	s->set_gid = xdr_get_bool(d);
	if (s->set_gid)
		s->gid = xdr_get_u32(d);
	s->set_size = xdr_get_bool(d);
	if (s->set_size)
		s->size = xdr_get_u64(d);
	s->set_atime = get_set_time(d, &s->atime_ns);
	s->set_mtime = get_set_time(d, &s->mtime_ns);
}

void
nfs3_get_getattr(struct xdr *d, struct meta_getattr *m)
{
	memset(m, 0, offsetof(struct meta_getattr, get)); /* what follows is large */
	get_fh(d, &m->req.f);
}

void
nfs3_get_setattr(struct xdr *d, struct meta_setattr *m)
{
	*m = (struct meta_setattr){ .stage = 0 };
	get_fh(d, &m->req.f);
	get_sattr(d, &m->sattr);
	m->has_guard = xdr_get_bool(d);
	if (m->has_guard)
		m->guard_ctime_ns = get_time(d);
}

void
nfs3_get_lookup(struct xdr *d, struct meta_lookup *m)
{
	memset(m, 0, offsetof(struct meta_lookup, get)); /* what follows is large */
	get_fh(d, &m->req.f);
	get_name(d, &m->name);
}

void
nfs3_get_access(struct xdr *d, struct meta_access *m)
{
	memset(m, 0, offsetof(struct meta_access, get));
	get_fh(d, &m->req.f);
	m->mask = xdr_get_u32(d);
}

void
nfs3_get_readlink(struct xdr *d, struct meta_readlink *m)
{
	*m = (struct meta_readlink){ .stage = 0 };
	get_fh(d, &m->req.f);
}

void
nfs3_get_read(struct xdr *d, struct nfs3_read_args *r)
{
	uint32_t count;

	*r = (struct nfs3_read_args){ .off = 0 };
	get_fh(d, &r->req.f);
	r->off = xdr_get_u64(d);
	count = xdr_get_u32(d);
	r->count = MIN(count, (uint32_t)FILE_IO_MAX);
}

void
nfs3_get_write(struct xdr *d, struct nfs3_write_args *w)
{
	*w = (struct nfs3_write_args){ .off = 0 };
	get_fh(d, &w->f);
	w->off = xdr_get_u64(d);
	w->count = xdr_get_u32(d);
	w->stable = xdr_get_enum(d, STABLE_FILE_SYNC);
	w->data_len = xdr_get_u32(d);
}

static void
get_where(struct xdr *d, struct meta_create *m, uint32_t type)
{
	*m = (struct meta_create){ .type = type };
	get_fh(d, &m->req.f);
	get_name(d, &m->name);
}

void
nfs3_get_create(struct xdr *d, struct meta_create *m)
{
	get_where(d, m, FT_REG);
	m->how = (enum create_how)xdr_get_enum(d, CREATE_EXCLUSIVE);
	if (m->how == CREATE_EXCLUSIVE)
		m->verf = xdr_get_u64(d);
	else
		get_sattr(d, &m->sattr);
}

void
nfs3_get_mkdir(struct xdr *d, struct meta_create *m)
{
	get_where(d, m, FT_DIR);
	get_sattr(d, &m->sattr);
}

void
nfs3_get_symlink(struct xdr *d, struct meta_create *m)
{
	get_where(d, m, FT_LNK);
	get_sattr(d, &m->sattr);
	m->target = xdr_get_opaque(d, UINT32_MAX, &m->target_len);
}

void
nfs3_get_mknod(struct xdr *d, struct meta_create *m)
{
	get_where(d, m, FT_NONE);
	m->type = xdr_get_u32(d);
	switch (m->type) {
	case FT_CHR:
	case FT_BLK:
		get_sattr(d, &m->sattr);
		m->rdev_major = xdr_get_u32(d);
		m->rdev_minor = xdr_get_u32(d);
		break;
	case FT_SOCK:
	case FT_FIFO:
		get_sattr(d, &m->sattr);
		break;
	case FT_REG:
	case FT_DIR:
	case FT_LNK:
		xdr_refuse(d, -E_BADTYPE);
		break;
	default:
		d->bad = true;
	}
}

void
nfs3_get_remove(struct xdr *d, struct meta_unlink *m)
{
	*m = (struct meta_unlink){ .stage = 0 };
	get_fh(d, &m->req.f);
	get_name(d, &m->name);
}

void
nfs3_get_rename(struct xdr *d, struct meta_rename *m)
{
	*m = (struct meta_rename){ .stage = 0 };
	get_fh(d, &m->req.f);
	get_name(d, &m->from);
	get_fh(d, &m->to_dir);
	get_name(d, &m->to);
	if (m->to_dir.share != m->req.f.share)
		xdr_refuse(d, -EXDEV);
}

void
nfs3_get_link(struct xdr *d, struct meta_link *m)
{
	*m = (struct meta_link){ .stage = 0 };
	get_fh(d, &m->req.f);
	get_fh(d, &m->dir);
	get_name(d, &m->name);
	if (m->dir.share != m->req.f.share)
		xdr_refuse(d, -EXDEV);
}

/* Our cookies never go stale, so the verifier is always zero. */
static void
get_cookie(struct xdr *d, struct meta_readdir *m)
{
	uint64_t verf;

	get_fh(d, &m->req.f);
	m->cookie = xdr_get_u64(d);
	verf = xdr_get_u64(d);
	if (m->cookie != 0 && verf != 0)
		xdr_refuse(d, -E_BADCOOKIE);
}

void
nfs3_get_readdir(struct xdr *d, struct meta_readdir *m, struct nfs3_readdir_args *a)
{
	*m = (struct meta_readdir){ .entry_bytes = NFS3_ENTRY_BYTES };
	get_cookie(d, m);
	*a = (struct nfs3_readdir_args){ .maxcount = xdr_get_u32(d) };
}

void
nfs3_get_readdirplus(struct xdr *d, struct meta_readdir *m, struct nfs3_readdir_args *a)
{
	*m = (struct meta_readdir){ .plus = true, .entry_bytes = NFS3_ENTRYPLUS_BYTES };
	get_cookie(d, m);
	a->dircount = xdr_get_u32(d);
	a->maxcount = xdr_get_u32(d);
}

void
nfs3_get_fsstat(struct xdr *d, struct meta_fsstat *m)
{
	*m = (struct meta_fsstat){ .stage = 0 };
	get_fh(d, &m->req.f);
}

void
nfs3_get_commit(struct xdr *d, struct file_commit *m)
{
	*m = (struct file_commit){ .stage = 0 };
	get_fh(d, &m->req.f);
	m->off = xdr_get_u64(d);
	m->count = xdr_get_u32(d);
}

/* ---- results ---- */

static uint32_t *
put32(uint32_t *w, uint32_t v)
{
	*w = htobe32(v);
	return w + 1;
}

static uint32_t *
put64(uint32_t *w, uint64_t v)
{
	put_be64(w, v);
	return w + 2;
}

/* Seconds are 32 bits on the wire: the year 2106. */
static uint32_t *
put_time(uint32_t *w, uint64_t ns)
{
	w = put32(w, (uint32_t)(ns / NS_PER_S));
	return put32(w, (uint32_t)(ns % NS_PER_S));
}

#define FATTR_WORDS 21
static uint32_t *
put_fattr(uint32_t *w, const struct attr *a)
{
	w = put32(w, a->type);
	w = put32(w, a->mode);
	w = put32(w, a->nlink);
	w = put32(w, a->uid);
	w = put32(w, a->gid);
	w = put64(w, a->size);
	w = put64(w, a->used + a->dirty);
	w = put32(w, a->rdev_major);
	w = put32(w, a->rdev_minor);
	w = put64(w, a->share); /* fsid */
	w = put64(w, a->ino);
	w = put_time(w, a->atime_ns);
	w = put_time(w, a->mtime_ns);
	return put_time(w, a->ctime_ns);
}

static void
put_post_op_attr(struct xdr *e, bool has, const struct attr *a)
{
	uint32_t *w;

	xdr_put_bool(e, has);
	if (!has)
		return;
	w = xdr_words(e, FATTR_WORDS);
	if (w)
		put_fattr(w, a);
}

static void
put_wcc(struct xdr *e, const struct wcc *c)
{
	uint32_t *w;

	xdr_put_bool(e, c->has_pre);
	if (c->has_pre && (w = xdr_words(e, 6))) {
		w = put64(w, c->pre_size);
		w = put_time(w, c->pre_mtime_ns);
		put_time(w, c->pre_ctime_ns);
	}
	put_post_op_attr(e, c->has_post, &c->post);
}

static void
put_fh(struct xdr *e, const struct fref *f)
{
	uint32_t *w = xdr_words(e, 1 + HANDLE_BYTES / 4);

	if (w)
		handle_encode((uint8_t *)put32(w, HANDLE_BYTES), f);
}

void
nfs3_put_getattr(struct xdr *e, enum nfsstat3 st, const struct meta_getattr *m)
{
	uint32_t *w;

	xdr_put_u32(e, st);
	if (st == NFS3_OK && (w = xdr_words(e, FATTR_WORDS)))
		put_fattr(w, &m->attr);
}

void
nfs3_put_wcc(struct xdr *e, enum nfsstat3 st, const struct wcc *w)
{
	xdr_put_u32(e, st);
	put_wcc(e, w);
}

void
nfs3_put_setattr(struct xdr *e, enum nfsstat3 st, const struct meta_setattr *m)
{
	nfs3_put_wcc(e, st, &m->wcc);
}

void
nfs3_put_lookup(struct xdr *e, enum nfsstat3 st, const struct meta_lookup *m)
{
	xdr_put_u32(e, st);
	if (st == NFS3_OK) {
		put_fh(e, &m->child);
		put_post_op_attr(e, true, &m->attr);
	}
	put_post_op_attr(e, m->has_dir, &m->dir);
}

void
nfs3_put_access(struct xdr *e, enum nfsstat3 st, const struct meta_access *m)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, st == NFS3_OK, &m->attr);
	if (st == NFS3_OK)
		xdr_put_u32(e, m->mask);
}

void
nfs3_put_readlink(struct xdr *e, enum nfsstat3 st, const struct meta_readlink *m)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, m->has_attr, &m->attr);
	if (st == NFS3_OK)
		xdr_put_u32(e, m->len);
}

void
nfs3_put_read(struct xdr *e, enum nfsstat3 st, const struct file_read *r)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, r->has_attr, &r->attr);
	if (st != NFS3_OK)
		return;
	xdr_put_u32(e, r->len);
	xdr_put_bool(e, r->eof);
	xdr_put_u32(e, r->len);
}

void
nfs3_put_write(struct xdr *e, enum nfsstat3 st, const struct file_write *w)
{
	nfs3_put_wcc(e, st, &w->wcc);
	if (st != NFS3_OK)
		return;
	xdr_put_u32(e, w->count);
	xdr_put_u32(e, w->committed);
	xdr_put_u64(e, w->verf);
}

void
nfs3_put_create(struct xdr *e, enum nfsstat3 st, const struct meta_create *m)
{
	xdr_put_u32(e, st);
	if (st == NFS3_OK) {
		xdr_put_bool(e, true);
		put_fh(e, &m->child);
		/* A reply rebuilt after a restart may know the child and not its attributes. */
		put_post_op_attr(e, m->attr.ino != 0, &m->attr);
	}
	put_wcc(e, &m->dir);
}

void
nfs3_put_rename(struct xdr *e, enum nfsstat3 st, const struct meta_rename *m)
{
	nfs3_put_wcc(e, st, &m->from_wcc);
	put_wcc(e, &m->to_wcc);
}

void
nfs3_put_link(struct xdr *e, enum nfsstat3 st, const struct meta_link *m)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, m->has_attr, &m->attr);
	put_wcc(e, &m->dir_wcc);
}

uint32_t
nfs3_readdir_cut(const struct meta_readdir *m, uint32_t dircount)
{
	uint32_t bytes = 0, whole = 0; /* entries up to the last change of cookie */

	for (uint32_t i = 0; i < m->n && dircount > 0; i++) {
		if (i > 0 && m->entry[i].cookie != m->entry[i - 1].cookie)
			whole = i;
		bytes += NFS3_ENTRY_BYTES + ROUND_UP(m->entry[i].name_len, 4u);
		if (bytes > dircount && whole > 0)
			return whole;
	}
	return m->n;
}

uint32_t
nfs3_entries_bytes(const struct meta_readdir *m, uint32_t n)
{
	uint32_t bytes = n * m->entry_bytes;

	for (uint32_t i = 0; i < n; i++)
		bytes += ROUND_UP(m->entry[i].name_len, 4u);
	return bytes;
}

void
nfs3_put_readdir(struct xdr *e, enum nfsstat3 st, const struct meta_readdir *m)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, m->has_dir, &m->dir);
	if (st == NFS3_OK)
		xdr_put_u64(e, 0); /* cookie verifier */
}

void
nfs3_put_entry(struct xdr *e, const struct meta_readdir *m, uint32_t i)
{
	const struct readdir_entry *r = &m->entry[i];
	struct fref f = { .ino = r->ino, .gen = r->gen, .share = m->req.f.share };

	xdr_put_bool(e, true);
	xdr_put_u64(e, r->ino);
	xdr_put_opaque(e, m->names + r->name_off, r->name_len);
	xdr_put_u64(e, r->cookie);
	if (!m->plus)
		return;
	put_post_op_attr(e, r->has_attr, &r->attr);
	xdr_put_bool(e, true);
	put_fh(e, &f);
}

void
nfs3_put_readdir_end(struct xdr *e, bool eof)
{
	xdr_put_bool(e, false);
	xdr_put_bool(e, eof);
}

void
nfs3_put_fsstat(struct xdr *e, enum nfsstat3 st, const struct meta_fsstat *m)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, m->has_attr, &m->attr);
	if (st != NFS3_OK)
		return;
	xdr_put_u64(e, m->total_bytes);
	xdr_put_u64(e, m->free_bytes);
	xdr_put_u64(e, m->free_bytes); /* nothing is reserved for root */
	xdr_put_u64(e, m->total_inodes);
	xdr_put_u64(e, m->free_inodes);
	xdr_put_u64(e, m->free_inodes);
	xdr_put_u32(e, 0); /* invarsec: it may change at any time */
}

void
nfs3_put_fsinfo(struct xdr *e, enum nfsstat3 st, const struct meta_getattr *m)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, st == NFS3_OK, &m->attr);
	if (st != NFS3_OK)
		return;
	xdr_put_u32(e, FILE_IO_MAX); /* rtmax, rtpref, rtmult */
	xdr_put_u32(e, FILE_IO_MAX);
	xdr_put_u32(e, PAGE);
	xdr_put_u32(e, FILE_IO_MAX); /* wtmax, wtpref, wtmult */
	xdr_put_u32(e, FILE_IO_MAX);
	xdr_put_u32(e, PAGE);
	xdr_put_u32(e, FILE_IO_MAX); /* dtpref */
	xdr_put_u64(e, FILE_SIZE_MAX);
	xdr_put_u32(e, 0); /* time_delta: 1 ns */
	xdr_put_u32(e, 1);
	xdr_put_u32(e, FSF3_LINK | FSF3_SYMLINK | FSF3_HOMOGENEOUS | FSF3_CANSETTIME);
}

void
nfs3_put_pathconf(struct xdr *e, enum nfsstat3 st, const struct meta_getattr *m)
{
	xdr_put_u32(e, st);
	put_post_op_attr(e, st == NFS3_OK, &m->attr);
	if (st != NFS3_OK)
		return;
	xdr_put_u32(e, LINK_MAX_DITTO);
	xdr_put_u32(e, NAME_BYTES_MAX);
	xdr_put_bool(e, true);  /* no_trunc */
	xdr_put_bool(e, true);  /* chown_restricted */
	xdr_put_bool(e, false); /* case_insensitive */
	xdr_put_bool(e, true);  /* case_preserving */
}

void
nfs3_put_commit(struct xdr *e, enum nfsstat3 st, const struct file_commit *m)
{
	nfs3_put_wcc(e, st, &m->wcc);
	if (st == NFS3_OK)
		xdr_put_u64(e, m->verf);
}
