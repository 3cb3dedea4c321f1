/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/handle.h"
#include "proto/mount3_xdr.h"
#include "tests/client/wire.h"

static uint8_t out[4096] __attribute__((aligned(8))), bytes[4096] __attribute__((aligned(8)));

static void
same(struct xdr *e, const struct wire_out *w)
{
	cr_assert(not(e->bad));
	cr_assert(eq(sz, xdr_pos(e), (size_t)(w->p - bytes)));
	cr_assert(memcmp(out, bytes, xdr_pos(e)) == 0);
}

static struct wire_out
want(void)
{
	return (struct wire_out){ .p = bytes, .end = bytes + sizeof bytes };
}

Test(mount3_xdr, path)
{
	for (uint32_t len = 0; len < 1040; len += 13) {
		struct wire_out w = want();
		struct mount3_path p;
		struct xdr d;

		wire_put_bytes(&w, out, len);
		xdr_in(&d, bytes, (size_t)(w.p - bytes));
		mount3_get_path(&d, &p);
		cr_assert(eq(int, d.bad, len > MNTPATHLEN));
		if (!d.bad)
			cr_assert(eq(u32, p.len, len));
		for (size_t cut = 0; cut < (size_t)(w.p - bytes); cut += 3) {
			xdr_in(&d, bytes, cut);
			mount3_get_path(&d, &p);
			cr_assert(d.bad);
		}
	}
}

Test(mount3_xdr, mnt)
{
	struct volume vol = { .uuid = "x" };
	struct fref root = { .ino = 9, .gen = 1, .share = 1 };
	uint8_t fh[HANDLE_BYTES];
	struct wire_out w = want();
	struct xdr e;

	handle_init(&vol);
	handle_encode(fh, &root);
	xdr_out(&e, out, sizeof out);
	mount3_put_mnt(&e, MNT3_OK, &root);
	wire_put_u32(&w, 0);
	wire_put_bytes(&w, fh, sizeof fh);
	wire_put_u32(&w, 1);
	wire_put_u32(&w, 1);
	same(&e, &w);
	xdr_out(&e, out, sizeof out);
	mount3_put_mnt(&e, MNT3ERR_ACCES, &root);
	w = want();
	wire_put_u32(&w, 13);
	same(&e, &w);
}

static struct mount3_entry list[40];

Test(mount3_xdr, dump)
{
	struct wire_out w = want();
	struct xdr e;

	for (int i = 0; i < 40; i++) {
		snprintf(list[i].host, sizeof list[i].host, "10.0.0.%d", i);
		memset(list[i].dir, 'd', sizeof list[i].dir - 1);
	}
	xdr_out(&e, out, sizeof out);
	mount3_put_dump(&e, list, 2);
	for (int i = 0; i < 2; i++) {
		wire_put_u32(&w, 1);
		wire_put_string(&w, list[i].host);
		wire_put_string(&w, list[i].dir);
	}
	wire_put_u32(&w, 0);
	same(&e, &w);
	/* More than fits: it ends, well formed. */
	xdr_out(&e, out, sizeof out);
	mount3_put_dump(&e, list, 40);
	cr_assert(not(e.bad));
	cr_assert(lt(u32, 3000, xdr_pos(&e)));
	cr_assert(eq(u32, get_be32(out + xdr_pos(&e) - 4), 0));
}

Test(mount3_xdr, exports)
{
	struct export ex[2] = { { .name = "/export" }, { .name = "/nobody" } };
	struct wire_out w = want();
	struct xdr e;
	char why[256];

	cr_assert(eq(int, export_net_parse(&ex[0].net[ex[0].nnets++], "10.0.0.0/8", why), 0));
	cr_assert(eq(int, export_net_parse(&ex[0].net[ex[0].nnets++], "*", why), 0));
	xdr_out(&e, out, sizeof out);
	mount3_put_exports(&e, ex, 2);
	wire_put_u32(&w, 1);
	wire_put_string(&w, "/export");
	wire_put_u32(&w, 1);
	wire_put_string(&w, "10.0.0.0/8");
	wire_put_u32(&w, 1);
	wire_put_string(&w, "*");
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 1);
	wire_put_string(&w, "/nobody");
	wire_put_u32(&w, 0);
	wire_put_u32(&w, 0);
	same(&e, &w);
}
