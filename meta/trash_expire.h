/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has been in the trash as long as its share's retention says is removed for good, oldest first: the records
 * lie in that order, so nothing else is looked at.  In the background, on core 0: some at a time, then clients first.
 * Each goes in a batch of its own (trash_purge), so a crash leaves nothing half done; what its data took goes to the deleter.
 */
#ifndef META_TRASH_EXPIRE_H
#define META_TRASH_EXPIRE_H

#include "reactor/base.h"

/*
 * Any thread: what was removed from the share (0: from any) before this second since 1970 is due now.  It is on its
 * way when trash_emptying says so no more.
 */
void trash_empty(uint32_t share, uint64_t before_s);
bool trash_emptying(void);
/* Removed since the start, because they were due. */
uint64_t trash_expired(void);

int  trash_expire_init(void); /* per core; core 0 does the work */
void trash_expire_fini(void);
/* No more from now on; true when nothing is under way. */
bool trash_expire_quit(void);

#endif
