/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
fsstat_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_fsstat(d, &c->u.fsstat);
}

static enum op_state
fsstat_run(struct nfs_call *c, struct op *op)
{
	return meta_fsstat(&c->u.fsstat, op);
}

static void
fsstat_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_fsstat(e, call_status(c), &c->u.fsstat);
}

const struct proc proc_fsstat = {
	.number = NFS3_FSSTAT,
	.stat = NFS3_FSSTAT,
	.decode = fsstat_decode,
	.run = fsstat_run,
	.encode = fsstat_encode,
};
