/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file system as the protocol sees it: one struct and one function per
 * operation, RFC 1813's semantics, POSIX permissions.  Every operation runs on
 * the owner of its first inode (assert(shard_owns)), reaches other owners by
 * itself, and answers when what it promises is durable.  The struct is the
 * caller's until the op resumes; arguments are lent as long.  op->res is 0 or
 * a negative errno of base.h; results are valid as their comments say.
 */
#ifndef META_META_H
#define META_META_H

#include "meta/inode.h"

#define CRED_GIDS_MAX 16
/* The caller, after squashing.  uid 0 is the superuser. */
struct cred {
	uint32_t uid, gid, ngids;
	uint32_t gids[CRED_GIDS_MAX];
};

/* An inode as a file handle names it. */
struct fref {
	uint64_t ino, gen;
	uint32_t share;
};

/* Weak cache consistency data (RFC 1813 §2.6), both taken under the operation's own lock. */
struct wcc {
	bool has_pre, has_post;
	uint64_t pre_size, pre_mtime_ns, pre_ctime_ns;
	struct attr post;
};

enum set_time { TIME_KEEP, TIME_SERVER, TIME_CLIENT };
struct sattr {
	bool set_mode, set_uid, set_gid, set_size;
	uint8_t set_atime, set_mtime; /* enum set_time */
	uint32_t mode, uid, gid;
	uint64_t size, atime_ns, mtime_ns;
};

/* A non-idempotent call's identity: recorded with its reply in the same batch. */
struct once {
	bool used;
	uint64_t client, args_hash;
	uint32_t xid, proc;
};

/* Common head of every operation. */
struct meta_req {
	struct cred cred;
	struct fref f;            /* the first handle: file or directory */
	struct once once;
};

#define ACC_READ    0x01 /* RFC 1813 ACCESS3_* */
#define ACC_LOOKUP  0x02
#define ACC_MODIFY  0x04
#define ACC_EXTEND  0x08
#define ACC_DELETE  0x10
#define ACC_EXECUTE 0x20

/* Private: a place in the line for one of the core's transactions. */
struct txn_wait { struct txn_wait *next; struct meta_txn **out; struct op *op; };

struct meta_name { const char *s; uint32_t len; }; /* not terminated; no '/' or NUL allowed: -EINVAL / -EACCES per RFC */

struct meta_getattr {
	struct meta_req req;
	struct attr attr;
	/* private, and need not be zero */
	struct inode_get get;
	struct op step;
	struct op *wait;
};
enum op_state meta_getattr(struct meta_getattr *m, struct op *op);
/*
 * The *_look answer on any core, from what the owners show to all (attrcache.h, namecache.h):
 * true, and in *res and m what the operation would have answered at some instant since the call.
 * False: the owner has to be asked, by the operation itself; its arguments are as they were.
 */
bool meta_getattr_look(struct meta_getattr *m, int *res);
/*
 * For who has several to look at: brings what each look will read nearer to this core's cache, in steps 0 to
 * META_NEAR_STEPS - 1.  Each step is taken for all before the next, so that the waits for memory overlap.  Changes nothing.
 */
#define META_NEAR_STEPS 4
void meta_getattr_near(const struct meta_getattr *m, int step);

/* -E_NOTSYNC when the guard does not match. */
struct meta_setattr;
enum op_state meta_setattr(struct meta_setattr *m, struct op *op);

struct meta_access {
	struct meta_req req;
	uint32_t mask;          /* asked; granted on return */
	struct attr attr;
	/* private, and need not be zero */
	struct inode_get get;
	struct op step;
	struct op *wait;
};
enum op_state meta_access(struct meta_access *m, struct op *op);
bool meta_access_look(struct meta_access *m, int *res);
void meta_access_near(const struct meta_access *m, int step);

struct meta_lookup;   enum op_state meta_lookup(struct meta_lookup *m, struct op *op);
                      bool meta_lookup_look(struct meta_lookup *m, int *res);
                      void meta_lookup_near(struct meta_lookup *m, int step);
struct meta_readlink; enum op_state meta_readlink(struct meta_readlink *m, struct op *op);
struct meta_create;   enum op_state meta_create(struct meta_create *m, struct op *op);
struct meta_unlink;   enum op_state meta_unlink(struct meta_unlink *m, struct op *op);
struct meta_rename;   enum op_state meta_rename(struct meta_rename *m, struct op *op);
struct meta_link;     enum op_state meta_link(struct meta_link *m, struct op *op);
struct meta_readdir;  enum op_state meta_readdir(struct meta_readdir *m, struct op *op);
struct meta_fsstat;   enum op_state meta_fsstat(struct meta_fsstat *m, struct op *op);

/* The private parts are between "private" comments; callers fill arguments, zero the rest. */

struct meta_setattr {
	struct meta_req req;
	struct sattr sattr;
	bool has_guard;
	uint64_t guard_ctime_ns;
	struct wcc wcc;
	/* private */
	struct meta_txn *txn;
	struct txn_wait line;
	int stage, res;
	struct op step;
	struct op *wait;
};

struct meta_lookup {
	struct meta_req req;      /* the directory */
	struct meta_name name;    /* "." and ".." too; ".." of a share's root is the root */
	struct fref child;
	struct attr attr;         /* the child's */
	bool has_dir;             /* dir is valid, on errors too */
	struct attr dir;
	/* private */
	struct name_id id;        /* of name, when a look has come near; else its tag is 0 */
	uint64_t seen_ino;        /* what it seemed to be then */
	struct inode_get get;     /* from here on nothing need be zero */
	struct kv_get kv;
	uint8_t val[DIRENT_BYTES];
	struct inode_peek peek;
	int stage, tries;
	bool unknown;             /* the name came from RocksDB */
	struct op step;
	struct op *wait;
};

struct meta_readlink {
	struct meta_req req;
	char *out;                /* SYMLINK_BYTES_MAX + 1 bytes, lent */
	uint32_t len;
	bool has_attr;
	struct attr attr;
	struct inode_get get;
	struct kv_get_any kv;
	struct op step;
	struct op *wait;
	int stage;
};

enum create_how { CREATE_UNCHECKED, CREATE_GUARDED, CREATE_EXCLUSIVE };
/* CREATE, MKDIR, SYMLINK and MKNOD: type says which. */
struct meta_create {
	struct meta_req req;      /* the directory */
	struct meta_name name;
	uint32_t type;            /* enum ftype */
	enum create_how how;      /* FT_REG only */
	uint64_t verf;            /* CREATE_EXCLUSIVE */
	struct sattr sattr;
	const char *target;       /* FT_LNK, lent */
	uint32_t target_len;
	uint32_t rdev_major, rdev_minor;
	struct fref child;
	struct attr attr;
	struct wcc dir;           /* on errors too where has_* say so */
	/* private */
	struct meta_txn *txn;
	struct txn_wait line;
	struct meta_setattr trunc; /* of one that is there already */
	struct op trunc_step;
	struct inode_peek peek;
	struct shard_call call;
	int stage, res, tries;
	struct op step;
	struct op *wait;
};

struct meta_unlink {
	struct meta_req req;
	struct meta_name name;
	bool rmdir;               /* RMDIR; else REMOVE: a directory is -EISDIR */
	struct wcc dir;
	/* private */
	struct meta_txn *txn;
	struct txn_wait line;
	struct fref child;
	int stage, res, tries;
	struct op step;
	struct op *wait;
};

struct meta_rename {
	struct meta_req req;      /* the directory it leaves */
	struct meta_name from, to;
	struct fref to_dir;
	bool no_replace;          /* out of the trash only: where the new name is taken it is -EEXIST */
	struct wcc from_wcc, to_wcc;
	/* private */
	struct meta_txn *txn;
	struct txn_wait line;
	struct dirent_rec src, dst; /* dst.ino 0: there is none */
	bool mutex;
	uint64_t walk;
	uint32_t depth;
	int stage, res, tries;
	struct op step;
	struct op *wait;
};

struct meta_link {
	struct meta_req req;      /* the file */
	struct fref dir;
	struct meta_name name;
	bool has_attr;
	struct attr attr;         /* the file's */
	struct wcc dir_wcc;
	/* private */
	struct meta_txn *txn;
	struct txn_wait line;
	int stage, res;
	struct op step;
	struct op *wait;
};

#define READDIR_ENTRIES_MAX 1024
struct readdir_entry {
	uint64_t ino, gen, cookie;
	uint32_t type;
	uint16_t name_len;
	uint32_t name_off;        /* in names[] */
	bool has_attr;
	struct attr attr;         /* plus only */
};
/*
 * One page: entries from just after `cookie` on, "." and ".." first.  Takes as
 * many as fit into max_entries, names_cap, and the caller's budget: the sum of
 * entry_bytes + the name rounded up to 4, up to bytes_max.  A page never ends
 * between two names that share a hash (cookie).  -E_TOOSMALL: not even one fits.
 */
struct meta_readdir {
	struct meta_req req;
	uint64_t cookie;
	bool plus;
	uint32_t bytes_max, entry_bytes;
	struct readdir_entry *entry; /* lent */
	uint32_t max_entries;
	char *names;
	uint32_t names_cap;
	uint32_t n;
	bool eof;
	bool has_dir;
	struct attr dir;
	/* private */
	struct inode_get get;
	struct kv_scan scan;
	struct shard_msg trip;    /* to the owners of the entries, one after the other */
	uint64_t visit;           /* cores still to be visited, a bit each */
	int home;
	uint32_t bytes, names_len;
	uint64_t trash_second, trash_ino;           /* a folder of the trash: where its scan began, */
	uint64_t trash_next_second, trash_next_ino; /* where the next one does, */
	uint32_t trash_n, trash_bytes, trash_names; /* the page before it, and how many records it may still look at */
	int trash_looks;
	int stage;
	struct op step;
	struct op *wait;
};

struct meta_fsstat {
	struct meta_req req;
	bool has_attr;
	struct attr attr;
	uint64_t total_bytes, free_bytes, used_bytes;
	uint64_t total_inodes, free_inodes, used_inodes;
	/* private */
	struct inode_get get;
	struct work work;
	int stage;
	struct op step;
	struct op *wait;
};

/* Whether `c` may do `want` (a mask of 4 read, 2 write, 1 execute) to an inode (POSIX.1-2017 §4.5). */
bool perm_allows(const struct attr *a, const struct cred *c, unsigned want);

struct meta_opts {
	uint32_t max_inodes;      /* in memory, a core */
	uint32_t max_names;       /* and in short form beside them; as many directory entries */
	const struct volume *volume;
	const struct share_rec *shares;
	int nshares;
	const uint64_t *retention_s; /* of each of them, how long what is removed stays in .trash (trash.h); NULL: nowhere */
	/* What FSSTAT shows as the whole; 0: what the object store's disk has. */
	uint64_t capacity_bytes, capacity_inodes;
	const char *objects_path; /* for statvfs; NULL: capacity_bytes or "unlimited" */
};
/* Once, after kv_open, before the reactors. */
int  meta_open(const struct meta_opts *opts, char why[256]);
/* On each core. */
int  meta_init(int core);
void meta_fini(int core);
/* Makes a volume in an empty database: V, S, N, and X + root directory for each share. */
int  meta_format(const struct volume *vol, struct share_rec *shares, int nshares, char why[256]);
/* Reads V and X of an existing one.  -E_FORMAT with a sentence for a newer or unknown version. */
int  meta_load(struct volume *vol, struct share_rec *shares, int max, int *nshares, char why[256]);
/* After meta_load: a volume of an older version becomes one of this, for good.  Blocking. */
int  meta_upgrade(struct volume *vol, char why[256]);

/* A recorded reply, loaded at start for retransmissions across a restart (DRC). */
struct once_reply {
	struct once once;
	int res;
	struct fref child;        /* CREATE etc. */
};
/* All that are recorded, newest last; for proto's DRC at start.  Blocking. */
int meta_once_load(void (*fn)(void *arg, const struct once_reply *r), void *arg);

#endif
