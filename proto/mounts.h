/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of mounts (RFC 1813 §5.2.2): who asked MNT for what and did not say
 * UMNT.  It is advice for people (DUMP, `status`): clients need not be
 * truthful, and a restart forgets it.  Bounded: the oldest entry goes.  Lives on
 * core 0, the others send calls there.
 */
#ifndef PROTO_MOUNTS_H
#define PROTO_MOUNTS_H

#include "proto/mount3_xdr.h"

#define MOUNTS_MAX 512

struct mounts {
	struct mount3_entry list[MOUNTS_MAX]; /* oldest first */
	int n;
};

/* A client that mounts twice stands there once.  A dir that is too long is cut. */
void mounts_add(struct mounts *m, const char *host, const char *dir, uint32_t dir_len);
void mounts_remove(struct mounts *m, const char *host, const char *dir, uint32_t dir_len);
void mounts_remove_all(struct mounts *m, const char *host);

#endif
