/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One RPC under way, from its decoded header to the last byte of its reply:
 *
 *   socket core   decode, check the share's rules, get what memory it needs
 *   owner core    (shard_call) duplicate request cache, the operation of meta/; not asked
 *                 where what it shows to all is answer enough (GETATTR, ACCESS, LOOKUP, a page of READ)
 *   socket core   get buffers for a list, encode, send
 *   owner core    READ only: put the buffers that were lent to the reply
 *   socket core   free
 *
 * A call is one object of the socket core's pool; the larger things that some
 * need (pieces of a READ, a directory page, a long record) have pools of their
 * own, and the call waits in line for them.  call_finish puts all.
 */
#ifndef PROTO_CALL_H
#define PROTO_CALL_H

#include "proto/core.h"
#include "proto/nfs3_xdr.h"
#include "proto/rpc.h"
#include "reactor/net.h"
#include "reactor/shard.h"

/*
 * A record up to this size is decoded where it was received, or gathered in the
 * session: all but WRITE's payload and SYMLINK's longer targets.
 */
#define CALL_HEAD_BYTES 1024
/* Longer ones are gathered here; what is still longer is skipped and answered GARBAGE_ARGS. */
#define CALL_LONG_BYTES 8192
/* Mark, RPC header and results without payload. */
#define CALL_REPLY_BYTES 320
#define CALL_RESULTS_AT  (4 + RPC_REPLY_BYTES)
static_assert(CALL_RESULTS_AT + NFS3_RESULT_MAX <= CALL_REPLY_BYTES, "every small reply fits");

struct long_head {
	uint8_t bytes[CALL_LONG_BYTES];
};
static_assert(SYMLINK_BYTES_MAX + 1 <= CALL_LONG_BYTES, "READLINK answers into one");

/* A hole is sent from 64 KiB of zeros, again and again; one for the header, one for the padding. */
#define READ_IOV_MAX (READ_PIECES_MAX + (int)(FILE_IO_MAX / BUF_LARGE_BYTES) + 2)
struct read_io {
	struct file_read op;
	struct iovec iov[READ_IOV_MAX];
};

/* Entries of a READDIR as meta/ gives them; the reply made of them goes into buffers. */
#define DIR_NAMES_BYTES (64 * KIB)
struct dir_page {
	struct readdir_entry entry[READDIR_ENTRIES_MAX];
	char names[DIR_NAMES_BYTES];
};
#define DIR_BUFS_MAX    3
#define DIR_REPLY_BYTES (DIR_BUFS_MAX * (BUF_LARGE_BYTES - NFS3_ENTRY_MAX))

/* MNT: a walk through the path's directories, as root. */
struct mnt_walk {
	struct meta_req req;
	struct mount3_path path; /* as asked */
	const struct export *export;
	uint32_t pos;            /* of the next component in path */
	enum { MNT_START, MNT_ROOT, MNT_STEP, MNT_NOTED } stage;
	struct fref at;
	char host[46];
	struct shard_call shard;
	struct op step, remote;
	struct op *wait;
	union {
		struct meta_getattr getattr;
		struct meta_lookup lookup;
	} op;
};

/* DUMP, UMNT and UMNTALL ask core 0. */
struct mount_list_call {
	struct meta_req req;
	struct mount3_path path;
	char host[46];
	struct shard_call shard;
};

struct proc;

struct nfs_call {
	struct session *session;
	struct proto_core *home;
	const struct proc *proc;
	const struct export *export;
	enum { CALL_DECODED, CALL_ROOM, CALL_RAN, CALL_BUFS, CALL_SENT, CALL_PUT } stage;
	enum { OWN_START, OWN_RAN, OWN_REBUILT, OWN_ANSWERED } own_stage;
	uint32_t xid;
	int res;               /* of the operation */
	bool encoded;          /* the results stand in reply[] */
	bool drop;             /* a duplicate that needs no reply */
	bool looked;           /* its owner was not asked */
	uint32_t results_len;  /* of what was encoded by another core */
	uint32_t owed;         /* bytes counted against the connection */
	struct stats_stamps at;
	struct op step;        /* on the socket core */
	struct op own;         /* on the owner's */
	struct shard_call shard;
	struct pool_wait wait;
	struct drc_wait drc_wait;
	struct drc_entry *drc;
	const struct once_reply *before; /* the restart */
	struct outmsg out;
	struct iovec iov[1 + DIR_BUFS_MAX];
	/* What it may hold besides itself. */
	void *room;            /* as it came from the pool: one of these */
	struct long_head *lng;
	struct read_io *read;
	struct dir_page *page;
	struct buf *buf[DIR_BUFS_MAX];
	int nbufs;
	struct buf_wait buf_wait;
	union {
		struct meta_req req; /* all of NFSv3's begin with it */
		struct meta_getattr getattr;
		struct meta_setattr setattr;
		struct meta_lookup lookup;
		struct meta_access access;
		struct meta_readlink readlink;
		struct nfs3_read_args read;
		struct file_write write;
		struct meta_create create;
		struct meta_unlink unlink;
		struct meta_rename rename;
		struct meta_link link;
		struct meta_readdir readdir;
		struct meta_fsstat fsstat;
		struct file_commit commit;
		struct mnt_walk mnt;
		struct mount_list_call mounts;
	} u;
	struct nfs3_readdir_args readdir;
	uint32_t nentries;     /* of the page, that are sent */
	uint8_t reply[CALL_REPLY_BYTES] __attribute__((aligned(8)));
	uint8_t args[CALL_HEAD_BYTES] __attribute__((aligned(8))); /* where names point to */
};

/*
 * Begins a call that the session took from the pool (c->session is set, the rest is not).
 * `args` are the bytes behind the header, lent; `lng` is the long buffer in
 * which they stand, given, or NULL.  With `overlong` some of them are missing.  Answers
 * whatever comes of it, in its own time.
 */
void call_start(struct nfs_call *c, enum rpc_verdict v, const struct rpc_head *h, const uint8_t *args, uint32_t len,
                struct long_head *lng, bool overlong);
/* After one or several call_start: answers those of them that wait for each other, so as to be looked at together. */
void call_look_all(struct proto_core *core);

/*
 * A WRITE, of which the payload is still to come.  0: the session fills
 * c->u.write.payload and says call_start_write; else it skips the payload and says so too.
 */
int  call_prepare_write(struct nfs_call *c, const struct rpc_head *h, const struct nfs3_write_args *w, int decode_err);
void call_start_write(struct nfs_call *c);
/* Its record ended before its payload did: GARBAGE_ARGS.  The buffers stay the session's. */
void call_garbage_write(struct nfs_call *c);
/* Its connection is gone before its payload came: no reply. */
void call_abandon_write(struct nfs_call *c);

/* For proc_*.c: a run of bytes behind the results, lent until the reply is sent; padded by call_pad. */
void call_add(struct nfs_call *c, const void *p, uint32_t len);
void call_pad(struct nfs_call *c, uint32_t len);
/* The status of c->res for an NFSv3 procedure. */
enum nfsstat3 call_status(const struct nfs_call *c);

#endif
