/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New inode numbers.  Each core takes them in batches from 'N', and a batch is
 * durable before its first number is used: a number that a crash took back could
 * else come again for another file, and the journal's records of the lost one
 * would be replayed into it.
 */
#ifndef META_INO_H
#define META_INO_H

#include "meta/kv.h"

/* On each core's thread, in reactor_opts.init: takes the first batch, blocking. */
int  ino_init(void);
void ino_fini(void);

struct ino_wait {
	struct ino_wait *next;
	uint64_t *ino;
	struct op *op;
};
/* op->res: 0 and *ino, or -EIO. */
enum op_state ino_get(struct ino_wait *w, uint64_t *ino, struct op *op);

#endif
