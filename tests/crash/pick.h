/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invents calls.  Each pick_PROCEDURE looks for something that is free to be done, says which answers are right,
 * and starts the call; false when luck gave it nothing.  Only pick*.c know this.
 */
#ifndef TESTS_CRASH_PICK_H
#define TESTS_CRASH_PICK_H

#include "tests/crash/run.h"

/* ---- pick_names.c */
bool pick_create(struct run *r, struct lane *lane);
bool pick_make(struct run *r, struct lane *lane, uint32_t proc); /* MKDIR, SYMLINK, MKNOD */
bool pick_remove(struct run *r, struct lane *lane);
bool pick_rmdir(struct run *r, struct lane *lane);
bool pick_rename(struct run *r, struct lane *lane);
bool pick_link(struct run *r, struct lane *lane);

/* ---- pick_data.c */
bool pick_setattr(struct run *r, struct lane *lane); /* no size */
bool pick_trunc(struct run *r, struct lane *lane);
bool pick_write(struct run *r, struct lane *lane);
bool pick_commit(struct run *r, struct lane *lane);
/* Where a READ or WRITE of the file may begin. */
uint64_t pick_offset(struct world *w, const struct node *n);
/* A file of many chunks that is to get them first: what would shorten or remove it waits, most of the time. */
bool pick_is_growing(struct world *w, const struct node *n);

/* ---- pick.c */
/* A call that wants NFS_OK. */
struct act *pick_begin(struct run *r, struct lane *lane, uint32_t proc);
/* A free slot, with a node in it or without; or NULL. */
struct slot *pick_slot(struct world *w, bool held);
void pick_use_slot(struct act *a, struct slot *s);
void pick_mode(struct world *w, struct nfs_sattr *sattr);
uint64_t pick_time(struct world *w);
bool pick_room_for(const struct run *r, uint32_t type);

#endif
