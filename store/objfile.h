/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object store in a local directory, behind store/objstore.h; only
 * store/objstore.c calls this.  An object is a file of its name below the
 * directory; .tmp/ holds those that are being written.
 */
#ifndef STORE_OBJFILE_H
#define STORE_OBJFILE_H

#include "store/objstore.h"

/* `dir` is absolute.  Blocking; -errno and a sentence in why[]. */
int objfile_open(struct objstore **out, const char *dir, bool create, char why[256]);

#endif
