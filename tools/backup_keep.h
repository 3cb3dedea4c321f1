/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which backups stay: the newest in any case; those that are not older than `keep_s`, all of the last two days and
 * of each day (UTC) before the last.
 *
 * What a backup needs of the object store stays for so long, too: nothing that became garbage since the oldest of
 * them, but for a newest one that is older than keep_s.  Pure, any thread.
 */
#ifndef TOOLS_BACKUP_KEEP_H
#define TOOLS_BACKUP_KEEP_H

#include "tools/backup_manifest.h"

/* id[0..n): sorted; stays[i]: whether it does. */
void backup_keep(const struct backup_id *id, size_t n, uint64_t now_s, uint64_t keep_s, bool *stays);
/* Nothing that became garbage at or after this second may be deleted; UINT64_MAX: no backup needs it. */
uint64_t backup_needs_since(const struct backup_id *id, size_t n, uint64_t now_s, uint64_t keep_s);
/* When that or the other changes by itself; UINT64_MAX: never. */
uint64_t backup_next_change(const struct backup_id *id, size_t n, uint64_t now_s, uint64_t keep_s);

#endif
