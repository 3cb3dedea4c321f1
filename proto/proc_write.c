/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

/*
 * Its arguments are decoded and its payload received by the session
 * (session_write.c), which knows only this much of it.
 */
static enum op_state
write_run(struct nfs_call *c, struct op *op)
{
	return file_write(&c->u.write, op);
}

static void
write_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_write(e, call_status(c), &c->u.write);
}

/* Only where the session found no whole arguments in the record. */
static void
write_decode(struct nfs_call *c, struct xdr *d)
{
	(void)c;
	d->bad = true;
}

const struct proc proc_write = {
	.number = NFS3_WRITE,
	.stat = NFS3_WRITE,
	.flags = PROC_CHANGES,
	.decode = write_decode,
	.run = write_run,
	.encode = write_encode,
};
