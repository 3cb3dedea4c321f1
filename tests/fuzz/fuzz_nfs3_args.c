/* SPDX-License-Identifier: Apache-2.0 */
/* The argument decoder of every NFSv3 procedure; the first byte says which. */
#include <stdlib.h>

#include "proto/handle.h"
#include "proto/nfs3_xdr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const uint8_t *begin, *end;

/* Names and targets are lent from the message. */
static void
within(const struct xdr *d, const char *s, uint32_t n)
{
	if (!d->bad && n > 0 && ((const uint8_t *)s < begin || (const uint8_t *)s + n > end))
		abort();
}

static void
decode(uint32_t proc, struct xdr *d)
{
	static union {
		struct meta_getattr getattr;
		struct meta_setattr setattr;
		struct meta_lookup lookup;
		struct meta_access access;
		struct meta_readlink readlink;
		struct nfs3_read_args read;
		struct nfs3_write_args write;
		struct meta_create create;
		struct meta_unlink unlink;
		struct meta_rename rename;
		struct meta_link link;
		struct meta_readdir readdir;
		struct meta_fsstat fsstat;
		struct file_commit commit;
	} u;
	struct nfs3_readdir_args ra;

	switch ((enum nfs3_proc)proc) {
	case NFS3_NULL:
	case NFS3_PROCS:
		break;
	case NFS3_GETATTR:
	case NFS3_FSINFO:
	case NFS3_PATHCONF:
		nfs3_get_getattr(d, &u.getattr);
		break;
	case NFS3_SETATTR:
		nfs3_get_setattr(d, &u.setattr);
		break;
	case NFS3_LOOKUP:
		nfs3_get_lookup(d, &u.lookup);
		within(d, u.lookup.name.s, u.lookup.name.len);
		break;
	case NFS3_ACCESS:
		nfs3_get_access(d, &u.access);
		break;
	case NFS3_READLINK:
		nfs3_get_readlink(d, &u.readlink);
		break;
	case NFS3_READ:
		nfs3_get_read(d, &u.read);
		if (u.read.count > FILE_IO_MAX)
			abort();
		break;
	case NFS3_WRITE:
		nfs3_get_write(d, &u.write);
		if (!d->bad && u.write.stable > STABLE_FILE_SYNC)
			abort();
		break;
	case NFS3_CREATE:
	case NFS3_MKDIR:
	case NFS3_SYMLINK:
	case NFS3_MKNOD:
		(proc == NFS3_CREATE ? nfs3_get_create : proc == NFS3_MKDIR ? nfs3_get_mkdir :
		 proc == NFS3_SYMLINK ? nfs3_get_symlink : nfs3_get_mknod)(d, &u.create);
		within(d, u.create.name.s, u.create.name.len);
		within(d, u.create.target, u.create.target_len);
		break;
	case NFS3_REMOVE:
	case NFS3_RMDIR:
		nfs3_get_remove(d, &u.unlink);
		within(d, u.unlink.name.s, u.unlink.name.len);
		break;
	case NFS3_RENAME:
		nfs3_get_rename(d, &u.rename);
		within(d, u.rename.from.s, u.rename.from.len);
		within(d, u.rename.to.s, u.rename.to.len);
		break;
	case NFS3_LINK:
		nfs3_get_link(d, &u.link);
		within(d, u.link.name.s, u.link.name.len);
		break;
	case NFS3_READDIR:
		nfs3_get_readdir(d, &u.readdir, &ra);
		break;
	case NFS3_READDIRPLUS:
		nfs3_get_readdirplus(d, &u.readdir, &ra);
		break;
	case NFS3_FSSTAT:
		nfs3_get_fsstat(d, &u.fsstat);
		break;
	case NFS3_COMMIT:
		nfs3_get_commit(d, &u.commit);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct volume vol = { .uuid = "0123456789abcde", .secret = "a secret of thirty-two bytes ..." };
	struct xdr d;
	uint8_t *p;

	if (len == 0)
		return 0;
	handle_init(&vol);
	p = malloc(len);
	memcpy(p, data + 1, len - 1);
	begin = p;
	end = p + len - 1;
	xdr_in(&d, p, len - 1);
	decode(data[0] % NFS3_PROCS, &d);
	if (xdr_pos(&d) > len - 1)
		abort();
	free(p);
	return 0;
}
