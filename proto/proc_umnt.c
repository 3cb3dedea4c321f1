/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"
#include "proto/session.h"

static void
umnt_decode(struct nfs_call *c, struct xdr *d)
{
	mount3_get_path(d, &c->u.mounts.path);
}

static void
umnt_list(struct shard_call *sc)
{
	struct mount_list_call *m = container_of(sc, struct mount_list_call, shard);

	mounts_remove(proto_here()->mounts, m->host, m->path.s, m->path.len);
	shard_reply(sc, 0);
}

/* There is nothing that it could fail with. */
static enum op_state
umnt_run(struct nfs_call *c, struct op *op)
{
	session_host(c->session, c->u.mounts.host);
	return shard_call(0, &c->u.mounts.shard, umnt_list, op);
}

static void
umnt_encode(struct nfs_call *c, struct xdr *e)
{
	(void)c;
	(void)e;
}

const struct proc proc_umnt = {
	.number = MOUNT3_UMNT,
	.stat = STATS_NFS_PROCS + MOUNT3_UMNT,
	.flags = PROC_LOCAL | PROC_NAMES,
	.decode = umnt_decode,
	.run = umnt_run,
	.encode = umnt_encode,
};
