/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of files that owners show: where in the memory of a core the bytes are, so that others may copy them instead of asking.
 *
 * An entry says what the page was while the file's ctime was this.  Each change of a file's bytes or size
 * has a ctime of its own (attr_change_ns), so with attributes that the owner shows (attrcache.h) it says what the page
 * is; nothing is ever withdrawn here.  The bytes are a cached frame's or a dirty extent's, which do not change until the
 * buffer goes home, and buf_peek sees that.
 */
#ifndef META_PAGESHOW_H
#define META_PAGESHOW_H

#include "meta/record.h"
#include "reactor/buf.h"

int  pageshow_init(uint32_t max); /* per core */
void pageshow_fini(void);

/* The owner: page `page` (PAGE bytes each) of the file with these attributes lies at `off` of b, which is held now. */
void pageshow_put(const struct attr *a, uint64_t page, const struct buf *b, uint32_t off);
/* Any core, with attributes that are shown: copies the page to `to`, aligned to 16; false: its owner must be asked. */
bool pageshow_look(const struct attr *a, uint64_t page, uint8_t to[PAGE]);
/* Before many looks, for each: step 0, then step 1 (assoc_near). */
void pageshow_near(uint64_t ino, uint64_t page, int step);

#endif
