/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of a fixed size that forgets: sets of seven, in each one by chance makes
 * room (who reads round and round a little more than fits still finds most of it).  One cache line says which of a set is wanted, so a look costs two.  All memory is
 * one object of a pool at start, and its pages come with the first use.  A core's own.
 */
#ifndef META_ASSOC_H
#define META_ASSOC_H

#include "reactor/buf.h"

#define ASSOC_WAYS 7

struct assoc {
	struct slab slab;
	uint8_t *mem;
	uint32_t nsets, body_bytes, set_bytes;
};

/* At least `entries` of body_bytes (a multiple of 8) each; `name` is the pool's. */
int  assoc_init(struct assoc *a, const char *name, uint32_t entries, uint32_t body_bytes);
void assoc_fini(struct assoc *a);

/* NULL: not there; key 0 never is.  What is lent is valid until the next assoc_add. */
void *assoc_find(const struct assoc *a, uint64_t key);
/* The body of this key, to be written: what it was, or anything. */
void *assoc_add(struct assoc *a, uint64_t key);
void  assoc_drop(struct assoc *a, uint64_t key);

#endif
