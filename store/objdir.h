/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of a local object store: an object is durable only when each
 * directory above it is, so the first PUT into one in this run makes sure of
 * that, up to the root.  Later ones remember.  Blocking; worker threads, any number at once.
 */
#ifndef STORE_OBJDIR_H
#define STORE_OBJDIR_H

#include "reactor/base.h"

#define OBJDIR_KNOWN 4096
#define OBJDIR_NAME  192  /* struct obj_req's */
#define OBJDIR_SYNC_MAX 1000

struct objdirs {
	int root;
	_Atomic uint64_t known[OBJDIR_KNOWN]; /* hashes of directories that are durable */
};

void objdir_init(struct objdirs *d, int root);
/* Makes the directories above object `name`, durably.  0 or -errno. */
int  objdir_make(struct objdirs *d, const char *name);
/* They turned out not to be there: somebody removed them. */
void objdir_forget(struct objdirs *d, const char *name);
/*
 * What was linked into or unlinked from the directories above the names is durable;
 * each is synced once, a missing one is no error.
 */
int  objdir_sync(struct objdirs *d, const char (*names)[OBJDIR_NAME], int n);

#endif
