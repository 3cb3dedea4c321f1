/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/perm.h"

#include "meta/trash.h"

bool
perm_in_group(const struct cred *c, uint32_t gid)
{
	uint32_t n = MIN(c->ngids, (uint32_t)CRED_GIDS_MAX);

	if (c->gid == gid)
		return true;
	for (uint32_t i = 0; i < n; i++)
		if (c->gids[i] == gid)
			return true;
	return false;
}

static bool
mode_allows(const struct attr *a, const struct cred *c, unsigned want)
{
	unsigned have;

	/* The superuser runs only what somebody may run. */
	if (c->uid == 0)
		return !(want & MAY_EXEC) || a->type == FT_DIR || (a->mode & 0111);
	if (c->uid == a->uid)
		have = a->mode >> 6;
	else if (perm_in_group(c, a->gid))
		have = a->mode >> 3;
	else
		have = a->mode;
	return (have & want) == want;
}

bool
perm_allows(const struct attr *a, const struct cred *c, unsigned want)
{
	/* The directories that hid it from others are not above it in the trash. */
	if (trash_holds(a) && c->uid != 0 && c->uid != a->uid)
		return false;
	return mode_allows(a, c, want);
}

bool
perm_may_io(const struct attr *a, const struct cred *c, unsigned want)
{
	/* Running a file is reading it: a client cannot say which it does. */
	if (want == MAY_READ && mode_allows(a, c, MAY_EXEC))
		return true;
	/* Also what is in the trash: who has its handle had it before, or was let in there. */
	return c->uid == a->uid || mode_allows(a, c, want);
}

uint32_t
perm_access(const struct attr *a, const struct cred *c, uint32_t mask)
{
	uint32_t have = 0;

	if (perm_allows(a, c, MAY_READ))
		have |= ACC_READ;
	if (perm_allows(a, c, MAY_WRITE))
		have |= ACC_MODIFY | ACC_EXTEND | (a->type == FT_DIR ? ACC_DELETE : 0);
	if (perm_allows(a, c, MAY_EXEC))
		have |= a->type == FT_DIR ? ACC_LOOKUP : ACC_EXECUTE;
	return have & mask;
}

int
perm_sticky(const struct attr *dir, const struct attr *child, const struct cred *c)
{
	if (!(dir->mode & MODE_STICKY) || c->uid == 0 || c->uid == dir->uid || c->uid == child->uid)
		return 0;
	return -EPERM;
}

/* Without group execution set-group-ID once meant mandatory locking, and stays. */
static uint32_t
drop_setid(uint32_t mode)
{
	return mode & ~(MODE_SUID | (mode & 0010 ? MODE_SGID : 0));
}

uint32_t
perm_mode_written(const struct attr *a, const struct cred *c)
{
	return c->uid == 0 || a->type != FT_REG ? a->mode : drop_setid(a->mode);
}

int
perm_setattr(const struct attr *a, const struct cred *c, const struct sattr *s)
{
	bool super = c->uid == 0, owner = super || c->uid == a->uid;

	if (s->set_size && a->type != FT_REG)
		return a->type == FT_DIR ? -EISDIR : -EINVAL;
	if (s->set_uid && !super && !(owner && s->uid == a->uid))
		return -EPERM;
	if (s->set_gid && !super && !(owner && (s->gid == a->gid || perm_in_group(c, s->gid))))
		return -EPERM;
	if (s->set_mode && !owner)
		return -EPERM;
	if ((s->set_atime == TIME_CLIENT || s->set_mtime == TIME_CLIENT) && !owner)
		return -EPERM;
	/* "Now" is for whoever may write; so is the size. */
	if ((s->set_atime == TIME_SERVER || s->set_mtime == TIME_SERVER || s->set_size) && !owner &&
	    !perm_allows(a, c, MAY_WRITE))
		return -EACCES;
	return 0;
}

uint32_t
perm_mode_set(const struct attr *a, const struct cred *c, const struct sattr *s)
{
	uint32_t mode = s->set_mode ? s->mode & 07777 : a->mode, gid = s->set_gid ? s->gid : a->gid;

	/* chmod(2): only a member gives a file its group's identity. */
	if (s->set_mode && c->uid != 0 && !perm_in_group(c, gid))
		mode &= ~MODE_SGID;
	/* chown(2), by the superuser too, as Linux does. */
	if ((s->set_uid || s->set_gid) && a->type != FT_DIR)
		mode = drop_setid(mode);
	if (s->set_size && c->uid != 0)
		mode = drop_setid(mode);
	return mode;
}

void
perm_new(struct attr *a, const struct attr *dir, const struct cred *c, const struct sattr *s)
{
	bool super = c->uid == 0, inherits = dir->mode & MODE_SGID;

	a->uid = super && s->set_uid ? s->uid : c->uid;
	a->gid = inherits ? dir->gid : c->gid;
	if (s->set_gid && (super || perm_in_group(c, s->gid)))
		a->gid = s->gid;
	a->mode = s->set_mode ? s->mode & 07777 : 0;
	if (a->type == FT_LNK)
		a->mode = 0777;
	else if (a->type == FT_DIR)
		a->mode |= inherits ? MODE_SGID : 0;
	else if (!super && !perm_in_group(c, a->gid))
		a->mode &= ~MODE_SGID;
}
