/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
readdirplus_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_readdirplus(d, &c->u.readdir, &c->readdir);
}

const struct proc proc_readdirplus = {
	.number = NFS3_READDIRPLUS,
	.stat = NFS3_READDIRPLUS,
	.flags = PROC_PAGE,
	.reply_bytes = readdir_reply_bytes,
	.decode = readdirplus_decode,
	.run = readdir_run,
	.encode = readdir_encode,
};
