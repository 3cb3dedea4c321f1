/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
getattr_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_getattr(d, &c->u.getattr);
}

static enum op_state
getattr_run(struct nfs_call *c, struct op *op)
{
	return meta_getattr(&c->u.getattr, op);
}

static bool
getattr_look(struct nfs_call *c, int *res)
{
	return meta_getattr_look(&c->u.getattr, res);
}

static void
getattr_near(struct nfs_call *c, int step)
{
	meta_getattr_near(&c->u.getattr, step);
}

static void
getattr_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_getattr(e, call_status(c), &c->u.getattr);
}

const struct proc proc_getattr = {
	.number = NFS3_GETATTR,
	.stat = NFS3_GETATTR,
	.decode = getattr_decode,
	.look = getattr_look,
	.near = getattr_near,
	.run = getattr_run,
	.encode = getattr_encode,
};
