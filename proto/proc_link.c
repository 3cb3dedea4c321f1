/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
link_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_link(d, &c->u.link);
}

static enum op_state
link_run(struct nfs_call *c, struct op *op)
{
	return meta_link(&c->u.link, op);
}

static void
link_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_link(e, call_status(c), &c->u.link);
}

static void
link_rebuild(struct nfs_call *c, const struct fref *child, const struct attr *a)
{
	(void)child;
	c->u.link = (struct meta_link){ .req.f = c->u.req.f };
	if (a) {
		c->u.link.has_attr = true;
		c->u.link.attr = *a;
	}
}

const struct proc proc_link = {
	.number = NFS3_LINK,
	.stat = NFS3_LINK,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = link_decode,
	.run = link_run,
	.encode = link_encode,
	.rebuild = link_rebuild,
};
