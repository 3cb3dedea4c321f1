/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume as a whole: directories, database, marker objects.  Start-up and
 * `format` only; blocking, main thread.
 */
#ifndef TOOLS_VOLUME_H
#define TOOLS_VOLUME_H

#include "meta/file.h"
#include "store/objstore.h"
#include "tools/config.h"

struct volume_open {
	struct volume vol;
	struct share_rec shares[CONFIG_SHARES_MAX];
	int nshares;
	struct objstore *store;
	int lock_fd;
};

/* Makes the volume that the config describes.  -EEXIST where there is one; what it made is removed again on failure. */
int volume_format(const struct config *c, char why[256]);
/*
 * Takes the volume's lock, opens database and object store, reads V and X.
 * Fills share and root of the config's exports.  -EBUSY: another process has it open.
 */
int  volume_open(struct volume_open *v, struct config *c, char why[256]);
void volume_close(struct volume_open *v);
/* Reactors running: each share's marker object must name this volume. */
int  volume_check_markers(const struct volume_open *v, char why[256]);

#define UUID_STRLEN 37
void uuid_format(const uint8_t uuid[16], char out[UUID_STRLEN]);

#endif
