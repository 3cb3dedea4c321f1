/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of this core's inodes and names may have changed since it was asked to remember that: for who holds what
 * a worker read from RocksDB meanwhile (preload.h).  A filter: it says so of some that have not, and never
 * misses one that has.  Each core has its own.
 */
#ifndef META_CHANGED_H
#define META_CHANGED_H

#include <stdbool.h>
#include <stdint.h>

/* When it has so many, one in 16 is said to have changed that has not, and it should begin anew. */
#define CHANGED_MANY 32768u

/* Forgets, and remembers from now on.  0 or -ENOMEM. */
int  changed_begin(void);
void changed_end(void);

/* An inode's number, or a name's tag.  Costs a branch while nobody wants to know. */
void changed_note(uint64_t key);
bool changed_maybe(uint64_t key);
/* How often something was noted. */
uint32_t changed_count(void);

#endif
