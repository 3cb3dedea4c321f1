/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NFSv3's arguments and results (RFC 1813 §3.3) to and from the operations of
 * meta/.  A getter fills the arguments and zeroes the rest; names, targets and
 * payloads point into the message.  What is well formed but refused (a handle
 * that is not ours) goes to d->err.  A putter writes the procedure's results
 * behind the RPC header, whichever status.  Pure functions, any thread.
 */
#ifndef PROTO_NFS3_XDR_H
#define PROTO_NFS3_XDR_H

#include "meta/file.h"
#include "proto/nfs3.h"
#include "proto/xdr.h"

/* The largest results of procedures that have neither payload, target nor page: RENAME, CREATE. */
#define NFS3_RESULT_MAX 264

/* READ's arguments: file_read has its own pool, the call waits for one with these. */
struct nfs3_read_args {
	struct meta_req req;
	uint64_t off;
	uint32_t count;
};

/* WRITE's, up to where the payload begins. */
struct nfs3_write_args {
	struct fref f;
	uint64_t off;
	uint32_t count, stable, data_len;
};

struct nfs3_readdir_args {
	uint64_t cookie;
	uint32_t dircount, maxcount; /* READDIR: maxcount only */
};

void nfs3_get_getattr(struct xdr *d, struct meta_getattr *m); /* FSINFO's and PATHCONF's too */
void nfs3_get_setattr(struct xdr *d, struct meta_setattr *m);
void nfs3_get_lookup(struct xdr *d, struct meta_lookup *m);
void nfs3_get_access(struct xdr *d, struct meta_access *m);
void nfs3_get_readlink(struct xdr *d, struct meta_readlink *m);
void nfs3_get_read(struct xdr *d, struct nfs3_read_args *r);
void nfs3_get_write(struct xdr *d, struct nfs3_write_args *w);
void nfs3_get_create(struct xdr *d, struct meta_create *m);
void nfs3_get_mkdir(struct xdr *d, struct meta_create *m);
void nfs3_get_symlink(struct xdr *d, struct meta_create *m);
void nfs3_get_mknod(struct xdr *d, struct meta_create *m);
void nfs3_get_remove(struct xdr *d, struct meta_unlink *m); /* RMDIR's too */
void nfs3_get_rename(struct xdr *d, struct meta_rename *m);
void nfs3_get_link(struct xdr *d, struct meta_link *m);
void nfs3_get_readdir(struct xdr *d, struct meta_readdir *m, struct nfs3_readdir_args *a);
void nfs3_get_readdirplus(struct xdr *d, struct meta_readdir *m, struct nfs3_readdir_args *a);
void nfs3_get_fsstat(struct xdr *d, struct meta_fsstat *m);
void nfs3_get_commit(struct xdr *d, struct file_commit *m);

void nfs3_put_getattr(struct xdr *e, enum nfsstat3 st, const struct meta_getattr *m);
void nfs3_put_setattr(struct xdr *e, enum nfsstat3 st, const struct meta_setattr *m);
void nfs3_put_lookup(struct xdr *e, enum nfsstat3 st, const struct meta_lookup *m);
void nfs3_put_access(struct xdr *e, enum nfsstat3 st, const struct meta_access *m);
/* Up to the target's length: its bytes and their padding follow. */
void nfs3_put_readlink(struct xdr *e, enum nfsstat3 st, const struct meta_readlink *m);
/* Up to the data's length: the pieces and their padding follow. */
void nfs3_put_read(struct xdr *e, enum nfsstat3 st, const struct file_read *r);
void nfs3_put_write(struct xdr *e, enum nfsstat3 st, const struct file_write *w);
void nfs3_put_create(struct xdr *e, enum nfsstat3 st, const struct meta_create *m); /* all four that make */
void nfs3_put_wcc(struct xdr *e, enum nfsstat3 st, const struct wcc *w); /* REMOVE, RMDIR */
void nfs3_put_rename(struct xdr *e, enum nfsstat3 st, const struct meta_rename *m);
void nfs3_put_link(struct xdr *e, enum nfsstat3 st, const struct meta_link *m);
/*
 * READDIR and READDIRPLUS in parts, as they go into several buffers: up to the
 * first entry, each entry, and the end of the list.
 */
void nfs3_put_readdir(struct xdr *e, enum nfsstat3 st, const struct meta_readdir *m);
void nfs3_put_entry(struct xdr *e, const struct meta_readdir *m, uint32_t i);
void nfs3_put_readdir_end(struct xdr *e, bool eof);
/*
 * How many of the page's entries to send: all, or with dircount != 0 (READDIRPLUS) those of which
 * names, cookies and ids take no more bytes, but at least the first, and never ending between two with one cookie.
 */
uint32_t nfs3_readdir_cut(const struct meta_readdir *m, uint32_t dircount);
/* What these entries take, without the begin and the end. */
uint32_t nfs3_entries_bytes(const struct meta_readdir *m, uint32_t n);
void nfs3_put_fsstat(struct xdr *e, enum nfsstat3 st, const struct meta_fsstat *m);
void nfs3_put_fsinfo(struct xdr *e, enum nfsstat3 st, const struct meta_getattr *m);
void nfs3_put_pathconf(struct xdr *e, enum nfsstat3 st, const struct meta_getattr *m);
void nfs3_put_commit(struct xdr *e, enum nfsstat3 st, const struct file_commit *m);

/* What an entry takes beside its name (padded to 4), and a page beside its entries. */
#define NFS3_ENTRY_BYTES     24u
#define NFS3_ENTRYPLUS_BYTES (24u + 88u + 40u)
#define NFS3_PAGE_BYTES      104u
/* The longest entry, and the end of the list. */
#define NFS3_ENTRY_MAX       (NFS3_ENTRYPLUS_BYTES + 256u)
#define NFS3_LIST_END_BYTES  8u

#endif
