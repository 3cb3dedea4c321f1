/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/client/nfs.h"

#include <errno.h>
#include <stdio.h>

static const char *const proc_names[] = {
	"NULL",   "GETATTR", "SETATTR", "LOOKUP",  "ACCESS",      "READLINK", "READ",     "WRITE",
	"CREATE", "MKDIR",   "SYMLINK", "MKNOD",   "REMOVE",      "RMDIR",    "RENAME",   "LINK",
	"READDIR", "READDIRPLUS", "FSSTAT", "FSINFO", "PATHCONF", "COMMIT",
};

const char *
nfs_proc_name(uint32_t proc)
{
	return proc < NFS_PROCS ? proc_names[proc] : "?";
}

const char *
nfs_status_name(uint32_t status)
{
	static const struct { uint32_t status; const char *name; } names[] = {
		{ NFS_OK, "OK" }, { NFSERR_PERM, "PERM" }, { NFSERR_NOENT, "NOENT" },
		{ NFSERR_IO, "IO" }, { NFSERR_ACCES, "ACCES" }, { NFSERR_EXIST, "EXIST" },
		{ NFSERR_XDEV, "XDEV" }, { NFSERR_NOTDIR, "NOTDIR" }, { NFSERR_ISDIR, "ISDIR" },
		{ NFSERR_INVAL, "INVAL" }, { NFSERR_FBIG, "FBIG" }, { NFSERR_NOSPC, "NOSPC" },
		{ NFSERR_ROFS, "ROFS" }, { NFSERR_MLINK, "MLINK" },
		{ NFSERR_NAMETOOLONG, "NAMETOOLONG" }, { NFSERR_NOTEMPTY, "NOTEMPTY" },
		{ NFSERR_DQUOT, "DQUOT" }, { NFSERR_STALE, "STALE" },
		{ NFSERR_BADHANDLE, "BADHANDLE" }, { NFSERR_NOT_SYNC, "NOT_SYNC" },
		{ NFSERR_BAD_COOKIE, "BAD_COOKIE" }, { NFSERR_NOTSUPP, "NOTSUPP" },
		{ NFSERR_TOOSMALL, "TOOSMALL" }, { NFSERR_SERVERFAULT, "SERVERFAULT" },
		{ NFSERR_BADTYPE, "BADTYPE" }, { NFSERR_JUKEBOX, "JUKEBOX" },
	};
	static char other[24];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].status == status)
			return names[i].name;
	snprintf(other, sizeof(other), "status %u", status);
	return other;
}

bool
nfs_fh_equal(const struct nfs_fh *a, const struct nfs_fh *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static struct wire_out
begin(struct rpc_call *call, struct rpc_conn *conn, enum nfs_proc proc)
{
	call->data_len = 0;
	return rpc_call_begin(call, conn, NFS_PROGRAM, NFS_VERSION, proc);
}

static struct wire_out
begin_fh(struct rpc_call *call, struct rpc_conn *conn, enum nfs_proc proc, const struct nfs_fh *fh)
{
	struct wire_out w = begin(call, conn, proc);

	wire_put_bytes(&w, fh->data, fh->len);
	return w;
}

static struct wire_out
begin_name(struct rpc_call *call, struct rpc_conn *conn, enum nfs_proc proc,
           const struct nfs_fh *dir, const char *name)
{
	struct wire_out w = begin_fh(call, conn, proc, dir);

	wire_put_string(&w, name);
	return w;
}

static void
put_time(struct wire_out *w, uint64_t ns)
{
	wire_put_u32(w, (uint32_t)(ns / 1000000000u));
	wire_put_u32(w, (uint32_t)(ns % 1000000000u));
}

/* time_how: 0 leave, 1 the server's time, 2 ours */
static void
put_set_time(struct wire_out *w, bool ours, bool now, uint64_t ns)
{
	wire_put_u32(w, ours ? 2 : now ? 1 : 0);
	if (ours)
		put_time(w, ns);
}

static void
put_optional(struct wire_out *w, bool there, uint32_t v)
{
	wire_put_u32(w, there);
	if (there)
		wire_put_u32(w, v);
}

static void
put_sattr(struct wire_out *w, const struct nfs_sattr *s)
{
	put_optional(w, s->set & NFS_SET_MODE, s->mode);
	put_optional(w, s->set & NFS_SET_UID, s->uid);
	put_optional(w, s->set & NFS_SET_GID, s->gid);
	wire_put_u32(w, !!(s->set & NFS_SET_SIZE));
	if (s->set & NFS_SET_SIZE)
		wire_put_u64(w, s->size);
	put_set_time(w, s->set & NFS_SET_ATIME, s->set & NFS_SET_ATIME_NOW, s->atime);
	put_set_time(w, s->set & NFS_SET_MTIME, s->set & NFS_SET_MTIME_NOW, s->mtime);
}

void
nfs_null(struct rpc_call *call, struct rpc_conn *conn)
{
	struct wire_out w = begin(call, conn, NFS_NULL);

	rpc_call_start(call, &w);
}

void
nfs_getattr(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh)
{
	struct wire_out w = begin_fh(call, conn, NFS_GETATTR, fh);

	rpc_call_start(call, &w);
}

void
nfs_setattr(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh,
            const struct nfs_sattr *sattr, const uint64_t *guard)
{
	struct wire_out w = begin_fh(call, conn, NFS_SETATTR, fh);

	put_sattr(&w, sattr);
	wire_put_u32(&w, guard != NULL);
	if (guard)
		put_time(&w, *guard);
	rpc_call_start(call, &w);
}

void
nfs_lookup(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, const char *name)
{
	struct wire_out w = begin_name(call, conn, NFS_LOOKUP, dir, name);

	rpc_call_start(call, &w);
}

void
nfs_access(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh, uint32_t access)
{
	struct wire_out w = begin_fh(call, conn, NFS_ACCESS, fh);

	wire_put_u32(&w, access);
	rpc_call_start(call, &w);
}

void
nfs_readlink(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh)
{
	struct wire_out w = begin_fh(call, conn, NFS_READLINK, fh);

	rpc_call_start(call, &w);
}

void
nfs_read(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh, uint64_t off,
         uint32_t count)
{
	struct wire_out w = begin_fh(call, conn, NFS_READ, fh);

	wire_put_u64(&w, off);
	wire_put_u32(&w, count);
	rpc_call_start(call, &w);
}

void
nfs_write(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh, uint64_t off,
          const void *data, uint32_t len, enum nfs_stable stable)
{
	struct wire_out w = begin_fh(call, conn, NFS_WRITE, fh);

	wire_put_u64(&w, off);
	wire_put_u32(&w, len);
	wire_put_u32(&w, stable);
	wire_put_u32(&w, len);
	call->data = data;
	call->data_len = len;
	rpc_call_start(call, &w);
}

void
nfs_create(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, const char *name,
           enum nfs_how how, const struct nfs_sattr *sattr, uint64_t verf)
{
	struct wire_out w = begin_name(call, conn, NFS_CREATE, dir, name);

	wire_put_u32(&w, how);
	if (how == NFS_EXCLUSIVE)
		wire_put_u64(&w, verf);
	else
		put_sattr(&w, sattr);
	rpc_call_start(call, &w);
}

void
nfs_mkdir(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, const char *name,
          const struct nfs_sattr *sattr)
{
	struct wire_out w = begin_name(call, conn, NFS_MKDIR, dir, name);

	put_sattr(&w, sattr);
	rpc_call_start(call, &w);
}

void
nfs_symlink(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, const char *name,
            const struct nfs_sattr *sattr, const char *target)
{
	struct wire_out w = begin_name(call, conn, NFS_SYMLINK, dir, name);

	put_sattr(&w, sattr);
	wire_put_u32(&w, (uint32_t)strlen(target));
	call->data = target;
	call->data_len = (uint32_t)strlen(target);
	rpc_call_start(call, &w);
}

void
nfs_mknod(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, const char *name,
          enum nfs_type type, const struct nfs_sattr *sattr, uint64_t rdev)
{
	struct wire_out w = begin_name(call, conn, NFS_MKNOD, dir, name);

	wire_put_u32(&w, type);
	put_sattr(&w, sattr);
	if (type == NFS_CHR || type == NFS_BLK)
		wire_put_u64(&w, rdev);
	rpc_call_start(call, &w);
}

void
nfs_remove(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, const char *name)
{
	struct wire_out w = begin_name(call, conn, NFS_REMOVE, dir, name);

	rpc_call_start(call, &w);
}

void
nfs_rmdir(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, const char *name)
{
	struct wire_out w = begin_name(call, conn, NFS_RMDIR, dir, name);

	rpc_call_start(call, &w);
}

void
nfs_rename(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *from_dir,
           const char *from, const struct nfs_fh *to_dir, const char *to)
{
	struct wire_out w = begin_name(call, conn, NFS_RENAME, from_dir, from);

	wire_put_bytes(&w, to_dir->data, to_dir->len);
	wire_put_string(&w, to);
	rpc_call_start(call, &w);
}

void
nfs_link(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh,
         const struct nfs_fh *dir, const char *name)
{
	struct wire_out w = begin_fh(call, conn, NFS_LINK, fh);

	wire_put_bytes(&w, dir->data, dir->len);
	wire_put_string(&w, name);
	rpc_call_start(call, &w);
}

void
nfs_readdir(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir, uint64_t cookie,
            uint64_t verf, uint32_t count)
{
	struct wire_out w = begin_fh(call, conn, NFS_READDIR, dir);

	wire_put_u64(&w, cookie);
	wire_put_u64(&w, verf);
	wire_put_u32(&w, count);
	rpc_call_start(call, &w);
}

void
nfs_readdirplus(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *dir,
                uint64_t cookie, uint64_t verf, uint32_t dircount, uint32_t maxcount)
{
	struct wire_out w = begin_fh(call, conn, NFS_READDIRPLUS, dir);

	wire_put_u64(&w, cookie);
	wire_put_u64(&w, verf);
	wire_put_u32(&w, dircount);
	wire_put_u32(&w, maxcount);
	rpc_call_start(call, &w);
}

void
nfs_fsstat(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *root)
{
	struct wire_out w = begin_fh(call, conn, NFS_FSSTAT, root);

	rpc_call_start(call, &w);
}

void
nfs_fsinfo(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *root)
{
	struct wire_out w = begin_fh(call, conn, NFS_FSINFO, root);

	rpc_call_start(call, &w);
}

void
nfs_pathconf(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh)
{
	struct wire_out w = begin_fh(call, conn, NFS_PATHCONF, fh);

	rpc_call_start(call, &w);
}

void
nfs_commit(struct rpc_call *call, struct rpc_conn *conn, const struct nfs_fh *fh, uint64_t off,
           uint32_t count)
{
	struct wire_out w = begin_fh(call, conn, NFS_COMMIT, fh);

	wire_put_u64(&w, off);
	wire_put_u32(&w, count);
	rpc_call_start(call, &w);
}

struct mount_wait {
	struct rpc_call call;
	struct nfs_fh *root;
	int res;
	bool done;
};

static void
mount_done(struct rpc_call *call)
{
	struct mount_wait *m = (struct mount_wait *)(void *)call;
	struct wire_in w = call->reply;
	uint32_t status, nflavors, len;
	const uint8_t *p;

	m->done = true;
	m->res = call->res;
	if (m->res)
		return;
	status = wire_get_u32(&w);
	m->res = (int)status;
	if (status)
		return;
	p = wire_get_bytes(&w, sizeof(m->root->data), &len);
	nflavors = wire_get_u32(&w);
	for (uint32_t i = 0; i < nflavors && !w.bad; i++)
		wire_get_u32(&w);
	if (w.bad || w.p != w.end || !len) {
		m->res = -EBADMSG;
		return;
	}
	m->root->len = len;
	memcpy(m->root->data, p, len);
}

int
nfs_mount(struct rpc_conn *conn, const char *path, struct nfs_fh *root, int timeout_ms)
{
	struct mount_wait m = { .call.done = mount_done, .root = root };
	struct wire_out w = rpc_call_begin(&m.call, conn, MOUNT_PROGRAM, MOUNT_VERSION, 1);
	int err;

	wire_put_string(&w, path);
	rpc_call_start(&m.call, &w);
	err = rpc_loop_until(conn->loop, &m.done, timeout_ms);
	if (err) {
		/* the call lives on this stack: take it back before that is gone */
		rpc_conn_close(conn);
		rpc_conn_abandon(conn);
		return err;
	}
	return m.res;
}
