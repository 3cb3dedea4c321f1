/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

/* On core 0, which keeps the list: encodes it into the call's buffer. */
static void
dump_list(struct shard_call *sc)
{
	struct nfs_call *c = container_of(sc, struct nfs_call, u.mounts.shard);
	const struct mounts *m = proto_here()->mounts;
	struct xdr e;

	xdr_out(&e, c->buf[0]->data, c->buf[0]->cap);
	mount3_put_dump(&e, m->list, m->n);
	c->results_len = xdr_pos(&e);
	shard_reply(sc, 0);
}

static enum op_state
dump_run(struct nfs_call *c, struct op *op)
{
	return shard_call(0, &c->u.mounts.shard, dump_list, op);
}

static void
dump_encode(struct nfs_call *c, struct xdr *e)
{
	(void)e;
	call_add(c, c->buf[0]->data, c->results_len);
}

const struct proc proc_dump = {
	.number = MOUNT3_DUMP,
	.stat = STATS_NFS_PROCS + MOUNT3_DUMP,
	.flags = PROC_LOCAL | PROC_BUF,
	.run = dump_run,
	.encode = dump_encode,
};
