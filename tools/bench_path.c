/* SPDX-License-Identifier: Apache-2.0 */
/* A directory, through system calls. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tools/bench_fs.h"

struct bench_fs {
	int dir;
};

static int
path_open(struct bench_fs **out, const char *where, char why[256])
{
	struct bench_fs *fs;
	int fd = open(where, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		int err = -errno;

		snprintf(why, 256, "%.180s: %s", where, err == -ENOENT ? "there is no such directory" : strerror(-err));
		return err;
	}
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
		int err = -errno;

		snprintf(why, 256, "%.180s is not writable: %s", where, strerror(-err));
		close(fd);
		return err;
	}
	fs = calloc(1, sizeof(*fs));
	fs->dir = fd;
	*out = fs;
	return 0;
}

static void
path_close(struct bench_fs *fs)
{
	close(fs->dir);
	free(fs);
}

static int
path_mkdir(struct bench_fs *fs, const char *name)
{
	return mkdirat(fs->dir, name, 0700) < 0 ? -errno : 0;
}

static int
path_rmdir(struct bench_fs *fs, const char *name)
{
	return unlinkat(fs->dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int
path_unlink(struct bench_fs *fs, const char *name)
{
	return unlinkat(fs->dir, name, 0) < 0 ? -errno : 0;
}

static int
path_stat(struct bench_fs *fs, const char *name)
{
	struct stat st;

	return fstatat(fs->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int
path_space(struct bench_fs *fs, uint64_t *free_bytes)
{
	struct statvfs st;

	if (fstatvfs(fs->dir, &st) < 0)
		return -errno;
	*free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

static int
write_all(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n, len -= (size_t)n;
	}
	return 0;
}

static int
read_all(int fd, uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EBADMSG;
		p += n, len -= (size_t)n;
	}
	return 0;
}

/* One block there or back. */
static int
one_block(int fd, struct bench_io *io, uint64_t off, bool writing)
{
	uint32_t len = (uint32_t)MIN((uint64_t)io->block, io->bytes - off);
	uint64_t then;
	int err;

	if (writing)
		bench_stamp(io->buf, len, io->seed, off);
	then = bench_now_ns();
	err = writing ? write_all(fd, io->buf, len) : read_all(fd, io->buf, len);
	if (io->latency)
		hist_record(io->latency, bench_now_ns() - then);
	if (err == 0 && !writing && !bench_stamped(io->buf, len, io->seed, off))
		err = -EBADMSG;
	if (io->watch)
		atomic_fetch_add(&io->watch->done, len);
	return err;
}

static int
all_blocks(int fd, struct bench_io *io, bool writing)
{
	int err = 0;

	for (uint64_t off = 0; off < io->bytes && err == 0; off += io->block) {
		if (io->watch && atomic_load(&io->watch->stop))
			return -EINTR;
		err = one_block(fd, io, off, writing);
	}
	return err;
}

static int
path_write(struct bench_fs *fs, const char *name, struct bench_io *io)
{
	int fd = openat(fs->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int err;

	if (fd < 0)
		return -errno;
	err = all_blocks(fd, io, true);
	if (err == 0 && io->sync && fsync(fd) < 0)
		err = -errno;
	/* An NFS client tells at close what went wrong with its writes. */
	if (close(fd) < 0 && err == 0)
		err = -errno;
	return err;
}

static int
path_read(struct bench_fs *fs, const char *name, struct bench_io *io)
{
	int fd = openat(fs->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = all_blocks(fd, io, false);
	close(fd);
	return err;
}

/* How much of the file is in the page cache. */
static int64_t
resident(int fd)
{
	struct stat st;
	int64_t n = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	size_t len = (size_t)st.st_size, pages = (len + PAGE - 1) / PAGE;
	uint8_t *seen = malloc(pages);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED || !seen || mincore(map, len, seen) < 0)
		n = -errno;
	for (size_t i = 0; n >= 0 && i < pages; i++)
		n += seen[i] & 1 ? (int64_t)PAGE : 0;
	if (map != MAP_FAILED)
		munmap(map, len);
	free(seen);
	return n;
}

static int64_t
path_forget(struct bench_fs *fs, const char *name)
{
	int fd = openat(fs->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int64_t n;

	if (fd < 0)
		return -errno;
	/* Only clean pages go. */
	(void)fdatasync(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	n = resident(fd);
	close(fd);
	return n;
}

const struct bench_fs_ops bench_path = {
	.open = path_open,
	.close = path_close,
	.mkdir = path_mkdir,
	.rmdir = path_rmdir,
	.unlink = path_unlink,
	.stat = path_stat,
	.space = path_space,
	.write = path_write,
	.read = path_read,
	.forget = path_forget,
};
