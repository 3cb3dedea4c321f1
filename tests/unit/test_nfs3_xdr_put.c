/* SPDX-License-Identifier: Apache-2.0 */
/* Results of NFSv3 against an XDR of our own, as test_nfs3_xdr.c has the arguments. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/fake/proto_client.h"

#include "proto/nfs3_xdr.h"

static struct client_msg msg;

static void
setup(void)
{
	handle_init(&client_volume);
}

TestSuite(nfs3_xdr_put, .init = setup);

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

Test(nfs3_xdr_put, getattr)
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

Test(nfs3_xdr_put, setattr)
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

Test(nfs3_xdr_put, lookup)
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

Test(nfs3_xdr_put, access_readlink_commit)
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

Test(nfs3_xdr_put, read_write)
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

Test(nfs3_xdr_put, create_rename_link)
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

Test(nfs3_xdr_put, fs)
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

Test(nfs3_xdr_put, readdir)
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
Test(nfs3_xdr_put, declared_sizes)
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
Test(nfs3_xdr_put, dircount_cuts_between_cookies)
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
