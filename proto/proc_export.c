/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
export_encode(struct nfs_call *c, struct xdr *e)
{
	mount3_put_exports(e, c->home->opts->exports, c->home->opts->nexports);
}

const struct proc proc_export = {
	.number = MOUNT3_EXPORT,
	.stat = STATS_NFS_PROCS + MOUNT3_EXPORT,
	.flags = PROC_NOW | PROC_PAGE,
	.encode = export_encode,
};
