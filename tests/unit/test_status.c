/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/status.h"

static const int errors[] = {
	EPERM, ENOENT, EIO, ENXIO, EACCES, EEXIST, EXDEV, ENOTDIR, EISDIR, EINVAL, EFBIG, ENOSPC, EROFS, EMLINK, ENAMETOOLONG,
	ENOTEMPTY, EDQUOT, ESTALE, EOPNOTSUPP, EAGAIN, ENOMEM, E_BADHANDLE, E_BADCOOKIE, E_NOTSYNC, E_JUKEBOX, E_DAMAGED,
	E_FORMAT, E_TOOSMALL, E_BADTYPE, ECHILD, 4711,
};

Test(status, only_what_the_procedure_may_answer)
{
	for (enum nfs3_proc p = NFS3_NULL + 1; p < NFS3_PROCS; p++) {
		cr_assert(eq(int, status_nfs3(p, 0), NFS3_OK));
		cr_assert(eq(int, status_nfs3(p, 17), NFS3_OK));
		for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
			enum nfsstat3 st = status_nfs3(p, -errors[i]);

			cr_assert(ne(int, st, NFS3_OK));
			cr_assert(status_nfs3_allowed(p, st), "procedure %d answers %d for %d", p, st, errors[i]);
		}
		/* Everywhere alike. */
		cr_assert(eq(int, status_nfs3(p, -ESTALE), NFS3ERR_STALE));
		cr_assert(eq(int, status_nfs3(p, -E_BADHANDLE), NFS3ERR_BADHANDLE));
		cr_assert(eq(int, status_nfs3(p, -E_JUKEBOX), NFS3ERR_JUKEBOX));
		cr_assert(eq(int, status_nfs3(p, -E_DAMAGED), NFS3ERR_IO));
		cr_assert(eq(int, status_nfs3(p, -EACCES), NFS3ERR_ACCES));
		cr_assert(eq(int, status_nfs3(p, -4711), NFS3ERR_SERVERFAULT));
	}
}

Test(status, some_by_name)
{
	static const struct { enum nfs3_proc proc; int err; enum nfsstat3 st; } t[] = {
		{ NFS3_LOOKUP, ENOENT, NFS3ERR_NOENT },       { NFS3_LOOKUP, EINVAL, NFS3ERR_ACCES },
		{ NFS3_READ, EISDIR, NFS3ERR_INVAL },         { NFS3_WRITE, EISDIR, NFS3ERR_INVAL },
		{ NFS3_SETATTR, E_NOTSYNC, NFS3ERR_NOT_SYNC }, { NFS3_READDIR, E_BADCOOKIE, NFS3ERR_BAD_COOKIE },
		{ NFS3_READDIR, E_TOOSMALL, NFS3ERR_TOOSMALL }, { NFS3_MKNOD, E_BADTYPE, NFS3ERR_BADTYPE },
		{ NFS3_REMOVE, EISDIR, NFS3ERR_ISDIR },       { NFS3_RMDIR, ENOTEMPTY, NFS3ERR_NOTEMPTY },
		{ NFS3_LINK, EPERM, NFS3ERR_PERM },           { NFS3_LINK, EMLINK, NFS3ERR_MLINK },
		{ NFS3_RENAME, EXDEV, NFS3ERR_XDEV },         { NFS3_WRITE, EFBIG, NFS3ERR_FBIG },
		{ NFS3_GETATTR, ENOENT, NFS3ERR_STALE },      { NFS3_MKDIR, EISDIR, NFS3ERR_EXIST },
		{ NFS3_WRITE, ENOSPC, NFS3ERR_NOSPC },        { NFS3_CREATE, EROFS, NFS3ERR_ROFS },
		{ NFS3_READLINK, EINVAL, NFS3ERR_INVAL },     { NFS3_COMMIT, EROFS, NFS3ERR_ACCES },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		cr_assert(eq(int, status_nfs3(t[i].proc, -t[i].err), t[i].st), "row %zu", i);
}

Test(status, mount)
{
	cr_assert(eq(int, status_mount3(0), MNT3_OK));
	cr_assert(eq(int, status_mount3(-ENOENT), MNT3ERR_NOENT));
	cr_assert(eq(int, status_mount3(-EACCES), MNT3ERR_ACCES));
	cr_assert(eq(int, status_mount3(-ENOTDIR), MNT3ERR_NOTDIR));
	cr_assert(eq(int, status_mount3(-EINVAL), MNT3ERR_INVAL));
	cr_assert(eq(int, status_mount3(-ENAMETOOLONG), MNT3ERR_NAMETOOLONG));
	cr_assert(eq(int, status_mount3(-E_DAMAGED), MNT3ERR_IO));
	cr_assert(eq(int, status_mount3(-E_JUKEBOX), MNT3ERR_SERVERFAULT));
}
