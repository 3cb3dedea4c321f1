/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
lookup_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_lookup(d, &c->u.lookup);
}

static enum op_state
lookup_run(struct nfs_call *c, struct op *op)
{
	return meta_lookup(&c->u.lookup, op);
}

static bool
lookup_look(struct nfs_call *c, int *res)
{
	return meta_lookup_look(&c->u.lookup, res);
}

static void
lookup_near(struct nfs_call *c, int step)
{
	meta_lookup_near(&c->u.lookup, step);
}

static void
lookup_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_lookup(e, call_status(c), &c->u.lookup);
}

const struct proc proc_lookup = {
	.number = NFS3_LOOKUP,
	.stat = NFS3_LOOKUP,
	.flags = PROC_NAMES,
	.decode = lookup_decode,
	.look = lookup_look,
	.near = lookup_near,
	.run = lookup_run,
	.encode = lookup_encode,
};
