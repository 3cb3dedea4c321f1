/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backup of the metadata in the object store consists of, and what its objects are called:
 *
 *   <first share's prefix>/backups/at/20261127T001500Z-EPOCH   a manifest: the backup is there when this is
 *   <first share's prefix>/backups/data/EPOCH-NUMBER           a piece of a file, at most BACKUP_PIECE bytes
 *
 * EPOCH is the server's that wrote it (store/claim.h), NUMBER counts within it: no name is ever used twice, so nothing that a
 * server deletes can be what another one has just written.  What a piece holds its manifest says, by its digest; so a
 * later backup names the pieces again that it has in common with the one before.
 *
 * A manifest is text, and its last line the digest of all before it:
 *
 *   dittofs backup 1
 *   volume UUID
 *   taken SECONDS             since 1970; all that was written before is in it
 *   until SECONDS             no object that it needs is deleted before, as the server was configured then
 *   owner EPOCH
 *   share /export             each of them
 *   file NAME BYTES           each of them, and behind it its pieces, in order
 *   piece EPOCH-NUMBER BYTES SHA256
 *   sum SHA256
 *
 * With encryption both kinds are sealed (tools/backup_object.h).  Pure, any thread.
 */
#ifndef TOOLS_BACKUP_MANIFEST_H
#define TOOLS_BACKUP_MANIFEST_H

#include "crypto/digest.h"
#include "store/objstore.h"
#include "tools/config.h"

#define BACKUP_PIECE     ((uint32_t)(4 * MIB))
#define BACKUP_FILE_NAME 64      /* with its final zero */
#define BACKUP_FILES_MAX 1000000u
#define BACKUP_TEXT_MAX  (1024 * MIB) /* of a manifest; some 10 million pieces */

/* When and by whose epoch; backups sort by it. */
struct backup_id { uint64_t taken_s, epoch; };
int backup_id_cmp(const void *a, const void *b);
struct piece_id { uint64_t epoch, number; };
int piece_id_cmp(const void *a, const void *b);

struct backup_piece {
	struct piece_id id;
	uint32_t bytes;
	uint8_t digest[DIGEST_SHA256];
};
struct backup_file {
	char name[BACKUP_FILE_NAME];
	uint64_t bytes;
	uint32_t first, npieces; /* in piece[] */
	/* not in the text: whether it is still the one that these pieces were read from */
	uint64_t ino, mtime_ns;
};
struct backup_manifest {
	uint8_t uuid[16];
	struct backup_id id;
	uint64_t until_s;
	char share[CONFIG_SHARES_MAX][64];
	uint32_t nshares;
	struct backup_file *file;
	uint32_t nfiles, files_room;
	struct backup_piece *piece;
	uint32_t npieces, pieces_room;
};

/* All zeros is an empty one. */
void backup_manifest_free(struct backup_manifest *m);
/* Pieces that are added then are this file's.  NULL: no memory. */
struct backup_file *backup_manifest_file(struct backup_manifest *m, const char *name);
int  backup_manifest_piece(struct backup_manifest *m, const struct backup_piece *p); /* -ENOMEM */
uint64_t backup_manifest_bytes(const struct backup_manifest *m);
const struct backup_file *backup_manifest_find(const struct backup_manifest *m, const char *name);

/* Allocated, *len bytes, no final zero; NULL: no memory. */
char *backup_manifest_text(const struct backup_manifest *m, size_t *len);
/*
 * Into an empty one, which the caller frees in either case.  Whatever the bytes are: what is taken names files of one
 * directory only, each once, of pieces that sum up to its length.  -E_FORMAT: none, or of a newer program; -E_DAMAGED; -ENOMEM.
 */
int backup_manifest_parse(struct backup_manifest *m, const char *text, size_t len);

/* May a file of a backup have this name?  It keeps within its directory. */
bool backup_file_name_ok(const char *name);

void backup_name(char out[OBJ_NAME], const char *prefix, const struct backup_id *id);
void piece_name(char out[OBJ_NAME], const char *prefix, const struct piece_id *id);
/* What all of them begin with. */
void backup_names(char out[OBJ_NAME], const char *prefix);
void piece_names(char out[OBJ_NAME], const char *prefix);
/* False: no such name, to the letter. */
bool backup_name_parse(const char *name, const char *prefix, struct backup_id *id);
bool piece_name_parse(const char *name, const char *prefix, struct piece_id *id);

#define BACKUP_TIME 24
/* "2026-11-27 00:15:00 UTC", and back: with a T, with or without Z or UTC, with only the minute or the day, too. */
void backup_time(char out[BACKUP_TIME], uint64_t s);
int  backup_time_parse(const char *text, uint64_t *s); /* -EINVAL */

#endif
