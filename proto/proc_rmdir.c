/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
rmdir_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_remove(d, &c->u.unlink);
	c->u.unlink.rmdir = true;
}

static enum op_state
rmdir_run(struct nfs_call *c, struct op *op)
{
	return meta_unlink(&c->u.unlink, op);
}

static void
rmdir_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_wcc(e, call_status(c), &c->u.unlink.dir);
}

static void
rmdir_rebuild(struct nfs_call *c, const struct fref *child, const struct attr *a)
{
	(void)child;
	c->u.unlink = (struct meta_unlink){ .req.f = c->u.req.f };
	if (a) {
		c->u.unlink.dir.has_post = true;
		c->u.unlink.dir.post = *a;
	}
}

const struct proc proc_rmdir = {
	.number = NFS3_RMDIR,
	.stat = NFS3_RMDIR,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = rmdir_decode,
	.run = rmdir_run,
	.encode = rmdir_encode,
	.rebuild = rmdir_rebuild,
};
