/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read in order is fetched before it is asked for: several streams a file, each
 * with a window that doubles until it covers what the way to a bucket swallows (32 MiB: 640 MB/s
 * at 50 ms).  Windows of a block and more move by whole blocks, so that a block is one GET.
 * Random reads start no stream that fetches anything.
 */
#ifndef META_READAHEAD_H
#define META_READAHEAD_H

#include "meta/file_core.h"

/* Per core; what is under way ahead is at most a quarter of `arena_bytes`, a file's window an eighth. */
int  readahead_init(uint64_t arena_bytes);
void readahead_fini(void);
/* Something is on its way. */
bool readahead_is_busy(void);
/*
 * [off, off + len) is being read.  Early in the READ, behind its own fetches: then what comes
 * next is on its way together with it.
 */
void readahead_note(struct file *f, uint64_t off, uint32_t len);

#endif
