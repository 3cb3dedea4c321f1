/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as a client writes and reads them, for the tests of proto/, with the
 * test client's own XDR (tests/client/wire.h).
 */
#ifndef TESTS_FAKE_PROTO_MSG_H
#define TESTS_FAKE_PROTO_MSG_H

#include "proto/handle.h"
#include "proto/nfs3.h"
#include "tests/client/wire.h"
#include "tests/fake/proto_meta.h"

static const struct volume client_volume = { .uuid = "0123456789abcde", .secret = "a secret of thirty-two bytes ..." };

/* ---- what a client sends */

struct client_msg {
	uint8_t bytes[(1 << 20) + 4096]; /* with its mark */
	size_t len;
	struct wire_out w;
	size_t args_at;
};

static uint32_t client_xid = 1000;

static inline void
client_cred_sys(struct wire_out *w, uint32_t uid, uint32_t gid, uint32_t ngids)
{
	wire_put_u32(w, 1);
	wire_put_u32(w, 4 + 4 + 8 + 8 + 4 + 4 * ngids);
	wire_put_u32(w, 99); /* stamp */
	wire_put_string(w, "machine");
	wire_put_u32(w, uid);
	wire_put_u32(w, gid);
	wire_put_u32(w, ngids);
	for (uint32_t i = 0; i < ngids; i++)
		wire_put_u32(w, i == 0 ? 0 : 100 + i);
}

/* A call up to its arguments, AUTH_SYS of uid 0, gid 0 and group 0, 101. */
static inline struct wire_out *
client_begin(struct client_msg *m, uint32_t prog, uint32_t proc)
{
	m->w = (struct wire_out){ .p = m->bytes + 4, .end = m->bytes + sizeof m->bytes };
	wire_put_u32(&m->w, client_xid++);
	wire_put_u32(&m->w, 0);
	wire_put_u32(&m->w, 2);
	wire_put_u32(&m->w, prog);
	wire_put_u32(&m->w, 3);
	wire_put_u32(&m->w, proc);
	client_cred_sys(&m->w, 0, 0, 2);
	wire_put_u32(&m->w, 0);
	wire_put_u32(&m->w, 0);
	m->args_at = (size_t)(m->w.p - m->bytes);
	return &m->w;
}

static inline void
client_mark(uint8_t *at, uint32_t len, bool last)
{
	put_be32(at, len | (last ? 0x80000000u : 0));
}

static inline void
client_end_msg(struct client_msg *m)
{
	fake_need(!m->w.bad, "a message does not fit");
	m->len = (size_t)(m->w.p - m->bytes);
	client_mark(m->bytes, (uint32_t)(m->len - 4), true);
}

static inline void
client_put_fh(struct wire_out *w, uint64_t ino)
{
	struct fref f = { .ino = ino, .gen = 1, .share = 1 };
	uint8_t fh[HANDLE_BYTES];

	handle_encode(fh, &f);
	wire_put_bytes(w, fh, sizeof fh);
}

static inline void
client_put_fh_share(struct wire_out *w, uint64_t ino, uint32_t share)
{
	struct fref f = { .ino = ino, .gen = 1, .share = share };
	uint8_t fh[HANDLE_BYTES];

	handle_encode(fh, &f);
	wire_put_bytes(w, fh, sizeof fh);
}

/* Mode 0600 and size 5. */
static inline void
client_put_sattr(struct wire_out *w)
{
	wire_put_u32(w, 1);
	wire_put_u32(w, 0600);
	wire_put_u32(w, 0);
	wire_put_u32(w, 0);
	wire_put_u32(w, 1);
	wire_put_u64(w, 5);
	wire_put_u32(w, 1); /* atime: the server's time */
	wire_put_u32(w, 2); /* mtime: the client's */
	wire_put_u32(w, 77);
	wire_put_u32(w, 88);
}

/* A valid call of every procedure, of inode `ino`. */
static inline void
client_args(struct wire_out *w, uint32_t proc, uint64_t ino)
{
	switch (proc) {
	case NFS3_NULL:
		break;
	case NFS3_GETATTR:
	case NFS3_READLINK:
	case NFS3_FSSTAT:
	case NFS3_FSINFO:
	case NFS3_PATHCONF:
		client_put_fh(w, ino);
		break;
	case NFS3_SETATTR:
		client_put_fh(w, ino);
		client_put_sattr(w);
		wire_put_u32(w, 1);
		wire_put_u32(w, 3);
		wire_put_u32(w, 4);
		break;
	case NFS3_LOOKUP:
	case NFS3_REMOVE:
	case NFS3_RMDIR:
		client_put_fh(w, ino);
		wire_put_string(w, "name");
		break;
	case NFS3_ACCESS:
		client_put_fh(w, ino);
		wire_put_u32(w, 0x3f);
		break;
	case NFS3_READ:
		client_put_fh(w, ino);
		wire_put_u64(w, 1000);
		wire_put_u32(w, 5001);
		break;
	case NFS3_WRITE:
		client_put_fh(w, ino);
		wire_put_u64(w, 4096);
		wire_put_u32(w, 6);
		wire_put_u32(w, 2);
		wire_put_bytes(w, "abcdef", 6);
		break;
	case NFS3_CREATE:
		client_put_fh(w, ino);
		wire_put_string(w, "new");
		wire_put_u32(w, 1);
		client_put_sattr(w);
		break;
	case NFS3_MKDIR:
		client_put_fh(w, ino);
		wire_put_string(w, "newdir");
		client_put_sattr(w);
		break;
	case NFS3_SYMLINK:
		client_put_fh(w, ino);
		wire_put_string(w, "link");
		client_put_sattr(w);
		wire_put_string(w, "../target");
		break;
	case NFS3_MKNOD:
		client_put_fh(w, ino);
		wire_put_string(w, "node");
		wire_put_u32(w, FT_CHR);
		client_put_sattr(w);
		wire_put_u32(w, 8);
		wire_put_u32(w, 9);
		break;
	case NFS3_RENAME:
		client_put_fh(w, ino);
		wire_put_string(w, "from");
		client_put_fh(w, ino + 1);
		wire_put_string(w, "to");
		break;
	case NFS3_LINK:
		client_put_fh(w, ino);
		client_put_fh(w, ino + 1);
		wire_put_string(w, "name");
		break;
	case NFS3_READDIR:
		client_put_fh(w, ino);
		wire_put_u64(w, 0);
		wire_put_u64(w, 0);
		wire_put_u32(w, 4096);
		break;
	case NFS3_READDIRPLUS:
		client_put_fh(w, ino);
		wire_put_u64(w, 0);
		wire_put_u64(w, 0);
		wire_put_u32(w, 4096);
		wire_put_u32(w, 32768);
		break;
	case NFS3_COMMIT:
		client_put_fh(w, ino);
		wire_put_u64(w, 10);
		wire_put_u32(w, 20);
		break;
	default:
		fake_need(false, "no such procedure");
	}
}

static inline void
client_call(struct client_msg *m, uint32_t proc, uint64_t ino)
{
	client_args(client_begin(m, NFS3_PROGRAM, proc), proc, ino);
	client_end_msg(m);
}

#endif
