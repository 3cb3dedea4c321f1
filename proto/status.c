/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/status.h"

/* nfsstat3 is sparse: a bit for each that we say. */
enum bit {
	PERM = 1 << 0, NOENT = 1 << 1, IO = 1 << 2, NXIO = 1 << 3, ACCES = 1 << 4, EXIST = 1 << 5, XDEV = 1 << 6,
	NOTDIR = 1 << 7, ISDIR = 1 << 8, INVAL = 1 << 9, FBIG = 1 << 10, NOSPC = 1 << 11, ROFS = 1 << 12,
	MLINK = 1 << 13, NAMETOOLONG = 1 << 14, NOTEMPTY = 1 << 15, DQUOT = 1 << 16, STALE = 1 << 17,
	BADHANDLE = 1 << 18, NOT_SYNC = 1 << 19, BAD_COOKIE = 1 << 20, NOTSUPP = 1 << 21, TOOSMALL = 1 << 22,
	SERVERFAULT = 1 << 23, BADTYPE = 1 << 24, JUKEBOX = 1 << 25,
};

static const struct {
	int err;                /* positive */
	enum nfsstat3 status;
	uint32_t bit;
} words[] = {
	{ EPERM, NFS3ERR_PERM, PERM },
	{ ENOENT, NFS3ERR_NOENT, NOENT },
	{ EIO, NFS3ERR_IO, IO },
	{ ENXIO, NFS3ERR_NXIO, NXIO },
	{ EACCES, NFS3ERR_ACCES, ACCES },
	{ EEXIST, NFS3ERR_EXIST, EXIST },
	{ EXDEV, NFS3ERR_XDEV, XDEV },
	{ ENOTDIR, NFS3ERR_NOTDIR, NOTDIR },
	{ EISDIR, NFS3ERR_ISDIR, ISDIR },
	{ EINVAL, NFS3ERR_INVAL, INVAL },
	{ EFBIG, NFS3ERR_FBIG, FBIG },
	{ ENOSPC, NFS3ERR_NOSPC, NOSPC },
	{ EROFS, NFS3ERR_ROFS, ROFS },
	{ EMLINK, NFS3ERR_MLINK, MLINK },
	{ ENAMETOOLONG, NFS3ERR_NAMETOOLONG, NAMETOOLONG },
	{ ENOTEMPTY, NFS3ERR_NOTEMPTY, NOTEMPTY },
	{ EDQUOT, NFS3ERR_DQUOT, DQUOT },
	{ ESTALE, NFS3ERR_STALE, STALE },
	{ E_BADHANDLE, NFS3ERR_BADHANDLE, BADHANDLE },
	{ E_NOTSYNC, NFS3ERR_NOT_SYNC, NOT_SYNC },
	{ E_BADCOOKIE, NFS3ERR_BAD_COOKIE, BAD_COOKIE },
	{ EOPNOTSUPP, NFS3ERR_NOTSUPP, NOTSUPP },
	{ E_TOOSMALL, NFS3ERR_TOOSMALL, TOOSMALL },
	{ E_BADTYPE, NFS3ERR_BADTYPE, BADTYPE },
	{ E_JUKEBOX, NFS3ERR_JUKEBOX, JUKEBOX },
	{ EAGAIN, NFS3ERR_JUKEBOX, JUKEBOX },
	{ ENOMEM, NFS3ERR_JUKEBOX, JUKEBOX },
	{ E_DAMAGED, NFS3ERR_IO, IO },
	{ E_FORMAT, NFS3ERR_IO, IO },
};

/*
 * Every procedure may meet these.  ACCES: the share's networks are checked on
 * every call, where the RFC's lists foresee it for some only.  JUKEBOX: RFC
 * 1813 §2.6 allows it for all.
 */
#define EVERY (IO | STALE | BADHANDLE | SERVERFAULT | ACCES | JUKEBOX)
#define MAKE  (EVERY | EXIST | NOTDIR | NOSPC | ROFS | NAMETOOLONG | DQUOT | NOTSUPP)

/*
 * The lists of RFC 1813 §3.3; behind POSIX what it lacks and POSIX.1 needs
 * (EPERM of a sticky directory, of mknod and of link to a directory; EMLINK of
 * mkdir; EINVAL of names), which Linux's server answers too.
 */
#define POSIX 0
static const uint32_t allowed[NFS3_PROCS] = {
	[NFS3_GETATTR] = EVERY,
	[NFS3_SETATTR] = EVERY | PERM | INVAL | NOSPC | ROFS | DQUOT | NOT_SYNC | POSIX | FBIG,
	[NFS3_LOOKUP] = EVERY | NOENT | NOTDIR | NAMETOOLONG,
	[NFS3_ACCESS] = EVERY,
	[NFS3_READLINK] = EVERY | INVAL | NOTSUPP,
	[NFS3_READ] = EVERY | NXIO | INVAL,
	[NFS3_WRITE] = EVERY | FBIG | DQUOT | NOSPC | ROFS | INVAL,
	[NFS3_CREATE] = MAKE | POSIX | PERM | INVAL | ISDIR,
	[NFS3_MKDIR] = MAKE | POSIX | PERM | INVAL | MLINK,
	[NFS3_SYMLINK] = MAKE | POSIX | PERM | INVAL,
	[NFS3_MKNOD] = MAKE | BADTYPE | POSIX | PERM | INVAL,
	[NFS3_REMOVE] = EVERY | NOENT | NOTDIR | NAMETOOLONG | ROFS | POSIX | PERM | INVAL | ISDIR,
	[NFS3_RMDIR] = EVERY | NOENT | INVAL | EXIST | NOTDIR | NAMETOOLONG | ROFS | NOTEMPTY | NOTSUPP | POSIX | PERM,
	[NFS3_RENAME] = EVERY | NOENT | EXIST | XDEV | NOTDIR | ISDIR | INVAL | NOSPC | ROFS | MLINK | NAMETOOLONG |
	                NOTEMPTY | DQUOT | NOTSUPP | POSIX | PERM,
	[NFS3_LINK] = EVERY | EXIST | XDEV | NOTDIR | INVAL | NOSPC | ROFS | MLINK | NAMETOOLONG | DQUOT | NOTSUPP |
	              POSIX | PERM | NOENT,
	[NFS3_READDIR] = EVERY | NOTDIR | BAD_COOKIE | TOOSMALL,
	[NFS3_READDIRPLUS] = EVERY | NOTDIR | BAD_COOKIE | TOOSMALL | NOTSUPP,
	[NFS3_FSSTAT] = EVERY,
	[NFS3_FSINFO] = EVERY,
	[NFS3_PATHCONF] = EVERY,
	[NFS3_COMMIT] = EVERY,
};

/* What stands for an error that the procedure may not answer, tried in order. */
static const struct {
	uint32_t bit, instead;
	enum nfsstat3 status;
} fallback[] = {
	{ ISDIR, EXIST, NFS3ERR_EXIST },       /* making a name that a directory has */
	{ ISDIR, INVAL, NFS3ERR_INVAL },       /* READ, WRITE, READLINK of a directory */
	{ FBIG, INVAL, NFS3ERR_INVAL },
	{ EXIST, NOTEMPTY, NFS3ERR_NOTEMPTY },
	{ NOTEMPTY, EXIST, NFS3ERR_EXIST },
	{ MLINK, NOSPC, NFS3ERR_NOSPC },
	{ NOTDIR, INVAL, NFS3ERR_INVAL },
	{ NOENT, STALE, NFS3ERR_STALE },
	{ INVAL, ACCES, NFS3ERR_ACCES },       /* a name with a slash or a NUL, RFC 1813 §3.3.3 */
	{ PERM, ACCES, NFS3ERR_ACCES },
	{ ROFS, ACCES, NFS3ERR_ACCES },
};

enum nfsstat3
status_nfs3(enum nfs3_proc proc, int err)
{
	uint32_t bit = 0;

	if (err >= 0)
		return NFS3_OK;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (words[i].err != -err)
			continue;
		if (allowed[proc] & words[i].bit)
			return words[i].status;
		bit = words[i].bit;
		break;
	}
	for (size_t i = 0; i < ARRAY_LEN(fallback); i++)
		if (fallback[i].bit == bit && allowed[proc] & fallback[i].instead)
			return fallback[i].status;
	/* An errno that nobody foresaw is ours to explain, not the client's. */
	return bit ? NFS3ERR_IO : NFS3ERR_SERVERFAULT;
}

bool
status_nfs3_allowed(enum nfs3_proc proc, enum nfsstat3 status)
{
	if (status == NFS3_OK)
		return true;
	if (status == NFS3ERR_SERVERFAULT)
		return allowed[proc] & SERVERFAULT;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].status == status)
			return allowed[proc] & words[i].bit;
	return false;
}

enum mountstat3
status_mount3(int err)
{
	if (err >= 0)
		return MNT3_OK;
	switch (-err) {
	case EPERM:
		return MNT3ERR_PERM;
	case ENOENT:
	case ESTALE:
		return MNT3ERR_NOENT;
	case EACCES:
		return MNT3ERR_ACCES;
	case ENOTDIR:
		return MNT3ERR_NOTDIR;
	case EINVAL:
		return MNT3ERR_INVAL;
	case ENAMETOOLONG:
		return MNT3ERR_NAMETOOLONG;
	case EIO:
	case E_DAMAGED:
	case E_FORMAT:
		return MNT3ERR_IO;
	default:
		return MNT3ERR_SERVERFAULT;
	}
}
