/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
mknod_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_mknod(d, &c->u.create);
}

const struct proc proc_mknod = {
	.number = NFS3_MKNOD,
	.stat = NFS3_MKNOD,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = mknod_decode,
	.run = create_run,
	.encode = create_encode,
	.rebuild = create_rebuild,
};
