/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File handles: 32 bytes that name an inode and that nobody can make up.
 *
 *   0   version (1)
 *   1   first three bytes of the volume's uuid
 *   4   share id, le32
 *   8   ino, le64
 *   16  generation, le64
 *   24  SipHash-2-4 of the bytes before, keyed with the volume's secret[16..31], le64
 *
 * They hold nothing that changes, so they stay good over restarts, renames and
 * any number of cores.  Whether the inode still exists is the owner's to say
 * (NFS3ERR_STALE); bytes that we never gave out are NFS3ERR_BADHANDLE.
 */
#ifndef PROTO_HANDLE_H
#define PROTO_HANDLE_H

#include "meta/meta.h"

#define HANDLE_BYTES   32
#define HANDLE_VERSION 1

/* Takes the volume's key.  Once, before the first call of the others; any thread may call these then. */
void handle_init(const struct volume *vol);
void handle_encode(uint8_t out[HANDLE_BYTES], const struct fref *f);
/* -E_BADHANDLE: not of this length, version, volume, or not made by us. */
int  handle_decode(struct fref *f, const uint8_t *p, size_t len);

#endif
