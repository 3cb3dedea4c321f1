/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What meta_open was told, for the files of meta/: constant while the reactors run.
 */
#ifndef META_VOLUME_H
#define META_VOLUME_H

#include "meta/meta.h"

struct meta_config {
	uint64_t capacity_bytes, capacity_inodes; /* 0: not limited */
	char objects_path[4096];                  /* "": none */
};
const struct meta_config *meta_config(void);
/* fsstat.c: what it knows of the disk is of another volume. */
void fsstat_open(void);

#endif
