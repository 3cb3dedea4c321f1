/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a directory of metadata of a backup: each piece is fetched, its digest checked, and what is there of an interrupted
 * attempt is checked and not fetched again.  Blocking, main thread, with reactors running.
 */
#ifndef TOOLS_RESTORE_H
#define TOOLS_RESTORE_H

#include "tools/backup_object.h"

struct restore {
	const struct backup_place *place;
	const struct backup_manifest *backup;
	const char *dir;          /* there; what is in it and not of the backup goes */
	void (*progress)(const struct restore *r); /* or NULL */
	uint64_t total_bytes, done_bytes, fetched_bytes; /* so far */
	uint8_t *buf;             /* private */
};
/* 0: it is whole, and durable; or -errno with a sentence in why[]: it can be run again. */
int restore_run(struct restore *r, char why[256]);

#endif
