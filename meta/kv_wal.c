/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/kv_wal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/block.h"

#define WAL_BLOCK  32768u
#define WAL_HEADER 7u
#define BATCH_HEADER 12u
#define TAG_LOG_DATA 3
#define OATH_BYTES 16

enum wal_type { WAL_ZERO, WAL_FULL, WAL_FIRST, WAL_MIDDLE, WAL_LAST };

static const uint8_t oath_magic[8] = { 'd', 'i', 't', 't', 'o', 'W', 'A', 'L' };

/* The end of a batch: tag, length, oath.  Of a group that RocksDB has merged it is the last member's. */
static uint64_t
oath_find(const uint8_t *batch, size_t len)
{
	const uint8_t *p = batch + len - OATH_BYTES;

	if (len < BATCH_HEADER + 2 + OATH_BYTES || p[-2] != TAG_LOG_DATA || p[-1] != OATH_BYTES ||
	    memcmp(p, oath_magic, sizeof(oath_magic)) != 0)
		return 0;
	return get_le64(p + sizeof(oath_magic));
}

struct wal {
	const char *name;
	const uint8_t *p;
	size_t len;
	uint64_t next_seq;  /* after the last good batch, over all files; 0: none seen */
	uint8_t *frag;      /* a batch in several records */
	size_t frag_len, frag_cap;
	bool in_frag;
	struct kv_wal_report *r;
};

static void
wal_bad(struct wal *w, size_t off)
{
	w->in_frag = false;
	if (w->r->torn_seq)
		return;
	w->r->torn_seq = MAX(w->next_seq, 1);
	snprintf(w->r->where, sizeof(w->r->where), "%s at byte %zu", w->name, off);
}

static void
wal_batch(struct wal *w, const uint8_t *p, size_t len, size_t off)
{
	uint64_t seq, oath;

	if (len < BATCH_HEADER) {
		wal_bad(w, off);
		return;
	}
	seq = get_le64(p);
	oath = oath_find(p, len);
	/* A hole between two logs: the end of one is missing.  A higher start is usual for the first. */
	if (w->next_seq && seq > w->next_seq)
		wal_bad(w, off);
	w->next_seq = MAX(w->next_seq, seq + get_le32(p + 8));
	w->r->sworn_seq = MAX(w->r->sworn_seq, oath);
	if (w->r->torn_seq && oath >= w->r->torn_seq)
		w->r->damaged = true;
}

static int
wal_frag(struct wal *w, const uint8_t *p, size_t len)
{
	if (w->frag_len + len > w->frag_cap) {
		size_t cap = MAX(2 * w->frag_cap, w->frag_len + len);
		uint8_t *q = realloc(w->frag, cap);

		if (!q)
			return -ENOMEM;
		w->frag = q;
		w->frag_cap = cap;
	}
	memcpy(w->frag + w->frag_len, p, len);
	w->frag_len += len;
	return 0;
}

static uint32_t
unmask(uint32_t crc)
{
	uint32_t rot = crc - 0xa282ead8u;

	return rot >> 17 | rot << 15;
}

/* One record at `off`; returns its length on disk, 0 when the rest of the block is not to be trusted, or -errno. */
static long
wal_record(struct wal *w, size_t off, size_t block_end)
{
	const uint8_t *p = w->p + off;
	uint32_t len;
	int err = 0;

	if (w->len - off < WAL_HEADER) {
		wal_bad(w, off);
		return 0;
	}
	len = get_le16(p + 4);
	if (p[6] < WAL_FULL || p[6] > WAL_LAST || off + WAL_HEADER + len > block_end ||
	    unmask(get_le32(p)) != crc32c(0, p + 6, 1 + len)) {
		wal_bad(w, off);
		return 0;
	}
	p += WAL_HEADER;
	switch ((enum wal_type)p[-1]) {
	case WAL_FULL:
		if (w->in_frag)
			wal_bad(w, off);
		wal_batch(w, p, len, off);
		break;
	case WAL_FIRST:
		if (w->in_frag)
			wal_bad(w, off);
		w->in_frag = true;
		w->frag_len = 0;
		err = wal_frag(w, p, len);
		break;
	case WAL_MIDDLE:
	case WAL_LAST:
		if (!w->in_frag) {
			wal_bad(w, off);
			break;
		}
		err = wal_frag(w, p, len);
		if (err || p[-1] == WAL_MIDDLE)
			break;
		w->in_frag = false;
		wal_batch(w, w->frag, w->frag_len, off);
		break;
	case WAL_ZERO:
		break;
	}
	return err ? err : (long)(WAL_HEADER + len);
}

static int
wal_scan(struct wal *w)
{
	for (size_t block = 0; block < w->len; block += WAL_BLOCK) {
		size_t end = MIN(block + WAL_BLOCK, w->len), off = block;

		/* Less than a header at a block's end is padding. */
		while (off < end && block + WAL_BLOCK - off >= WAL_HEADER) {
			long n = wal_record(w, off, end);

			if (n < 0)
				return (int)n;
			if (n == 0)
				break;
			off += (size_t)n;
		}
	}
	if (w->in_frag)
		wal_bad(w, w->len);
	return 0;
}

static int
wal_file(struct wal *w, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;
	void *p;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0) {
		err = -errno;
		goto out;
	}
	if (st.st_size == 0)
		goto out;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		err = -errno;
		goto out;
	}
	w->name = name;
	w->p = p;
	w->len = (size_t)st.st_size;
	err = wal_scan(w);
	munmap(p, w->len);
out:
	close(fd);
	return err;
}

static int
is_log(const struct dirent *d)
{
	size_t digits = strspn(d->d_name, "0123456789");

	return digits > 0 && strcmp(d->d_name + digits, ".log") == 0;
}

static int
by_number(const struct dirent **a, const struct dirent **b)
{
	unsigned long x = strtoul((*a)->d_name, NULL, 10), y = strtoul((*b)->d_name, NULL, 10);

	return x < y ? -1 : x > y;
}

int
kv_wal_check(const char *dir, struct kv_wal_report *r)
{
	struct wal w = { .r = r };
	struct dirent **d;
	int n, dirfd, err = 0;

	*r = (struct kv_wal_report){ 0 };
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return errno == ENOENT ? 0 : -errno;
	n = scandirat(dirfd, ".", &d, is_log, by_number);
	if (n < 0) {
		err = -errno;
		close(dirfd);
		return err;
	}
	for (int i = 0; i < n; i++) {
		if (!err)
			err = wal_file(&w, dirfd, d[i]->d_name);
		free(d[i]);
	}
	free(d);
	free(w.frag);
	close(dirfd);
	return err;
}
