/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

/* Is anybody there?  Of both programs. */
static void
null_encode(struct nfs_call *c, struct xdr *e)
{
	(void)c;
	(void)e;
}

const struct proc proc_null = {
	.number = NFS3_NULL,
	.stat = NFS3_NULL,
	.flags = PROC_NOW,
	.encode = null_encode,
};

const struct proc proc_mount_null = {
	.number = MOUNT3_NULL,
	.stat = STATS_NFS_PROCS + MOUNT3_NULL,
	.flags = PROC_NOW,
	.encode = null_encode,
};
