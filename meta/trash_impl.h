/* SPDX-License-Identifier: Apache-2.0 */
/* Between the trash's own files. */
#ifndef META_TRASH_IMPL_H
#define META_TRASH_IMPL_H

#include "meta/trash.h"

/*
 * The inode that a name in an hour's folder stands for: op->res 0, -ENOENT, -EACCES (another user's), or what the
 * database has to say.  It may leave at any time: who changes it looks again, under its lock.
 */
struct trash_find {
	uint64_t folder;
	struct meta_name name;
	const struct cred *cred;
	struct attr attr;          /* as found */
	struct trash_rec rec;
	/* private */
	struct inode_peek peek;
	struct kv_get kv;
	uint8_t val[TRASH_BYTES_MAX];
	int stage;
	struct op step, *wait;
};
enum op_state trash_find(struct trash_find *f, struct op *op);

/* What an operation in the folders needs beside its own struct; few run at once. */
struct trash_op {
	struct trash_find find;
	struct kv_scan scan;
	struct trash_purge purge;
	struct op step, *wait;
	int stage, res, tries;
	struct meta_txn *txn;
	struct txn_wait line;
	struct dirent_rec dst;     /* RENAME: what has the new name; ino 0: nothing */
	union {
		struct meta_lookup *lookup;
		struct meta_unlink *unlink;
		struct meta_rename *rename;
	};
};
/* NULL: all are in use, the client asks again (-E_JUKEBOX). */
struct trash_op *trash_op_get(void);
void trash_op_put(struct trash_op *o);

#endif
