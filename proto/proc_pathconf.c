/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
pathconf_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_getattr(d, &c->u.getattr);
}

static enum op_state
pathconf_run(struct nfs_call *c, struct op *op)
{
	return meta_getattr(&c->u.getattr, op);
}

static void
pathconf_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_pathconf(e, call_status(c), &c->u.getattr);
}

const struct proc proc_pathconf = {
	.number = NFS3_PATHCONF,
	.stat = NFS3_PATHCONF,
	.decode = pathconf_decode,
	.run = pathconf_run,
	.encode = pathconf_encode,
};
