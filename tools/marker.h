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
int  uuid_parse(const char *text, uint8_t out[16]); /* NULL and what uuid_format does not write: -EINVAL */

/* 0, or as the store has it with a sentence in why[]; -EEXIST: the prefix is another volume's. */
int marker_make(struct objstore *store, const uint8_t uuid[16], const struct share_rec *share, char why[256]);
/* 0: the marker names this volume.  -EINVAL: another.  Both that and what the store has to say with a sentence in why[]. */
int marker_check(struct objstore *store, const uint8_t uuid[16], const struct share_rec *share, char why[256]);
/* Whose the objects below a prefix are, and which share's.  0, or as the store has it; -E_DAMAGED: the marker says nothing. */
int marker_read(struct objstore *store, const char *prefix, uint8_t uuid[16]);
/* Of a format that failed.  The caller has checked that it is this volume's. */
int marker_remove(struct objstore *store, const struct share_rec *share);

#endif
