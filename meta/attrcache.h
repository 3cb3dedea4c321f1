/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes in short form, of inodes of this core that are in RocksDB and not in
 * memory (inode.h): a fourth of what an inode takes, so that a million more of them fit.
 *
 * They are exact because an inode's record changes only while the inode is in memory:
 * what comes to memory leaves here (attrcache_take), what is evicted there comes here, and
 * what is read from RocksDB comes here only on the owner's core, in the same breath
 * as it is read, and only when it is not in memory (attrcache_near).
 */
#ifndef META_ATTRCACHE_H
#define META_ATTRCACHE_H

#include "meta/record.h"

int      attrcache_init(uint32_t max); /* per core */
void     attrcache_fini(void);
uint64_t attrcache_max(void);          /* of all cores together */

bool attrcache_get(uint64_t ino, struct attr *out);
/* Gets and forgets it. */
bool attrcache_take(uint64_t ino, struct attr *out);
void attrcache_put(const struct attr *a);

/*
 * Brings the attributes of `ino` and of this core's inodes that were made at about the same time,
 * as the files of one directory often were.  To read a range costs a tenth of
 * reading as many keys.  0, or -EAGAIN when RocksDB has not all of them in memory.
 */
int attrcache_near(uint64_t ino);

#endif
