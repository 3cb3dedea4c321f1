/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directory entries beside RocksDB, on the core that owns the directory, also of names that
 * are known not to exist.  A name is known by 127 bits of two keyed hashes, so
 * nothing that a client can make up is taken for another.  Every core may look.
 *
 * They are exact, for only the owner writes them: an entry comes here on the owner's core in the same breath as it is
 * read from RocksDB, and a change of it when the directory's lock is given back
 * (inode_unlock), after the change is in RocksDB and before anybody is told of it.
 */
#ifndef META_NAMECACHE_H
#define META_NAMECACHE_H

#include "meta/record.h"

struct name_id {
	uint64_t tag;   /* of directory and name, not 0 */
	uint64_t hash;  /* of the name: its cookie */
};

/* What a name has become; ino 0: it is gone. */
struct name_change {
	struct name_id id;
	struct dirent_rec d;
};

int  namecache_init(uint32_t max); /* per core */
void namecache_fini(void);

/* Of own directories.  False: not known here.  d->ino 0: there is no such name. */
bool namecache_get(const struct name_id *id, struct dirent_rec *d);
void namecache_put(const struct name_id *id, const struct dirent_rec *d);
void namecache_drop(const struct name_id *id);
/* A new one takes no other's place. */
bool namecache_has_room(void);

/* Any core, of a directory of `core`: the same, or false: that core must be asked. */
bool namecache_look(int core, const struct name_id *id, struct dirent_rec *d);
/* Before many looks, for each: step 0, then step 1 (assoc_near). */
void namecache_near(int core, const struct name_id *id, int step);

#endif
