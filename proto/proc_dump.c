/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

/* On core 0, which keeps the list: encodes it where the reply is made. */
static void
dump_list(struct shard_call *sc)
{
	struct nfs_call *c = container_of(sc, struct nfs_call, u.mounts.shard);
	const struct mounts *m = proto_here()->mounts;
	struct xdr e;

	xdr_out(&e, c->page->reply + CALL_RESULTS_AT, sizeof c->page->reply - CALL_RESULTS_AT);
	mount3_put_dump(&e, m->list, m->n);
	c->results_len = xdr_pos(&e);
	c->encoded = true;
	shard_reply(sc, 0);
}

static enum op_state
dump_run(struct nfs_call *c, struct op *op)
{
	return shard_call(0, &c->u.mounts.shard, dump_list, op);
}

const struct proc proc_dump = {
	.number = MOUNT3_DUMP,
	.stat = STATS_NFS_PROCS + MOUNT3_DUMP,
	.flags = PROC_LOCAL | PROC_PAGE,
	.run = dump_run,
};
