/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/backup_known.h"

#include <stdlib.h>

void
backup_known_free(struct backup_known *k)
{
	free(k->v);
	free(k->slot);
	*k = (struct backup_known){ 0 };
}

/* Where it is, or the empty slot where it belongs. */
static uint32_t *
slot_of(const struct backup_known *k, const uint8_t digest[DIGEST_SHA256])
{
	uint32_t at = (uint32_t)(get_le64(digest) & (k->nslots - 1));

	while (k->slot[at] && memcmp(k->v[k->slot[at] - 1].digest, digest, DIGEST_SHA256))
		at = (at + 1) & (k->nslots - 1);
	return &k->slot[at];
}

static int
grow(struct backup_known *k)
{
	uint32_t room = k->room ? 2 * k->room : 256;
	struct backup_piece *v = realloc(k->v, room * sizeof(*v));
	uint32_t *slot;

	if (!v)
		return -ENOMEM;
	k->v = v;
	slot = calloc(2 * room, sizeof(*slot));
	if (!slot)
		return -ENOMEM;
	free(k->slot);
	k->slot = slot;
	k->nslots = 2 * room;
	k->room = room;
	for (uint32_t i = 0; i < k->n; i++)
		*slot_of(k, k->v[i].digest) = i + 1;
	return 0;
}

int
backup_known_add(struct backup_known *k, const struct backup_piece *p)
{
	uint32_t *at;

	if (k->n == k->room && grow(k) < 0)
		return -ENOMEM;
	at = slot_of(k, p->digest);
	if (*at)
		return 0;
	k->v[k->n] = *p;
	*at = ++k->n;
	return 0;
}

const struct backup_piece *
backup_known_find(const struct backup_known *k, const uint8_t digest[DIGEST_SHA256])
{
	uint32_t *at = k->n ? slot_of(k, digest) : NULL;

	return at && *at ? &k->v[*at - 1] : NULL;
}

int
backup_known_keep(struct backup_known *k, const struct piece_id *id, size_t n)
{
	struct backup_known left = { 0 };
	int err = 0;

	for (uint32_t i = 0; i < k->n && err == 0; i++)
		if (n > 0 && bsearch(&k->v[i].id, id, n, sizeof(*id), piece_id_cmp))
			err = backup_known_add(&left, &k->v[i]);
	backup_known_free(k);
	if (err < 0)
		backup_known_free(&left);
	*k = left;
	return err;
}
