/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
fsinfo_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_getattr(d, &c->u.getattr);
}

static enum op_state
fsinfo_run(struct nfs_call *c, struct op *op)
{
	return meta_getattr(&c->u.getattr, op);
}

static void
fsinfo_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_fsinfo(e, call_status(c), &c->u.getattr);
}

const struct proc proc_fsinfo = {
	.number = NFS3_FSINFO,
	.stat = NFS3_FSINFO,
	.decode = fsinfo_decode,
	.run = fsinfo_run,
	.encode = fsinfo_encode,
};
