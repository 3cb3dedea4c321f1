/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/proc.h"

static const struct proc *const nfs3[NFS3_PROCS] = {
	[NFS3_NULL] = &proc_null,
	[NFS3_GETATTR] = &proc_getattr,
	[NFS3_SETATTR] = &proc_setattr,
	[NFS3_LOOKUP] = &proc_lookup,
	[NFS3_ACCESS] = &proc_access,
	[NFS3_READLINK] = &proc_readlink,
	[NFS3_READ] = &proc_read,
	[NFS3_WRITE] = &proc_write,
	[NFS3_CREATE] = &proc_create,
	[NFS3_MKDIR] = &proc_mkdir,
	[NFS3_SYMLINK] = &proc_symlink,
	[NFS3_MKNOD] = &proc_mknod,
	[NFS3_REMOVE] = &proc_remove,
	[NFS3_RMDIR] = &proc_rmdir,
	[NFS3_RENAME] = &proc_rename,
	[NFS3_LINK] = &proc_link,
	[NFS3_READDIR] = &proc_readdir,
	[NFS3_READDIRPLUS] = &proc_readdirplus,
	[NFS3_FSSTAT] = &proc_fsstat,
	[NFS3_FSINFO] = &proc_fsinfo,
	[NFS3_PATHCONF] = &proc_pathconf,
	[NFS3_COMMIT] = &proc_commit,
};

static const struct proc *const mount3[MOUNT3_PROCS] = {
	[MOUNT3_NULL] = &proc_mount_null,
	[MOUNT3_MNT] = &proc_mnt,
	[MOUNT3_DUMP] = &proc_dump,
	[MOUNT3_UMNT] = &proc_umnt,
	[MOUNT3_UMNTALL] = &proc_umntall,
	[MOUNT3_EXPORT] = &proc_export,
};

static const struct {
	uint32_t prog, vers, nprocs;
	const struct proc *const *proc;
} programs[] = {
	{ NFS3_PROGRAM, NFS3_VERSION, NFS3_PROCS, nfs3 },
	{ MOUNT3_PROGRAM, MOUNT3_VERSION, MOUNT3_PROCS, mount3 },
};

const struct proc *
proc_find(const struct rpc_head *h, enum rpc_accept *accept)
{
	*accept = RPC_PROG_UNAVAIL;
	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		if (programs[i].prog != h->prog)
			continue;
		*accept = RPC_PROG_MISMATCH;
		if (programs[i].vers != h->vers)
			return NULL;
		*accept = RPC_PROC_UNAVAIL;
		return h->proc < programs[i].nprocs ? programs[i].proc[h->proc] : NULL;
	}
	return NULL;
}
