/* SPDX-License-Identifier: Apache-2.0 */
/* Lives of buffers, for who has no reference: see buf_peek. */
#include <stdatomic.h>
#include <stdlib.h>

#include "reactor/buf.h"
#include "reactor/core.h"

/* Of the buffer that begins with this small block of the arenas: one that does not begin here has none. */
struct life {
	_Atomic uint32_t number;
	atomic_bool peeked;
};

static struct life *lives;
static const uint8_t *arenas;

int
buf_lives_init(const uint8_t *map, size_t map_bytes)
{
	arenas = map;
	lives = calloc(map_bytes / BUF_SMALL_BYTES, sizeof(*lives));
	return lives ? 0 : -ENOMEM;
}

void
buf_lives_fini(void)
{
	free(lives);
	lives = NULL;
}

static struct life *
life_of(const uint8_t *data)
{
	return &lives[(size_t)(data - arenas) / BUF_SMALL_BYTES];
}

/* The fence: who sees a byte that the next holder writes sees the number, too (seqlocks, Boehm 2012). */
void
buf_life_ends(const uint8_t *data)
{
	struct life *l = life_of(data);

	atomic_store_explicit(&l->number, atomic_load_explicit(&l->number, memory_order_relaxed) + 1, memory_order_relaxed);
	atomic_store_explicit(&l->peeked, false, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

uint32_t
buf_life(const struct buf *b)
{
	assert(b->refs > 0);
	return atomic_load_explicit(&life_of(b->data)->number, memory_order_relaxed);
}

/* Somebody may be writing there meanwhile; then the copy is of no use, and nobody uses it. */
__attribute__((no_sanitize("thread"))) static void
copy_anyway(uint8_t *to, const uint8_t *from, uint32_t len)
{
	typedef uint64_t pair __attribute__((vector_size(16), aligned(16), may_alias));

	for (uint32_t i = 0; i < len; i += sizeof(pair))
		*(pair *)(void *)(to + i) = *(const volatile pair *)(const void *)(from + i);
}

bool
buf_peek(uint8_t *to, const uint8_t *data, uint32_t off, uint32_t life)
{
	struct life *l = life_of(data);

	assert(off % PAGE == 0);
	if (atomic_load_explicit(&l->number, memory_order_relaxed) != life)
		return false;
	copy_anyway(to, data + off, PAGE);
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&l->number, memory_order_relaxed) != life)
		return false;
	if (!atomic_load_explicit(&l->peeked, memory_order_relaxed))
		atomic_store_explicit(&l->peeked, true, memory_order_relaxed);
	return true;
}

bool
buf_was_peeked(const struct buf *b)
{
	struct life *l = life_of(b->data);

	if (!atomic_load_explicit(&l->peeked, memory_order_relaxed))
		return false;
	atomic_store_explicit(&l->peeked, false, memory_order_relaxed);
	return true;
}
