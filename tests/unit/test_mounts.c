/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/mounts.h"

static struct mounts m;

static void
add(const char *host, const char *dir)
{
	mounts_add(&m, host, dir, (uint32_t)strlen(dir));
}

Test(mounts, added_and_removed)
{
	add("10.0.0.1", "/export");
	add("10.0.0.2", "/export");
	add("10.0.0.1", "/export/sub");
	add("10.0.0.1", "/export"); /* again: now the newest */
	cr_assert(eq(int, m.n, 3));
	cr_assert(eq(str, m.list[0].host, (char *)"10.0.0.2"));
	cr_assert(eq(str, m.list[2].dir, (char *)"/export"));
	mounts_remove(&m, "10.0.0.1", "/export", 7);
	mounts_remove(&m, "10.0.0.1", "/never", 6);
	cr_assert(eq(int, m.n, 2));
	add("10.0.0.1", "/other");
	mounts_remove_all(&m, "10.0.0.1");
	cr_assert(eq(int, m.n, 1));
	cr_assert(eq(str, m.list[0].host, (char *)"10.0.0.2"));
}

Test(mounts, bounded)
{
	static char deep[2000];
	char dir[32];

	for (int i = 0; i < MOUNTS_MAX + 100; i++) {
		snprintf(dir, sizeof dir, "/export/%d", i);
		add("::1", dir);
	}
	cr_assert(eq(int, m.n, MOUNTS_MAX));
	cr_assert(eq(str, m.list[0].dir, (char *)"/export/100"));
	memset(deep, 'x', sizeof deep - 1);
	add("::1", deep);
	cr_assert(eq(int, m.n, MOUNTS_MAX));
	cr_assert(eq(sz, strlen(m.list[m.n - 1].dir), sizeof m.list[0].dir - 1));
	mounts_remove(&m, "::1", deep, sizeof deep - 1);
	cr_assert(eq(int, m.n, MOUNTS_MAX - 1));
}
