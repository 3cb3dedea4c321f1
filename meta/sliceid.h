/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids of slices and packs.  A core takes them from RocksDB in batches; a batch
 * is durable as taken before its first id is used, so no id is ever used
 * twice, whatever crashes.
 */
#ifndef META_SLICEID_H
#define META_SLICEID_H

#include "reactor/op.h"
#include "reactor/base.h"

int  slice_id_init(void); /* per core; blocking */
void slice_id_fini(void);
/* n consecutive ids, the first; 0: there are not so many now, more are on their way (`ready`, if any, resumes once). */
uint64_t slice_id_take(uint32_t n, struct op *ready);
/* A batch is being taken. */
bool slice_id_is_busy(void);

#define SLICE_IDS_MAX 4096u /* a call */

#endif
