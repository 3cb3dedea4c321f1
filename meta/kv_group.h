/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for the log: a group gathers while the syncer thread syncs for the
 * one before, then one sync answers all of it.  Part of kv.c's room.
 */
#ifndef META_KV_GROUP_H
#define META_KV_GROUP_H

#include "meta/kv.h"

/* Starts the thread; `sync` makes durable all that was applied before its call. */
int  kv_group_start(int (*sync)(void));
/* No one waits any more. */
void kv_group_stop(void);
/* From a reactor thread: `op` resumes on this core with the result of a sync that began after this call. */
void kv_group_join(struct kv_write *w, struct op *op);

#endif
