/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/pageshow.h"

#include "meta/assoc.h"
#include "reactor/shard.h"

struct shown {
	uint64_t ino, page, ctime_ns;
	const uint8_t *data; /* of the buffer */
	uint32_t life, off;
};

static struct assoc shows[REACTOR_MAX_CORES];

static struct assoc *
own(void)
{
	return &shows[reactor_core()];
}

int
pageshow_init(uint32_t max)
{
	return assoc_init(own(), "shown pages", max, sizeof(struct shown));
}

void
pageshow_fini(void)
{
	assoc_fini(own());
}

/* Those that share one take each other's place. */
static uint64_t
key_of(uint64_t ino, uint64_t page)
{
	return (mix64(ino) + page) | 1ull << 63;
}

void
pageshow_put(const struct attr *a, uint64_t page, const struct buf *b, uint32_t off)
{
	struct shown s = {
		.ino = a->ino, .page = page, .ctime_ns = a->ctime_ns, .data = b->data, .life = buf_life(b), .off = off,
	};

	assert(shard_owns(a->ino));
	assoc_put(own(), key_of(a->ino, page), &s);
}

bool
pageshow_look(const struct attr *a, uint64_t page, uint8_t to[PAGE])
{
	struct shown s;

	return assoc_look(&shows[shard_owner(a->ino)], key_of(a->ino, page), &s) && s.ino == a->ino && s.page == page &&
	       s.ctime_ns == a->ctime_ns && buf_peek(to, s.data, s.off, s.life);
}

void
pageshow_near(uint64_t ino, uint64_t page, int step)
{
	assoc_near(&shows[shard_owner(ino)], key_of(ino, page), step);
}
