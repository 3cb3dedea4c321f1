/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of a fixed size that forgets: sets of seven, in each one by chance makes
 * room (who reads round and round a little more than fits still finds most of it).  One cache
 * line says which of a set is wanted, so a look costs two.  All memory is one
 * object of a pool at start, and its pages come with the first use.
 *
 * One core owns it and alone changes it.  The others may look at any time, between
 * assoc_init and assoc_fini: a sequence number in each set tells them when the
 * owner was at it meanwhile (Lameter, "Effective synchronization on Linux/NUMA systems", 2005;
 * its orders as in Boehm, "Can seqlocks get along with programming language memory models?", 2012).
 */
#ifndef META_ASSOC_H
#define META_ASSOC_H

#include "reactor/buf.h"

#define ASSOC_WAYS 7

struct assoc {
	_Alignas(CACHELINE) struct slab slab;
	uint8_t *mem;
	uint32_t nsets, body_words, set_bytes;
};

/* At least `entries` of body_bytes (a multiple of 8) each; `name` is the pool's. */
int  assoc_init(struct assoc *a, const char *name, uint32_t entries, uint32_t body_bytes);
void assoc_fini(struct assoc *a);

/* The owner.  A copy of what was put last, or false: not there; key 0 never is. */
bool assoc_get(const struct assoc *a, uint64_t key, void *body);
bool assoc_has(const struct assoc *a, uint64_t key);
void assoc_put(struct assoc *a, uint64_t key, const void *body);
void assoc_drop(struct assoc *a, uint64_t key);

/* Any core.  As assoc_get, but false also where the owner is just changing that set: then he has to be asked. */
bool assoc_look(const struct assoc *a, uint64_t key, void *body);

#endif
