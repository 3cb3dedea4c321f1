/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes and inodes that each share uses: in RocksDB under 'U', where every batch
 * that changes them merges its difference, and summed in memory beside it, because
 * reading thousands of unmerged differences for each FSSTAT would cost
 * milliseconds.  Any core.
 */
#ifndef META_USAGE_H
#define META_USAGE_H

#include "meta/kv.h"

#define SHARES_MAX 64

struct usage {
	uint64_t bytes, inodes;             /* all */
	uint64_t trash_bytes, trash_inodes; /* of these */
	uint64_t trash_ns;                  /* when something last came to the trash or left it, since the start; 0: never */
};

/* Before the reactors, blocking: reads what RocksDB has.  ids[] are below SHARES_MAX. */
int usage_load(const uint32_t *ids, int n);
/* Into the batch, and into memory: the batch must be applied (or the process be beyond repair). */
void usage_add(struct kv_batch *b, uint32_t share, int64_t bytes, int64_t inodes);
/* Likewise, of those that usage_add has counted: they are in the trash from now on, or (negative) no longer. */
void usage_add_trash(struct kv_batch *b, uint32_t share, int64_t bytes, int64_t inodes);
/* In memory only: bytes that are in the journal and not yet in 'U', as attr.dirty counts them. */
void usage_pending(uint32_t share, int64_t bytes);
/* All cores' sums; another core's latest may be missing. */
void usage_get(uint32_t share, struct usage *u);

#endif
