/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/rpc.h"

static_assert(CRED_GIDS_MAX == 16, "RFC 5531 appendix A allows 16 groups");

/* The body of an AUTH_SYS credential; false when it is malformed. */
static bool
rpc_parse_sys(struct cred *c, const void *p, uint32_t len)
{
	struct xdr d;
	uint32_t name_len;

	xdr_in(&d, p, len);
	xdr_get_u32(&d); /* stamp */
	xdr_get_opaque(&d, RPC_MACHINE_NAME_MAX, &name_len);
	c->uid = xdr_get_u32(&d);
	c->gid = xdr_get_u32(&d);
	c->ngids = xdr_get_u32(&d);
	if (d.bad || c->ngids > CRED_GIDS_MAX)
		return false;
	for (uint32_t i = 0; i < c->ngids; i++)
		c->gids[i] = xdr_get_u32(&d);
	return !d.bad;
}

static enum rpc_auth
rpc_authenticate(struct rpc_head *h, uint32_t flavor, const void *body, uint32_t len, uint32_t verf_flavor,
                 uint32_t verf_len)
{
	switch (flavor) {
	case RPC_AUTH_NONE:
		if (len > 0)
			return RPC_AUTH_BADCRED;
		break;
	case RPC_AUTH_SYS:
		h->has_cred = true;
		if (!rpc_parse_sys(&h->cred, body, len))
			return RPC_AUTH_BADCRED;
		break;
	default: /* RPCSEC_GSS and others: what we could offer instead is weaker */
		return RPC_AUTH_TOOWEAK;
	}
	/* Neither flavor signs anything: its verifier is AUTH_NONE (RFC 5531 §10.1, appendix A). */
	if (verf_flavor != RPC_AUTH_NONE || verf_len > 0)
		return RPC_AUTH_BADVERF;
	return RPC_AUTH_OK;
}

enum rpc_verdict
rpc_parse(struct rpc_head *h, const uint8_t *p, size_t len)
{
	const uint32_t *w = (const uint32_t *)(const void *)p;
	uint32_t flavor, verf_flavor, body_len, verf_len;
	const void *body;
	struct xdr d;

	/* xid and type alone tell whether there is anybody to answer. */
	if (len < 8)
		return RPC_MORE;
	if (be32toh(w[1]) != RPC_CALL)
		return RPC_NO_CALL;
	h->xid = be32toh(w[0]);
	if (len < 12)
		return RPC_MORE;
	if (be32toh(w[2]) != RPC_VERSION)
		return RPC_WRONG_VERSION;
	if (len < 28 + 4)
		return RPC_MORE;
	h->prog = be32toh(w[3]);
	h->vers = be32toh(w[4]);
	h->proc = be32toh(w[5]);
	h->has_cred = false;
	memset(&h->cred, 0, sizeof h->cred);

	/* Too long a body is not a matter of more bytes. */
	flavor = be32toh(w[6]);
	body_len = be32toh(w[7]);
	h->auth_stat = RPC_AUTH_BADCRED;
	if (body_len > RPC_OPAQUE_AUTH_MAX)
		return RPC_BAD_AUTH;
	xdr_in(&d, p + 28, len - 28);
	body = xdr_get_opaque(&d, RPC_OPAQUE_AUTH_MAX, &body_len);
	verf_flavor = xdr_get_u32(&d);
	verf_len = xdr_get_u32(&d);
	if (d.bad)
		return RPC_MORE;
	h->auth_stat = RPC_AUTH_BADVERF;
	if (verf_len > RPC_OPAQUE_AUTH_MAX)
		return RPC_BAD_AUTH;
	xdr_words(&d, (verf_len + 3) / 4);
	if (d.bad)
		return RPC_MORE;
	h->len = 28 + xdr_pos(&d);
	h->auth_stat = rpc_authenticate(h, flavor, body, body_len, verf_flavor, verf_len);
	return h->auth_stat == RPC_AUTH_OK ? RPC_OK : RPC_BAD_AUTH;
}

void
rpc_put_accepted(struct xdr *e, uint32_t xid, enum rpc_accept stat)
{
	uint32_t *w = xdr_words(e, RPC_REPLY_BYTES / 4);

	if (!w)
		return;
	w[0] = htobe32(xid);
	w[1] = htobe32(RPC_REPLY);
	w[2] = htobe32(RPC_MSG_ACCEPTED);
	w[3] = htobe32(RPC_AUTH_NONE); /* the verifier, and its length */
	w[4] = 0;
	w[5] = htobe32(stat);
}

void
rpc_put_prog_mismatch(struct xdr *e, uint32_t xid, uint32_t low, uint32_t high)
{
	rpc_put_accepted(e, xid, RPC_PROG_MISMATCH);
	xdr_put_u32(e, low);
	xdr_put_u32(e, high);
}

static void
rpc_put_denied(struct xdr *e, uint32_t xid, enum rpc_reject_stat stat)
{
	xdr_put_u32(e, xid);
	xdr_put_u32(e, RPC_REPLY);
	xdr_put_u32(e, RPC_MSG_DENIED);
	xdr_put_u32(e, stat);
}

void
rpc_put_version_mismatch(struct xdr *e, uint32_t xid)
{
	rpc_put_denied(e, xid, RPC_MISMATCH);
	xdr_put_u32(e, RPC_VERSION);
	xdr_put_u32(e, RPC_VERSION);
}

void
rpc_put_auth_error(struct xdr *e, uint32_t xid, enum rpc_auth stat)
{
	rpc_put_denied(e, xid, RPC_AUTH_ERROR);
	xdr_put_u32(e, stat);
}
