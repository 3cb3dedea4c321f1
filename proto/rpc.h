/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONC RPC version 2 (RFC 5531): a call's header with AUTH_NONE or AUTH_SYS
 * credentials, and the headers of replies.  Pure functions, any thread.
 */
#ifndef PROTO_RPC_H
#define PROTO_RPC_H

#include "meta/meta.h"
#include "proto/xdr.h"

#define RPC_VERSION 2u
enum rpc_msg_type { RPC_CALL, RPC_REPLY };
enum rpc_reply_stat { RPC_MSG_ACCEPTED, RPC_MSG_DENIED };
enum rpc_reject_stat { RPC_MISMATCH, RPC_AUTH_ERROR };
enum rpc_flavor { RPC_AUTH_NONE, RPC_AUTH_SYS };

/* RFC 5531 accept_stat */
enum rpc_accept {
	RPC_SUCCESS, RPC_PROG_UNAVAIL, RPC_PROG_MISMATCH, RPC_PROC_UNAVAIL, RPC_GARBAGE_ARGS, RPC_SYSTEM_ERR,
};

/* RFC 5531 auth_stat, those that we say */
enum rpc_auth {
	RPC_AUTH_OK, RPC_AUTH_BADCRED = 1, RPC_AUTH_BADVERF = 3, RPC_AUTH_TOOWEAK = 5,
};

#define RPC_OPAQUE_AUTH_MAX  400 /* opaque_auth's body */
#define RPC_MACHINE_NAME_MAX 255

enum rpc_verdict {
	RPC_OK,           /* the header is whole and in order */
	RPC_MORE,         /* the bytes end within it */
	RPC_NO_CALL,      /* not a call: nothing can be answered */
	RPC_WRONG_VERSION,
	RPC_BAD_AUTH,     /* auth_stat says why */
};

struct rpc_head {
	uint32_t xid, prog, vers, proc;
	enum rpc_auth auth_stat;
	bool has_cred;    /* AUTH_SYS; else AUTH_NONE and cred is all zero */
	struct cred cred;
	uint32_t len;     /* bytes of the header: the arguments follow */
};

/* p is aligned to 4.  All fields but the xid are valid with RPC_OK only. */
enum rpc_verdict rpc_parse(struct rpc_head *h, const uint8_t *p, size_t len);

/* Replies, without their record mark. */
#define RPC_REPLY_BYTES 24 /* of an accepted call, up to where the results begin */
void rpc_put_accepted(struct xdr *e, uint32_t xid, enum rpc_accept stat);
/* Lowest and highest version of the program that there are. */
void rpc_put_prog_mismatch(struct xdr *e, uint32_t xid, uint32_t low, uint32_t high);
void rpc_put_version_mismatch(struct xdr *e, uint32_t xid);
void rpc_put_auth_error(struct xdr *e, uint32_t xid, enum rpc_auth stat);

#endif
