/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction: what lies in a chunk in many small pieces is written anew as one slice, in the background,
 * so that a reader needs one frame where it needed many.  On each core for the inodes that it owns.
 *
 *   note     a chunk was written or loaded, and has pieces enough (chunkmap_watch); or somebody asks for it
 *   plan     which of them (compact_plan.h), some time later, and when nothing of the file is dirty
 *   copy     their bytes into buffers, frame by frame, each checked as a reader has it
 *   upload   one object of at most a block
 *   commit   under the inode's lock, one batch: C and B of the new slice, G of those that show no more
 *
 * Not one byte of a file reads as another than before, whatever happens meanwhile: the new slice is recorded
 * for just those bytes that the chunk still shows as they were copied (slices never change, their ids are never
 * used again), so what was overwritten, cut or removed since stays that.  A new slice that nothing needs any more
 * is garbage at once.  A crash finds the old slices or the new one recorded; what it leaves in the object store
 * `gc` finds.  Readers who are still at the old slices have them as long as those of any overwritten byte (garbage.h).
 *
 * It gives way: one at a time a core, of so many bytes a second and at most half of the time; with buffers
 * that nobody waits for; never while uploads are behind.
 */
#ifndef META_COMPACT_H
#define META_COMPACT_H

#include "meta/file_core.h"

/*
 * On the core of the inode: looks at the chunk as soon as its turn comes, however lately it was written.  False: there is
 * no room for it now, ask again.
 */
bool compact_ask(uint64_t ino, uint64_t gen, uint64_t chunk);
/* So many of this core's that were asked for have not been looked at to their end. */
uint32_t compact_asked(void);

int  compact_init(uint64_t arena_bytes); /* per core */
void compact_tune(void);                 /* file_options have changed */
void compact_fini(void);
/* No more from now on; true when none is under way. */
bool compact_quit(void);

#endif
