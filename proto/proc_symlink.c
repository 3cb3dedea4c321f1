/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
symlink_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_symlink(d, &c->u.create);
}

const struct proc proc_symlink = {
	.number = NFS3_SYMLINK,
	.stat = NFS3_SYMLINK,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = symlink_decode,
	.run = create_run,
	.encode = create_encode,
	.rebuild = create_rebuild,
};
