/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what (POSIX.1-2017 §4.5 and the pages of the functions named
 * below; where POSIX leaves a choice, what Linux does).  Pure functions, any core.
 * perm_allows is in meta.h.
 */
#ifndef META_PERM_H
#define META_PERM_H

#include "meta/meta.h"

#define MAY_READ  4u
#define MAY_WRITE 2u
#define MAY_EXEC  1u /* of a directory: search */

#define MODE_SUID   04000u
#define MODE_SGID   02000u
#define MODE_STICKY 01000u

bool perm_in_group(const struct cred *c, uint32_t gid);
/*
 * READ and WRITE of data: an owner always may, because a client checks at open()
 * and may chmod after it (RFC 1813 §4.4); `want` as perm_allows.
 */
bool perm_may_io(const struct attr *a, const struct cred *c, unsigned want);
/* The ACCESS3_* bits of `mask` that the caller has. */
uint32_t perm_access(const struct attr *a, const struct cred *c, uint32_t mask);
/* A sticky directory's entry is for the owner of either, and the superuser: 0 or -EPERM. */
int perm_sticky(const struct attr *dir, const struct attr *child, const struct cred *c);
/* Writing or truncating by others than the superuser clears set-user-ID and, of executables, set-group-ID: the mode then. */
uint32_t perm_mode_written(const struct attr *a, const struct cred *c);
/* chmod, chown, utimensat, truncate: 0, -EPERM, -EACCES; -EISDIR or -EINVAL for a size of no regular file. */
int perm_setattr(const struct attr *a, const struct cred *c, const struct sattr *s);
/* The mode after a permitted change of owner, group and mode. */
uint32_t perm_mode_set(const struct attr *a, const struct cred *c, const struct sattr *s);
/* Owner, group and mode of what is made in `dir` (fills a->uid, gid, mode). */
void perm_new(struct attr *a, const struct attr *dir, const struct cred *c, const struct sattr *s);

#endif
