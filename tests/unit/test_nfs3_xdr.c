/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments and results of NFSv3 against an XDR of our own (tests/client/wire.h),
 * so that no mistake is made twice alike.
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

/* ---- results */

static uint8_t out[300000] __attribute__((aligned(8)));
static struct xdr e;
static struct wire_out want;
static const struct fref dir = { .ino = 7, .gen = 1, .share = 1 }, file = { .ino = 8, .gen = 3, .share = 1 };

static void
begin(void)
{
	xdr_out(&e, out, sizeof out);
	want = (struct wire_out){ .p = msg.bytes, .end = msg.bytes + 300000 };
}

static void
same(const char *what)
{
	size_t n = (size_t)(want.p - msg.bytes);

	cr_assert(not(e.bad), "%s", what);
	cr_assert(eq(sz, xdr_pos(&e), n), "%s", what);
	cr_assert(memcmp(out, msg.bytes, n) == 0, "%s", what);
}

/* RFC 1813 §2.6, of fake_attr. */
static void
want_attr(uint64_t ino, uint32_t type)
{
	wire_put_u32(&want, type);
	wire_put_u32(&want, 0640);
	wire_put_u32(&want, 3);
	wire_put_u32(&want, 10);
	wire_put_u32(&want, 20);
	wire_put_u64(&want, 1000 + ino);
	wire_put_u64(&want, 4096);
	wire_put_u32(&want, 4);
	wire_put_u32(&want, 5);
	wire_put_u64(&want, 1); /* fsid */
	wire_put_u64(&want, ino);
	for (uint32_t i = 1; i <= 3; i++) {
		wire_put_u32(&want, i);
		wire_put_u32(&want, i);
	}
}

static void
want_post(uint64_t ino, uint32_t type)
{
	wire_put_u32(&want, 1);
	want_attr(ino, type);
}

static void
want_wcc(uint64_t ino, uint32_t type)
{
	wire_put_u32(&want, 1);
	wire_put_u64(&want, 7 + ino);
	wire_put_u32(&want, 5);
	wire_put_u32(&want, 6);
	wire_put_u32(&want, 7);
	wire_put_u32(&want, 8);
	want_post(ino, type);
}

static void
want_fh(const struct fref *f)
{
	uint8_t fh[HANDLE_BYTES];

	handle_encode(fh, f);
	wire_put_bytes(&want, fh, sizeof fh);
}

Test(nfs3_xdr, put_getattr)
{
	struct meta_getattr m = { .attr = fake_attr(&dir, FT_DIR) };

	begin();
	nfs3_put_getattr(&e, NFS3_OK, &m);
	wire_put_u32(&want, 0);
	want_attr(7, FT_DIR);
	same("GETATTR");
	begin();
	nfs3_put_getattr(&e, NFS3ERR_STALE, &m);
	wire_put_u32(&want, 70);
	same("GETATTR3resfail");
}

Test(nfs3_xdr, put_setattr)
{
	struct meta_setattr m = { .wcc = fake_wcc(&file, FT_REG) };

	for (uint32_t st = 0; st < 2; st++) {
		begin();
		nfs3_put_setattr(&e, (enum nfsstat3)st, &m);
		wire_put_u32(&want, st);
		want_wcc(8, FT_REG);
		same("SETATTR");
	}
	m.wcc = (struct wcc){ .has_pre = false };
	begin();
	nfs3_put_setattr(&e, NFS3ERR_IO, &m);
	wire_put_u32(&want, 5);
	wire_put_u32(&want, 0);
	wire_put_u32(&want, 0);
	same("SETATTR without attributes");
}

Test(nfs3_xdr, put_lookup)
{
	struct meta_lookup m = { .child = file, .attr = fake_attr(&file, FT_REG), .has_dir = true,
	                         .dir = fake_attr(&dir, FT_DIR) };

	begin();
	nfs3_put_lookup(&e, NFS3_OK, &m);
	wire_put_u32(&want, 0);
	want_fh(&file);
	want_post(8, FT_REG);
	want_post(7, FT_DIR);
	same("LOOKUP");
	begin();
	nfs3_put_lookup(&e, NFS3ERR_NOENT, &m);
	wire_put_u32(&want, 2);
	want_post(7, FT_DIR);
	same("LOOKUP3resfail");
}

Test(nfs3_xdr, put_access_readlink_commit)
{
	struct meta_access a = { .mask = 7, .attr = fake_attr(&dir, FT_DIR) };
	struct meta_readlink l = { .len = 9, .has_attr = true, .attr = fake_attr(&file, FT_LNK) };
	struct file_commit c = { .wcc = fake_wcc(&file, FT_REG), .verf = 99 };

	begin();
	nfs3_put_access(&e, NFS3_OK, &a);
	wire_put_u32(&want, 0);
	want_post(7, FT_DIR);
	wire_put_u32(&want, 7);
	same("ACCESS");
	begin();
	nfs3_put_access(&e, NFS3ERR_STALE, &a);
	wire_put_u32(&want, 70);
	wire_put_u32(&want, 0);
	same("ACCESS3resfail");
	begin();
	nfs3_put_readlink(&e, NFS3_OK, &l);
	wire_put_u32(&want, 0);
	want_post(8, FT_LNK);
	wire_put_u32(&want, 9);
	same("READLINK");
	begin();
	nfs3_put_readlink(&e, NFS3ERR_INVAL, &l);
	wire_put_u32(&want, 22);
	want_post(8, FT_LNK);
	same("READLINK3resfail");
	begin();
	nfs3_put_commit(&e, NFS3_OK, &c);
	wire_put_u32(&want, 0);
	want_wcc(8, FT_REG);
	wire_put_u64(&want, 99);
	same("COMMIT");
	begin();
	nfs3_put_commit(&e, NFS3ERR_IO, &c);
	wire_put_u32(&want, 5);
	want_wcc(8, FT_REG);
	same("COMMIT3resfail");
}

Test(nfs3_xdr, put_read_write)
{
	static struct file_read r;
	struct file_write w = { .wcc = fake_wcc(&file, FT_REG), .count = 6, .committed = STABLE_FILE_SYNC, .verf = 5 };

	r = (struct file_read){ .has_attr = true, .attr = fake_attr(&file, FT_REG), .len = 77, .eof = true };
	begin();
	nfs3_put_read(&e, NFS3_OK, &r);
	wire_put_u32(&want, 0);
	want_post(8, FT_REG);
	wire_put_u32(&want, 77);
	wire_put_u32(&want, 1);
	wire_put_u32(&want, 77);
	same("READ");
	begin();
	nfs3_put_read(&e, NFS3ERR_IO, &r);
	wire_put_u32(&want, 5);
	want_post(8, FT_REG);
	same("READ3resfail");
	begin();
	nfs3_put_write(&e, NFS3_OK, &w);
	wire_put_u32(&want, 0);
	want_wcc(8, FT_REG);
	wire_put_u32(&want, 6);
	wire_put_u32(&want, 2);
	wire_put_u64(&want, 5);
	same("WRITE");
	begin();
	nfs3_put_write(&e, NFS3ERR_NOSPC, &w);
	wire_put_u32(&want, 28);
	want_wcc(8, FT_REG);
	same("WRITE3resfail");
}

Test(nfs3_xdr, put_create_rename_link)
{
	struct meta_create c = { .child = file, .attr = fake_attr(&file, FT_REG), .dir = fake_wcc(&dir, FT_DIR) };
	struct meta_rename r = { .from_wcc = fake_wcc(&dir, FT_DIR), .to_wcc = fake_wcc(&file, FT_DIR) };
	struct meta_link l = { .has_attr = true, .attr = fake_attr(&file, FT_REG), .dir_wcc = fake_wcc(&dir, FT_DIR) };

	begin();
	nfs3_put_create(&e, NFS3_OK, &c);
	wire_put_u32(&want, 0);
	wire_put_u32(&want, 1);
	want_fh(&file);
	want_post(8, FT_REG);
	want_wcc(7, FT_DIR);
	same("CREATE");
	cr_assert(le(u32, xdr_pos(&e), NFS3_RESULT_MAX));
	begin();
	nfs3_put_create(&e, NFS3ERR_EXIST, &c);
	wire_put_u32(&want, 17);
	want_wcc(7, FT_DIR);
	same("CREATE3resfail");
	for (uint32_t st = 0; st < 2; st++) {
		begin();
		nfs3_put_rename(&e, (enum nfsstat3)st, &r);
		wire_put_u32(&want, st);
		want_wcc(7, FT_DIR);
		want_wcc(8, FT_DIR);
		same("RENAME");
		cr_assert(le(u32, xdr_pos(&e), NFS3_RESULT_MAX));
		begin();
		nfs3_put_link(&e, (enum nfsstat3)st, &l);
		wire_put_u32(&want, st);
		want_post(8, FT_REG);
		want_wcc(7, FT_DIR);
		same("LINK");
	}
}

Test(nfs3_xdr, put_fs)
{
	struct meta_fsstat s = { .has_attr = true, .attr = fake_attr(&dir, FT_DIR), .total_bytes = 10, .free_bytes = 5,
	                         .total_inodes = 8, .free_inodes = 4 };
	struct meta_getattr g = { .attr = fake_attr(&dir, FT_DIR) };

	begin();
	nfs3_put_fsstat(&e, NFS3_OK, &s);
	wire_put_u32(&want, 0);
	want_post(7, FT_DIR);
	static const uint64_t numbers[] = { 10, 5, 5, 8, 4, 4 };
	for (int i = 0; i < 6; i++)
		wire_put_u64(&want, numbers[i]);
	wire_put_u32(&want, 0);
	same("FSSTAT");
	begin();
	nfs3_put_fsinfo(&e, NFS3_OK, &g);
	wire_put_u32(&want, 0);
	want_post(7, FT_DIR);
	static const uint32_t sizes[] = { 1 << 20, 1 << 20, 4096, 1 << 20, 1 << 20, 4096, 1 << 20 };
	for (int i = 0; i < 7; i++)
		wire_put_u32(&want, sizes[i]);
	wire_put_u64(&want, FILE_SIZE_MAX);
	wire_put_u32(&want, 0);
	wire_put_u32(&want, 1);
	wire_put_u32(&want, 0x1b);
	same("FSINFO");
	begin();
	nfs3_put_pathconf(&e, NFS3_OK, &g);
	wire_put_u32(&want, 0);
	want_post(7, FT_DIR);
	static const uint32_t conf[] = { LINK_MAX_DITTO, 255, 1, 1, 0, 1 };
	for (int i = 0; i < 6; i++)
		wire_put_u32(&want, conf[i]);
	same("PATHCONF");
	begin();
	nfs3_put_pathconf(&e, NFS3ERR_STALE, &g);
	wire_put_u32(&want, 70);
	wire_put_u32(&want, 0);
	same("PATHCONF3resfail");
}

static struct readdir_entry entries[8];

/* The page in one piece. */
static void
put_readdir(enum nfsstat3 st, const struct meta_readdir *m, uint32_t dircount)
{
	uint32_t n = nfs3_readdir_cut(m, dircount), head;

	nfs3_put_readdir(&e, st, m);
	if (st != NFS3_OK)
		return;
	head = xdr_pos(&e);
	for (uint32_t i = 0; i < n; i++)
		nfs3_put_entry(&e, m, i);
	if (entries[1].has_attr)
		cr_assert(eq(u32, xdr_pos(&e) - head, nfs3_entries_bytes(m, n)));
	nfs3_put_readdir_end(&e, m->eof && n == m->n);
}

static struct meta_readdir
page(bool plus)
{
	struct meta_readdir m = { .req.f = dir, .plus = plus,
	                          .entry_bytes = plus ? NFS3_ENTRYPLUS_BYTES : NFS3_ENTRY_BYTES, .entry = entries, .names = (char *)(uintptr_t)"aabbbccccddddd",
	                          .n = 4, .eof = true, .has_dir = true, .dir = fake_attr(&dir, FT_DIR) };
	uint32_t off = 0;

	for (uint32_t i = 0; i < 4; i++) {
		struct fref f = { .ino = 100 + i, .gen = 2, .share = 1 };

		entries[i] = (struct readdir_entry){ .ino = f.ino, .gen = 2, .cookie = 3 + i / 2, .type = FT_REG,
		                                     .name_len = (uint16_t)(2 + i), .name_off = off, .has_attr = i != 1,
		                                     .attr = fake_attr(&f, FT_REG) };
		off += 2 + i;
	}
	return m;
}

static void
want_page(const struct meta_readdir *m, uint32_t n, bool eof)
{
	wire_put_u32(&want, 0);
	want_post(7, FT_DIR);
	wire_put_u64(&want, 0);
	for (uint32_t i = 0; i < n; i++) {
		const struct readdir_entry *r = &m->entry[i];

		wire_put_u32(&want, 1);
		wire_put_u64(&want, r->ino);
		wire_put_bytes(&want, m->names + r->name_off, r->name_len);
		wire_put_u64(&want, r->cookie);
		if (!m->plus)
			continue;
		if (r->has_attr)
			want_post(r->ino, FT_REG);
		else
			wire_put_u32(&want, 0);
		wire_put_u32(&want, 1);
		want_fh(&(struct fref){ .ino = r->ino, .gen = 2, .share = 1 });
	}
	wire_put_u32(&want, 0);
	wire_put_u32(&want, eof);
}

Test(nfs3_xdr, put_readdir)
{
	for (int plus = 0; plus < 2; plus++) {
		struct meta_readdir m = page(plus);

		begin();
		put_readdir(NFS3_OK, &m, 0);
		want_page(&m, 4, true);
		same("READDIR");
		m.eof = false;
		begin();
		put_readdir(NFS3_OK, &m, 0);
		want_page(&m, 4, false);
		same("READDIR in the middle");
		begin();
		put_readdir(NFS3ERR_NOTDIR, &m, 0);
		wire_put_u32(&want, 20);
		want_post(7, FT_DIR);
		same("READDIR3resfail");
	}
}

/* What is declared per entry and per page is what they take. */
Test(nfs3_xdr, declared_sizes)
{
	for (int plus = 0; plus < 2; plus++) {
		struct meta_readdir m = page(plus);
		uint32_t sum = NFS3_PAGE_BYTES;

		entries[1].has_attr = true;
		for (uint32_t i = 0; i < m.n; i++)
			sum += (plus ? NFS3_ENTRYPLUS_BYTES : NFS3_ENTRY_BYTES) + ROUND_UP(entries[i].name_len, 4u);
		begin();
		put_readdir(NFS3_OK, &m, 0);
		cr_assert(eq(u32, xdr_pos(&e), 4 + sum));
	}
}

/* Entries 0, 1 share a cookie, and 2, 3: the page ends between the pairs, never within. */
Test(nfs3_xdr, dircount_cuts_between_cookies)
{
	struct meta_readdir m = page(true);

	for (uint32_t dircount = 1; dircount < 200; dircount++) {
		uint32_t all = 4 * NFS3_ENTRY_BYTES + 4 + 4 + 4 + 8;

		begin();
		put_readdir(NFS3_OK, &m, dircount);
		want_page(&m, dircount >= all ? 4 : 2, dircount >= all);
		same("READDIRPLUS");
	}
}
