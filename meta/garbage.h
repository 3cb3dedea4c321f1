/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background deleter: works through what 'G' says is garbage, slowly, some
 * seconds after it became that, because readers may still be at it.  Deletes
 * nothing that RocksDB does not durably say is garbage, and forgets it only after the objects are gone.
 */
#ifndef META_GARBAGE_H
#define META_GARBAGE_H

#include "meta/kv.h"

#define GARBAGE_INODE 'i' /* all that the inode's chunks hold */
#define GARBAGE_SLICE 's'
#define GARBAGE_PACK  'p' /* nothing lives in it */

/* The value: whose objects they are. */
#define GARBAGE_BYTES 5
size_t garbage_encode(uint8_t v[GARBAGE_BYTES], uint32_t share);

/* In the batch: nothing shows the slice any more.  Any thread. */
void garbage_slice(struct kv_batch *b, uint64_t slice, uint32_t share);
/* In the batch: no block is in the pack any more.  Any thread. */
void garbage_pack(struct kv_batch *b, uint64_t pack, uint32_t share);

/*
 * What became garbage at that second (CLOCK_REALTIME) or later stays, whatever its age: a backup names it.  UINT64_MAX,
 * which is how it begins: nothing needs it.  Any thread.
 */
void garbage_hold(uint64_t since_s);

int  garbage_init(void); /* per core; core 0 does the work */
void garbage_fini(void);
/* No more from now on; true when nothing is under way. */
bool garbage_quit(void);

#endif
