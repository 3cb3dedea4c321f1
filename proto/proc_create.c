/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static void
create_decode(struct nfs_call *c, struct xdr *d)
{
	nfs3_get_create(d, &c->u.create);
}

/* These three are MKDIR's, SYMLINK's and MKNOD's too. */
enum op_state
create_run(struct nfs_call *c, struct op *op)
{
	return meta_create(&c->u.create, op);
}

void
create_encode(struct nfs_call *c, struct xdr *e)
{
	nfs3_put_create(e, call_status(c), &c->u.create);
}

/* The child's own attributes are on its owner's core; the reply may lack them, its handle is what counts. */
void
create_rebuild(struct nfs_call *c, const struct fref *child, const struct attr *a)
{
	c->u.create = (struct meta_create){ .req.f = c->u.req.f, .child = *child };
	if (a) {
		c->u.create.dir.has_post = true;
		c->u.create.dir.post = *a;
	}
}

const struct proc proc_create = {
	.number = NFS3_CREATE,
	.stat = NFS3_CREATE,
	.flags = PROC_NAMES | PROC_CHANGES | PROC_ONCE,
	.decode = create_decode,
	.run = create_run,
	.encode = create_encode,
	.rebuild = create_rebuild,
};
