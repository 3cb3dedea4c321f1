/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
setattr_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_setattr(d, &c->u.setattr);
}

static enum op_state
setattr_run(struct nfs_call *c, struct op *op)
{
	return meta_setattr(&c->u.setattr, op);
}

static void
setattr_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_setattr(e, call_status(c), &c->u.setattr);
}

static void
setattr_rebuild(struct nfs_call *c, const struct fref *child, const struct attr *a)
{
	(void)child;
	c->u.setattr = (struct meta_setattr){ .req.f = c->u.req.f };
	if (a) {
		c->u.setattr.wcc.has_post = true;
		c->u.setattr.wcc.post = *a;
	}
}

const struct proc proc_setattr = {
	.number = NFS3_SETATTR,
	.stat = NFS3_SETATTR,
	.flags = PROC_CHANGES | PROC_ONCE,
	.decode = setattr_decode,
	.run = setattr_run,
	.encode = setattr_encode,
	.rebuild = setattr_rebuild,
};
