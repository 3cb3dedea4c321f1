/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of mutations, recorded in the mutation's own batch ('Q' records), so
 * that a retransmission after a crash gets the answer that was lost instead of
 * running again.  A ring of slots a core; meta_once_load is in meta.h.
 */
#ifndef META_ONCE_H
#define META_ONCE_H

#include "meta/meta.h"

#define ONCE_SLOTS 1024u

/* Before the reactors, blocking: where each core's ring goes on. */
int  once_open(void);
/* Into the batch; this core's next slot.  Nothing when the call is not to be recorded. */
void once_put(struct kv_batch *b, const struct once *once, int res, const struct fref *child);

#endif
