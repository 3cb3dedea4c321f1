/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
readdir_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_readdir(d, &c->u.readdir, &c->readdir);
}

/* These are READDIRPLUS's too. */
enum op_state
readdir_run(struct nfs_call *c, struct op *op)
{
	struct meta_readdir *m = &c->u.readdir;

	if (c->readdir.maxcount < NFS3_PAGE_BYTES)
		return op_done(op, -E_TOOSMALL);
	m->bytes_max = MIN(c->readdir.maxcount, (uint32_t)DIR_REPLY_BYTES) - NFS3_PAGE_BYTES;
	m->entry = c->page->entry;
	m->max_entries = ARRAY_LEN(c->page->entry);
	m->names = c->page->names;
	m->names_cap = sizeof c->page->names;
	return meta_readdir(m, op);
}

/* The bytes of buffers that the reply takes. */
uint32_t
readdir_reply_bytes(struct nfs_call *c)
{
	c->nentries = nfs3_readdir_cut(&c->u.readdir, c->readdir.dircount);
	return nfs3_entries_bytes(&c->u.readdir, c->nentries) + NFS3_LIST_END_BYTES;
}

/* Entries go into the buffers that the call has got for them, none over the edge of one. */
void
readdir_encode(struct nfs_call *c, struct xdr *e)
{
	const struct meta_readdir *m = &c->u.readdir;
	uint32_t i = 0;

	nfs3_put_readdir(e, call_status(c), m);
	if (c->res < 0)
		return;
	for (int k = 0; k < c->nbufs; k++) {
		struct buf *b = c->buf[k];
		bool last = k == c->nbufs - 1;
		struct xdr list;

		xdr_out(&list, b->data, b->cap);
		while (i < c->nentries && (last || xdr_pos(&list) + NFS3_ENTRY_MAX <= b->cap))
			nfs3_put_entry(&list, m, i++);
		if (last)
			nfs3_put_readdir_end(&list, m->eof && c->nentries == m->n);
		assert(!list.bad);
		call_add(c, b->data, xdr_pos(&list));
	}
}

const struct proc proc_readdir = {
	.number = NFS3_READDIR,
	.stat = NFS3_READDIR,
	.flags = PROC_PAGE,
	.reply_bytes = readdir_reply_bytes,
	.decode = readdir_decode,
	.run = readdir_run,
	.encode = readdir_encode,
};
