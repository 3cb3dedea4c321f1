/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LD_PRELOAD into a server: counts, thread by thread, what a hot path should not do: allocate,
 * lock, copy payload.  The counters lie in the file that BENCH_COUNT names, which others may map
 * or read while the server runs: an array of `struct counters`, one per thread, tid 0 unused.
 *
 * Calls that the compiler made inline, or the C library within itself, are not seen; those of
 * RocksDB and libstdc++ are.  Copies count from 4 KiB on: headers are not payload.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 1024, COPY_MIN = 4096, EARLY = 64 << 10 };

struct counters {
	uint64_t tid, allocs, frees, locks, copies, copied_bytes;
};

static struct counters *table, spare[THREADS];
static _Atomic uint32_t taken;
static __thread struct counters *mine __attribute__((tls_model("initial-exec")));

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);
static int (*next_memalign)(void **, size_t, size_t);
static void *(*next_aligned)(size_t, size_t);
static int (*next_lock)(pthread_mutex_t *);

/* dlsym allocates before there is a malloc to call. */
static uint8_t early[EARLY] __attribute__((aligned(16)));
static size_t early_used;
static bool starting;

void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void free(void *p);

/* Other libraries' constructors may come first: whoever needs it starts it. */
__attribute__((constructor)) static void
start(void)
{
	if (starting || table)
		return;
	const char *path = getenv("BENCH_COUNT");

	starting = true;
	int fd = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;

	next_malloc = (void *(*)(size_t))dlsym(RTLD_NEXT, "malloc");
	next_calloc = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
	next_realloc = (void *(*)(void *, size_t))dlsym(RTLD_NEXT, "realloc");
	next_free = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	next_memalign = (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
	next_aligned = (void *(*)(size_t, size_t))dlsym(RTLD_NEXT, "aligned_alloc");
	next_lock = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
	if (fd >= 0 && ftruncate(fd, sizeof(spare)) == 0)
		table = mmap(NULL, sizeof(spare), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (!table || table == MAP_FAILED)
		table = spare;
	if (fd >= 0)
		close(fd);
	starting = false;
}

/* Is there a malloc to call?  Not within dlsym. */
static bool
ready(void)
{
	if (!next_lock && !starting)
		start();
	return next_lock != NULL;
}

static struct counters *
me(void)
{
	static struct counters none;

	if (!mine) {
		uint32_t i;

		if (!table || starting)
			return &none;
		i = atomic_fetch_add(&taken, 1);
		mine = &table[i < THREADS ? i : THREADS - 1];
		mine->tid = (uint64_t)syscall(SYS_gettid);
	}
	return mine;
}

static void *
early_get(size_t n)
{
	void *p = early + early_used;

	early_used += (n + 15) / 16 * 16;
	if (early_used > EARLY)
		abort();
	return p;
}

void *
malloc(size_t n)
{
	if (!ready())
		return early_get(n);
	me()->allocs++;
	return next_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	if (!ready())
		return early_get(n * size);
	me()->allocs++;
	return next_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	if ((uint8_t *)p >= early && (uint8_t *)p < early + EARLY) {
		void *q = malloc(n);

		memcpy(q, p, n); /* may read past the old end, but stays within early */
		return q;
	}
	if (!ready())
		return p ? NULL : early_get(n);
	me()->allocs++;
	return next_realloc(p, n);
}

void
free(void *p)
{
	if (!p || ((uint8_t *)p >= early && (uint8_t *)p < early + EARLY))
		return;
	me()->frees++;
	next_free(p);
}

int
posix_memalign(void **p, size_t align, size_t n)
{
	ready();
	me()->allocs++;
	return next_memalign(p, align, n);
}

void *
aligned_alloc(size_t align, size_t n)
{
	ready();
	me()->allocs++;
	return next_aligned(align, n);
}

int
pthread_mutex_lock(pthread_mutex_t *m)
{
	if (!ready())
		return 0; /* one thread, and dlsym's own */
	me()->locks++;
	return next_lock(m);
}

static void
copied(size_t n)
{
	if (n >= COPY_MIN) {
		struct counters *c = me();

		c->copies++;
		c->copied_bytes += n;
	}
}

/* The copy itself: the library's own, through a name that is not interposed. */
static void *
copy(void *to, const void *from, size_t n)
{
	void *p = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return p;
}

void *
memcpy(void *restrict to, const void *restrict from, size_t n)
{
	copied(n);
	return copy(to, from, n);
}

void *
memmove(void *to, const void *from, size_t n)
{
	static void *(*next)(void *, const void *, size_t);

	copied(n);
	if (!next)
		next = (void *(*)(void *, const void *, size_t))dlsym(RTLD_NEXT, "memmove");
	return next(to, from, n);
}
