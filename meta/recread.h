/* SPDX-License-Identifier: Apache-2.0 */
/* A record of the journal, back in memory: a buffer for it, and its bytes. */
#ifndef META_RECREAD_H
#define META_RECREAD_H

#include "store/journal.h"

struct record_read {
	struct jloc loc;           /* held while it runs */
	struct buf *buf;           /* result: the caller's when op->res is 0 */
	/* private */
	struct jread read;
	struct buf_wait wait;
	enum { RECORD_BUF, RECORD_READ } stage;
	struct op step;
	struct op *done;
};
/* With `nowait` it never stands in line for memory.  op->res: 0, -E_JUKEBOX (then), -E_DAMAGED, -EIO. */
enum op_state record_read(struct record_read *r, const struct jloc *loc, enum buf_use use, bool nowait,
                          struct op *op);
/* What a record of this length takes. */
uint32_t record_buf_bytes(uint32_t len);

#endif
