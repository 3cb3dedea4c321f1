/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of what preload.h brings: read from RocksDB on a worker, the youngest inodes and directories first, then
 * kept by each core of it what it owns.
 */
#ifndef META_PRELOAD_BATCH_H
#define META_PRELOAD_BATCH_H

#include "meta/kv.h"
#include "meta/namecache.h"

#define PRELOAD_ENTRIES 1024u /* for a worker less than a millisecond */

struct preload_name {
	struct name_id id;
	struct dirent_rec d;
	uint64_t dir;
};

enum preload_kind { PRELOAD_ATTRS, PRELOAD_NAMES };

struct preload_batch {
	enum preload_kind kind;
	uint64_t lo, hi;         /* what is being read: these inodes, or entries of these directories; those below come later */
	uint16_t key_len;        /* where it goes on; 0: at the first of them */
	uint8_t key[KV_KEY_MAX];
	uint32_t n;
	union {
		struct attr attr[PRELOAD_ENTRIES];
		struct preload_name name[PRELOAD_ENTRIES];
	};
};

/* Blocking, one thread at a time.  0, or -errno. */
int preload_read_begin(struct preload_batch *b, enum preload_kind kind);
/*
 * The next b->n of them.  1: there may be more; 0: these were the last; -errno.  What is damaged is left out:
 * who asks for it hears of it.
 */
int preload_read(struct preload_batch *b);

/*
 * On a core, between changed_begin and changed_end: keeps of the entries from..to-1 its own, but none that it knows already
 * or has changed since changed_begin.  RocksDB had all from before that when they were read (kv_settle_now).
 * False: there was no room for some.
 */
bool preload_keep(const struct preload_batch *b, uint32_t from, uint32_t to);

#endif
