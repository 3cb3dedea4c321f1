/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/mounts.h"

#include <stdio.h>

static void
fill(struct mount3_entry *e, const char *host, const char *dir, uint32_t dir_len)
{
	uint32_t n = MIN(dir_len, (uint32_t)sizeof e->dir - 1);

	snprintf(e->host, sizeof e->host, "%s", host);
	memcpy(e->dir, dir, n);
	e->dir[n] = '\0';
}

static void
drop(struct mounts *m, int i)
{
	m->n--;
	memmove(&m->list[i], &m->list[i + 1], (size_t)(m->n - i) * sizeof m->list[0]);
}

void
mounts_add(struct mounts *m, const char *host, const char *dir, uint32_t dir_len)
{
	mounts_remove(m, host, dir, dir_len);
	if (m->n == MOUNTS_MAX)
		drop(m, 0);
	fill(&m->list[m->n++], host, dir, dir_len);
}

void
mounts_remove(struct mounts *m, const char *host, const char *dir, uint32_t dir_len)
{
	struct mount3_entry e;

	fill(&e, host, dir, dir_len);
	for (int i = m->n - 1; i >= 0; i--)
		if (strcmp(m->list[i].host, e.host) == 0 && strcmp(m->list[i].dir, e.dir) == 0)
			drop(m, i);
}

void
mounts_remove_all(struct mounts *m, const char *host)
{
	for (int i = m->n - 1; i >= 0; i--)
		if (strcmp(m->list[i].host, host) == 0)
			drop(m, i);
}
