/* SPDX-License-Identifier: Apache-2.0 */
/* The rules alone; test_meta_perm.c sees them at work. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "meta/perm.h"

static const struct cred superuser = { 0 };
static const struct cred owner = { .uid = 1, .gid = 10 };
static const struct cred member = { .uid = 2, .gid = 11, .ngids = 2, .gids = { 99, 10 } };
static const struct cred other = { .uid = 3, .gid = 11 };

static struct attr
file(uint32_t mode)
{
	return (struct attr){ .type = FT_REG, .mode = mode, .uid = 1, .gid = 10 };
}

enum { OWNER = 1, GROUP = 2, OTHERS = 4 };

/* Which of them may. */
static unsigned
classes(const struct attr *a, unsigned want)
{
	return (perm_allows(a, &owner, want) ? OWNER : 0u) | (perm_allows(a, &member, want) ? GROUP : 0u) |
	       (perm_allows(a, &other, want) ? OTHERS : 0u);
}

/* One class decides, the first that fits: an owner without a bit has none of the group's. */
Test(perm, classes)
{
	for (unsigned bit = 1; bit <= 4; bit *= 2) {
		struct attr o = file(bit << 6), g = file(bit << 3), w = file(bit);

		cr_assert(eq(uint, classes(&o, bit), OWNER));
		cr_assert(eq(uint, classes(&g, bit), GROUP));
		cr_assert(eq(uint, classes(&w, bit), OTHERS));
		cr_assert(bit == MAY_EXEC || perm_allows(&o, &superuser, bit));
	}
	struct attr rw = file(0600);
	cr_assert(perm_allows(&rw, &owner, MAY_READ | MAY_WRITE));
	cr_assert(eq(uint, classes(&rw, MAY_READ | MAY_EXEC), 0));
}

Test(perm, superuser_runs_what_somebody_may_run)
{
	struct attr none = file(0666), some = file(0010), dir = file(0);

	dir.type = FT_DIR;
	cr_assert(perm_allows(&none, &superuser, MAY_EXEC) == false);
	cr_assert(perm_allows(&some, &superuser, MAY_EXEC));
	cr_assert(perm_allows(&dir, &superuser, MAY_EXEC | MAY_WRITE | MAY_READ));
}

Test(perm, an_owner_may_read_and_write_what_it_has_open)
{
	struct attr a = file(0), x = file(0001);

	cr_assert(perm_may_io(&a, &owner, MAY_READ) && perm_may_io(&a, &owner, MAY_WRITE));
	cr_assert(perm_may_io(&a, &member, MAY_READ) == false && perm_may_io(&a, &other, MAY_WRITE) == false);
	cr_assert(perm_may_io(&x, &other, MAY_READ) && !perm_may_io(&x, &other, MAY_WRITE));
}

Test(perm, access_bits)
{
	struct attr f = file(0751), d = f;
	uint32_t all = ACC_READ | ACC_LOOKUP | ACC_MODIFY | ACC_EXTEND | ACC_DELETE | ACC_EXECUTE;

	d.type = FT_DIR;
	cr_assert(eq(u32, perm_access(&f, &owner, all), ACC_READ | ACC_MODIFY | ACC_EXTEND | ACC_EXECUTE));
	cr_assert(eq(u32, perm_access(&f, &member, all), ACC_READ | ACC_EXECUTE));
	cr_assert(eq(u32, perm_access(&f, &other, all), ACC_EXECUTE));
	cr_assert(eq(u32, perm_access(&d, &owner, all), ACC_READ | ACC_MODIFY | ACC_EXTEND | ACC_LOOKUP | ACC_DELETE));
	cr_assert(eq(u32, perm_access(&d, &other, all), ACC_LOOKUP));
	cr_assert(eq(u32, perm_access(&d, &owner, ACC_LOOKUP | ACC_EXECUTE), ACC_LOOKUP));
}

/* Who may remove or replace an entry of a sticky directory: owner of it, owner of the directory, superuser. */
Test(perm, sticky_matrix)
{
	const struct cred *who[] = { &superuser, &owner, &member, &other };

	for (uint32_t sticky = 0; sticky < 2; sticky++)
		for (uint32_t dir_uid = 0; dir_uid < 4; dir_uid++)
			for (uint32_t child_uid = 0; child_uid < 4; child_uid++)
				for (size_t i = 0; i < ARRAY_LEN(who); i++) {
					struct attr dir = { .type = FT_DIR, .mode = 0777 | (sticky ? MODE_STICKY : 0), .uid = dir_uid };
					struct attr child = { .type = FT_REG, .uid = child_uid };
					uint32_t uid = who[i]->uid;
					bool may = !sticky || uid == 0 || uid == dir_uid || uid == child_uid;

					cr_assert(eq(int, perm_sticky(&dir, &child, who[i]), may ? 0 : -EPERM));
				}
}

static int
may_set(const struct cred *c, struct sattr s)
{
	struct attr a = file(0664);

	return perm_setattr(&a, c, &s);
}

Test(perm, who_may_set_what)
{
	struct sattr mode = { .set_mode = true, .mode = 0 };
	struct sattr size = { .set_size = true };
	struct sattr now = { .set_atime = TIME_SERVER, .set_mtime = TIME_SERVER };
	struct sattr then = { .set_atime = TIME_CLIENT, .set_mtime = TIME_SERVER };
	struct attr dir = { .type = FT_DIR }, fifo = { .type = FT_FIFO }, closed = file(0);

	cr_assert(eq(int, may_set(&superuser, mode), 0));
	cr_assert(eq(int, may_set(&owner, mode), 0));
	cr_assert(eq(int, may_set(&member, mode), -EPERM));
	cr_assert(eq(int, may_set(&other, mode), -EPERM));
	cr_assert(eq(int, may_set(&member, size), 0));
	cr_assert(eq(int, may_set(&other, size), -EACCES));
	cr_assert(eq(int, perm_setattr(&closed, &owner, &size), 0)); /* ftruncate of what it has open */
	cr_assert(eq(int, perm_setattr(&dir, &superuser, &size), -EISDIR));
	cr_assert(eq(int, perm_setattr(&fifo, &superuser, &size), -EINVAL));
	cr_assert(eq(int, may_set(&member, now), 0));
	cr_assert(eq(int, may_set(&other, now), -EACCES));
	cr_assert(eq(int, may_set(&member, then), -EPERM));
	cr_assert(eq(int, may_set(&owner, then), 0));
}

Test(perm, chown)
{
	struct sattr uid = { .set_uid = true, .uid = 2 }, same = { .set_uid = true, .uid = 1 };
	struct sattr gid10 = { .set_gid = true, .gid = 10 }, gid99 = { .set_gid = true, .gid = 99 };
	struct cred owner99 = { .uid = 1, .gid = 5, .ngids = 1, .gids = { 99 } };

	cr_assert(eq(int, may_set(&superuser, uid), 0));
	cr_assert(eq(int, may_set(&owner, uid), -EPERM));
	cr_assert(eq(int, may_set(&owner, same), 0));
	cr_assert(eq(int, may_set(&other, same), -EPERM));
	cr_assert(eq(int, may_set(&owner, gid99), -EPERM));
	cr_assert(eq(int, may_set(&owner99, gid99), 0));
	cr_assert(eq(int, may_set(&owner99, gid10), 0)); /* it has it already */
	cr_assert(eq(int, may_set(&member, gid99), -EPERM));
}

static uint32_t
mode_after(uint32_t mode, const struct cred *c, struct sattr s)
{
	struct attr a = file(mode);

	return perm_mode_set(&a, c, &s);
}

Test(perm, set_id_bits)
{
	struct sattr to_uid = { .set_uid = true, .uid = 1 }, to_gid = { .set_gid = true, .gid = 99 };
	struct sattr chmod = { .set_mode = true, .mode = 06755 }, cut = { .set_size = true };
	struct cred stranger = { .uid = 1, .gid = 5 };
	struct attr dir = { .type = FT_DIR, .mode = 02755, .uid = 1, .gid = 10 }, a;

	/* chown clears them, the superuser's too; set-group-ID stays where the group may not execute. */
	cr_assert(eq(u32, mode_after(06755, &superuser, to_uid), 0755));
	cr_assert(eq(u32, mode_after(06755, &owner, to_gid), 0755));
	cr_assert(eq(u32, mode_after(06745, &owner, to_gid), 02745));
	cr_assert(eq(u32, perm_mode_set(&dir, &owner, &to_gid), 02755));
	/* chmod by the owner who is not in the group does not set set-group-ID. */
	cr_assert(eq(u32, mode_after(0644, &owner, chmod), 06755));
	cr_assert(eq(u32, mode_after(0644, &stranger, chmod), 04755));
	cr_assert(eq(u32, mode_after(0644, &superuser, chmod), 06755));
	/* A write or truncation by others than the superuser. */
	cr_assert(eq(u32, mode_after(06755, &owner, cut), 0755));
	cr_assert(eq(u32, mode_after(06755, &superuser, cut), 06755));
	a = file(06755);
	cr_assert(eq(u32, perm_mode_written(&a, &member), 0755));
	cr_assert(eq(u32, perm_mode_written(&a, &superuser), 06755));
}

Test(perm, what_is_made_belongs_to)
{
	struct attr plain = { .type = FT_DIR, .mode = 0777, .uid = 50, .gid = 60 }, setgid = plain;
	struct sattr s = { .set_mode = true, .mode = 02770, .set_uid = true, .uid = 7, .set_gid = true, .gid = 8 };
	struct sattr m = { .set_mode = true, .mode = 02711 }, d = { .set_mode = true, .mode = 0711 };
	struct attr a = { .type = FT_REG }, sub = { .type = FT_DIR }, link = { .type = FT_LNK };

	setgid.mode |= MODE_SGID;
	perm_new(&a, &plain, &owner, &s);
	cr_assert(a.uid == 1 && a.gid == 10 && a.mode == 02770);
	perm_new(&a, &plain, &superuser, &s);
	cr_assert(a.uid == 7 && a.gid == 8);
	perm_new(&a, &setgid, &owner, &m); /* not a member of 60 */
	cr_assert(a.uid == 1 && a.gid == 60 && a.mode == 0711);
	perm_new(&sub, &setgid, &owner, &d);
	cr_assert(sub.gid == 60 && sub.mode == 02711);
	perm_new(&sub, &plain, &owner, &d);
	cr_assert(sub.gid == 10 && sub.mode == 0711);
	perm_new(&link, &plain, &owner, &d);
	cr_assert(eq(u32, link.mode, 0777));
}
