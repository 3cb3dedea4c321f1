/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/backup_keep.h"

#define DAY_S   86400u
#define DENSE_S (2 * DAY_S)

/* A clock that was set back makes none of them older. */
static uint64_t
age(const struct backup_id *id, uint64_t now_s)
{
	return now_s > id->taken_s ? now_s - id->taken_s : 0;
}

void
backup_keep(const struct backup_id *id, size_t n, uint64_t now_s, uint64_t keep_s, bool *stays)
{
	for (size_t i = 0; i < n; i++) {
		bool last_of_day = i + 1 == n || id[i + 1].taken_s / DAY_S != id[i].taken_s / DAY_S;

		stays[i] = i + 1 == n || (age(&id[i], now_s) <= keep_s && (age(&id[i], now_s) <= DENSE_S || last_of_day));
	}
}

uint64_t
backup_needs_since(const struct backup_id *id, size_t n, uint64_t now_s, uint64_t keep_s)
{
	for (size_t i = 0; i < n; i++)
		if (age(&id[i], now_s) <= keep_s)
			return id[i].taken_s;
	return UINT64_MAX;
}

uint64_t
backup_next_change(const struct backup_id *id, size_t n, uint64_t now_s, uint64_t keep_s)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < n; i++) {
		if (age(&id[i], now_s) <= keep_s)
			next = MIN(next, id[i].taken_s + keep_s + 1);
		if (age(&id[i], now_s) <= DENSE_S)
			next = MIN(next, id[i].taken_s + DENSE_S + 1);
	}
	return next;
}
