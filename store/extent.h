/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty extents of one file: bytes that are in the journal and not yet in the
 * object store.  A tree ordered by offset, never overlapping: the newest wins.
 * Each holds a reference on its buffer (or none: then the bytes are only on
 * disk in the journal) and one live count on its journal record.  Owner's core only.
 */
#ifndef STORE_EXTENT_H
#define STORE_EXTENT_H

#include <bsd/sys/tree.h>

#include "store/journal.h"

struct extent {
	/* What a search reads comes first: 32 bytes that lie in one cache line, in each object of the slab. */
	uint64_t off;
	uint32_t len;
	uint32_t boff;       /* of the first byte in the record's payload, and in buf */
	RB_ENTRY(extent) node;
	struct buf *buf;     /* NULL: read it from loc */
	struct jloc loc;
	uint64_t seq;
	uint64_t born_ns;    /* monotonic */
};

RB_HEAD(extent_tree, extent);

struct extents {
	struct extent_tree tree;
	uint64_t bytes;
	uint32_t count;
};

int  extent_init(uint32_t max_extents); /* per core: the slab */
void extent_fini(void);
/* Free ones left on this core: an insert may need 3. */
uint32_t extent_room(void);

void extents_init(struct extents *t);
/* Overlays [off, off+len).  Keeps buf, takes over the caller's live count of loc (splits take more by themselves). -ENOMEM: slab empty, nothing changed. */
int  extent_insert(struct extents *t, uint64_t off, uint32_t len, struct buf *buf, uint32_t boff,
                   const struct jloc *loc, uint64_t seq, uint64_t now_ns);
/* Drops everything at and beyond `size`. */
void extent_cut(struct extents *t, uint64_t size);
/* Drops what of [off, off+len) has seq <= upto: it is in the object store now. */
void extent_drop(struct extents *t, uint64_t off, uint64_t len, uint64_t upto);
void extents_clear(struct extents *t);
/* The first extent that ends beyond `off`, or NULL; and the one after. */
struct extent *extent_at(const struct extents *t, uint64_t off);
struct extent *extent_next(const struct extents *t, struct extent *e);

#endif
