/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of backups that are in the object store, by their digest: what a new backup need not upload.  One thread at a time. */
#ifndef TOOLS_BACKUP_KNOWN_H
#define TOOLS_BACKUP_KNOWN_H

#include "tools/backup_manifest.h"

/* All zeros is an empty one. */
struct backup_known {
	struct backup_piece *v;
	uint32_t n, room;
	uint32_t *slot, nslots; /* an open table of indices, from 1 */
};
void backup_known_free(struct backup_known *k);
int  backup_known_add(struct backup_known *k, const struct backup_piece *p); /* -ENOMEM; a second one of a digest is left out */
const struct backup_piece *backup_known_find(const struct backup_known *k, const uint8_t digest[DIGEST_SHA256]); /* or NULL */
/* Leaves those that are in id[0..n), which is sorted.  -ENOMEM: it is empty then. */
int  backup_known_keep(struct backup_known *k, const struct piece_id *id, size_t n);

#endif
