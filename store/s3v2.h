/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object store in a bucket of an old endpoint that knows Signature V2 only, through
 * Debian's libs3; store/s3.h is for all others.  Only in builds with LIBS3 = 1 (config.mk): libs3 is GPL-3,
 * and brings the GnuTLS flavour of libcurl along.
 *
 * libs3 waits in select(), so requests run on worker threads, two a core at most; the
 * others stand in line on their core.  It has no timeouts: each attempt is watched, and thrown away
 * with its connections.  What it does not have:
 *   conditional PUT   `exclusive` looks first, so two servers that format or claim at the
 *                     same instant may both succeed
 *   DeleteObjects     one request a name
 *   HTTPS that one could rely on, session tokens, virtual-host style with a port
 */
#ifndef STORE_S3V2_H
#define STORE_S3V2_H

#include "store/s3.h"

/* As s3_open. */
int s3v2_open(struct objstore **out, const char *url, const struct s3_opts *o, char why[256]);

#endif
