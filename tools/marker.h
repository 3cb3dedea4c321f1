/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marker objects: <prefix>/dittofs.json says whose the objects below a prefix are.  It is made once, when a
 * volume is formatted, and never written again.  Blocking, main thread, with reactors running.
 */
#ifndef TOOLS_MARKER_H
#define TOOLS_MARKER_H

#include "meta/record.h"
#include "store/objstore.h"

#define UUID_STRLEN 37
void uuid_format(const uint8_t uuid[16], char out[UUID_STRLEN]);

/* 0, or as the store has it with a sentence in why[]; -EEXIST: the prefix is another volume's. */
int marker_make(struct objstore *store, const uint8_t uuid[16], const struct share_rec *share, char why[256]);
/* 0: the marker names this volume.  -EINVAL: another.  Both that and what the store has to say with a sentence in why[]. */
int marker_check(struct objstore *store, const uint8_t uuid[16], const struct share_rec *share, char why[256]);
/* Of a format that failed.  The caller has checked that it is this volume's. */
int marker_remove(struct objstore *store, const struct share_rec *share);

#endif
