/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/memsize.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "reactor/base.h"

/* Below /sys/fs/cgroup; "" where there is none of version 2. */
static void
own_group(char *path, size_t cap)
{
	char line[4096];
	FILE *f = fopen("/proc/self/cgroup", "re");

	path[0] = '\0';
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "0::", 3) == 0)
			snprintf(path, cap, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
	if (f)
		fclose(f);
}

/* "max", which is no number, where it is not limited; then so may be the group around it. */
static uint64_t
group_limit(const char *group)
{
	char path[4200];
	uint64_t limit;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%" SCNu64, &limit) != 1)
		limit = UINT64_MAX;
	if (f)
		fclose(f);
	return limit;
}

uint64_t
memsize_bytes(void)
{
	uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char group[4096], *end;

	own_group(group, sizeof(group));
	do {
		bytes = MIN(bytes, group_limit(group));
		end = strrchr(group, '/');
		if (end)
			*end = '\0';
	} while (end);
	return bytes;
}
