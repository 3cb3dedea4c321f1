/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs of which little is needed any more: what still lives in them is written anew, that of several in one pack, and
 * they go.  A pack goes by itself when nothing in it lives; until then one small file would keep 4 MiB.
 *
 *   find    'P' records that say so, in the order of their ids: a pass after a start, and later ones when something was deleted
 *   tail    the pack's index: which blocks it had; their 'B' records say which of them live, and where
 *   bytes   their frames as they are stored, each checked by its CRC32C, into buffers
 *   put     one new pack, when that is full or the pass is over
 *   commit  one batch: B and P of what has moved, G of the packs that hold nothing any more
 *
 * By turns with the deleter (garbage.h), on core 0: only these two change the records of blocks that are there, so none
 * changes between its read and the batch.  Readers look a block up each time, and again when its object is gone
 * (fetch.h).  A crash finds the old place of a block or the new one recorded; what it leaves in the object store `gc` finds.
 *
 * It gives way as compaction does, and to compaction; it shares its rate.  A pack that is damaged or missing is left as it is.
 */
#ifndef META_REPACK_H
#define META_REPACK_H

#include "reactor/op.h"

/* One turn: looks at some packs, writes one at most.  Its errors are its own: op->res is 0. */
enum op_state repack_run(struct op *op);
/* Blocks of packs have gone: another pass is worth it. */
void repack_thinned(void);

/* Ends the turn that is under way, if any, soon; no more from now on. */
void repack_quit(void);

int  repack_init(void); /* core 0 */
void repack_tune(void); /* file_options have changed; any core */
void repack_fini(void);

#endif
