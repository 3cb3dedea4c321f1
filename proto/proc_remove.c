/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
remove_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_remove(d, &c->u.unlink);
	c->u.unlink.rmdir = false;
}

static enum op_state
remove_run(struct nfs_call *c, struct op *op)
{
	return meta_unlink(&c->u.unlink, op);
}

static void
remove_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_wcc(e, call_status(c), &c->u.unlink.dir);
}

static void
remove_rebuild(struct nfs_call *c, const struct fref *child, const struct attr *a)
{
	(void)child;
	c->u.unlink = (struct meta_unlink){ .req.f = c->u.req.f };
	if (a) {
		c->u.unlink.dir.has_post = true;
		c->u.unlink.dir.post = *a;
	}
}

const struct proc proc_remove = {
	.number = NFS3_REMOVE,
	.stat = NFS3_REMOVE,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = remove_decode,
	.run = remove_run,
	.encode = remove_encode,
	.rebuild = remove_rebuild,
};
