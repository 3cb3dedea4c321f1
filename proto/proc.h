/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The procedures: what a call does at each station of its way (call.h).  One
 * file each, proc_<name>.c; the table is in proc.c.
 */
#ifndef PROTO_PROC_H
#define PROTO_PROC_H

#include "proto/call.h"

enum proc_flags {
	PROC_NOW     = 1 << 0, /* nothing to run: the reply is encoded at once */
	PROC_LOCAL   = 1 << 1, /* runs on the socket core and finds its own way from there */
	PROC_NAMES   = 1 << 2, /* arguments point into the record: the call keeps it */
	PROC_CHANGES = 1 << 3, /* refused on read-only shares */
	PROC_ONCE    = 1 << 4, /* not idempotent: through the duplicate request cache */
	PROC_READ    = 1 << 5, /* needs c->read */
	PROC_PAGE    = 1 << 6, /* needs c->page, until the reply is encoded */
	PROC_LONG    = 1 << 7, /* needs c->lng */
	PROC_BUF     = 1 << 8, /* needs c->buf[0], a large one, for its list */
};

struct proc {
	uint32_t number;      /* in its program */
	int stat;             /* in struct proto_stats */
	uint32_t flags;
	/* Arguments into c->u; the sticky errors of d say the rest. */
	void (*decode)(struct nfs_call *c, struct xdr *d);
	/* On the socket core: true, and the result, if there is no need to ask the owner of c->u.req.f. */
	bool (*look)(struct nfs_call *c, int *res);
	/* Of looks that are to come, where there are several: meta_getattr_near. */
	void (*near)(struct nfs_call *c, int step);
	/* On the owner of c->u.req.f (PROC_LOCAL: on the socket core).  op->res becomes c->res. */
	enum op_state (*run)(struct nfs_call *c, struct op *op);
	/* Where it succeeded: bytes of c->buf[] that encode wants. */
	uint32_t (*reply_bytes)(struct nfs_call *c);
	/* Results into e, by c->res.  What does not fit there is added with call_add. */
	void (*encode)(struct nfs_call *c, struct xdr *e);
	/* Where it was run, or looked, after the reply was sent if that succeeded: gives back what the reply lent. */
	void (*put)(struct nfs_call *c);
	/* PROC_ONCE: makes c->u what run left before the restart, as far as it is known; a is NULL when the inode is gone. */
	void (*rebuild)(struct nfs_call *c, const struct fref *child, const struct attr *a);
};

/* NULL: *accept says what the call gets, with the versions that there are. */
const struct proc *proc_find(const struct rpc_head *h, enum rpc_accept *accept);

/* Shared by the procedures that make a name, and by the two that list. */
enum op_state create_run(struct nfs_call *c, struct op *op);
void create_encode(struct nfs_call *c, struct xdr *e);
void create_rebuild(struct nfs_call *c, const struct fref *child, const struct attr *a);
enum op_state readdir_run(struct nfs_call *c, struct op *op);
uint32_t readdir_reply_bytes(struct nfs_call *c);
void readdir_encode(struct nfs_call *c, struct xdr *e);

extern const struct proc proc_null, proc_getattr, proc_setattr, proc_lookup, proc_access, proc_readlink, proc_read,
	proc_write, proc_create, proc_mkdir, proc_symlink, proc_mknod, proc_remove, proc_rmdir, proc_rename, proc_link,
	proc_readdir, proc_readdirplus, proc_fsstat, proc_fsinfo, proc_pathconf, proc_commit;
extern const struct proc proc_mount_null, proc_mnt, proc_dump, proc_umnt, proc_umntall, proc_export;

#endif
