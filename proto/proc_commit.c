/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
commit_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_commit(d, &c->u.commit);
}

static enum op_state
commit_run(struct nfs_call *c, struct op *op)
{
	return file_commit(&c->u.commit, op);
}

static void
commit_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_commit(e, call_status(c), &c->u.commit);
}

const struct proc proc_commit = {
	.number = NFS3_COMMIT,
	.stat = NFS3_COMMIT,
	.decode = commit_decode,
	.run = commit_run,
	.encode = commit_encode,
};
