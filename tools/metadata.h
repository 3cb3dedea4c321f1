/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the metadata says, for people: paths and inodes.  Blocking, beside clients; the threads of the admin plane.
 * Names and sizes are those of the database: what is written but not uploaded yet is not in them.
 */
#ifndef TOOLS_METADATA_H
#define TOOLS_METADATA_H

#include "tools/volume.h"

/* 0, -ENOENT, or what the database has to say. */
int metadata_attr(uint64_t ino, struct attr *a);
/* The share that the inode is in; NULL: none of this volume. */
const struct share_rec *metadata_share(const struct volume_open *v, const struct attr *a);
/* What the trash knows of it (meta/trash.h); -ENOENT: it is not there. */
int metadata_trashed(const struct attr *a, struct trash_rec *r);
/* "/export/a/b" of an inode; where the way up breaks off, what is known of it.  The caller frees. */
char *metadata_path(const struct volume_open *v, uint64_t ino);
/* Likewise, but of what was removed the path that it had. */
char *metadata_origin(const struct volume_open *v, uint64_t ino);
/* And back: -ENOENT, -ENOTDIR.  Symlinks are not followed; what is in the trash is found there. */
int metadata_find(const struct volume_open *v, const char *path, uint64_t *ino);

#endif
