/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/namecache.h"

#include "meta/assoc.h"

struct entry {
	uint64_t hash, gen, ino_type; /* the type in the lowest byte */
};

static __thread struct assoc cache;

int
namecache_init(uint32_t max)
{
	return assoc_init(&cache, "names", max, sizeof(struct entry));
}

void
namecache_fini(void)
{
	assoc_fini(&cache);
}

bool
namecache_get(const struct name_id *id, struct dirent_rec *d)
{
	const struct entry *e = assoc_find(&cache, id->tag);

	if (!e || e->hash != id->hash)
		return false;
	*d = (struct dirent_rec){ .ino = e->ino_type >> 8, .gen = e->gen, .type = e->ino_type & 0xff };
	return true;
}

void
namecache_put(const struct name_id *id, const struct dirent_rec *d)
{
	struct entry *e;

	if (d->ino >> 56) { /* not in our time: a million files a second take 2,000 years */
		namecache_drop(id);
		return;
	}
	e = assoc_add(&cache, id->tag);
	*e = (struct entry){ .hash = id->hash, .gen = d->gen, .ino_type = d->ino << 8 | d->type };
}

void
namecache_drop(const struct name_id *id)
{
	assoc_drop(&cache, id->tag);
}
