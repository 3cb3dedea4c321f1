/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table that forgets: it grows with what is put there up to a number of entries, from then on one by
 * chance makes room (who reads round and round a little more than fits still finds most of it).
 *
 * Entries lie side by side, so that memory and the reach of the TLB go to what is there.  An index beside them has lines of
 * seven: one cache line says where an entry is, so a look costs two or three.  The index doubles in small steps,
 * each of which takes one line apart (Litwin, "Linear hashing", 1980), and is never copied.
 *
 * One core owns it and alone changes it.  The others may look at any time, between
 * assoc_init and assoc_fini: a sequence number in each line tells them when the
 * owner was at it meanwhile (Lameter, "Effective synchronization on Linux/NUMA systems", 2005;
 * its orders as in Boehm, "Can seqlocks get along with programming language memory models?", 2012).
 */
#ifndef META_ASSOC_H
#define META_ASSOC_H

#include "reactor/buf.h"

struct assoc {
	_Alignas(CACHELINE) struct slab lines, entries; /* pieces of each, in order: one array */
	uint8_t *line_mem, *entry_mem;
	uint32_t nlines;              /* changed by the owner, looked at by all */
	uint32_t max_lines, base;     /* lines when this doubling began */
	uint32_t max, fresh, used;    /* entries: the limit, ever taken, in use */
	uint32_t free;                /* the first that was given back, + 1 */
	uint32_t entry_words, chance;
};

/* At most `max` entries of body_bytes (a multiple of 8) each; `name` is the pool's. */
int  assoc_init(struct assoc *a, const char *name, uint32_t max, uint32_t body_bytes);
void assoc_fini(struct assoc *a);

/* The owner.  A copy of what was put last, or false: not there; key 0 never is. */
bool assoc_get(const struct assoc *a, uint64_t key, void *body);
bool assoc_has(const struct assoc *a, uint64_t key);
void assoc_put(struct assoc *a, uint64_t key, const void *body);
void assoc_drop(struct assoc *a, uint64_t key);
/* Nothing has to make room for the next. */
bool assoc_has_room(const struct assoc *a);

/* Any core.  As assoc_get, but false also where the owner is just changing that line: then he has to be asked. */
bool assoc_look(const struct assoc *a, uint64_t key, void *body);

/*
 * Any core.  Who is about to look for several keys brings first the index lines of all of them into
 * the processor's cache (step 0), then the entries (step 1): the waits for memory then overlap.
 */
void assoc_near(const struct assoc *a, uint64_t key, int step);

#endif
