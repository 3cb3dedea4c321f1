/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as the client hears them: one table of which nfsstat3 each procedure
 * may answer (RFC 1813 §3.3), and how errors outside its list are put.  Pure, any thread.
 */
#ifndef PROTO_STATUS_H
#define PROTO_STATUS_H

#include "proto/nfs3.h"
#include "reactor/base.h"

/* err is 0 or more (OK), or a negative errno or code of reactor/base.h. */
enum nfsstat3   status_nfs3(enum nfs3_proc proc, int err);
enum mountstat3 status_mount3(int err);
/* Whether the procedure may answer this at all; for the tests. */
bool status_nfs3_allowed(enum nfs3_proc proc, enum nfsstat3 status);

#endif
