/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory that a volume is restored to.  Either a dittofs.yaml is there and says where metadata, journal and objects
 * are, or the command line does, and the file is written as `format` writes it.  The metadata is made beside its place and
 * renamed last, so an interrupted restore is none and can be run again.  Blocking, main thread.
 */
#ifndef TOOLS_RESTORE_PLACE_H
#define TOOLS_RESTORE_PLACE_H

#include <limits.h>

#include "tools/restore.h"

#define RESTORE_PART ".restoring" /* behind the metadata directory's name, until it is whole */

struct restore_place {
	/* of the command line, NULL where it says nothing */
	const char *dir, *file, *objects;
	struct s3_opts s3;
	const char *key_file, *passphrase_file; /* "": none */
	/* what came of it */
	struct config config;
	char part[PATH_MAX];     /* for restore_run */
};
/* By a file that stood there before: then it is loaded into `config`; else restore_place_flags fills what is needed. */
bool restore_place_is_configured(const struct restore_place *p);

/* All: 0, or -errno with a sentence in why[]. */
int restore_place_flags(struct restore_place *p, char why[256]);
/* Nothing that anybody may want is there. */
int restore_place_check(struct restore_place *p, char why[256]);
int restore_place_begin(struct restore_place *p, char why[256]);
int restore_place_finish(struct restore_place *p, const struct backup_manifest *m, char why[256]);

#endif
