/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All chunks of all files, as the metadata has them, in the order of their inodes; those of removed files that are still to
 * go, too.  Blocking, beside clients, in pages; the threads of the admin plane.
 */
#ifndef TOOLS_CHUNK_WALK_H
#define TOOLS_CHUNK_WALK_H

#include "meta/chunk.h"

struct chunk_val {
	uint64_t ino, chunk;
	uint8_t *val;            /* as RocksDB has it (chunk_decode); lent */
	size_t len;
};

/* Calls fn for each until it answers a negative errno, which is returned; 0; or what the database has to say. */
int chunk_walk(int (*fn)(void *arg, const struct chunk_val *c), void *arg);

#endif
