/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists a local object store in the order of names, a page at a time, with memory for
 * a few pages whatever the size of its directories.  Blocking, for workers; only store/objfile.c calls this.
 */
#ifndef STORE_OBJDIR_LIST_H
#define STORE_OBJDIR_LIST_H

#include "store/objstore.h"

/* As objstore_ops.list has it, below the directory `root`: 0 or -errno. */
int objdir_list(int root, struct obj_req *r);

#endif
