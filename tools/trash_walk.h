/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in the trash, for people: in the order of the removals, with the path that it had.  Blocking, beside
 * clients; the threads of the admin plane.
 */
#ifndef TOOLS_TRASH_WALK_H
#define TOOLS_TRASH_WALK_H

#include "tools/volume.h"

struct trash_item {
	uint32_t share;
	uint64_t second, ino;
	struct trash_rec rec;
};

/*
 * Of that share, after `from` (second and ino; zeros: all of it).  `see` may take its time; what is not 0 ends the walk
 * and is answered, as an error is.
 */
int trash_walk(const struct trash_item *from, int (*see)(void *arg, const struct trash_item *it), void *arg);

/* Paths that directories have, or had before they were removed; those of some hundred are remembered. */
struct origins;
struct origins *origins_new(const struct volume_open *v);
void origins_free(struct origins *o);
/* "/export/a/b" of the item; where a directory above it has gone for good, what is known of it.  Lent until the next call. */
const char *origins_path(struct origins *o, const struct trash_item *it);

/* ".trash/HOUR/NAME": where it is now.  `out` is terminated. */
#define TRASH_PATH_BYTES (sizeof(".trash//") + 13 + NAME_BYTES_MAX)
void trash_path(char out[TRASH_PATH_BYTES], const struct trash_item *it);

#endif
