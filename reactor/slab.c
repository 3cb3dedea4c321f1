/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sys/mman.h>

#include "reactor/buf.h"
#include "reactor/core.h"
#include "reactor/log.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

struct free_obj {
	struct free_obj *next;
};

/* For pool_stats alone: taken at init, at fini, and by who asks. */
static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct slab *list;

int
slab_init(struct slab *s, const char *name, size_t size, uint32_t count)
{
	size = ROUND_UP(MAX(size, sizeof(struct free_obj)), 16);
	assert(size <= UINT32_MAX && count > 0);
	*s = (struct slab){ .name = name, .size = (uint32_t)size, .count = count,
	                    .core = reactor_core() };
	/* Pages come with the first use of an object, so that a generous count costs little. */
	s->mem = mmap(NULL, size * count, PROT_READ | PROT_WRITE,
	              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->mem == MAP_FAILED)
		return -ENOMEM;
	ASAN_POISON_MEMORY_REGION(s->mem, size * count);
	pthread_mutex_lock(&list_lock);
	s->next = list;
	list = s;
	pthread_mutex_unlock(&list_lock);
	return 0;
}

void *
slab_get(struct slab *s)
{
	struct free_obj *o = s->free;

	assert(s->core == reactor_core());
	if (o) {
		ASAN_UNPOISON_MEMORY_REGION(o, s->size);
		s->free = o->next;
	} else if (s->fresh < s->count) {
		o = (struct free_obj *)(void *)((char *)s->mem + (size_t)s->fresh++ * s->size);
		ASAN_UNPOISON_MEMORY_REGION(o, s->size);
	} else {
		return NULL;
	}
	__atomic_store_n(&s->used, s->used + 1, __ATOMIC_RELAXED);
	return o;
}

void
slab_put(struct slab *s, void *p)
{
	struct free_obj *o = p;
	size_t at = (size_t)((char *)p - (char *)s->mem);

	assert(s->core == reactor_core() && s->used > 0);
	assert(at < (size_t)s->size * s->count && at % s->size == 0);
	o->next = s->free;
	s->free = o;
	ASAN_POISON_MEMORY_REGION(o, s->size);
	__atomic_store_n(&s->used, s->used - 1, __ATOMIC_RELAXED);
}

void
slab_fini(struct slab *s)
{
	if (!s->mem)
		return;
	if (s->used != 0)
		log_error("slab %s of core %d: %u of %u objects are not home", s->name, s->core,
		          s->used, s->count);
	assert(s->used == 0);
	pthread_mutex_lock(&list_lock);
	for (struct slab **at = &list; *at; at = &(*at)->next)
		if (*at == s) {
			*at = s->next;
			break;
		}
	pthread_mutex_unlock(&list_lock);
	ASAN_UNPOISON_MEMORY_REGION(s->mem, (size_t)s->size * s->count);
	munmap(s->mem, (size_t)s->size * s->count);
	s->mem = NULL;
}

int
pool_stats(struct pool_stat *out, int max)
{
	int n = buf_pool_stats(out, max);

	pthread_mutex_lock(&list_lock);
	for (struct slab *s = list; s && n < max; s = s->next)
		out[n++] = (struct pool_stat){
			.name = s->name,
			.core = s->core,
			.total_bytes = (uint64_t)s->size * s->count,
			.used_bytes = (uint64_t)s->size * __atomic_load_n(&s->used, __ATOMIC_RELAXED),
		};
	pthread_mutex_unlock(&list_lock);
	return n;
}
