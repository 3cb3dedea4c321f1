/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory entries: names, their place in RocksDB, and what an entry that comes
 * or goes does to its directory's attributes.  Any core; changes only under
 * the directory's lock.
 */
#ifndef META_DIR_H
#define META_DIR_H

#include "meta/meta.h"

/* A directory's size is this for each entry, so an empty one is known by its size. */
#define DIR_ENTRY_BYTES 32

/* 0, -EINVAL (empty, or with '/' or NUL), -ENAMETOOLONG. */
int  dir_name_check(const struct meta_name *n);
bool dir_name_is_dot(const struct meta_name *n);    /* "." */
bool dir_name_is_dotdot(const struct meta_name *n); /* ".." */

/* The volume's secret for name_hash; blocking start-up, before the reactors. */
void dir_set_secret(const uint8_t secret[16]);
/* Tests make names collide. */
void dir_set_hash(uint64_t (*hash)(const uint8_t secret[16], const char *name, size_t len));

/* Looks a name up: then dir_found decodes.  `val` is lent until then.  Of own directories it knows many by heart. */
enum op_state dir_find(struct kv_get *g, uint64_t dir, const struct meta_name *n, uint8_t val[DIRENT_BYTES],
                       struct op *op);
/* How namecache.h knows it. */
struct name_id dir_name_id(uint64_t dir, const struct meta_name *n);
/* 0, -ENOENT, -EIO. */
int dir_found(int res, const uint8_t val[DIRENT_BYTES], struct dirent_rec *d);

/*
 * Before dir_find, and when that has found it: where it was not known by heart and there is room for more, the names
 * beside it are learned too, from the block of RocksDB that has just been read.  On the owner.
 */
bool dir_knows(uint64_t dir, const struct meta_name *n);
void dir_learn(uint64_t dir, const struct meta_name *n);

/* What was found is out of date: the owner reads it from RocksDB the next time. */
void dir_forget(uint64_t dir, const struct meta_name *n);

/* A change of an entry, in the batch; who looks it up finds it changed when the lock is given back as `changed`. */
void dir_put(struct kv_batch *b, struct inode_lock *dir, const struct meta_name *n, const struct dirent_rec *d);
void dir_del(struct kv_batch *b, struct inode_lock *dir, const struct meta_name *n);

/* A time for a change of `a` now: later than any before, so that two changes never look like none. */
uint64_t attr_change_ns(const struct attr *a);
/* Entries came or went (`by` of them; `subdirs` of those directories): size, nlink, mtime, ctime. */
void dir_changed(struct attr *dir, int by, int subdirs);

#endif
