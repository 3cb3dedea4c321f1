/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/namecache.h"

#include "meta/assoc.h"
#include "reactor/reactor.h"

struct entry {
	uint64_t hash, gen, ino_type; /* the type in the lowest byte */
};

static struct assoc cache[REACTOR_MAX_CORES];

static struct assoc *
own(void)
{
	return &cache[reactor_core()];
}

int
namecache_init(uint32_t max)
{
	return assoc_init(own(), "names", max, sizeof(struct entry));
}

void
namecache_fini(void)
{
	assoc_fini(own());
}

/* Half of the name's bits said where to look, these are the other half. */
static bool
is_it(const struct entry *e, const struct name_id *id, struct dirent_rec *d)
{
	if (e->hash != id->hash)
		return false;
	*d = (struct dirent_rec){ .ino = e->ino_type >> 8, .gen = e->gen, .type = e->ino_type & 0xff };
	return true;
}

bool
namecache_get(const struct name_id *id, struct dirent_rec *d)
{
	struct entry e;

	return assoc_get(own(), id->tag, &e) && is_it(&e, id, d);
}

bool
namecache_look(int core, const struct name_id *id, struct dirent_rec *d)
{
	struct entry e;

	return assoc_look(&cache[core], id->tag, &e) && is_it(&e, id, d);
}

void
namecache_near(int core, const struct name_id *id, int step)
{
	assoc_near(&cache[core], id->tag, step);
}

void
namecache_put(const struct name_id *id, const struct dirent_rec *d)
{
	struct entry e = { .hash = id->hash, .gen = d->gen, .ino_type = d->ino << 8 | d->type };

	if (d->ino >> 56) /* not in our time: a million files a second take 2,000 years */
		namecache_drop(id);
	else
		assoc_put(own(), id->tag, &e);
}

void
namecache_drop(const struct name_id *id)
{
	assoc_drop(own(), id->tag);
}

bool
namecache_has_room(void)
{
	return assoc_has_room(own());
}
