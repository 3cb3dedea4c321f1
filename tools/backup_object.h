/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of backups (tools/backup_manifest.h) on their way to the object store and back:
 *
 *   "DTTBAK1\0" | version u16 | cipher u16 | key epoch u32 | volume's uuid | bytes u64 | zeros, 64 bytes in all; then the bytes
 *
 * Where the process has the volume's keys (crypto/seal.h), the bytes are sealed, and a trailer follows: bound to volume, key
 * epoch, length and the object's name.  Then nothing is taken that is not.
 *
 * Blocking: for threads that may, while reactors run (on_core).  One request at a time each.
 */
#ifndef TOOLS_BACKUP_OBJECT_H
#define TOOLS_BACKUP_OBJECT_H

#include "crypto/seal.h"
#include "tools/backup_manifest.h"

#define BACKUP_HEAD 64u
#define BACKUP_TAIL SEAL_BYTES
#define BACKUP_ROOM(bytes) (BACKUP_HEAD + (bytes) + BACKUP_TAIL) /* of a buffer for an object of so many */

/* Where a volume's backups are. */
struct backup_place {
	struct objstore *store;
	const char *prefix;      /* of its first share */
	uint8_t uuid[16];
};

/*
 * All backups, sorted; other names there are nobody's.  The caller frees *out, in either case.  0 or what the store has to
 * say; with the sentences of objstore_error.
 */
int backup_list(const struct backup_place *at, struct backup_id **out, size_t *n);
/* Likewise the pieces. */
int backup_list_pieces(const struct backup_place *at, struct piece_id **out, size_t *n);

/* The object's bytes stand at buf + BACKUP_HEAD; buf has BACKUP_ROOM(bytes), and is of no use afterwards. */
int backup_put(const struct backup_place *at, const char *name, uint8_t *buf, size_t bytes);
/*
 * And back to there: exactly `bytes`.  -E_DAMAGED: it is shorter, or not what was put there under this name; -ENOKEY: it is sealed with
 * a key that is not there; -E_FORMAT: a newer program's; or what the store has to say.
 */
int backup_get(const struct backup_place *at, const char *name, uint8_t *buf, size_t bytes);
/* The manifest of that backup, into an empty one, which the caller frees in either case; its volume's uuid is compared. */
int backup_read(const struct backup_place *at, const struct backup_id *id, struct backup_manifest *m);
int backup_write(const struct backup_place *at, const struct backup_manifest *m);
/* At most DEL_MAX; only the owner of the objects can (store/claim.h). */
int backup_remove(const struct backup_place *at, char (*name)[OBJ_NAME], int n);

/* What the result of any of these means, in words. */
const char *backup_error(int err);

/* The prefixes below which there may be a volume, so many at most: what has a dittofs.json. */
int backup_find_prefixes(struct objstore *store, char (*prefix)[64], int room);

#endif
