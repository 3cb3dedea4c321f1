/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's backups of its metadata into the object store: by hand, and in time every backup.every, where something
 * has changed since the last one, or half of backup.keep is over.  Afterwards, and when one gets too old, those go that
 * need not stay (tools/backup_keep.h), and pieces that no manifest names.
 *
 * What is kept is whole: garbage that a backup needs is held (garbage_hold) from before its snapshot is taken until
 * it is gone or older than backup.keep.
 *
 * Deleting fails closed: where one manifest cannot be read, or the list is not whole, no piece is deleted; and only the
 * owner of the objects deletes (store/claim.h).
 *
 * A thread of its own, because it blocks.  What fails is said in the log, and tried again.
 */
#ifndef TOOLS_BACKUP_JOB_H
#define TOOLS_BACKUP_JOB_H

#include <jansson.h>

#include "tools/backup_manifest.h"
#include "tools/daemon.h"

struct backup_report {
	bool running;
	int err;                 /* of the last one; 0: none, or it is made */
	char why[256];
	uint64_t total_bytes, done_bytes, sent_bytes, sent_objects; /* of this one, or of the last */
	uint32_t files;          /* of the last that was made */
	uint64_t taken_s;        /* likewise; 0: none in this run */
	uint64_t kept;           /* backups that are there */
	uint64_t oldest_s, newest_s, next_s; /* 0: none */
};

/* Before the files of the volume are opened: holds what the backups need that volume_claim found. */
void backup_job_hold(const struct daemon *d);
int  backup_job_start(const struct daemon *d); /* -EAGAIN: no thread */
/* Ends early, and waits for it. */
void backup_job_stop(void);
/* One by hand, now; -EBUSY: one is under way. */
int  backup_job_ask(void);
void backup_job_look(struct backup_report *r);
/* For `status` and /backup (tools/report_backup.c); the caller puts it. */
json_t *backup_json(const struct backup_report *r);

#endif
