/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"
#include "proto/session.h"

static void
umntall_list(struct shard_call *sc)
{
	struct mount_list_call *m = container_of(sc, struct mount_list_call, shard);

	mounts_remove_all(proto_here()->mounts, m->host);
	shard_reply(sc, 0);
}

static enum op_state
umntall_run(struct nfs_call *c, struct op *op)
{
	session_host(c->session, c->u.mounts.host);
	return shard_call(0, &c->u.mounts.shard, umntall_list, op);
}

static void
umntall_encode(struct nfs_call *c, struct xdr *e)
{
	(void)c;
	(void)e;
}

const struct proc proc_umntall = {
	.number = MOUNT3_UMNTALL,
	.stat = STATS_NFS_PROCS + MOUNT3_UMNTALL,
	.flags = PROC_LOCAL,
	.run = umntall_run,
	.encode = umntall_encode,
};
