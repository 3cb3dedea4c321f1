/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a power cut does to files whose tail was written and not synced: any
 * part of it may be there, may be what was there before, or may be nothing in particular.
 *
 * The server tells how far each file is durable: a line `path offset` after each
 * completed sync (DITTOFS_SYNC_MARKS), the last line of a path counts.  Files
 * without a line are left alone.  A log that grows (RocksDB's) may also be cut; journal
 * segments are preallocated, their length is durable, so their tail is wiped instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/crash/run.h"

enum { MARKS = 1024, SECTOR = 512, TAIL_MAX = 8 << 20 };

struct mark {
	char path[300];
	uint64_t off;
};

static bool
is_log(const char *path)
{
	size_t len = strlen(path);

	return len > 4 && strcmp(path + len - 4, ".log") == 0;
}

static struct mark *
marks_read(const char *path, int *n)
{
	FILE *f = fopen(path, "r");
	struct mark *m = calloc(MARKS, sizeof(*m)), line;

	*n = 0;
	if (!f || !m) {
		free(m);
		return NULL;
	}
	while (fscanf(f, "%299s %" SCNu64, line.path, &line.off) == 2) {
		int i = 0;

		while (i < *n && strcmp(m[i].path, line.path) != 0)
			i++;
		if (i == MARKS)
			continue;
		/* logs only grow, and two syncs of one may tell out of order */
		if (i == *n || !is_log(line.path) || line.off > m[i].off)
			m[i] = line;
		if (i == *n)
			++*n;
	}
	fclose(f);
	return m;
}

/* Sector by sector: some stay, some are zeros, some are junk. */
static int
wreck(struct rng *rng, int fd, uint64_t off, uint64_t end, unsigned percent)
{
	uint8_t buf[SECTOR];

	while (off < end) {
		uint64_t to = (off / SECTOR + 1) * SECTOR;
		size_t len = (size_t)((to < end ? to : end) - off);

		if (rng_percent(rng, percent)) {
			bool zeros = rng_percent(rng, 30);

			for (size_t i = 0; i < len; i++)
				buf[i] = zeros ? 0 : (uint8_t)rng_next(rng);
			if (pwrite(fd, buf, len, (off_t)off) != (ssize_t)len)
				return -errno;
		}
		off += len;
	}
	return 0;
}

static int
damage(struct rng *rng, const struct mark *m, uint64_t *bytes, int *cuts)
{
	int fd = open(m->path, O_WRONLY | O_CLOEXEC), err;
	struct stat st;
	uint64_t end;

	if (fd < 0)
		return 0; /* deleted since */
	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size <= m->off) {
		close(fd);
		return 0;
	}
	end = (uint64_t)st.st_size;
	if (is_log(m->path) && rng_percent(rng, 50)) {
		uint64_t to = m->off + rng_below(rng, end - m->off + 1);

		err = ftruncate(fd, (off_t)to) < 0 ? -errno : 0;
		*cuts += 1;
		*bytes += end - to;
	} else {
		if (end > m->off + TAIL_MAX)
			end = m->off + TAIL_MAX;
		err = wreck(rng, fd, m->off, end, rng_percent(rng, 30) ? 100 : 40);
		*bytes += end - m->off;
	}
	close(fd);
	return err;
}

int
power_cut(struct rng *rng, const char *marks, bool too_much, char *note, size_t len)
{
	uint64_t bytes = 0;
	int n, cuts = 0, err = 0;
	struct mark *m = marks_read(marks, &n);

	if (!m)
		return -ENOENT;
	for (int i = 0; i < n && too_much; i++)
		m[i].off -= m[i].off / 8;
	for (int i = 0; i < n && !err; i++)
		err = damage(rng, &m[i], &bytes, &cuts);
	snprintf(note, len, "power cut: %d files, %" PRIu64 " bytes, %d cut", n, bytes, cuts);
	free(m);
	return err;
}
