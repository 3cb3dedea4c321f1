/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
mkdir_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_mkdir(d, &c->u.create);
}

const struct proc proc_mkdir = {
	.number = NFS3_MKDIR,
	.stat = NFS3_MKDIR,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = mkdir_decode,
	.run = create_run,
	.encode = create_encode,
	.rebuild = create_rebuild,
};
