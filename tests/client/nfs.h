/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NFSv3 and MOUNT v3 (RFC 1813) calls on top of rpc.h: one function per
 * procedure that encodes and starts it, one decoder for all results.
 *
 * Each starter takes a call whose done() (and, for WRITE and SYMLINK, nothing
 * else: they set data themselves) is set; payload is lent until done().
 * The decoder checks everything that RFC 1813 fixes, and that not one byte is
 * left over.  Threads: as rpc.h.
 */
#ifndef TESTS_CLIENT_NFS_H
#define TESTS_CLIENT_NFS_H

#include "tests/client/rpc.h"

enum nfs_proc {
	NFS_NULL, NFS_GETATTR, NFS_SETATTR, NFS_LOOKUP, NFS_ACCESS, NFS_READLINK, NFS_READ,
	NFS_WRITE, NFS_CREATE, NFS_MKDIR, NFS_SYMLINK, NFS_MKNOD, NFS_REMOVE, NFS_RMDIR,
	NFS_RENAME, NFS_LINK, NFS_READDIR, NFS_READDIRPLUS, NFS_FSSTAT, NFS_FSINFO,
	NFS_PATHCONF, NFS_COMMIT, NFS_PROCS,
};

enum { NFS_PROGRAM = 100003, NFS_VERSION = 3, MOUNT_PROGRAM = 100005, MOUNT_VERSION = 3 };

enum nfs_type { NFS_REG = 1, NFS_DIR, NFS_BLK, NFS_CHR, NFS_LNK, NFS_SOCK, NFS_FIFO };

enum nfs_stable { NFS_UNSTABLE, NFS_DATA_SYNC, NFS_FILE_SYNC };

enum nfs_how { NFS_UNCHECKED, NFS_GUARDED, NFS_EXCLUSIVE };

/* nfsstat3, those that the tests name */
enum {
	NFS_OK = 0, NFSERR_PERM = 1, NFSERR_NOENT = 2, NFSERR_IO = 5, NFSERR_ACCES = 13,
	NFSERR_EXIST = 17, NFSERR_XDEV = 18, NFSERR_NOTDIR = 20, NFSERR_ISDIR = 21,
	NFSERR_INVAL = 22, NFSERR_FBIG = 27, NFSERR_NOSPC = 28, NFSERR_ROFS = 30,
	NFSERR_MLINK = 31, NFSERR_NAMETOOLONG = 63, NFSERR_NOTEMPTY = 66, NFSERR_DQUOT = 69,
	NFSERR_STALE = 70, NFSERR_BADHANDLE = 10001, NFSERR_NOT_SYNC = 10002,
	NFSERR_BAD_COOKIE = 10003, NFSERR_NOTSUPP = 10004, NFSERR_TOOSMALL = 10005,
	NFSERR_SERVERFAULT = 10006, NFSERR_BADTYPE = 10007, NFSERR_JUKEBOX = 10008,
};

struct nfs_fh {
	uint32_t len;
	uint8_t data[64];
};

/* Times are nanoseconds since 1970. */
struct nfs_attr {
	uint32_t type, mode, nlink, uid, gid;
	uint64_t size, used, rdev, fsid, fileid, atime, mtime, ctime;
};

enum {
	NFS_SET_MODE = 1, NFS_SET_UID = 2, NFS_SET_GID = 4, NFS_SET_SIZE = 8,
	NFS_SET_ATIME = 16, NFS_SET_MTIME = 32,          /* to the value given */
	NFS_SET_ATIME_NOW = 64, NFS_SET_MTIME_NOW = 128, /* to the server's time */
};

struct nfs_sattr {
	uint32_t set; /* NFS_SET_* */
	uint32_t mode, uid, gid;
	uint64_t size, atime, mtime;
};

/* wcc_data: before is there or not, and after is. */
struct nfs_wcc {
	bool has_before, has_after;
	uint64_t size, mtime, ctime; /* before */
	struct nfs_attr after;
};

/* All that any procedure may answer; what the procedure does not have stays zero. */
struct nfs_result {
	uint32_t status;
	bool has_attr, has_fh, eof;
	struct nfs_attr attr;     /* of the object */
	struct nfs_wcc wcc, wcc2; /* of the object or directory; RENAME's second */
	struct nfs_fh fh;
	uint32_t count, committed, access;
	uint64_t verf;            /* of WRITE and COMMIT; cookie verifier of READDIR */
	const uint8_t *data;      /* of READ and READLINK, lent from the receive buffer */
	uint32_t data_len;
	struct wire_in entries;   /* of READDIR and READDIRPLUS: see nfs_dirent_next */
	uint64_t tbytes, fbytes, abytes, tfiles, ffiles, afiles;
	uint32_t rtmax, rtpref, wtmax, wtpref, dtpref, properties;
	uint64_t maxfilesize;
	uint32_t linkmax, name_max;
};

struct nfs_dirent {
	uint64_t fileid, cookie;
	const char *name; /* not terminated */
	uint32_t name_len;
	bool has_attr, has_fh;
	struct nfs_attr attr;
	struct nfs_fh fh;
};

const char *nfs_proc_name(uint32_t proc);
const char *nfs_status_name(uint32_t status);
bool nfs_fh_equal(const struct nfs_fh *a, const struct nfs_fh *b);

void nfs_null(struct rpc_call *call, struct rpc_conn *conn);
void nfs_getattr(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh);
/* guard: the ctime that the object must have, or NULL */
void nfs_setattr(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh,
                 const struct nfs_sattr *sattr, const uint64_t *guard);
void nfs_lookup(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
                const char *name);
void nfs_access(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh,
                uint32_t access);
void nfs_readlink(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh);
void nfs_read(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh, uint64_t off,
              uint32_t count);
void nfs_write(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh, uint64_t off,
               const void *data, uint32_t len, enum nfs_stable stable);
/* verf: of NFS_EXCLUSIVE, which in turn takes no sattr */
void nfs_create(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
                const char *name, enum nfs_how how, const struct nfs_sattr *sattr, uint64_t verf);
void nfs_mkdir(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
               const char *name, const struct nfs_sattr *sattr);
void nfs_symlink(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
                 const char *name, const struct nfs_sattr *sattr, const char *target);
/* type: NFS_FIFO or NFS_SOCK, or NFS_CHR and NFS_BLK with a device number */
void nfs_mknod(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
               const char *name, enum nfs_type type, const struct nfs_sattr *sattr, uint64_t rdev);
void nfs_remove(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
                const char *name);
void nfs_rmdir(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
               const char *name);
void nfs_rename(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *from_dir,
                const char *from, const struct nfs_fh *to_dir, const char *to);
void nfs_link(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh,
              const struct nfs_fh *dir, const char *name);
void nfs_readdir(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
                 uint64_t cookie, uint64_t verf, uint32_t count);
void nfs_readdirplus(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
                     uint64_t cookie, uint64_t verf, uint32_t dircount, uint32_t maxcount);
void nfs_fsstat(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *root);
void nfs_fsinfo(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *root);
void nfs_pathconf(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh);
void nfs_commit(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh, uint64_t off,
                uint32_t count);

/*
 * Decodes what an NFS call brought; inside its done().  0 when a reply is there,
 * whatever its status, or call->res, or -EBADMSG when it is not as RFC 1813 has it.
 */
int nfs_result(const struct rpc_call *call, struct nfs_result *r);
/* The next entry of a listing: 1, 0 at the end, -EBADMSG. */
int nfs_dirent_next(struct nfs_result *r, bool plus, struct nfs_dirent *e);

/*
 * MOUNT MNT of path through conn, which must be open or connecting; runs the
 * loop until it is answered.  0, -errno, or the mount status as a positive number.
 */
int nfs_mount(struct rpc_conn *conn, const char *path, struct nfs_fh *root, int timeout_ms);

#endif
