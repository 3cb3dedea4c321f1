/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
read_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_read(d, &c->u.read);
}

/* All of file_read but the array of pieces, of which its count says how many are valid. */
static void
read_init(struct file_read *r, const struct nfs3_read_args *a)
{
	size_t before = offsetof(struct file_read, piece), after = offsetof(struct file_read, npieces);

	memset(r, 0, before);
	memset((char *)r + after, 0, sizeof *r - after);
	r->req = a->req;
	r->off = a->off;
	r->count = a->count;
}

/* Always before read_run. */
static bool
read_look(struct nfs_call *c, int *res)
{
	read_init(&c->read->op, &c->u.read);
	*res = 0;
	return file_read_look(&c->read->op);
}

static void
read_near(struct nfs_call *c, int step)
{
	file_read_near(c->u.read.req.f.ino, c->u.read.off, c->u.read.count, step);
}

static enum op_state
read_run(struct nfs_call *c, struct op *op)
{
	return file_read(&c->read->op, op);
}

static void
add_hole(struct nfs_call *c, uint32_t len)
{
	for (uint32_t n; len > 0; len -= n) {
		n = MIN(len, BUF_LARGE_BYTES);
		call_add(c, buf_zeros, n);
	}
}

/* The pieces go out from where they are: nothing is copied. */
static void
read_encode(struct nfs_call *c, struct xdr *e)
{
	static const struct file_read none; /* refused before it had its own */
	const struct file_read *r = c->read ? &c->read->op : &none;

	nfs3_put_read(e, call_status(c), r);
	if (c->res < 0)
		return;
	for (int i = 0; i < r->npieces; i++) {
		const struct bufref *p = &r->piece[i];

		if (p->buf)
			call_add(c, p->buf->data + p->off, p->len);
		else
			add_hole(c, p->len);
	}
	assert(c->out.len == r->len);
	call_pad(c, r->len);
}

static void
read_put(struct nfs_call *c)
{
	file_read_put(&c->read->op);
}

const struct proc proc_read = {
	.number = NFS3_READ,
	.stat = NFS3_READ,
	.flags = PROC_READ,
	.decode = read_decode,
	.look = read_look,
	.near = read_near,
	.run = read_run,
	.encode = read_encode,
	.put = read_put,
};
