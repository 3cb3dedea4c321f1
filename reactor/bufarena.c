/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of all payload buffers: mapped at start, pinned for disk I/O where the system lets us. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "reactor/buf.h"
#include "reactor/core.h"
#include "reactor/uring.h"

#define HUGE_PAGE (2 * MIB)
#define PIECE     (1 * GIB) /* the most that the kernel registers as one */

struct buf_arenas buf_arenas;

static uint8_t *raw;      /* as mmap gave it */
static size_t raw_bytes;
static int arena_fd = -1; /* ring that holds the registration */
static __thread bool registered;

int
buf_arena_map(int cores, uint64_t bytes_each)
{
	struct buf_arenas *a = &buf_arenas;

	a->each = ROUND_UP(MAX(bytes_each, (uint64_t)BUF_LARGE_BYTES), BUF_LARGE_BYTES);
	a->bytes = a->each * (size_t)cores;
	raw_bytes = a->bytes + HUGE_PAGE;
	raw = mmap(NULL, raw_bytes, PROT_READ | PROT_WRITE,
	           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (raw == MAP_FAILED) {
		raw = NULL;
		return -ENOMEM;
	}
	a->map = (uint8_t *)ROUND_UP((uintptr_t)raw, (uintptr_t)HUGE_PAGE);
	/* Both are wishes: fewer TLB misses, and no file data in a core dump. */
	(void)madvise(a->map, a->bytes, MADV_HUGEPAGE);
	(void)madvise(a->map, a->bytes, MADV_DONTDUMP);
	if (buf_lives_init(a->map, a->bytes) == 0)
		return 0;
	buf_arena_unmap();
	return -ENOMEM;
}

void
buf_arena_unmap(void)
{
	if (arena_fd >= 0)
		ring_arena_close();
	arena_fd = -1;
	buf_lives_fini();
	if (raw)
		munmap(raw, raw_bytes);
	raw = buf_arenas.map = NULL;
}

uint32_t
buf_blocks(void)
{
	return (uint32_t)(buf_arenas.bytes / BUF_LARGE_BYTES);
}

int
buf_arena_register(char why[256])
{
	const struct buf_arenas *a = &buf_arenas;
	uint32_t n = (uint32_t)(ROUND_UP(a->bytes, PIECE) / PIECE);
	struct iovec *iov = calloc(n, sizeof(*iov));
	struct rlimit lim = { 0 };

	if (!iov)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		iov[i] = (struct iovec){ a->map + i * PIECE, MIN(PIECE, a->bytes - i * PIECE) };
	arena_fd = ring_arena_register(iov, n);
	free(iov);
	if (arena_fd >= 0)
		return 0;
	getrlimit(RLIMIT_MEMLOCK, &lim);
	snprintf(why, 256, "%zu MiB of buffers cannot be pinned (%s; RLIMIT_MEMLOCK is %llu KiB): "
	         "disk I/O will be slower", a->bytes >> 20, strerror(-arena_fd),
	         (unsigned long long)lim.rlim_cur / 1024);
	return arena_fd;
}

void
buf_core_register(void)
{
	registered = arena_fd >= 0 && ring_arena_clone(arena_fd) == 0;
}

void
buf_core_unregister(void)
{
	registered = false;
}

int
buf_registered(const void *p, size_t len)
{
	size_t at = (size_t)((const uint8_t *)p - buf_arenas.map);

	if (!registered || len == 0 || at >= buf_arenas.bytes || len > buf_arenas.bytes - at)
		return -1;
	return at / PIECE == (at + len - 1) / PIECE ? (int)(at / PIECE) : -1;
}
