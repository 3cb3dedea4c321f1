/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One backup: the files of a snapshot (kv_checkpoint) as pieces into the object store, those that are not there, and then
 * the manifest.  A file that the backup before had, the same inode unchanged since, is not even read.
 *
 * One piece in memory and one PUT at a time, no faster than `rate`.  Blocking, a thread of its own.
 */
#ifndef TOOLS_BACKUP_UPLOAD_H
#define TOOLS_BACKUP_UPLOAD_H

#include <stdatomic.h>

#include "tools/backup_known.h"
#include "tools/backup_object.h"

struct backup_upload {
	const struct backup_place *place;
	const char *dir;                     /* the snapshot */
	uint64_t rate;                       /* bytes a second, read or sent */
	struct piece_id next;                /* of the next piece; goes on from backup to backup */
	struct backup_known known;           /* goes on, too: a backup that failed is not begun anew */
	const struct backup_manifest *before; /* the backup before, or an empty one */
	struct backup_manifest *made;        /* id, until_s, uuid and shares are set; result: the files */
	_Atomic bool stop;                   /* -ECANCELED soon */
	/* so far, for who looks on */
	_Atomic uint64_t total_bytes, done_bytes, sent_bytes, sent_objects;
	/* private */
	uint8_t *buf;
	uint64_t begun_ns, moved_bytes;
};
/* 0; or -errno with a sentence in why[]: nothing of it counts then. */
int backup_upload(struct backup_upload *u, char why[256]);

#endif
