/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
access_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_access(d, &c->u.access);
}

static void
access_limit(struct nfs_call *c)
{
	if (__atomic_load_n(&c->export->read_only, __ATOMIC_RELAXED)) /* the owner's core is not its own */
		c->u.access.mask &= ~(uint32_t)(ACC_MODIFY | ACC_EXTEND | ACC_DELETE);
}

static enum op_state
access_run(struct nfs_call *c, struct op *op)
{
	access_limit(c);
	return meta_access(&c->u.access, op);
}

static bool
access_look(struct nfs_call *c, int *res)
{
	access_limit(c);
	return meta_access_look(&c->u.access, res);
}

static void
access_near(struct nfs_call *c, int step)
{
	meta_access_near(&c->u.access, step);
}

static void
access_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_access(e, call_status(c), &c->u.access);
}

const struct proc proc_access = {
	.number = NFS3_ACCESS,
	.stat = NFS3_ACCESS,
	.decode = access_decode,
	.look = access_look,
	.near = access_near,
	.run = access_run,
	.encode = access_encode,
};
