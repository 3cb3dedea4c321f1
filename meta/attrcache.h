/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes in short form, a fourth of what an inode in memory (inode.h) takes.  Two uses:
 * a million more of those that are in RocksDB and not in memory fit; and every core
 * may look at them here instead of asking the owner.
 *
 * They are exact, for only the owner's core writes them.  What is in memory is here too
 * only while it is `shown`: inode_hide drops it before the first change.  A record in RocksDB
 * changes only while its inode is in memory; what is evicted there comes here, and
 * what is read from RocksDB comes here only on the owner's core, in the same breath
 * as it is read, and only when it is not in memory (attrcache_bring).
 */
#ifndef META_ATTRCACHE_H
#define META_ATTRCACHE_H

#include "meta/record.h"

int      attrcache_init(uint32_t max); /* per core */
void     attrcache_fini(void);
uint64_t attrcache_max(void);          /* of all cores together */

/* The owner's core. */
bool attrcache_get(uint64_t ino, struct attr *out);
bool attrcache_has(uint64_t ino);
/* False: it stays out, being of a kind that is rare or about to change. */
bool attrcache_put(const struct attr *a);
void attrcache_drop(uint64_t ino);
/* A new one takes no other's place. */
bool attrcache_has_room(void);

/* Any core: the attributes of now, or false: the owner must be asked. */
bool attrcache_look(uint64_t ino, struct attr *out);
/* Before many looks, for each: step 0, then step 1 (assoc_near). */
void attrcache_near(uint64_t ino, int step);

/*
 * Brings the attributes of `ino` and of this core's inodes that were made at about the same time,
 * as the files of one directory often were.  To read a range costs a tenth of
 * reading as many keys.  0, or -EAGAIN when RocksDB has not all of them in memory.
 */
int attrcache_bring(uint64_t ino);

#endif
