/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
readdir_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_readdir(d, &c->u.readdir, &c->readdir);
}

/* These two are READDIRPLUS's too. */
enum op_state
readdir_run(struct nfs_call *c, struct op *op)
{
	struct meta_readdir *m = &c->u.readdir;
	uint32_t most = DIR_REPLY_BYTES - CALL_RESULTS_AT - 4; /* the status does not count as results */

	if (c->readdir.maxcount < NFS3_PAGE_BYTES)
		return op_done(op, -E_TOOSMALL);
	m->bytes_max = MIN(c->readdir.maxcount, most) - NFS3_PAGE_BYTES;
	m->entry = c->page->entry;
	m->max_entries = ARRAY_LEN(c->page->entry);
	m->names = c->page->names;
	m->names_cap = sizeof c->page->names;
	return meta_readdir(m, op);
}

void
readdir_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_readdir(e, call_status(c), &c->u.readdir, c->readdir.dircount);
}

const struct proc proc_readdir = {
	.number = NFS3_READDIR,
	.stat = NFS3_READDIR,
	.flags = PROC_PAGE,
	.decode = readdir_decode,
	.run = readdir_run,
	.encode = readdir_encode,
};
