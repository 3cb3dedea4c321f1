/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was removed stays for a while: below .trash of its share's root, in a folder for each hour (UTC), as
 * .trash/2026-11-26-20/<parent>-<ino>-<name>.  RENAME out of there restores it, REMOVE and RMDIR there remove it for good;
 * all else is -EROFS.  .trash is not listed in the root, as ZFS's .zfs is not, and its name is taken there.
 *
 * These folders are nowhere: they are made from the records ('T', by the second of the removal).  So to remove a
 * file locks what it always does, its directory and itself, and no folder that all removals of the hour would meet in.
 * What is in the trash is an inode as before, its handle stays valid (it is read-only), with as many links; only
 * its `parent` says where it is: trash_place, which is one with the key of its record.  A directory comes empty there.
 *
 * Whose it is, and the superuser, may see and use it: flattened, it has lost the directories that hid it from others.
 *
 * Numbers of folders and places are above those of all inodes.  Any core, but for trash_open.
 */
#ifndef META_TRASH_H
#define META_TRASH_H

#include "meta/meta.h"
#include "meta/txn.h"

#define TRASH_NAME   ".trash"
#define TRASH_HOUR_S 3600u
/* All inodes' numbers are below; a folder's cookie has 51 bits of them. */
#define TRASH_INO_MAX ((uint64_t)1 << 51)
#define TRASH_INO     ((uint64_t)1 << 52)

/* "2026-11-26-20" */
#define TRASH_HOUR_BYTES 13

/*
 * Before the reactors, blocking: how long each share keeps what is removed (0: nothing is kept from now on; what is there stays as long as it
 * was promised).  -EEXIST with a sentence: there is a .trash of another kind in a root.
 */
int trash_open(const struct share_rec *shares, const uint64_t *retention_s, int n, char why[256]);

/* What is removed from the share goes there. */
bool trash_keeps(uint32_t share);
/* Something is there, or may come: then .trash is a name of its root. */
bool trash_shows(uint32_t share);
uint64_t trash_retention_s(uint32_t share);
/* Any thread, while cores run.  -EBUSY: a share that has no .trash gets one with a start only, which looks whether the name is free. */
int trash_set_retention(uint32_t share, uint64_t seconds);
/* Seconds since 1970, of the trash's own clock: tests let time pass. */
uint64_t trash_now_s(void);
void trash_set_ahead(uint64_t seconds);
/* The name of the trash in that share's root. */
bool trash_is_name(uint32_t share, uint64_t dir, const struct meta_name *n);

/* A place in the trash: of what was removed in that second; the folder of an hour (a multiple of TRASH_HOUR_S); .trash itself (0). */
static inline uint64_t
trash_place(uint32_t share, uint64_t second)
{
	return TRASH_INO | (uint64_t)share << 40 | second;
}

static inline bool     trash_is(uint64_t ino)     { return ino & TRASH_INO; }
static inline uint32_t trash_share(uint64_t ino)  { return (uint32_t)(ino >> 40 & 0xfff); }
static inline uint64_t trash_second(uint64_t ino) { return ino & (((uint64_t)1 << 40) - 1); }
/* It is in the trash (folders are not). */
static inline bool
trash_holds(const struct attr *a)
{
	return trash_is(a->parent) && !trash_is(a->ino);
}
/* The folder that such a place is in; any other number stays as it is. */
static inline uint64_t
trash_folder(uint64_t ino)
{
	return trash_is(ino) ? ino - trash_second(ino) % TRASH_HOUR_S : ino;
}

/* A folder as this caller sees it: each has a listing of his own, and the times say so to a client that both use. */
void trash_folder_attr(struct attr *a, uint64_t folder, const struct cred *c);
/* Its handle, and -ESTALE for one that is none. */
struct fref trash_folder_ref(uint64_t folder);
int  trash_folder_check(const struct fref *f);

/* "2026-11-26-20", terminated; and back: 0 when it is no such name. */
void trash_hour_name(char out[TRASH_HOUR_BYTES + 1], uint64_t second);
uint64_t trash_hour_second(const struct meta_name *n);
/* Its name in the folder: at most NAME_BYTES_MAX bytes, cut between characters.  Returns the length. */
uint32_t trash_name(char out[NAME_BYTES_MAX], const struct trash_rec *r, uint64_t ino);
/* The inode that such a name speaks of; 0: none. */
uint64_t trash_name_ino(const struct meta_name *n);

/* In the batch: the last name of `l`, an entry of `dir`, is gone.  It goes to the trash, or for good (txn_remove). */
void trash_or_remove(struct meta_txn *t, struct inode_lock *l, uint64_t dir, const struct meta_name *name);
/* In the batch: `l`, which is in the trash, is there no longer.  Its parent is for the caller to set. */
void trash_leave(struct meta_txn *t, struct inode_lock *l);

/* What the operations of meta.h do where their handle is a folder's. */
enum op_state trash_lookup(struct meta_lookup *m, struct op *op);
enum op_state trash_unlink(struct meta_unlink *m, struct op *op);
enum op_state trash_rename(struct meta_rename *m, struct op *op);

/*
 * Removes one for good; -ENOENT when it is not there (any more).  The record of what is no inode goes, too.
 * The struct is the caller's until `op` resumes; zeroed but for the arguments.
 */
struct trash_purge {
	uint32_t share;
	uint64_t second, ino, gen;
	const struct once *once;
	/* private */
	struct meta_txn *txn;
	struct txn_wait line;
	int stage, res;
	struct op step, *wait;
};
enum op_state trash_purge(struct trash_purge *p, struct op *op);

/* Per core. */
int  trash_init(void);
void trash_fini(void);

#endif
