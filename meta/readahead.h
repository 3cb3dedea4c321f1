/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames are fetched before they are asked for, where a file is read in order.
 * The window doubles with each READ that finds the reader where it was expected.
 */
#ifndef META_READAHEAD_H
#define META_READAHEAD_H

#include "meta/file_core.h"

int  readahead_init(void); /* per core */
void readahead_fini(void);
/* [off, off + len) was read. */
void readahead_note(struct file *f, uint64_t off, uint32_t len);

#endif
