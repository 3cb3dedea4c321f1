/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments of NFSv3 against an XDR of our own (tests/client/wire.h), so that no mistake is made twice alike;
 * results are in test_nfs3_xdr_put.c.
 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/proto_client.h"

#include "proto/nfs3_xdr.h"

static struct client_msg msg;
static struct xdr d;

static void
setup(void)
{
	handle_init(&client_volume);
}

TestSuite(nfs3_xdr, .init = setup);

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
static struct nfs3_readdir_args ra;

static void
decode(uint32_t proc)
{
	switch ((enum nfs3_proc)proc) {
	case NFS3_NULL: case NFS3_PROCS: break;
	case NFS3_GETATTR: case NFS3_FSINFO: case NFS3_PATHCONF: nfs3_get_getattr(&d, &u.getattr); break;
	case NFS3_SETATTR: nfs3_get_setattr(&d, &u.setattr); break;
	case NFS3_LOOKUP: nfs3_get_lookup(&d, &u.lookup); break;
	case NFS3_ACCESS: nfs3_get_access(&d, &u.access); break;
	case NFS3_READLINK: nfs3_get_readlink(&d, &u.readlink); break;
	case NFS3_READ: nfs3_get_read(&d, &u.read); break;
	case NFS3_WRITE: nfs3_get_write(&d, &u.write); break;
	case NFS3_CREATE: nfs3_get_create(&d, &u.create); break;
	case NFS3_MKDIR: nfs3_get_mkdir(&d, &u.create); break;
	case NFS3_SYMLINK: nfs3_get_symlink(&d, &u.create); break;
	case NFS3_MKNOD: nfs3_get_mknod(&d, &u.create); break;
	case NFS3_REMOVE: case NFS3_RMDIR: nfs3_get_remove(&d, &u.unlink); break;
	case NFS3_RENAME: nfs3_get_rename(&d, &u.rename); break;
	case NFS3_LINK: nfs3_get_link(&d, &u.link); break;
	case NFS3_READDIR: nfs3_get_readdir(&d, &u.readdir, &ra); break;
	case NFS3_READDIRPLUS: nfs3_get_readdirplus(&d, &u.readdir, &ra); break;
	case NFS3_FSSTAT: nfs3_get_fsstat(&d, &u.fsstat); break;
	case NFS3_COMMIT: nfs3_get_commit(&d, &u.commit); break;
	}
}

/* The arguments alone, aligned, in memory that ends where they do. */
static void
decode_bytes(uint32_t proc, const uint8_t *p, size_t len)
{
	size_t room = ROUND_UP(len, 8) + 8;
	uint8_t *mem = aligned_alloc(8, room), *at = mem + room - ROUND_UP(len, 4);

	memset(&u, 0x5a, sizeof u); /* what the decoder leaves is seen */
	memcpy(at, p, len);
	xdr_in(&d, at, len);
	decode(proc);
	free(mem);
}

/* All whole arguments are good; cut at any byte they are bad, and nothing is read behind the cut. */
Test(nfs3_xdr, truncated_at_every_byte)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		struct wire_out w = { .p = msg.bytes, .end = msg.bytes + 4096 };
		size_t len;

		client_args(&w, proc, 7);
		len = (size_t)(w.p - msg.bytes);
		decode_bytes(proc, msg.bytes, len);
		cr_assert(not(d.bad), "procedure %u", proc);
		cr_assert(eq(int, d.err, 0));
		if (proc == NFS3_WRITE)
			len -= 8; /* the payload is not the decoder's */
		for (size_t i = 0; i < len; i++) {
			decode_bytes(proc, msg.bytes, i);
			cr_assert(d.bad, "procedure %u cut at %zu of %zu", proc, i, len);
		}
	}
}

/* Every length and count field made huge, every byte turned around: no crash, and nothing read behind the end (ASan). */
Test(nfs3_xdr, every_byte_changed)
{
	for (uint32_t proc = 1; proc < NFS3_PROCS; proc++) {
		struct wire_out w = { .p = msg.bytes, .end = msg.bytes + 4096 };
		size_t len;

		client_args(&w, proc, 7);
		len = (size_t)(w.p - msg.bytes);
		for (size_t i = 0; i < len; i++) {
			static const uint8_t with[] = { 0x01, 0x80, 0xff };

			for (size_t k = 0; k < sizeof with; k++) {
				msg.bytes[i] ^= with[k];
				decode_bytes(proc, msg.bytes, len);
				msg.bytes[i] ^= with[k];
			}
		}
	}
}

static struct wire_out
args(void)
{
	return (struct wire_out){ .p = msg.bytes, .end = msg.bytes + 8192 };
}

static void
run(uint32_t proc, const struct wire_out *w)
{
	cr_assert(not(w->bad));
	memset(&u, 0x5a, sizeof u);
	xdr_in(&d, msg.bytes, (size_t)(w->p - msg.bytes));
	decode(proc);
}

Test(nfs3_xdr, handles)
{
	static const uint8_t junk[64];

	for (uint32_t len = 0; len <= 68; len++) {
		struct wire_out w = args();

		wire_put_bytes(&w, len <= 64 ? junk : msg.bytes + 100, len);
		run(NFS3_GETATTR, &w);
		cr_assert(eq(int, d.bad, len > 64), "%u bytes", len);
		if (len <= 64)
			cr_assert(eq(int, d.err, -E_BADHANDLE));
	}
	struct wire_out w = args();
	client_put_fh_share(&w, 77, 5);
	run(NFS3_GETATTR, &w);
	cr_assert(eq(u64, u.getattr.req.f.ino, 77));
	cr_assert(eq(u64, u.getattr.req.f.gen, 1));
	cr_assert(eq(u32, u.getattr.req.f.share, 5));
	cr_assert(not(u.getattr.req.once.used));
}

Test(nfs3_xdr, setattr)
{
	struct wire_out w = args();
	const struct sattr *s = &u.setattr.sattr;

	client_args(&w, NFS3_SETATTR, 7);
	run(NFS3_SETATTR, &w);
	cr_assert(s->set_mode && s->set_size && !s->set_uid && !s->set_gid);
	cr_assert(eq(u32, s->mode, 0600));
	cr_assert(eq(u64, s->size, 5));
	cr_assert(eq(int, s->set_atime, TIME_SERVER));
	cr_assert(eq(int, s->set_mtime, TIME_CLIENT));
	cr_assert(eq(u64, s->mtime_ns, 77000000088));
	cr_assert(u.setattr.has_guard);
	cr_assert(eq(u64, u.setattr.guard_ctime_ns, 3000000004));

	/* All the other ways. */
	w = args();
	client_put_fh(&w, 7);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 1);
	wire_put_u32(&w, 11);
	wire_put_u32(&w, 1);
	wire_put_u32(&w, 12);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 2);
	wire_put_u32(&w, 0xffffffff);
	wire_put_u32(&w, 999999999);
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 0);
	run(NFS3_SETATTR, &w);
	cr_assert(not(d.bad));
	cr_assert(s->set_uid && s->set_gid && !s->set_mode && !s->set_size);
	cr_assert(eq(u32, s->uid, 11));
	cr_assert(eq(u32, s->gid, 12));
	cr_assert(eq(u64, s->atime_ns, 0xffffffff * (uint64_t)1000000000 + 999999999));
	cr_assert(eq(int, s->set_mtime, TIME_KEEP));
	cr_assert(not(u.setattr.has_guard));
	put_be32(w.p - 12, 1000000000); /* no such nanosecond */
	run(NFS3_SETATTR, &w);
	cr_assert(eq(int, d.err, -EINVAL));
}

Test(nfs3_xdr, names)
{
	struct wire_out w = args();

	client_args(&w, NFS3_RENAME, 7);
	run(NFS3_RENAME, &w);
	cr_assert(eq(u32, u.rename.from.len, 4));
	cr_assert(memcmp(u.rename.from.s, "from", 4) == 0);
	cr_assert(eq(u32, u.rename.to.len, 2));
	cr_assert(memcmp(u.rename.to.s, "to", 2) == 0);
	cr_assert(u.rename.to.s == (char *)w.p - 4); /* not copied */
	cr_assert(eq(u64, u.rename.to_dir.ino, 8));
	/* Empty is for meta to refuse. */
	w = args();
	client_put_fh(&w, 7);
	wire_put_string(&w, "");
	run(NFS3_LOOKUP, &w);
	cr_assert(not(d.bad));
	cr_assert(eq(u32, u.lookup.name.len, 0));
}

Test(nfs3_xdr, two_shares)
{
	struct wire_out w = args();

	client_put_fh_share(&w, 7, 1);
	wire_put_string(&w, "a");
	client_put_fh_share(&w, 8, 2);
	wire_put_string(&w, "b");
	run(NFS3_RENAME, &w);
	cr_assert(eq(int, d.err, -EXDEV));
	w = args();
	client_put_fh_share(&w, 7, 1);
	client_put_fh_share(&w, 8, 2);
	wire_put_string(&w, "b");
	run(NFS3_LINK, &w);
	cr_assert(eq(int, d.err, -EXDEV));
}

Test(nfs3_xdr, create_exclusive)
{
	struct wire_out w = args();

	client_put_fh(&w, 7);
	wire_put_string(&w, "a");
	wire_put_u32(&w, 2);
	wire_put_u64(&w, 0x0102030405060708);
	run(NFS3_CREATE, &w);
	cr_assert(not(d.bad));
	cr_assert(eq(int, u.create.how, CREATE_EXCLUSIVE));
	cr_assert(eq(u64, u.create.verf, 0x0102030405060708));
	cr_assert(not(u.create.sattr.set_mode));
	cr_assert(eq(u32, u.create.type, FT_REG));
}

Test(nfs3_xdr, mknod_types)
{
	for (uint32_t type = 0; type < 10; type++) {
		struct wire_out w = args();

		client_put_fh(&w, 7);
		wire_put_string(&w, "a");
		wire_put_u32(&w, type);
		client_put_sattr(&w);
		wire_put_u32(&w, 8);
		wire_put_u32(&w, 9);
		run(NFS3_MKNOD, &w);
		cr_assert(eq(int, d.bad, type == 0 || type > FT_FIFO), "type %u", type);
		if (type == FT_CHR || type == FT_BLK)
			cr_assert(eq(u32, u.create.rdev_minor, 9));
		if (type >= FT_REG && type <= FT_FIFO)
			cr_assert(eq(int, d.err, type == FT_REG || type == FT_DIR || type == FT_LNK ? -E_BADTYPE : 0));
	}
}

Test(nfs3_xdr, values_that_the_types_do_not_have)
{
	struct wire_out w = args();

	client_args(&w, NFS3_CREATE, 7);
	put_be32(w.p - 44, 3); /* createmode3 */
	run(NFS3_CREATE, &w);
	cr_assert(d.bad);
	w = args();
	client_args(&w, NFS3_WRITE, 7);
	put_be32(w.p - 16, 3); /* stable_how */
	run(NFS3_WRITE, &w);
	cr_assert(d.bad);
	w = args();
	client_args(&w, NFS3_SETATTR, 7);
	put_be32(w.p - 12, 2); /* a bool */
	run(NFS3_SETATTR, &w);
	cr_assert(d.bad);
}

Test(nfs3_xdr, numbers)
{
	struct wire_out w = args();

	client_args(&w, NFS3_READ, 7);
	run(NFS3_READ, &w);
	cr_assert(eq(u64, u.read.off, 1000));
	cr_assert(eq(u32, u.read.count, 5001));
	put_be32(w.p - 4, 0xffffffff);
	run(NFS3_READ, &w);
	cr_assert(eq(u32, u.read.count, FILE_IO_MAX));
	w = args();
	client_args(&w, NFS3_WRITE, 7);
	run(NFS3_WRITE, &w);
	cr_assert(eq(u64, u.write.off, 4096));
	cr_assert(eq(u32, u.write.count, 6));
	cr_assert(eq(u32, u.write.stable, STABLE_FILE_SYNC));
	cr_assert(eq(u32, u.write.data_len, 6));
	w = args();
	client_args(&w, NFS3_COMMIT, 7);
	run(NFS3_COMMIT, &w);
	cr_assert(eq(u64, u.commit.off, 10));
	cr_assert(eq(u32, u.commit.count, 20));
	w = args();
	client_args(&w, NFS3_READDIRPLUS, 7);
	run(NFS3_READDIRPLUS, &w);
	cr_assert(u.readdir.plus);
	cr_assert(eq(u32, ra.dircount, 4096));
	cr_assert(eq(u32, ra.maxcount, 32768));
	put_be64(w.p - 24, 5); /* a cookie, with a verifier that we never gave */
	put_be64(w.p - 16, 1);
	run(NFS3_READDIRPLUS, &w);
	cr_assert(eq(int, d.err, -E_BADCOOKIE));
	put_be64(w.p - 16, 0);
	run(NFS3_READDIRPLUS, &w);
	cr_assert(eq(int, d.err, 0));
	cr_assert(eq(u64, u.readdir.cookie, 5));
}
