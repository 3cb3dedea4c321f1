/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdlib.h>

#include "proto/rpc.h"
#include "tests/client/wire.h"

static uint8_t bytes[2048] __attribute__((aligned(8)));

/* A call's header; the credential's body is `cred`, cred_len bytes. */
static size_t
header(uint32_t type, uint32_t rpcvers, uint32_t flavor, const void *cred, uint32_t cred_len, uint32_t verf_flavor,
       uint32_t verf_len)
{
	struct wire_out w = { .p = bytes, .end = bytes + sizeof bytes };
	static const uint8_t verf[1000];

	wire_put_u32(&w, 0xdeadbeef);
	wire_put_u32(&w, type);
	wire_put_u32(&w, rpcvers);
	wire_put_u32(&w, 100003);
	wire_put_u32(&w, 3);
	wire_put_u32(&w, 6);
	wire_put_u32(&w, flavor);
	wire_put_bytes(&w, cred, cred_len);
	wire_put_u32(&w, verf_flavor);
	wire_put_bytes(&w, verf, verf_len);
	cr_assert(not(w.bad));
	return (size_t)(w.p - bytes);
}

static uint8_t sys[2048];

static uint32_t
auth_sys(uint32_t name_len, uint32_t ngids)
{
	struct wire_out w = { .p = sys, .end = sys + sizeof sys };
	static const uint8_t name[400];

	wire_put_u32(&w, 1);
	wire_put_bytes(&w, name, name_len);
	wire_put_u32(&w, 1000);
	wire_put_u32(&w, 2000);
	wire_put_u32(&w, ngids);
	for (uint32_t i = 0; i < ngids; i++)
		wire_put_u32(&w, 3000 + i);
	cr_assert(not(w.bad));
	return (uint32_t)(w.p - sys);
}

Test(rpc, auth_none)
{
	struct rpc_head h;
	size_t n = header(0, 2, 0, NULL, 0, 0, 0);

	cr_assert(eq(int, rpc_parse(&h, bytes, n), RPC_OK));
	cr_assert(eq(u32, h.xid, 0xdeadbeef));
	cr_assert(eq(u32, h.prog, 100003));
	cr_assert(eq(u32, h.vers, 3));
	cr_assert(eq(u32, h.proc, 6));
	cr_assert(not(h.has_cred));
	cr_assert(eq(u32, h.len, n));
}

Test(rpc, auth_sys_with_groups)
{
	for (uint32_t ngids = 0; ngids <= 16; ngids++) {
		struct rpc_head h;
		size_t n = header(0, 2, 1, sys, auth_sys(5, ngids), 0, 0);

		cr_assert(eq(int, rpc_parse(&h, bytes, n), RPC_OK));
		cr_assert(h.has_cred);
		cr_assert(eq(u32, h.cred.uid, 1000));
		cr_assert(eq(u32, h.cred.gid, 2000));
		cr_assert(eq(u32, h.cred.ngids, ngids));
		for (uint32_t i = 0; i < ngids; i++)
			cr_assert(eq(u32, h.cred.gids[i], 3000 + i));
		cr_assert(eq(u32, h.len, n));
	}
}

static void
refused(size_t n, enum rpc_auth why)
{
	struct rpc_head h;

	cr_assert(eq(int, rpc_parse(&h, bytes, n), RPC_BAD_AUTH));
	cr_assert(eq(int, h.auth_stat, why));
	cr_assert(eq(u32, h.xid, 0xdeadbeef));
}

Test(rpc, bad_credentials)
{
	uint32_t n;

	refused(header(0, 2, 1, sys, auth_sys(5, 17), 0, 0), RPC_AUTH_BADCRED);
	refused(header(0, 2, 1, sys, auth_sys(256, 0), 0, 0), RPC_AUTH_BADCRED);
	refused(header(0, 2, 1, sys, 0, 0, 0), RPC_AUTH_BADCRED);
	refused(header(0, 2, 0, sys, 4, 0, 0), RPC_AUTH_BADCRED);
	refused(header(0, 2, 1, sys, 401, 0, 0), RPC_AUTH_BADCRED);
	/* Every length that is too short. */
	n = auth_sys(5, 16);
	for (uint32_t i = 0; i < n; i++)
		refused(header(0, 2, 1, sys, i, 0, 0), RPC_AUTH_BADCRED);
	refused(header(0, 2, 6, NULL, 0, 0, 0), RPC_AUTH_TOOWEAK); /* RPCSEC_GSS */
	refused(header(0, 2, 3, NULL, 0, 0, 0), RPC_AUTH_TOOWEAK); /* AUTH_DH */
	n = auth_sys(5, 1);
	refused(header(0, 2, 1, sys, n, 1, 0), RPC_AUTH_BADVERF);
	refused(header(0, 2, 1, sys, n, 0, 4), RPC_AUTH_BADVERF);
	refused(header(0, 2, 1, sys, n, 0, 404), RPC_AUTH_BADVERF);
}

Test(rpc, other_messages)
{
	struct rpc_head h;
	size_t n = header(1, 2, 0, NULL, 0, 0, 0);

	cr_assert(eq(int, rpc_parse(&h, bytes, n), RPC_NO_CALL));
	n = header(0, 3, 0, NULL, 0, 0, 0);
	cr_assert(eq(int, rpc_parse(&h, bytes, n), RPC_WRONG_VERSION));
	cr_assert(eq(u32, h.xid, 0xdeadbeef));
}

/* Cut at every byte it asks for more, and never reads behind. */
Test(rpc, truncated_at_every_byte)
{
	size_t n = header(0, 2, 1, sys, auth_sys(7, 16), 0, 0);

	for (size_t i = 0; i < n; i++) {
		uint8_t *cut = aligned_alloc(8, ROUND_UP(i, 8) + 8), *at = cut + ROUND_UP(i, 8) - ROUND_UP(i, 4);
		struct rpc_head h;

		memcpy(at, bytes, i);
		cr_assert(eq(int, rpc_parse(&h, at, i), RPC_MORE), "%zu bytes", i);
		free(cut);
	}
}

static uint8_t reply[64] __attribute__((aligned(8)));

static void
is(struct xdr *e, const char *hex)
{
	char have[129] = "";

	cr_assert(not(e->bad));
	for (uint32_t i = 0; i < xdr_pos(e); i++)
		snprintf(have + 2 * i, 3, "%02x", reply[i]);
	cr_assert(eq(str, have, (char *)hex));
}

/* RFC 5531 §9, byte by byte. */
Test(rpc, replies)
{
	struct xdr e;

	xdr_out(&e, reply, sizeof reply);
	rpc_put_accepted(&e, 0x11223344, RPC_SUCCESS);
	is(&e, "11223344" "00000001" "00000000" "00000000" "00000000" "00000000");
	xdr_out(&e, reply, sizeof reply);
	rpc_put_accepted(&e, 7, RPC_GARBAGE_ARGS);
	is(&e, "00000007" "00000001" "00000000" "00000000" "00000000" "00000004");
	xdr_out(&e, reply, sizeof reply);
	rpc_put_prog_mismatch(&e, 7, 3, 4);
	is(&e, "00000007" "00000001" "00000000" "00000000" "00000000" "00000002" "00000003" "00000004");
	xdr_out(&e, reply, sizeof reply);
	rpc_put_version_mismatch(&e, 7);
	is(&e, "00000007" "00000001" "00000001" "00000000" "00000002" "00000002");
	xdr_out(&e, reply, sizeof reply);
	rpc_put_auth_error(&e, 7, RPC_AUTH_TOOWEAK);
	is(&e, "00000007" "00000001" "00000001" "00000001" "00000005");
}
