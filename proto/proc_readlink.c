/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
readlink_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_readlink(d, &c->u.readlink);
}

static enum op_state
readlink_run(struct nfs_call *c, struct op *op)
{
	c->u.readlink.out = (char *)c->lng->bytes;
	return meta_readlink(&c->u.readlink, op);
}

static void
readlink_encode(struct nfs_call *c, struct xdr *e)
{
	const struct meta_readlink *m = &c->u.readlink;

	nfs3_put_readlink(e, call_status(c), m);
	if (c->res < 0)
		return;
	call_add(c, m->out, m->len);
	call_pad(c, m->len);
}

const struct proc proc_readlink = {
	.number = NFS3_READLINK,
	.stat = NFS3_READLINK,
	.flags = PROC_LONG,
	.decode = readlink_decode,
	.run = readlink_run,
	.encode = readlink_encode,
};
