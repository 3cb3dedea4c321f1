/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MOUNT version 3's arguments and results (RFC 1813, appendix I).  As
 * nfs3_xdr.h: pure, paths point into the message.
 */
#ifndef PROTO_MOUNT3_XDR_H
#define PROTO_MOUNT3_XDR_H

#include "proto/export.h"
#include "proto/nfs3.h"
#include "proto/xdr.h"

struct mount3_path {
	const char *s; /* not terminated */
	uint32_t len;
};

/* One line of the list of mounts. */
struct mount3_entry {
	char host[46]; /* the client's address as text */
	char dir[256];
};

void mount3_get_path(struct xdr *d, struct mount3_path *p); /* MNT, UMNT */

void mount3_put_mnt(struct xdr *e, enum mountstat3 st, const struct fref *root);
/* As many as there is room for, and the end of the list. */
void mount3_put_dump(struct xdr *e, const struct mount3_entry *list, int n);
void mount3_put_exports(struct xdr *e, const struct export *list, int n);

#endif
