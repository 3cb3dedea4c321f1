/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
rename_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_rename(d, &c->u.rename);
}

static enum op_state
rename_run(struct nfs_call *c, struct op *op)
{
	return meta_rename(&c->u.rename, op);
}

static void
rename_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_rename(e, call_status(c), &c->u.rename);
}

static void
rename_rebuild(struct nfs_call *c, const struct fref *child, const struct attr *a)
{
	(void)child;
	c->u.rename = (struct meta_rename){ .req.f = c->u.req.f };
	if (a) {
		c->u.rename.from_wcc.has_post = true;
		c->u.rename.from_wcc.post = *a;
	}
}

const struct proc proc_rename = {
	.number = NFS3_RENAME,
	.stat = NFS3_RENAME,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = rename_decode,
	.run = rename_run,
	.encode = rename_encode,
	.rebuild = rename_rebuild,
};
