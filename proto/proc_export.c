/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
export_encode(struct nfs_call *c, struct xdr *e)
{
	struct xdr list;

	(void)e;
	xdr_out(&list, c->buf[0]->data, c->buf[0]->cap);
	mount3_put_exports(&list, c->home->opts->exports, c->home->opts->nexports);
	assert(!list.bad);
	call_add(c, c->buf[0]->data, xdr_pos(&list));
}

const struct proc proc_export = {
	.number = MOUNT3_EXPORT,
	.stat = STATS_NFS_PROCS + MOUNT3_EXPORT,
	.flags = PROC_NOW | PROC_BUF,
	.encode = export_encode,
};
